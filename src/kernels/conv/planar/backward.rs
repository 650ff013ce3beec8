//! The way back: windows of the input with the delta, and windows of the delta times the turned weights.

use super::canvas::{Canvas, Grid};
use super::product::{Slide, pack};
use super::{Desk, Scratch, blank};
use crate::kernels::conv::{Backward, Convolution, groups};
use crate::math::vector::{Element, Instructions, Pieces, Places, Tiles, correlate, vectors_of_tile};
use crate::math::{Shape, Window, ordered_sum_of};
use pulp::{Simd, WithSimd};

impl Convolution {
    /// [`Self::backward`].
    pub(in crate::kernels::conv) fn backward_planar<T: Element>(
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
            lead: corner.next_multiple_of(lanes) - corner,
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
            instructions.run(BackwardOfGroup {
                work: &work,
                images_of: images,
                deltas_of: deltas,
                below,
                gradient,
                desk,
            });
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
            let (mut offsets, mut numbers) = (Vec::new(), Vec::new());
            for output in 0..self.output.channels {
                for (y, x) in (0..tall).flat_map(|y| (0..wide).map(move |x| (y, x))) {
                    offsets.push(output * deltas.plane + (tall - 1 - y) * deltas.pitch + wide - 1 - x);
                    numbers.push((output * channels * kernel + down + y * stride) * kernel + right + x * stride);
                }
            }
            let grid = Grid::new(size, deltas.pitch, T::lanes_of(instructions));
            let slide = Slide {
                grid,
                tiles,
                weights: pack(tiles, weight, [channels, kernel * kernel], &numbers),
                offsets,
                starts: grid.starts(first, together, deltas.len(), vectors_of_tile(instructions)),
            };
            made.push(Phase { corner: [line * stride + down - padding, column * stride + right - padding], slide });
        }
        made
    }
}

/// The way back through a convolution.
struct BackwardWork<T> {
    convolution: Convolution,
    images: Canvas,
    deltas: Canvas,
    /// Lines of zeros before a delta.
    before: usize,
    /// Numbers before the first canvas, so that vectors of its places begin at whole vectors.
    lead: usize,
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
        desk.deltas.clear();
        desk.deltas.resize(work.lead + together * deltas.len() + beyond, T::zero());
        let there = &mut desk.deltas[work.lead..];
        let (gradient, bias) = gradient.split_at_mut(output.channels * convolution.depth());
        bias.fill(T::zero());
        let pieces = images_of.chunks(together * input.elements()).zip(deltas_of.chunks(together * output.elements()));
        for (piece, (images_of, deltas_of)) in pieces.enumerate() {
            let samples = images_of.len() / input.elements();
            for (image, place) in
                images_of.chunks_exact(input.elements()).zip(desk.inputs.chunks_exact_mut(images.len()))
            {
                images.paint(image, input, [padding; 2], place);
            }
            for (delta, place) in deltas_of.chunks_exact(output.elements()).zip(there.chunks_exact_mut(deltas.len())) {
                deltas.paint(delta, output, [work.before; 2], place);
                for (sum, plane) in bias.iter_mut().zip(delta.chunks_exact(output.pixels())) {
                    *sum += ordered_sum_of(plane, |delta| delta);
                }
            }
            let rows = Places { data: there, starts: &work.places[..samples], offsets: &work.outputs };
            let windows = Places { data: &desk.inputs, starts: &work.windows[..samples], offsets: &work.offsets };
            correlate(simd, rows, windows, work.vectors, gradient, piece == 0);

            let Some(below) = &mut below else { continue };
            let below = &mut below[piece * together * input.elements()..][..images_of.len()];
            if work.below.len() < stride * stride {
                below.fill(T::zero());
            }
            for Phase { corner: [top, left], slide } in &work.below {
                let sums = slide.run(simd, samples, there, &mut desk.made);
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
