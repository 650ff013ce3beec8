//! Convolutions in f32 without written-out windows: images lie pixel by pixel with all channels of a pixel beside each other and a
//! border of zeros, so that each line of a window is one piece of memory, and register tiles multiply windows where they lie.
//!
//! | product | rows | times |
//! | --- | --- | --- |
//! | forward | windows of the input, a row for each place | weights, (y, x, channel) x output |
//! | backward | windows of the delta, spread by the stride, a row for each pixel | turned weights, (y, x, output) x channel |
//! | gradient | windows of the input, transposed | delta, place x output |
//!
//! Samples go in [`groups`], which threads may share; within a group some samples at a time stay in the cache.
//!
//! Not here: images as the layers around have them (channel by channel), which are turned on the way in and out.

mod canvas;

use super::{Convolution, groups};
use crate::math::vector::tile::{At, Epilogue, Panels, ROWS, Rows, load, outer_product_into, product_of_lines, store};
use crate::math::vector::{PANEL, Pieces};
use crate::math::{Shape, Window};
use canvas::{Canvas, from_planes, to_planes};
use pulp::{Simd, WithSimd};

/// Places that are computed together, about.
const PLACES: usize = 512;

/// Numbers of a window at most: with more, a panel of weights leaves no room in the cache for what it is multiplied with, and a
/// library that cuts the inner dimension into blocks is faster.
const DEPTH: usize = 1152;

/// Buffers of a convolution of any shape.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Weights in panels, for the way forward or back.
    weights: Vec<f32>,
    /// One for each group at work, and its share of the gradient.
    desks: Vec<(Desk, Vec<f32>)>,
    /// The gradient in panels, and behind them that of the bias.
    gradient: Vec<f32>,
}

/// What one group works on.
#[derive(Clone, Debug, Default)]
struct Desk {
    images: Vec<f32>,
    deltas: Vec<f32>,
    /// places x padded channels
    made: Vec<f32>,
}

/// Where a gradient goes.
pub struct Gradients<'a> {
    /// output channels x depth
    pub weight: &'a mut [f32],
    /// output channels
    pub bias: Option<&'a mut [f32]>,
    /// rows x input
    pub below: Option<&'a mut [f32]>,
}

/// Whether little of the panels of so many channels is padding.
fn fills_panels(channels: usize) -> bool {
    4 * channels >= 3 * padded(channels)
}

/// Channels of what is made, padded to whole panels.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

impl Convolution {
    /// Whether this way is possible: borders are no wider than windows.
    fn can_be_direct(&self) -> bool {
        self.window.padding < self.window.kernel
    }

    /// Whether this way forward over `rows` samples is the faster one.
    pub(super) fn is_direct(&self, rows: usize) -> bool {
        let places = rows * self.output.pixels();
        self.can_be_direct() && places >= PLACES && self.depth() <= DEPTH && fills_panels(self.output.channels)
    }

    /// Whether this way back is the faster one. `below`: whether the delta of the input is asked for.
    pub(super) fn is_direct_back(&self, rows: usize, below: bool) -> bool {
        let turned = self.output.channels * self.window.pixels();
        self.is_direct(rows) && (!below || turned <= DEPTH && fills_panels(self.input.channels))
    }

    /// The input with its border.
    fn input_canvas(&self) -> Canvas {
        let (Shape { channels, height, width }, Window { kernel, padding, .. }) = (self.input, self.window);
        Canvas { height: height + 2 * padding, width: width + 2 * padding, channels, kernel }
    }

    /// The delta, its pixels as far apart as the windows were, with a border from which every pixel of the input sees all windows that
    /// it was in.
    fn delta_canvas(&self) -> Canvas {
        let (Shape { height, width, .. }, kernel) = (self.input, self.window.kernel);
        // Windows that hang over the border on the right begin beyond it.
        let reach = |pixels: usize, places: usize| {
            (pixels + kernel - 1).max(kernel - self.window.padding + (places - 1) * self.window.stride)
        };
        Canvas {
            height: reach(height, self.output.height),
            width: reach(width, self.output.width),
            channels: padded(self.output.channels),
            kernel,
        }
    }

    /// Samples of a group, and samples at a time.
    fn shares(&self, rows: usize) -> [usize; 2] {
        let together = (PLACES / self.output.pixels()).max(1);
        [groups::samples(rows, together), together]
    }

    /// Numbers of a [`Scratch`] where one thread works.
    pub(super) fn direct_scratch(&self) -> usize {
        let together = (PLACES / self.output.pixels()).max(1);
        let (input, delta) = (self.input_canvas(), self.delta_canvas());
        let outputs = padded(self.output.channels);
        let weights = (input.depth() * outputs).max(delta.depth() * padded(self.input.channels));
        let made = (self.output.pixels() * outputs).max(self.input.pixels() * padded(self.input.channels));
        weights + (input.depth() + 1) * outputs + together * (input.len() + delta.len() + made)
    }

    /// [`Self::forward`].
    pub(super) fn forward_direct(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        output: &mut [f32],
        scratch: &mut Scratch,
        Pieces { instructions, parallel }: Pieces,
    ) {
        let Scratch { weights, desks, .. } = scratch;
        let (canvas, outputs) = (self.input_canvas(), self.output.channels);
        let Window { kernel, stride, padding } = self.window;
        let pixels = kernel * kernel;
        // Behind the panels the bias.
        weights.clear();
        weights.resize((canvas.depth() + 1) * padded(outputs), 0.0);
        for (output, filter) in weight.chunks_exact(self.depth()).enumerate() {
            let panel = &mut weights[output / PANEL * canvas.depth() * PANEL + output % PANEL..];
            for (channel, plane) in filter.chunks_exact(pixels).enumerate() {
                for (pixel, number) in plane.iter().enumerate() {
                    panel[(pixel * canvas.channels + channel) * PANEL] = *number;
                }
            }
        }
        if let Some(bias) = bias {
            weights[canvas.depth() * padded(outputs)..][..outputs].copy_from_slice(bias);
        }
        let [group, together] = self.shares(input.len() / self.input.elements());
        let slide = Slide {
            image: self.input,
            made: self.output,
            canvas,
            pixels: &canvas.grid(self.input, [padding, 1], 1),
            places: &canvas.grid(self.output, [0, stride], together),
            weights,
            together,
        };
        let images = input.chunks(group * self.input.elements());
        let outputs = output.chunks_mut(group * self.output.elements());
        groups::each(desks, parallel, images.zip(outputs).collect(), |(desk, _), (images, made)| {
            instructions.run(Sliding { slide: &slide, images, made, desk });
        });
    }

    /// [`Self::backward`].
    pub(super) fn backward_direct(
        &self,
        input: &[f32],
        weight: &[f32],
        delta: &[f32],
        gradients: Gradients,
        scratch: &mut Scratch,
        Pieces { instructions, parallel }: Pieces,
    ) {
        let Scratch { weights, desks, gradient } = scratch;
        let (images, deltas) = (self.input_canvas(), self.delta_canvas());
        let Window { kernel, stride, padding } = self.window;
        let (pixels, outputs) = (kernel * kernel, self.output.channels);
        weights.clear();
        if gradients.below.is_some() {
            // Behind the panels a bias of zeros.
            weights.resize((deltas.depth() + 1) * padded(self.input.channels), 0.0);
            for (output, filter) in weight.chunks_exact(self.depth()).enumerate() {
                for (channel, plane) in filter.chunks_exact(pixels).enumerate() {
                    let panel = &mut weights[channel / PANEL * deltas.depth() * PANEL + channel % PANEL..];
                    for (pixel, number) in plane.iter().rev().enumerate() {
                        panel[(pixel * deltas.channels + output) * PANEL] = *number;
                    }
                }
            }
        }
        let [group, together] = self.shares(input.len() / self.input.elements());
        let back = Back {
            convolution: *self,
            images,
            pixels: &images.grid(self.input, [padding, 1], 1),
            windows: &images.grid(self.output, [0, stride], together),
            delta_pixels: &deltas.grid(self.output, [kernel - 1 - padding, stride], together),
            below: gradients.below.is_some().then(|| Slide {
                image: self.output,
                made: self.input,
                canvas: deltas,
                pixels: &[],
                places: &[],
                weights,
                together,
            }),
            deltas,
            together,
        };
        let places = back.below.map_or(Vec::new(), |_| deltas.grid(self.input, [0, 1], together));
        let back = Back { below: back.below.map(|slide| Slide { places: &places, ..slide }), ..back };

        let samples = input.chunks(group * self.input.elements()).zip(delta.chunks(group * self.output.elements()));
        let mut below = gradients.below.into_iter().flat_map(|below| below.chunks_mut(group * self.input.elements()));
        let groups: Vec<_> = samples.map(|(images, deltas)| (images, deltas, below.next())).collect();
        gradient.resize((images.depth() + 1) * padded(outputs), 0.0);
        groups::sum(desks, parallel, groups, gradient, |desk, (images, deltas, below), gradient| {
            instructions.run(GoingBack { back: &back, images_of: images, deltas_of: deltas, below, gradient, desk });
        });
        for (output, filter) in gradients.weight.chunks_exact_mut(self.depth()).enumerate() {
            let panel = &gradient[output / PANEL * images.depth() * PANEL + output % PANEL..];
            for (channel, plane) in filter.chunks_exact_mut(pixels).enumerate() {
                for (pixel, number) in plane.iter_mut().enumerate() {
                    *number = panel[(pixel * images.channels + channel) * PANEL];
                }
            }
        }
        if let Some(bias) = gradients.bias {
            bias.copy_from_slice(&gradient[images.depth() * padded(outputs)..][..outputs]);
        }
    }
}

/// A product of all windows of some images.
#[derive(Clone, Copy)]
struct Slide<'a> {
    /// What lies on the canvas, and what is made.
    image: Shape,
    made: Shape,
    canvas: Canvas,
    /// Where the pixels of one image are on its canvas.
    pixels: &'a [usize],
    /// Where the windows of [`Self::together`] images begin.
    places: &'a [usize],
    /// Panels, and behind them the bias.
    weights: &'a [f32],
    together: usize,
}

impl Slide<'_> {
    /// `made` (samples x shape) of the images that lie on their canvases, at most [`Self::together`].
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, canvases: &[f32], rows: &mut Vec<f32>, made: &mut [f32]) {
        let width = padded(self.made.channels);
        let (pixels, depth) = (self.made.pixels(), self.canvas.depth());
        let samples = made.len() / self.made.elements();
        let places = (samples * pixels).next_multiple_of(ROWS);
        rows.resize(rows.len().max(places * width), 0.0);
        let (panels, bias) = self.weights.split_at(depth * width);
        let panels = Panels { data: panels, stride: depth * PANEL, width };
        let windows = self.canvas.window(canvases, self.places, places);
        let epilogue = &mut WithBias { bias, rows, width };
        product_of_lines(simd, places, windows, self.canvas.lines(), panels, epilogue);
        for (sample, made) in made.chunks_exact_mut(self.made.elements()).enumerate() {
            to_planes(simd, &rows[sample * pixels * width..], width, made, pixels);
        }
    }
}

/// Stores sums with their bias, row by row.
struct WithBias<'a> {
    bias: &'a [f32],
    rows: &'a mut [f32],
    width: usize,
}

impl<S: Simd> Epilogue<S> for WithBias<'_> {
    #[inline(always)]
    fn store(&mut self, simd: S, row: usize, column: usize, sums: S::f32s) {
        let sums = simd.add_f32s(sums, load::<S>(self.bias, column));
        store::<S>(self.rows, row * self.width + column, sums);
    }
}

/// [`Slide`] over the images of one group.
struct Sliding<'a> {
    slide: &'a Slide<'a>,
    images: &'a [f32],
    made: &'a mut [f32],
    desk: &'a mut Desk,
}

impl WithSimd for Sliding<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slide, images, made, desk: Desk { images: canvases, made: rows, .. } } = self;
        let (elements, canvas) = (slide.image.elements(), slide.canvas);
        blank(canvases, slide.together * canvas.len());
        let made = made.chunks_mut(slide.together * slide.made.elements());
        for (images, made) in images.chunks(slide.together * elements).zip(made) {
            for (image, canvas) in images.chunks_exact(elements).zip(canvases.chunks_exact_mut(canvas.len())) {
                from_planes(simd, image, slide.image.pixels(), canvas, slide.pixels);
            }
            slide.run(simd, canvases, rows, made);
        }
    }
}

/// The way back through a convolution.
#[derive(Clone, Copy)]
struct Back<'a> {
    convolution: Convolution,
    images: Canvas,
    deltas: Canvas,
    /// Where the pixels of one image are on its canvas.
    pixels: &'a [usize],
    /// Where the windows of [`Self::together`] images begin.
    windows: &'a [usize],
    /// Where the pixels of as many deltas are on their canvases.
    delta_pixels: &'a [usize],
    /// None where nobody asks for the delta of the input.
    below: Option<Slide<'a>>,
    together: usize,
}

/// [`Back`] over the samples of one group.
struct GoingBack<'a> {
    back: &'a Back<'a>,
    images_of: &'a [f32],
    deltas_of: &'a [f32],
    below: Option<&'a mut [f32]>,
    /// Panels, and behind them the gradient of the bias.
    gradient: &'a mut [f32],
    desk: &'a mut Desk,
}

impl WithSimd for GoingBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { back, images_of, deltas_of, mut below, gradient, desk } = self;
        let Back { convolution: Convolution { input, output, .. }, images, deltas, together, .. } = *back;
        let width = padded(output.channels);
        blank(&mut desk.images, together * images.len());
        blank(&mut desk.deltas, together * deltas.len());
        gradient.fill(0.0);
        let (gradient, bias) = gradient.split_at_mut(images.depth() * width);
        let pieces = images_of.chunks(together * input.elements()).zip(deltas_of.chunks(together * output.elements()));
        for (piece, (image_piece, delta_piece)) in pieces.enumerate() {
            let canvases = desk.images.chunks_exact_mut(images.len());
            for (image, canvas) in image_piece.chunks_exact(input.elements()).zip(canvases) {
                from_planes(simd, image, input.pixels(), canvas, back.pixels);
            }
            let canvases = desk.deltas.chunks_exact_mut(deltas.len());
            for (delta, canvas) in delta_piece.chunks_exact(output.elements()).zip(canvases) {
                from_planes(simd, delta, output.pixels(), canvas, back.delta_pixels);
            }
            let places = delta_piece.len() / output.channels;
            let rows = Rows { data: &desk.deltas, starts: At(back.delta_pixels), width };
            for line in 0..images.kernel {
                let windows = images.window(&desk.images[line * images.pitch()..], back.windows, places);
                let gradient = &mut gradient[line * windows.width * PANEL..];
                outer_product_into(simd, places, windows, rows, gradient, images.depth() * PANEL, piece == 0);
            }
            add_rows(simd, &desk.deltas, &back.delta_pixels[..places], bias);
            if let (Some(slide), Some(below)) = (&back.below, &mut below) {
                let first = piece * together * input.elements();
                let below = &mut below[first..][..image_piece.len()];
                slide.run(simd, &desk.deltas, &mut desk.made, below);
            }
        }
    }
}

/// Adds rows of `sums.len()` numbers, which begin at `starts`, to `sums`: four running sums of each, then theirs.
#[inline(always)]
fn add_rows<S: Simd>(simd: S, data: &[f32], starts: &[usize], sums: &mut [f32]) {
    for column in (0..sums.len()).step_by(S::F32_LANES) {
        let mut running = [simd.splat_f32s(0.0); 4];
        for starts in starts.chunks(4) {
            for (start, sum) in starts.iter().zip(&mut running) {
                *sum = simd.add_f32s(*sum, load::<S>(data, start + column));
            }
        }
        let [a, b, c, d] = running;
        let sum = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
        store::<S>(sums, column, simd.add_f32s(load::<S>(sums, column), sum));
    }
}

/// Makes `count` zeros.
fn blank(numbers: &mut Vec<f32>, count: usize) {
    numbers.clear();
    numbers.resize(count, 0.0);
}

#[cfg(test)]
mod tests;
