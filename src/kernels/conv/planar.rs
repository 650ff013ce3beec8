//! Convolutions in f32 and f64 without written-out windows: channel by channel as images lie, with a border of zeros.
//!
//! | product | rows | windows of | numbers of a window |
//! | --- | --- | --- | --- |
//! | forward | outputs | the input | channel, y, x |
//! | backward | channels | the delta | output, and the y and x that reach a pixel |
//! | gradient | outputs (their deltas) | the input | channel, y, x |
//!
//! Where windows are `stride` pixels apart, a plane is taken apart into its *phases*, the pixels whose line and column leave the same rest
//! by the stride, so that the pixels which windows beside each other read lie beside each other too.
//!
//! Samples go in [`groups`], which threads may share; within a group some samples at a time stay in the cache.
//!
//! Not here: the products themselves ([`crate::math::vector::slide`]).

mod canvas;

use super::{Backward, Convolution, Forward, groups};
use crate::math::vector::{Element, Instructions, Pieces, Places, Tiles, correlate, slide, vectors_of_tile};
use crate::math::{Real, Shape, Window, ordered_sum_of};
use canvas::{Canvas, Grid};
use pulp::{Simd, WithSimd};

/// Places that are computed together, about.
const PLACES: usize = 512;

/// Groups that there are at least, where there are as many samples: threads that share a small batch.
const LEAST_GROUPS: usize = 4;

/// Numbers of a window at most: with more, a library that cuts the inner dimension into blocks is faster.
const DEPTH: usize = 1152;

/// Buffers of a convolution of any shape.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    /// One for each group at work, and its share of the gradient.
    desks: Vec<(Desk<T>, Vec<T>)>,
    /// That of the weights, and behind it that of the bias.
    gradient: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { desks: Vec::new(), gradient: Vec::new() }
    }
}

/// What one group works on.
#[derive(Clone, Debug)]
struct Desk<T> {
    inputs: Vec<T>,
    deltas: Vec<T>,
    made: Vec<T>,
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Self { inputs: Vec::new(), deltas: Vec::new(), made: Vec::new() }
    }
}

impl Convolution {
    /// Whether this way over `rows` samples is the faster one.
    pub(super) fn is_planar(&self, rows: usize) -> bool {
        rows * self.output.pixels() >= PLACES && self.depth() <= DEPTH
    }

    /// Phases that windows read, in each direction, and how many pixels of a phase the furthest is away from a window's beginning.
    fn phases(&self) -> [usize; 2] {
        let Window { kernel, stride, .. } = self.window;
        [stride.min(kernel), (kernel - 1) / stride]
    }

    /// The input with its border, lines at least `pitch` numbers apart.
    fn input_canvas(&self, pitch: usize) -> Canvas {
        let Window { stride, padding, .. } = self.window;
        let [phases, reach] = self.phases();
        // The border on the left of a line is that on the right of the line above.
        let least = if stride == 1 { self.input.width + padding } else { self.output.width + reach };
        let pitch = pitch.max(least);
        let plane = (self.output.height + reach) * pitch;
        Canvas { phases, apart: stride, pitch, plane, channels: self.input.channels }
    }

    /// Lines of zeros before the delta, and after it: what pixels of the input see of windows that are not there.
    fn delta_border(&self) -> [usize; 2] {
        let Window { kernel, stride, padding } = self.window;
        let before = |phase: usize| ((kernel - 1 - phase) / stride).saturating_sub(self.first_of(phase));
        let after = |places: usize, pixels: usize| ((padding + pixels - 1) / stride).saturating_sub(places - 1);
        let [rows, columns] = [(self.output.height, self.input.height), (self.output.width, self.input.width)];
        let [phases, _] = self.phases();
        let before = (0..phases).map(before).max().unwrap_or(0);
        [before, after(rows.0, rows.1).max(after(columns.0, columns.1))]
    }

    /// The first pixel of a phase that is in the image and not in its border.
    fn first_of(&self, phase: usize) -> usize {
        self.window.padding.saturating_sub(phase).div_ceil(self.window.stride)
    }

    /// The delta with its border, lines at least `pitch` numbers apart; so many zeros at least behind every plane.
    fn delta_canvas(&self, pitch: usize, behind: usize) -> Canvas {
        let [before, after] = self.delta_border();
        let Shape { channels, height, width } = self.output;
        let pitch = pitch.max(width + before.max(after));
        Canvas { phases: 1, apart: 1, pitch, plane: (before + height + after) * pitch + behind, channels }
    }

    /// Samples of a group, and samples at a time.
    fn shares(&self, rows: usize) -> [usize; 2] {
        let together = (PLACES / self.output.pixels()).clamp(1, rows.div_ceil(LEAST_GROUPS));
        [groups::samples(rows, together), together]
    }

    /// Numbers of a [`Scratch`] where one thread works, about.
    pub(super) fn planar_scratch(&self) -> usize {
        let together = (PLACES / self.output.pixels()).max(1);
        let (input, delta) = (self.input_canvas(0), self.delta_canvas(0, 0));
        let weights = self.depth() * self.output.channels;
        let made = self.output.elements().max(self.input.elements());
        2 * weights + together * (input.len() + delta.len() + made)
    }

    /// [`Self::forward`].
    pub(super) fn forward_planar<T: Element>(
        &self,
        Forward { input, weight, bias, output }: Forward<T>,
        scratch: &mut Scratch<T>,
        Pieces { instructions, parallel }: Pieces,
    ) {
        let lanes = T::lanes_of(instructions);
        let tiles = Tiles::of(self.output.channels);
        let [group, together] = self.shares(input.len() / self.input.elements());
        let canvas = self.input_canvas(0);
        let grid = Grid::new([self.output.height, self.output.width], canvas.pitch, lanes);
        let number = |output: usize, number: usize| weight[output * self.depth() + number];
        let slide = Slide {
            grid,
            tiles,
            weights: pack(tiles, [self.output.channels, self.depth()], number),
            offsets: canvas.window(self.window.kernel),
            starts: grid.starts(0, together, canvas.len(), vectors_of_tile(instructions)),
        };
        let work = ForwardWork { convolution: *self, canvas, slide, bias, together };
        let images = input.chunks(group * self.input.elements());
        let outputs = output.chunks_mut(group * self.output.elements());
        groups::each(&mut scratch.desks, parallel, images.zip(outputs).collect(), |(desk, _), (images, made)| {
            instructions.run(ForwardOfGroup { work: &work, images, made, desk });
        });
    }

    /// [`Self::backward`].
    pub(super) fn backward_planar<T: Element>(
        &self,
        Backward { input, weight, delta, of_weight, of_bias, below }: Backward<T>,
        Scratch { desks, gradient }: &mut Scratch<T>,
        Pieces { instructions, parallel }: Pieces,
    ) {
        let lanes = T::lanes_of(instructions);
        let [group, together] = self.shares(input.len() / self.input.elements());
        let [before, _] = self.delta_border();

        // Vectors of the gradient run over the places of the input and of the delta alike, and over zeros between the delta's lines.
        let pitch = self.input_canvas(0).pitch.max(self.delta_canvas(0, 0).pitch);
        let (images, deltas) = (self.input_canvas(pitch), self.delta_canvas(pitch, lanes));
        let places = (self.output.height - 1) * pitch + self.output.width;
        let first = |canvas: Canvas, at: usize| (0..together).map(|sample| sample * canvas.len() + at).collect();
        let corner = before * deltas.pitch + before;
        let work = BackwardWork {
            convolution: *self,
            images,
            deltas,
            before,
            outputs: (0..self.output.channels).map(|output| output * deltas.plane).collect(),
            places: first(deltas, corner),
            offsets: images.window(self.window.kernel),
            windows: first(images, 0),
            vectors: places.div_ceil(lanes),
            below: below.as_ref().map_or(Vec::new(), |_| self.phases_below(weight, deltas, together, instructions)),
            together,
        };

        let samples = input.chunks(group * self.input.elements()).zip(delta.chunks(group * self.output.elements()));
        let mut below = below.into_iter().flat_map(|below| below.chunks_mut(group * self.input.elements()));
        let groups: Vec<_> = samples.map(|(images, deltas)| (images, deltas, below.next())).collect();
        let numbers = self.output.channels * self.depth();
        gradient.resize(numbers + self.output.channels, T::zero());
        groups::sum(desks, parallel, groups, gradient, |desk, (images, deltas, below), gradient| {
            instructions.run(BackwardOfGroup { work: &work, images_of: images, deltas_of: deltas, below, gradient, desk });
        });
        let (weights, biases) = gradient.split_at(numbers);
        of_weight.copy_from_slice(weights);
        if let Some(of_bias) = of_bias {
            of_bias.copy_from_slice(biases);
        }
    }

    /// How every phase of the input's delta is made of deltas on this canvas.
    fn phases_below<T: Element>(
        &self,
        weight: &[T],
        deltas: Canvas,
        together: usize,
        instructions: Instructions,
    ) -> Vec<Phase<T>> {
        let Window { kernel, stride, padding } = self.window;
        let Shape { channels, height, width } = self.input;
        let tiles = Tiles::of(channels);
        let ([before, _], [phases, _]) = (self.delta_border(), self.phases());
        let mut made = Vec::new();
        for (down, right) in (0..phases).flat_map(|down| (0..phases).map(move |right| (down, right))) {
            let [line, column] = [down, right].map(|phase| self.first_of(phase));
            let count = |phase: usize, first: usize, pixels: usize| {
                (padding + pixels).saturating_sub(phase).div_ceil(stride).saturating_sub(first)
            };
            let size = [count(down, line, height), count(right, column, width)];
            if size.contains(&0) {
                continue;
            }
            // Windows that a pixel of this phase is in, in each direction; the last of them begins furthest up and left.
            let [tall, wide] = [down, right].map(|phase| (kernel - 1 - phase) / stride + 1);
            let first = (line + before + 1 - tall) * deltas.pitch + column + before + 1 - wide;
            let window = |number: usize| (number / (tall * wide), number / wide % tall, number % wide);
            let offset = |number: usize| {
                let (output, y, x) = window(number);
                output * deltas.plane + (tall - 1 - y) * deltas.pitch + wide - 1 - x
            };
            let of_weight = |channel: usize, number: usize| {
                let (output, y, x) = window(number);
                weight[((output * channels + channel) * kernel + down + y * stride) * kernel + right + x * stride]
            };
            let (grid, depth) = (Grid::new(size, deltas.pitch, T::lanes_of(instructions)), self.output.channels * tall * wide);
            let slide = Slide {
                grid,
                tiles,
                weights: pack(tiles, [channels, depth], of_weight),
                offsets: (0..depth).map(offset).collect(),
                starts: grid.starts(first, together, deltas.len(), vectors_of_tile(instructions)),
            };
            made.push(Phase { corner: [line * stride + down - padding, column * stride + right - padding], slide });
        }
        made
    }
}

/// Weights for [`slide`]: tile by tile of rows, for every number of a window those of the tile's rows; zeros for rows that are not there.
fn pack<T: Real>(tiles: Tiles, [rows, depth]: [usize; 2], number: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut packed = vec![T::zero(); tiles.rows() * depth];
    for (first, count) in tiles.each() {
        for row in first..rows.min(first + count) {
            let tile = packed[first * depth..][..count * depth].iter_mut().skip(row - first).step_by(count);
            tile.enumerate().for_each(|(at, to)| *to = number(row, at));
        }
    }
    packed
}

/// A product of all windows of some images.
struct Slide<T> {
    grid: Grid,
    tiles: Tiles,
    weights: Vec<T>,
    offsets: Vec<usize>,
    /// Where the vectors of as many images as are taken together begin.
    starts: Vec<usize>,
}

impl<T: Element> Slide<T> {
    /// What the windows of `samples` canvases make.
    #[inline(always)]
    fn run<'a, S: Simd>(&self, simd: S, samples: usize, data: &[T], made: &'a mut Vec<T>) -> Made<'a, T> {
        let Self { grid, tiles, weights, offsets, starts } = self;
        let starts = &starts[..(samples * grid.vectors()).next_multiple_of(vectors_of_tile(Instructions::of::<S>()))];
        let stride = starts.len() * T::lanes::<S>();
        made.resize(made.len().max(tiles.rows() * stride), T::zero());
        slide(simd, *tiles, weights, Places { data, starts, offsets }, made, stride);
        Made { numbers: made, stride, grid: *grid }
    }
}

/// What windows make: rows, and in each of them sample after sample.
struct Made<'a, T> {
    numbers: &'a [T],
    /// Numbers from one row to the next.
    stride: usize,
    grid: Grid,
}

impl<T> Made<'_, T> {
    /// A line of a sample's grid.
    #[inline(always)]
    fn line(&self, row: usize, sample: usize, line: usize) -> &[T] {
        let Self { numbers, stride, grid } = self;
        let first = row * stride + sample * grid.vectors() * grid.lanes + line * grid.step();
        &numbers[first..][..grid.width]
    }
}

/// The way forward through a convolution.
struct ForwardWork<'a, T> {
    convolution: Convolution,
    canvas: Canvas,
    slide: Slide<T>,
    bias: Option<&'a [T]>,
    together: usize,
}

/// [`ForwardWork`] on the images of one group.
struct ForwardOfGroup<'a, T> {
    work: &'a ForwardWork<'a, T>,
    images: &'a [T],
    made: &'a mut [T],
    desk: &'a mut Desk<T>,
}

impl<T: Element> WithSimd for ForwardOfGroup<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, images, made, desk } = self;
        let ForwardWork { convolution, canvas, slide, bias, together } = work;
        let Convolution { input, output, window } = *convolution;
        blank(&mut desk.inputs, together * canvas.len() + convolution.beyond(T::lanes::<S>()));
        let made = made.chunks_mut(together * output.elements());
        for (images, made) in images.chunks(together * input.elements()).zip(made) {
            let samples = images.len() / input.elements();
            for (image, place) in images.chunks_exact(input.elements()).zip(desk.inputs.chunks_exact_mut(canvas.len())) {
                canvas.paint(image, input, [window.padding; 2], place);
            }
            let sums = slide.run(simd, samples, &desk.inputs, &mut desk.made);
            for (index, plane) in made.chunks_exact_mut(output.pixels()).enumerate() {
                let (sample, channel) = (index / output.channels, index % output.channels);
                let bias = bias.map_or(T::zero(), |bias| bias[channel]);
                for (y, line) in plane.chunks_exact_mut(output.width).enumerate() {
                    let sums = sums.line(channel, sample, y);
                    line.iter_mut().zip(sums).for_each(|(z, sum)| *z = *sum + bias);
                }
            }
        }
    }
}

/// The way back through a convolution.
struct BackwardWork<T> {
    convolution: Convolution,
    images: Canvas,
    deltas: Canvas,
    /// Lines of zeros before a delta.
    before: usize,
    /// How far the planes of a delta lie from its beginning.
    outputs: Vec<usize>,
    /// Where the places of as many deltas as are taken together begin, and the windows of as many images.
    places: Vec<usize>,
    windows: Vec<usize>,
    /// How far the numbers of a window lie from its beginning.
    offsets: Vec<usize>,
    /// Vectors of one sample.
    vectors: usize,
    /// Empty where nobody asks for the delta of the input.
    below: Vec<Phase<T>>,
    together: usize,
}

/// One phase of the delta of the input.
struct Phase<T> {
    /// Line and column of its first pixel.
    corner: [usize; 2],
    slide: Slide<T>,
}

/// [`BackwardWork`] on the samples of one group.
struct BackwardOfGroup<'a, T> {
    work: &'a BackwardWork<T>,
    images_of: &'a [T],
    deltas_of: &'a [T],
    below: Option<&'a mut [T]>,
    gradient: &'a mut [T],
    desk: &'a mut Desk<T>,
}

impl<T: Element> WithSimd for BackwardOfGroup<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, images_of, deltas_of, mut below, gradient, desk } = self;
        let BackwardWork { convolution, images, deltas, together, .. } = work;
        let Convolution { input, output, window: Window { padding, stride, .. } } = *convolution;
        let beyond = convolution.beyond(T::lanes::<S>());
        blank(&mut desk.inputs, together * images.len() + beyond);
        blank(&mut desk.deltas, together * deltas.len() + beyond);
        let (gradient, bias) = gradient.split_at_mut(output.channels * convolution.depth());
        bias.fill(T::zero());
        let pieces = images_of.chunks(together * input.elements()).zip(deltas_of.chunks(together * output.elements()));
        for (piece, (images_of, deltas_of)) in pieces.enumerate() {
            let samples = images_of.len() / input.elements();
            for (image, place) in images_of.chunks_exact(input.elements()).zip(desk.inputs.chunks_exact_mut(images.len())) {
                images.paint(image, input, [padding; 2], place);
            }
            for (delta, place) in deltas_of.chunks_exact(output.elements()).zip(desk.deltas.chunks_exact_mut(deltas.len())) {
                deltas.paint(delta, output, [work.before; 2], place);
                for (sum, plane) in bias.iter_mut().zip(delta.chunks_exact(output.pixels())) {
                    *sum += ordered_sum_of(plane, |delta| delta);
                }
            }
            let rows = Places { data: &desk.deltas, starts: &work.places[..samples], offsets: &work.outputs };
            let windows = Places { data: &desk.inputs, starts: &work.windows[..samples], offsets: &work.offsets };
            correlate(simd, rows, windows, work.vectors, gradient, piece == 0);

            let Some(below) = &mut below else { continue };
            let below = &mut below[piece * together * input.elements()..][..images_of.len()];
            if work.below.len() < stride * stride {
                below.fill(T::zero());
            }
            for Phase { corner: [top, left], slide } in &work.below {
                let sums = slide.run(simd, samples, &desk.deltas, &mut desk.made);
                for (index, plane) in below.chunks_exact_mut(input.pixels()).enumerate() {
                    let (sample, channel) = (index / input.channels, index % input.channels);
                    let lines = plane.chunks_exact_mut(input.width).skip(*top).step_by(stride);
                    for (y, line) in lines.enumerate() {
                        let sums = sums.line(channel, sample, y);
                        if stride == 1 {
                            line.copy_from_slice(sums);
                        } else {
                            let pixels = line[*left..].iter_mut().step_by(stride);
                            pixels.zip(sums).for_each(|(pixel, sum)| *pixel = *sum);
                        }
                    }
                }
            }
        }
    }
}

impl Convolution {
    /// Numbers behind the last canvas that vectors may reach.
    fn beyond(&self, lanes: usize) -> usize {
        let [_, after] = self.delta_border();
        lanes + self.window.kernel + self.window.padding + after
    }
}

/// Makes `count` zeros.
fn blank<T: Real>(numbers: &mut Vec<T>, count: usize) {
    numbers.clear();
    numbers.resize(count, T::zero());
}

#[cfg(test)]
mod tests;
