//! The product of weights with all windows of some images, as the ways forward and back use it.

use super::canvas::Grid;
use crate::math::Real;
use crate::math::vector::{Element, Instructions, Places, Tiles, slide, vectors_of_tile};
use pulp::Simd;

/// Weights for [`slide`]: tile by tile of rows, for every number of a window those of the tile's rows; zeros for rows that are not there.
/// Each row begins `stride` weights after the one before.
pub fn pack<T: Real>(tiles: Tiles, weight: &[T], [rows, stride]: [usize; 2], numbers: &[usize]) -> Vec<T> {
    let mut packed = vec![T::zero(); tiles.rows() * numbers.len()];
    for (first, count) in tiles.each() {
        let tile = packed[first * numbers.len()..][..count * numbers.len()].chunks_exact_mut(count);
        for (to, number) in tile.zip(numbers) {
            for (to, row) in to.iter_mut().zip(first..rows) {
                *to = weight[row * stride + number];
            }
        }
    }
    packed
}

/// A product of all windows of some images.
pub struct Slide<T> {
    pub grid: Grid,
    pub tiles: Tiles,
    pub weights: Vec<T>,
    pub offsets: Vec<usize>,
    /// Where the vectors of as many images as are taken together begin.
    pub starts: Vec<usize>,
}

impl<T: Element> Slide<T> {
    /// What the windows of `samples` canvases make.
    #[inline(always)]
    pub fn run<'a, S: Simd>(&self, simd: S, samples: usize, data: &[T], made: &'a mut Vec<T>) -> Made<'a, T> {
        let Self { grid, tiles, weights, offsets, starts } = self;
        let starts = &starts[..(samples * grid.vectors()).next_multiple_of(vectors_of_tile(Instructions::of::<S>()))];
        let stride = starts.len() * T::lanes::<S>();
        made.resize(made.len().max(tiles.rows() * stride), T::zero());
        slide(simd, *tiles, weights, Places { data, starts, offsets }, made, stride);
        let (sample, step) = (grid.vectors() * grid.lanes, grid.step());
        Made { numbers: made, row: stride, sample, step, width: grid.width }
    }
}

/// What windows make: rows, and in each of them sample after sample.
pub struct Made<'a, T> {
    numbers: &'a [T],
    /// Numbers from one row to the next, of a row from one sample to the next, and of a sample from one line to the next.
    row: usize,
    sample: usize,
    step: usize,
    /// Numbers of a line.
    width: usize,
}

impl<T> Made<'_, T> {
    /// A line of a sample.
    #[inline(always)]
    pub fn line(&self, row: usize, sample: usize, line: usize) -> &[T] {
        &self.numbers[row * self.row + sample * self.sample + line * self.step..][..self.width]
    }
}
