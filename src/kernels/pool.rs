//! `pool`: the largest number of every window, or the mean, and the gradient.
//!
//! Of equal numbers the first in the window, line by line, is the largest, as in PyTorch; NaN is larger than any. A mean
//! counts what lies beyond the edge, as 0.

use super::real::Number;
use crate::problem::Shape;
use crate::problem::model::graph::{Pooling, Window};

/// One pooling; the shapes are those of a sample, and their channels agree.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    pub kind: Pooling,
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
}

impl Pool {
    /// Calls `each` with every output of a plane and the inputs in its window.
    fn windows(&self, mut each: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
        let Self { input, output, window: Window { kernel, stride, padding }, .. } = *self;
        let span = |place: usize, extent: usize| {
            let start = place * stride;
            start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(extent)
        };
        for y in 0..output.height {
            for x in 0..output.width {
                let (lines, columns) = (span(y, input.height), span(x, input.width));
                let mut inputs = lines.flat_map(|line| columns.clone().map(move |column| line * input.width + column));
                each(y * output.width + x, &mut inputs);
            }
        }
    }

    /// `output` (rows x output) of `input` (rows x input); for the largest, where in its plane each one was goes to `places`.
    pub fn forward<T: Number>(&self, input: &[T], output: &mut [T], places: &mut [u32]) {
        let share = T::one() / T::of(self.window.pixels() as f64);
        let planes = input.chunks_exact(self.input.pixels()).zip(output.chunks_exact_mut(self.output.pixels()));
        for (index, (input, output)) in planes.enumerate() {
            match self.kind {
                Pooling::Avg => {
                    self.windows(|place, inputs| output[place] = inputs.map(|i| input[i]).sum::<T>() * share)
                }
                Pooling::Max => {
                    let places = &mut places[index * self.output.pixels()..][..self.output.pixels()];
                    self.windows(|place, inputs| {
                        let mut best = inputs.next().expect("every window has a pixel");
                        for i in inputs {
                            let is_nan = input[i].partial_cmp(&input[i]).is_none();
                            if input[i] > input[best] || is_nan {
                                best = i;
                            }
                        }
                        output[place] = input[best];
                        places[place] = best as u32;
                    });
                }
            }
        }
    }

    /// `below` (rows x input) from `delta` (rows x output).
    pub fn backward<T: Number>(&self, delta: &[T], places: &[u32], below: &mut [T]) {
        below.fill(T::zero());
        let share = T::one() / T::of(self.window.pixels() as f64);
        let planes = delta.chunks_exact(self.output.pixels()).zip(below.chunks_exact_mut(self.input.pixels()));
        for (index, (delta, below)) in planes.enumerate() {
            match self.kind {
                Pooling::Avg => self.windows(|place, inputs| inputs.for_each(|i| below[i] += delta[place] * share)),
                Pooling::Max => {
                    let places = &places[index * self.output.pixels()..][..self.output.pixels()];
                    delta.iter().zip(places).for_each(|(delta, place)| below[*place as usize] += *delta);
                }
            }
        }
    }
}
