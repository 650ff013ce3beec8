//! Register tiles: the three products of backpropagation on panels, written once for every instruction set.
//!
//! A tile holds R rows by V vectors of a product in registers while it runs through the inner dimension: R broadcasts and V
//! loads feed R V multiply-adds. Panels are read in the order in which they lie, so that nothing is ever packed. A sum runs
//! through the inner dimension in an order that depends on the shape and the instruction set alone.
//!
//! Whatever computes with vectors is an inlined function: a closure would be compiled without the instruction set.
//!
//! # Safety
//! Elements are reached through `Span`, a slice whose bounds are checked before a loop: `Span::within` asserts that the
//! largest index of the loop is inside, and the loop's indices are monotone in each of its variables. Rows that may lie
//! anywhere begin where plain data says ([`Starts`]), whose largest value is found before the loop as well. Vectors are
//! read and written unaligned, and are plain old data: any bits are a value.

use super::PANEL;
use super::span::Span;
use pulp::Simd;
use std::ops::Range;

/// Rows that are computed at a time; buffers have room for a multiple of it.
pub const ROWS: usize = 8;

/// Where the rows of a matrix begin in its data.
///
/// # Safety
/// No start is larger than the largest.
pub unsafe trait Starts: Copy {
    /// Largest start of the first `rows` rows, at least one.
    ///
    /// # Panics
    /// Where there are fewer.
    fn largest(self, rows: usize) -> usize;

    /// # Safety
    /// `row` is less than the number of rows whose largest start was asked for.
    unsafe fn start(self, row: usize) -> usize;
}

/// Rows that begin at equal distances: the number of elements from one to the next.
#[derive(Clone, Copy)]
pub struct Every(pub usize);

// SAFETY: starts grow with the row.
unsafe impl Starts for Every {
    #[inline(always)]
    fn largest(self, rows: usize) -> usize {
        (rows - 1) * self.0
    }
    #[inline(always)]
    unsafe fn start(self, row: usize) -> usize {
        row * self.0
    }
}

/// Rows that begin at these elements.
#[derive(Clone, Copy)]
pub struct At<'a>(pub &'a [usize]);

// SAFETY: the largest is the maximum of the same, immutable numbers.
unsafe impl Starts for At<'_> {
    #[inline(always)]
    fn largest(self, rows: usize) -> usize {
        let mut largest = 0;
        for start in &self.0[..rows] {
            largest = largest.max(*start);
        }
        largest
    }
    #[inline(always)]
    unsafe fn start(self, row: usize) -> usize {
        unsafe { *self.0.get_unchecked(row) }
    }
}

/// A matrix whose rows lie somewhere in `data`.
#[derive(Clone, Copy)]
pub struct Rows<'a, P> {
    pub data: &'a [f32],
    pub starts: P,
    /// Columns that take part.
    pub width: usize,
}

impl<'a, P: Starts> Rows<'a, P> {
    /// The data, good for every element of the first `rows` rows.
    #[inline(always)]
    fn span(&self, rows: usize) -> Span<'a, f32> {
        Span::within(self.data, self.starts.largest(rows) + self.width - 1)
    }
}

/// The vector at `at`.
#[inline(always)]
pub fn load<S: Simd>(data: &[f32], at: usize) -> S::f32s {
    let span = Span::within(data, at + S::F32_LANES - 1);
    // SAFETY: just checked.
    unsafe { span.vector::<S>(at) }
}

/// Stores a vector at `at`.
#[inline(always)]
pub fn store<S: Simd>(data: &mut [f32], at: usize, vector: S::f32s) {
    let room = &mut data[at..][..S::F32_LANES];
    // SAFETY: the slice has exactly the vector's length.
    unsafe { room.as_mut_ptr().cast::<S::f32s>().write_unaligned(vector) }
}

/// Where vector `v` of a row of neighbouring panels begins, `stride` elements from one panel to the next.
#[inline(always)]
fn column<S: Simd>(v: usize, stride: usize) -> usize {
    let column = v * S::F32_LANES;
    column / PANEL * stride + column % PANEL
}

/// Panels that lie one after the other, each `stride` elements long: rows of [`PANEL`] elements.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    /// Columns of all panels, a multiple of [`PANEL`].
    pub width: usize,
}

/// What is done with the vectors of a product.
pub trait Epilogue<S: Simd> {
    /// Takes the sums from `column` on of a row.
    fn store(&mut self, simd: S, row: usize, column: usize, sums: S::f32s);
}

/// C = A B for `rows` rows, a multiple of [`ROWS`]; B is `a.width` x `b.width`.
#[inline(always)]
pub fn product<S: Simd, P: Starts>(simd: S, rows: usize, a: Rows<P>, b: Panels, epilogue: &mut impl Epilogue<S>) {
    assert!(rows.is_multiple_of(ROWS) && b.width.is_multiple_of(PANEL), "{rows} rows of {} columns", b.width);
    let mut panel = 0;
    let end = b.width / PANEL;
    while panel < end {
        match S::F32_LANES {
            16 if panel + 2 <= end => {
                product_tiles::<S, P, 8, 2, 1, 2>(simd, 0..rows, a, b, panel, epilogue);
                panel += 1;
            }
            16 => product_tiles::<S, P, 8, 1, 2, 4>(simd, 0..rows, a, b, panel, epilogue),
            8 => {
                let sixes = sixes(rows);
                let fours = rows - (rows - sixes) % 4;
                product_tiles::<S, P, 6, 2, 1, 1>(simd, 0..sixes, a, b, panel, epilogue);
                product_tiles::<S, P, 4, 2, 1, 1>(simd, sixes..fours, a, b, panel, epilogue);
            }
            4 => product_tiles::<S, P, 4, 4, 1, 1>(simd, 0..rows, a, b, panel, epilogue),
            _ => product_tiles::<S, P, 1, 16, 1, 1>(simd, 0..rows, a, b, panel, epilogue),
        }
        panel += 1;
    }
}

/// How many of `rows` rows tiles of six take, so that tiles of four take most of the others. Twelve sums, two vectors and a broadcast
/// fill the sixteen registers of AVX2; tiles of fewer rows leave its multipliers waiting.
#[inline(always)]
fn sixes(rows: usize) -> usize {
    match rows % 6 {
        2 | 3 if rows >= 8 => rows - rows % 6 - 6,
        left => rows - left,
    }
}

/// The columns of one tile's width, from a panel on, over some rows, a multiple of R. F sums run side by side through every F-th inner
/// element, where one sum per vector would leave the multipliers waiting for their own results. U inner elements, a multiple of F,
/// are taken at a time where there are as many: where rows begin is then read once for all of them, as registers do not hold it.
#[inline(always)]
fn product_tiles<S: Simd, P: Starts, const R: usize, const V: usize, const F: usize, const U: usize>(
    simd: S,
    rows: Range<usize>,
    a: Rows<P>,
    b: Panels,
    panel: usize,
    epilogue: &mut impl Epilogue<S>,
) {
    let inner = a.width;
    assert!(inner > 0, "an empty product");
    let (first, stride) = (panel * PANEL, b.stride);
    let b = &b.data[panel * stride..];
    let b = Span::within(b, (inner - 1) * PANEL + column::<S>(V - 1, stride) + S::F32_LANES - 1);
    if rows.is_empty() {
        return;
    }
    assert!(rows.len().is_multiple_of(R), "{} rows in tiles of {R}", rows.len());
    let data = a.span(rows.end);
    for row in rows.step_by(R) {
        let mut starts = [0; R];
        for (r, start) in starts.iter_mut().enumerate() {
            // SAFETY: row + R <= rows, the multiple of ROWS whose largest start was asked for.
            *start = unsafe { a.starts.start(row + r) };
        }
        let mut sums = [[[simd.splat_f32s(0.0); V]; R]; F];
        let mut k = 0;
        // SAFETY: in all three loops k + their step is at most inner, the bound of every row of A and of B.
        while k + U <= inner {
            unsafe { multiply_add::<S, R, V, F, U>(simd, data, &starts, k, b, stride, &mut sums) };
            k += U;
        }
        while k + F <= inner {
            unsafe { multiply_add::<S, R, V, F, F>(simd, data, &starts, k, b, stride, &mut sums) };
            k += F;
        }
        while k < inner {
            unsafe { multiply_add::<S, R, V, F, 1>(simd, data, &starts, k, b, stride, &mut sums) };
            k += 1;
        }
        for r in 0..R {
            for v in 0..V {
                let mut sum = sums[0][r][v];
                for other in &sums[1..] {
                    sum = simd.add_f32s(sum, other[r][v]);
                }
                epilogue.store(simd, row + r, first + v * S::F32_LANES, sum);
            }
        }
    }
}

/// The share of U inner elements of a tile.
///
/// # Safety
/// The bound of `a` is at least every start plus `element` + U - 1, that of `b` at least the last vector of its row `element` + U - 1.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const R: usize, const V: usize, const F: usize, const U: usize>(
    simd: S,
    a: Span<f32>,
    starts: &[usize; R],
    element: usize,
    b: Span<f32>,
    stride: usize,
    sums: &mut [[[S::f32s; V]; R]; F],
) {
    let mut vectors = [[simd.splat_f32s(0.0); V]; U];
    for (u, vectors) in vectors.iter_mut().enumerate() {
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = unsafe { b.vector::<S>((element + u) * PANEL + column::<S>(v, stride)) };
        }
    }
    for r in 0..R {
        let start = starts[r] + element;
        for (u, vectors) in vectors.iter().enumerate() {
            let a = simd.splat_f32s(unsafe { a.value(start + u) });
            for v in 0..V {
                sums[u % F][r][v] = simd.mul_add_e_f32s(a, vectors[v], sums[u % F][r][v]);
            }
        }
    }
}

/// G += A^T D, or G = A^T D where `fresh`, over `rows` rows. G is `d.width / PANEL` panels of `a.width` rows, a multiple of [`PANEL`].
#[inline(always)]
pub fn outer_product<S: Simd>(
    simd: S,
    rows: usize,
    a: Rows<impl Starts>,
    d: Rows<impl Starts>,
    g: &mut [f32],
    fresh: bool,
) {
    assert!(a.width.is_multiple_of(PANEL), "panels of {} rows", a.width);
    let stride = a.width * PANEL;
    assert!(d.width.is_multiple_of(PANEL), "panels of {} columns", d.width);
    let mut panel = 0;
    let end = d.width / PANEL;
    while panel < end {
        let g = &mut g[panel * stride..];
        let first = panel * PANEL;
        match S::F32_LANES {
            16 if panel + 2 <= end => {
                outer_tiles::<S, 8, 2>(simd, rows, a, d, first, g, stride, fresh);
                panel += 1;
            }
            16 => outer_tiles::<S, 16, 1>(simd, rows, a, d, first, g, stride, fresh),
            8 => outer_tiles::<S, 6, 2>(simd, rows, a, d, first, g, stride, fresh),
            4 => outer_tiles::<S, 4, 4>(simd, rows, a, d, first, g, stride, fresh),
            _ => outer_tiles::<S, 1, 16>(simd, rows, a, d, first, g, stride, fresh),
        }
        panel += 1;
    }
}

/// The columns of one tile's width, over all rows of G; those that fill no tile one by one.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "two factors, a result and where in them")]
fn outer_tiles<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: usize,
    a: Rows<impl Starts>,
    d: Rows<impl Starts>,
    first: usize,
    g: &mut [f32],
    stride: usize,
    fresh: bool,
) {
    assert!(first + V * S::F32_LANES <= d.width, "a tile beyond {} columns", d.width);
    let spans = [a.span(rows), d.span(rows)];
    // The width is a multiple of all other R, and what sixes leave of it one of 4.
    let sixes = if R == 6 { sixes(a.width) } else { a.width };
    // SAFETY, both: row + the tile's rows <= the width of A, all of whose rows were checked, and the tile's vectors end within that of
    // D.
    for row in (0..sixes).step_by(R) {
        unsafe { outer_tile::<S, R, V>(simd, rows, [row, first], a.starts, d.starts, spans, g, stride, fresh) };
    }
    for row in (sixes..a.width).step_by(4) {
        unsafe { outer_tile::<S, 4, V>(simd, rows, [row, first], a.starts, d.starts, spans, g, stride, fresh) };
    }
}

/// R rows of G from `row` on.
///
/// # Safety
/// `spans`, A's and D's data, are good for R elements of A from `row` on and V vectors of D from `first` on, in each of `rows` rows.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "as the tiles")]
unsafe fn outer_tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: usize,
    [row, first]: [usize; 2],
    a: impl Starts,
    d: impl Starts,
    [left, right]: [Span<f32>; 2],
    g: &mut [f32],
    stride: usize,
    fresh: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    if !fresh {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = load::<S>(g, (row + r) * PANEL + column::<S>(v, stride));
            }
        }
    }
    for i in 0..rows {
        // SAFETY: i < rows, the number whose largest starts were asked for.
        let (a, d) = unsafe { (a.start(i) + row, d.start(i) + first) };
        let mut deltas = [simd.splat_f32s(0.0); V];
        for (v, delta) in deltas.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *delta = unsafe { right.vector::<S>(d + v * S::F32_LANES) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let a = simd.splat_f32s(unsafe { left.value(a + r) });
            for v in 0..V {
                sums[v] = simd.mul_add_e_f32s(a, deltas[v], sums[v]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            store::<S>(g, (row + r) * PANEL + column::<S>(v, stride), sum);
        }
    }
}
