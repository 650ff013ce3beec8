//! Convolutions by windows that are written out, for some samples at a time so that the matrix stays in the cache, and products of a
//! library: in any arithmetic. The reference for the ways that are faster.

use super::{Backward, Convolution, Forward, groups};
use crate::math::{Real, View, Window, ordered_sum};
use rayon::prelude::*;

/// Columns of the written-out matrix, about.
const COLUMNS: usize = 512;

/// Numbers of the weights for which every group has a gradient of its own, at most; with more, products are large enough for threads to
/// share each.
const SMALL: usize = 1 << 18;

/// Buffers of a convolution of any shape: one for each group at work, and its share of the gradient.
#[derive(Clone, Debug)]
pub struct Scratch<T>(Vec<(Desk<T>, Vec<T>)>);

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What one group works on.
#[derive(Clone, Debug)]
struct Desk<T> {
    /// (input channels kernel^2) x columns
    windows: Vec<T>,
    /// output channels x columns
    outputs: Vec<T>,
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Self { windows: Vec::new(), outputs: Vec::new() }
    }
}

impl Convolution {
    /// Samples at a time.
    fn together(&self) -> usize {
        (COLUMNS / self.output.pixels()).max(1)
    }

    /// Numbers of a [`Scratch`] where one thread works.
    pub(super) fn windows_scratch(&self) -> usize {
        (self.depth() + self.output.channels) * self.together() * self.output.pixels()
    }

    /// Calls `each` for every row of the written-out matrix that is of one channel, with the part of it that is inside the image.
    fn pieces(&self, mut each: impl FnMut(Piece)) {
        let Self { input, output, window: Window { kernel, stride, padding } } = *self;
        for row in 0..kernel * kernel {
            let (down, right) = (row / kernel, row % kernel);
            // Places whose pixel lies in the image: padding <= place stride + right < padding + width.
            let first = padding.saturating_sub(right).div_ceil(stride);
            let last = (padding + input.width).saturating_sub(right).div_ceil(stride).min(output.width);
            for y in 0..output.height {
                let Some(line) = (y * stride + down).checked_sub(padding).filter(|line| *line < input.height) else {
                    continue;
                };
                if first < last {
                    let pixel = line * input.width + first * stride + right - padding;
                    each(Piece { row, place: y * output.width + first, pixel, count: last - first });
                }
            }
        }
    }

    /// Writes out the windows of `samples` images. Threads share the channels where `parallel`.
    fn write_out<T: Real>(&self, images: &[T], samples: usize, windows: &mut Vec<T>, parallel: bool) {
        let columns = samples * self.output.pixels();
        if self.window.padding > 0 {
            // What lies beyond a border is written nowhere below.
            windows.clear();
        }
        windows.resize(self.depth() * columns, T::zero());
        let write = |(channel, rows): (usize, &mut [T])| {
            for (sample, image) in images.chunks_exact(self.input.elements()).enumerate() {
                let (before, plane) = (sample * self.output.pixels(), &image[channel * self.input.pixels()..]);
                self.pieces(|piece| {
                    let there = &mut rows[piece.row * columns + before + piece.place..][..piece.count];
                    if self.window.stride == 1 {
                        there.copy_from_slice(&plane[piece.pixel..][..piece.count]);
                    } else {
                        let pixels = plane[piece.pixel..].iter().step_by(self.window.stride);
                        there.iter_mut().zip(pixels).for_each(|(there, pixel)| *there = *pixel);
                    }
                });
            }
        };
        let rows = self.window.pixels() * columns;
        if parallel {
            windows.par_chunks_mut(rows).enumerate().for_each(write);
        } else {
            windows.chunks_mut(rows).enumerate().for_each(write);
        }
    }

    /// Adds the windows of some images to where they were taken from. Threads share the planes where `parallel`.
    fn add_back<T: Real>(&self, windows: &[T], images: &mut [T], parallel: bool) {
        let columns = images.len() / self.input.elements() * self.output.pixels();
        let add = |(index, plane): (usize, &mut [T])| {
            let (sample, channel) = (index / self.input.channels, index % self.input.channels);
            let rows = &windows[channel * self.window.pixels() * columns + sample * self.output.pixels()..];
            self.pieces(|piece| {
                let here = &rows[piece.row * columns + piece.place..][..piece.count];
                if self.window.stride == 1 {
                    let pixels = &mut plane[piece.pixel..][..piece.count];
                    pixels.iter_mut().zip(here).for_each(|(pixel, here)| *pixel += *here);
                } else {
                    let pixels = plane[piece.pixel..].iter_mut().step_by(self.window.stride);
                    pixels.zip(here).for_each(|(pixel, here)| *pixel += *here);
                }
            });
        };
        let plane = self.input.pixels();
        if parallel {
            images.par_chunks_mut(plane).enumerate().for_each(add);
        } else {
            images.chunks_mut(plane).enumerate().for_each(add);
        }
    }

    /// [`Self::forward`].
    pub(super) fn forward_by_windows<T: Real>(
        &self,
        Forward { input, weight, bias, then, output }: Forward<T>,
        Scratch(desks): &mut Scratch<T>,
        parallel: bool,
    ) {
        let group = groups::samples(input.len() / self.input.elements(), self.together());
        let images = input.chunks(group * self.input.elements());
        let groups: Vec<_> = images.zip(output.chunks_mut(group * self.output.elements())).collect();
        let within = parallel && groups.len() < rayon::current_num_threads();
        groups::each(desks, parallel, groups, |(desk, _), (images, output)| {
            let at = Forward { input: images, weight, bias, then, output };
            self.forward_group(at, desk, within);
        });
    }

    /// [`Self::forward`] of a group. Threads share each product where `parallel`.
    fn forward_group<T: Real>(
        &self,
        Forward { input, weight, bias, then, output }: Forward<T>,
        Desk { windows, outputs }: &mut Desk<T>,
        parallel: bool,
    ) {
        let (channels, pixels) = (self.output.channels, self.output.pixels());
        let images = input.chunks(self.together() * self.input.elements());
        for (images, output) in images.zip(output.chunks_mut(self.together() * self.output.elements())) {
            let samples = images.len() / self.input.elements();
            let columns = samples * pixels;
            self.write_out(images, samples, windows, parallel);
            outputs.resize(channels * columns, T::zero());
            let (weight, windows) = (View::rows(weight, self.depth()), View::rows(&windows[..], columns));
            T::product([channels, self.depth(), columns], weight, windows, false, outputs, parallel);
            for (sample, output) in output.chunks_exact_mut(self.output.elements()).enumerate() {
                for (channel, plane) in output.chunks_exact_mut(pixels).enumerate() {
                    let sums = &outputs[channel * columns + sample * pixels..][..pixels];
                    let bias = bias.map_or(T::zero(), |bias| bias[channel]);
                    match then {
                        None => plane.iter_mut().zip(sums).for_each(|(z, sum)| *z = *sum + bias),
                        Some(then) => then.of_each(plane, sums, |sum| sum + bias),
                    }
                }
            }
        }
    }

    /// [`Self::backward`].
    pub(super) fn backward_by_windows<T: Real>(
        &self,
        Backward { input, weight, delta, of_weight, of_bias, below }: Backward<T>,
        Scratch(desks): &mut Scratch<T>,
        parallel: bool,
    ) {
        let rows = input.len() / self.input.elements();
        let group = if weight.len() <= SMALL { groups::samples(rows, self.together()) } else { rows };
        let samples = input.chunks(group * self.input.elements()).zip(delta.chunks(group * self.output.elements()));
        let mut below = below.into_iter().flat_map(|below| below.chunks_mut(group * self.input.elements()));
        let groups: Vec<_> = samples.map(|(images, deltas)| (images, deltas, below.next())).collect();
        let within = parallel && groups.len() < rayon::current_num_threads();
        groups::sum(desks, parallel, groups, of_weight, |desk, (images, deltas, below), gradient| {
            self.backward_group(images, weight, deltas, gradient, below, desk, within);
        });
        if let Some(of_bias) = of_bias {
            of_bias.fill(T::zero());
            for sample in delta.chunks_exact(self.output.elements()) {
                for (sum, plane) in of_bias.iter_mut().zip(sample.chunks_exact(self.output.pixels())) {
                    *sum += ordered_sum(plane.len(), |i| plane[i]);
                }
            }
        }
    }

    /// [`Self::backward`] of a group, without the gradient of the bias. Threads share each product where `parallel`.
    #[expect(clippy::too_many_arguments, reason = "a gradient has as many parts as the layer")]
    fn backward_group<T: Real>(
        &self,
        input: &[T],
        weight: &[T],
        delta: &[T],
        weight_gradient: &mut [T],
        mut below: Option<&mut [T]>,
        Desk { windows, outputs }: &mut Desk<T>,
        parallel: bool,
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
            self.write_out(images, samples, windows, parallel);
            outputs.resize(channels * columns, T::zero());
            for (sample, delta) in delta.chunks_exact(self.output.elements()).enumerate() {
                for (channel, plane) in delta.chunks_exact(pixels).enumerate() {
                    outputs[channel * columns + sample * pixels..][..pixels].copy_from_slice(plane);
                }
            }
            let turned = View::transposed(&windows[..], columns);
            let deltas = View::rows(&outputs[..], columns);
            T::product([channels, columns, depth], deltas, turned, done > 0, weight_gradient, parallel);
            if let Some(below) = &mut below {
                windows.resize(depth * columns, T::zero());
                let weight = View::transposed(weight, depth);
                let deltas = View::rows(&outputs[..], columns);
                T::product([depth, channels, columns], weight, deltas, false, windows, parallel);
                self.add_back(windows, &mut below[done * self.input.elements()..][..images.len()], parallel);
            }
            done += samples;
        }
    }
}

/// Part of a row of the written-out matrix: places beside each other in one line of a plane.
struct Piece {
    row: usize,
    place: usize,
    /// The first place's pixel in its plane.
    pixel: usize,
    count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::Shape;

    /// Output, gradient of the weight, delta of the input.
    fn both_ways<T: Real>(convolution: Convolution, rows: usize, parallel: bool) -> [Vec<f64>; 3] {
        let numbers = |count: usize, by: usize| {
            (0..count).map(|i| T::of(((i * by % 1013) as f64 - 506.0) / 511.0)).collect::<Vec<_>>()
        };
        let Convolution { input, output, .. } = convolution;
        let weight = numbers(output.channels * convolution.depth(), 7919);
        let (images, delta) = (numbers(rows * input.elements(), 7907), numbers(rows * output.elements(), 7901));
        let (mut made, mut gradient, mut below) = (delta.clone(), weight.clone(), images.clone());
        let mut scratch = Scratch::default();
        let forward = Forward { input: &images, weight: &weight, bias: None, then: None, output: &mut made };
        convolution.forward_by_windows(forward, &mut scratch, parallel);
        let backward = Backward {
            input: &images,
            weight: &weight,
            delta: &delta,
            of_weight: &mut gradient,
            of_bias: None,
            below: Some(&mut below),
        };
        convolution.backward_by_windows(backward, &mut scratch, parallel);
        [made, gradient, below].map(|numbers| numbers.into_iter().map(T::widen).collect())
    }

    #[test]
    fn threads_share_groups_and_products_without_another_bit() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        // Several groups, one group, and weights for which there is one gradient.
        for (channels, side, outputs, rows) in [(3, 13, 6, 21), (5, 9, 17, 2), (120, 5, 260, 3)] {
            let window = Window { kernel: 3, stride: 2, padding: 1 };
            let places = window.places(side).unwrap();
            let shape = |channels, side| Shape { channels, height: side, width: side };
            let convolution = Convolution { input: shape(channels, side), output: shape(outputs, places), window };
            let (alone, shared) = (
                both_ways::<f64>(convolution, rows, false),
                pool.install(|| both_ways::<f64>(convolution, rows, true)),
            );
            assert_eq!(alone, shared, "f64, {convolution:?}");
            let (alone, shared) = (
                both_ways::<f32>(convolution, rows, false),
                pool.install(|| both_ways::<f32>(convolution, rows, true)),
            );
            assert_eq!(alone, shared, "f32, {convolution:?}");
        }
    }
}
