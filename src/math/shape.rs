//! The shape of a sample, and of what layers make of it; windows that slide over it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Channels x height x width, in PyTorch's order: the width runs fastest. A vector of n numbers is n x 1 x 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    pub const fn vector(length: usize) -> Self {
        Self::new(length, 1, 1)
    }

    /// Numbers of one sample.
    pub const fn elements(&self) -> usize {
        self.channels * self.pixels()
    }

    /// Numbers of one channel.
    pub const fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub const fn is_vector(&self) -> bool {
        self.height == 1 && self.width == 1
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { channels, height, width } = self;
        if self.is_vector() { channels.fmt(f) } else { write!(f, "{channels} x {height} x {width}") }
    }
}

/// What an operation slides over the pixels: square, the same in both directions; what is beyond the edge counts as 0 (and
/// for the largest of a window as nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    /// Places of the window along `extent` pixels; none where it does not fit.
    pub fn places(&self, extent: usize) -> Option<usize> {
        let room = (extent + 2 * self.padding).checked_sub(self.kernel)?;
        Some(room / self.stride + 1)
    }

    /// Numbers of one channel that it covers.
    pub fn pixels(&self) -> usize {
        self.kernel * self.kernel
    }
}
