//! Register tiles of the two products of a convolution over planes, written once for every instruction set and for f32 and f64.
//!
//! A plane is the pixels of one channel, line after line. Vectors run along its places, so that a number of a window lies as far from
//! the window's beginning in every place: a table of *offsets* says how far. No window is ever written out, and no image is turned.
//!
//! # Safety
//! As in [`super::tile`]: the largest index of every loop is checked before it.

use super::span::Span;
use super::{Element, Instructions};
use pulp::Simd;

/// Tiles that each row of weights is read for, so that the planes which they cover stay in the cache for all rows.
const TOGETHER: usize = 8;

/// Rows in register tiles of six and of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    pub sixes: usize,
    pub fours: usize,
}

impl Tiles {
    /// As few rows as hold so many, and of those as few tiles as there can be.
    pub fn of(rows: usize) -> Self {
        let with = |fours: usize| Self { sixes: rows.saturating_sub(4 * fours).div_ceil(6), fours };
        (0..3).map(with).min_by_key(|tiles| (tiles.rows(), tiles.fours)).expect("there are three ways")
    }

    /// Rows of all tiles.
    pub fn rows(self) -> usize {
        6 * self.sixes + 4 * self.fours
    }

    /// The first row of every tile, and how many there are.
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        let sixes = (0..self.sixes).map(|tile| (6 * tile, 6));
        sixes.chain((0..self.fours).map(move |tile| (6 * self.sixes + 4 * tile, 4)))
    }
}

/// Vectors of a register tile: as many as the registers of an instruction set hold of six rows.
pub fn vectors_of_tile(instructions: Instructions) -> usize {
    match instructions {
        // 32 registers, and 16.
        Instructions::Avx512 | Instructions::Neon => 4,
        Instructions::Avx2 | Instructions::Scalar => 2,
    }
}

/// Places of windows in planes, in vectors.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a, T> {
    pub data: &'a [T],
    /// Where each vector begins.
    pub starts: &'a [usize],
    /// How far from there each number of a window lies, or each channel of what windows make.
    pub offsets: &'a [usize],
}

impl<'a, T: Element> Places<'a, T> {
    /// The data, good for so many numbers from every start on, at every offset.
    fn span(&self, numbers: usize) -> Span<'a, T> {
        let largest = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(0);
        Span::within(self.data, largest(self.starts) + largest(self.offsets) + numbers - 1)
    }
}

/// `made` (rows x vectors) of `places`: the sum over a window of its numbers times the weights. `weights`: tile by tile of [`Tiles`], for
/// every number of a window those of the tile's rows. `made` has room for whole tiles, rows `stride` numbers apart.
///
/// # Panics
/// Where the vectors do not fill tiles, or there is too little of anything.
#[inline(always)]
pub fn slide<S: Simd, T: Element>(
    simd: S,
    tiles: Tiles,
    weights: &[T],
    places: Places<T>,
    made: &mut [T],
    stride: usize,
) {
    let width = vectors_of_tile(Instructions::of::<S>());
    let Places { starts, offsets, .. } = places;
    assert!(starts.len().is_multiple_of(width), "{} vectors in tiles of {width}", starts.len());
    assert_eq!(weights.len(), tiles.rows() * offsets.len());
    let span = places.span(T::lanes::<S>());
    for (block, starts) in starts.chunks(width * TOGETHER).enumerate() {
        for (row, rows) in tiles.each() {
            let weights = &weights[row * offsets.len()..][..rows * offsets.len()];
            for (index, starts) in starts.chunks_exact(width).enumerate() {
                let first = row * stride + (block * TOGETHER + index) * width * T::lanes::<S>();
                let made = &mut made[first..];
                // SAFETY: the largest start and offset were checked.
                match (rows, width) {
                    (6, 4) => unsafe { slide_tile::<S, T, 6, 4>(simd, weights, span, starts, offsets, made, stride) },
                    (4, 4) => unsafe { slide_tile::<S, T, 4, 4>(simd, weights, span, starts, offsets, made, stride) },
                    (6, _) => unsafe { slide_tile::<S, T, 6, 2>(simd, weights, span, starts, offsets, made, stride) },
                    (_, _) => unsafe { slide_tile::<S, T, 4, 2>(simd, weights, span, starts, offsets, made, stride) },
                }
            }
        }
    }
}

/// # Safety
/// The data are good for a vector from each start on, at every offset.
#[inline(always)]
unsafe fn slide_tile<S: Simd, T: Element, const R: usize, const V: usize>(
    simd: S,
    weights: &[T],
    data: Span<T>,
    starts: &[usize],
    offsets: &[usize],
    made: &mut [T],
    stride: usize,
) {
    let mut from = [0; V];
    from.copy_from_slice(starts);
    let mut sums = [[T::splat(simd, T::zero()); V]; R];
    for (offset, weights) in offsets.iter().zip(weights.chunks_exact(R)) {
        let mut vectors = [T::splat(simd, T::zero()); V];
        for v in 0..V {
            // SAFETY: the caller's.
            vectors[v] = unsafe { data.vector::<S>(from[v] + offset) };
        }
        for r in 0..R {
            let weight = T::splat(simd, weights[r]);
            for v in 0..V {
                sums[r][v] = T::multiply_add(simd, weight, vectors[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        for v in 0..V {
            store::<S, T>(&mut made[r * stride + v * T::lanes::<S>()..], sums[r][v]);
        }
    }
}

/// Adds to `sums` (rows x window) for every row and every number of a window the sum, over all places, of the row's number times the
/// window's; sets it where `fresh`. `rows` and `places` have equally many starts; from each on there are `vectors` vectors, side by side.
///
/// # Panics
/// Where there is too little of anything.
#[inline(always)]
pub fn correlate<S: Simd, T: Element>(
    simd: S,
    rows: Places<T>,
    places: Places<T>,
    vectors: usize,
    sums: &mut [T],
    fresh: bool,
) {
    let width = vectors_of_tile(Instructions::of::<S>());
    let depth = places.offsets.len();
    assert_eq!(rows.starts.len(), places.starts.len());
    assert_eq!(rows.offsets.len() * depth, sums.len());
    let numbers = vectors * T::lanes::<S>();
    let spans = [rows.span(numbers), places.span(numbers)];
    for (row, count) in Tiles::of(rows.offsets.len()).each() {
        let count = count.min(rows.offsets.len() - row);
        let of_rows = &rows.offsets[row..][..count];
        let sums = &mut sums[row * depth..];
        for (index, offsets) in places.offsets.chunks(width).enumerate() {
            let (of, to) = ([of_rows, offsets], &mut sums[index * width..]);
            let starts = [rows.starts, places.starts];
            // SAFETY: the largest starts and offsets were checked.
            match (count, width) {
                (5.., 4) => unsafe { correlate_tile::<S, T, 6, 4>(simd, spans, starts, of, numbers, to, depth, fresh) },
                (_, 4) => unsafe { correlate_tile::<S, T, 4, 4>(simd, spans, starts, of, numbers, to, depth, fresh) },
                (5.., _) => unsafe { correlate_tile::<S, T, 6, 2>(simd, spans, starts, of, numbers, to, depth, fresh) },
                (_, _) => unsafe { correlate_tile::<S, T, 4, 2>(simd, spans, starts, of, numbers, to, depth, fresh) },
            }
        }
    }
}

/// At most R rows and V numbers of windows; where there are fewer, the first stands for those that are missing.
///
/// # Safety
/// Both data are good for so many numbers from each start on, at every offset.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "two factors and where they begin")]
unsafe fn correlate_tile<S: Simd, T: Element, const R: usize, const V: usize>(
    simd: S,
    [left, right]: [Span<T>; 2],
    [rows, places]: [&[usize]; 2],
    [of_rows, of_windows]: [&[usize]; 2],
    numbers: usize,
    sums: &mut [T],
    stride: usize,
    fresh: bool,
) {
    let (mut lefts, mut rights) = ([of_rows[0]; R], [of_windows[0]; V]);
    lefts[..of_rows.len()].copy_from_slice(of_rows);
    rights[..of_windows.len()].copy_from_slice(of_windows);
    let mut running = [[T::splat(simd, T::zero()); V]; R];
    for (row, place) in rows.iter().zip(places) {
        let (lefts, rights) = (lefts.map(|offset| row + offset), rights.map(|offset| place + offset));
        let mut at = 0;
        while at < numbers {
            let mut vectors = [T::splat(simd, T::zero()); V];
            for v in 0..V {
                // SAFETY, here and below: the caller's.
                vectors[v] = unsafe { right.vector::<S>(rights[v] + at) };
            }
            for r in 0..R {
                let number = unsafe { left.vector::<S>(lefts[r] + at) };
                for v in 0..V {
                    running[r][v] = T::multiply_add(simd, number, vectors[v], running[r][v]);
                }
            }
            at += T::lanes::<S>();
        }
    }
    for (sums, running) in sums.chunks_mut(stride).zip(&running[..of_rows.len()]) {
        for (sum, running) in sums.iter_mut().zip(&running[..of_windows.len()]) {
            let total = T::total(simd, *running);
            *sum = if fresh { total } else { *sum + total };
        }
    }
}

/// Stores a vector at the beginning of `to`.
#[inline(always)]
fn store<S: Simd, T: Element>(to: &mut [T], vector: T::Vector<S>) {
    let to = &mut to[..T::lanes::<S>()];
    // SAFETY: there are as many numbers as the vector has.
    unsafe { to.as_mut_ptr().cast::<T::Vector<S>>().write_unaligned(vector) };
}
