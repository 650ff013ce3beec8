//! Convolutions by windows that are written out, for some samples at a time so that the matrix stays in the cache, and products of a
//! library: in any arithmetic. The reference for the ways that are faster.

use super::Convolution;
use crate::math::{Number, View, Window, ordered_sum};

/// Columns of the written-out matrix, about.
const COLUMNS: usize = 512;

/// Buffers of a convolution of any shape.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    /// (input channels kernel^2) x columns
    windows: Vec<T>,
    /// output channels x columns
    outputs: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { windows: Vec::new(), outputs: Vec::new() }
    }
}

impl Convolution {
    /// Samples at a time.
    fn together(&self) -> usize {
        (COLUMNS / self.output.pixels()).max(1)
    }

    /// Numbers of a [`Scratch`].
    pub(super) fn windows_scratch(&self) -> usize {
        (self.depth() + self.output.channels) * self.together() * self.output.pixels()
    }

    /// Calls `each` for every row of the written-out matrix, with the part of it that is inside the image: the first of
    /// its places across, and their number; where in the image the first lies.
    fn pieces(&self, mut each: impl FnMut(Piece)) {
        let Self { input, output, window: Window { kernel, stride, padding } } = *self;
        for row in 0..self.depth() {
            let (channel, down, right) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            // Places whose pixel lies in the image: padding <= place stride + right < padding + width.
            let first = padding.saturating_sub(right).div_ceil(stride);
            let last = (padding + input.width).saturating_sub(right).div_ceil(stride).min(output.width);
            for y in 0..output.height {
                let Some(line) = (y * stride + down).checked_sub(padding).filter(|line| *line < input.height) else {
                    continue;
                };
                if first < last {
                    let image = (channel * input.height + line) * input.width + first * stride + right - padding;
                    each(Piece { row, place: y * output.width + first, image, count: last - first });
                }
            }
        }
    }

    /// Writes out the windows of `samples` images.
    fn write_out<T: Number>(&self, images: &[T], samples: usize, windows: &mut Vec<T>) {
        let columns = samples * self.output.pixels();
        windows.clear();
        windows.resize(self.depth() * columns, T::zero());
        for (sample, image) in images.chunks_exact(self.input.elements()).enumerate() {
            let before = sample * self.output.pixels();
            self.pieces(|piece| {
                let there = &mut windows[piece.row * columns + before + piece.place..][..piece.count];
                if self.window.stride == 1 {
                    there.copy_from_slice(&image[piece.image..][..piece.count]);
                } else {
                    let pixels = image[piece.image..].iter().step_by(self.window.stride);
                    there.iter_mut().zip(pixels).for_each(|(there, pixel)| *there = *pixel);
                }
            });
        }
    }

    /// Adds the windows of `samples` images to where they were taken from.
    fn add_back<T: Number>(&self, windows: &[T], samples: usize, images: &mut [T]) {
        let columns = samples * self.output.pixels();
        for (sample, image) in images.chunks_exact_mut(self.input.elements()).enumerate() {
            let before = sample * self.output.pixels();
            self.pieces(|piece| {
                let here = &windows[piece.row * columns + before + piece.place..][..piece.count];
                if self.window.stride == 1 {
                    let pixels = &mut image[piece.image..][..piece.count];
                    pixels.iter_mut().zip(here).for_each(|(pixel, here)| *pixel += *here);
                } else {
                    let pixels = image[piece.image..].iter_mut().step_by(self.window.stride);
                    pixels.zip(here).for_each(|(pixel, here)| *pixel += *here);
                }
            });
        }
    }

    /// [`Self::forward`].
    pub(super) fn forward_by_windows<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        bias: Option<&[T]>,
        output: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (channels, pixels) = (self.output.channels, self.output.pixels());
        let images = input.chunks(self.together() * self.input.elements());
        for (images, output) in images.zip(output.chunks_mut(self.together() * self.output.elements())) {
            let samples = images.len() / self.input.elements();
            let columns = samples * pixels;
            let Scratch { windows, outputs } = scratch;
            self.write_out(images, samples, windows);
            outputs.resize(channels * columns, T::zero());
            let (weight, windows) = (View::rows(weight, self.depth()), View::rows(&windows[..], columns));
            T::product([channels, self.depth(), columns], weight, windows, false, outputs);
            for (sample, output) in output.chunks_exact_mut(self.output.elements()).enumerate() {
                for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
                    let sums = &outputs[channel * columns + sample * pixels..][..pixels];
                    let bias = bias.map_or(T::zero(), |bias| bias[channel]);
                    plane.iter_mut().zip(sums).for_each(|(z, sum)| *z = *sum + bias);
                }
            }
        }
    }

    /// [`Self::backward`].
    #[expect(clippy::too_many_arguments, reason = "a gradient has as many parts as the layer")]
    pub(super) fn backward_by_windows<T: Number>(
        &self,
        input: &[T],
        weight: &[T],
        delta: &[T],
        weight_gradient: &mut [T],
        bias_gradient: Option<&mut [T]>,
        mut below: Option<&mut [T]>,
        scratch: &mut Scratch<T>,
    ) {
        let (channels, pixels, depth) = (self.output.channels, self.output.pixels(), self.depth());
        if let Some(below) = &mut below {
            below.fill(T::zero());
        }
        let mut done = 0;
        let images = input.chunks(self.together() * self.input.elements());
        for (images, delta) in images.zip(delta.chunks(self.together() * self.output.elements())) {
            let samples = images.len() / self.input.elements();
            let columns = samples * pixels;
            let Scratch { windows, outputs } = scratch;
            self.write_out(images, samples, windows);
            outputs.resize(channels * columns, T::zero());
            for (sample, delta) in delta.chunks_exact(self.output.elements()).enumerate() {
                for (channel, plane) in delta.chunks_exact(pixels).enumerate() {
                    outputs[channel * columns + sample * pixels..][..pixels].copy_from_slice(plane);
                }
            }
            let turned = View::transposed(&windows[..], columns);
            let deltas = View::rows(&outputs[..], columns);
            T::product([channels, columns, depth], deltas, turned, done > 0, weight_gradient);
            if let Some(below) = &mut below {
                windows.resize(depth * columns, T::zero());
                let weight = View::transposed(weight, depth);
                T::product([depth, channels, columns], weight, View::rows(&outputs[..], columns), false, windows);
                self.add_back(windows, samples, &mut below[done * self.input.elements()..][..images.len()]);
            }
            done += samples;
        }
        if let Some(bias_gradient) = bias_gradient {
            bias_gradient.fill(T::zero());
            for sample in delta.chunks_exact(self.output.elements()) {
                for (sum, plane) in bias_gradient.iter_mut().zip(sample.chunks_exact(pixels)) {
                    *sum += ordered_sum(pixels, |i| plane[i]);
                }
            }
        }
    }
}

/// Part of a row of the written-out matrix: places beside each other in one line of the image.
struct Piece {
    row: usize,
    place: usize,
    image: usize,
    count: usize,
}
