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

mod backward;
mod canvas;
mod forward;
mod product;

use super::{Convolution, groups};
use crate::math::{Real, Shape, Window};
use aligned_vec::AVec;
use canvas::Canvas;

/// Places that are computed together, about.
const PLACES: usize = 512;

/// Groups that there are at least, where there are as many samples: threads that share a small batch.
const LEAST_GROUPS: usize = 4;

/// Places of a sample from which on its vectors are filled; with fewer, a library's products are faster.
const FILLED: usize = 64;

/// Numbers of the weights for which the gradient is faster this way, at most.
const WEIGHTS: usize = 1 << 17;

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
    deltas: AVec<T>,
    made: Vec<T>,
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Self { inputs: Vec::new(), deltas: AVec::new(64), made: Vec::new() }
    }
}
impl Convolution {
    /// Whether this way forward over `rows` samples is the faster one.
    pub(super) fn is_planar(&self, rows: usize) -> bool {
        let places = self.output.pixels();
        places >= FILLED && rows * places >= PLACES
    }

    /// Whether this way back is the faster one.
    pub(super) fn is_planar_back(&self, rows: usize) -> bool {
        self.is_planar(rows) && self.depth() * self.output.channels <= WEIGHTS
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
        Canvas {
            phases: 1,
            apart: 1,
            pitch,
            plane: ((before + height + after) * pitch + behind).next_multiple_of(behind.max(1)),
            channels,
        }
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
