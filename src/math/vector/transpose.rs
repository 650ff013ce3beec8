//! Transposition of square blocks of one panel's width: how vectors along rows become vectors along columns.

use super::PANEL;
#[cfg(target_arch = "x86_64")]
use super::tile::{load, store};
use pulp::Simd;
#[cfg(target_arch = "x86_64")]
use pulp::cast;

/// `to` = `from`^T, [`PANEL`] x [`PANEL`], rows of each so many elements apart.
#[inline(always)]
pub fn transpose<S: Simd>(_: S, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES == 16
        && let Some(simd) = pulp::x86::V4::try_new()
    {
        return by_sixteens(simd, from, from_stride, to, to_stride);
    }
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES == 8
        && let Some(simd) = pulp::x86::V3::try_new()
    {
        for row in [0, 8] {
            for column in [0, 8] {
                let (from, to) = (&from[row * from_stride + column..], &mut to[column * to_stride + row..]);
                by_eights(simd, from, from_stride, to, to_stride);
            }
        }
        return;
    }
    for row in 0..PANEL {
        for column in 0..PANEL {
            to[column * to_stride + row] = from[row * from_stride + column];
        }
    }
}

/// Pairs of rows, then quads, then the four quarters of the vectors: 64 shuffles.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_sixteens(simd: pulp::x86::V4, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let avx512 = simd.avx512f;
    let mut rows = [simd.splat_f32s(0.0); PANEL];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = load::<pulp::x86::V4>(from, i * from_stride);
    }
    let mut pairs = rows;
    for i in (0..PANEL).step_by(2) {
        let (a, b) = (cast(rows[i]), cast(rows[i + 1]));
        pairs[i] = cast(avx512._mm512_unpacklo_ps(a, b));
        pairs[i + 1] = cast(avx512._mm512_unpackhi_ps(a, b));
    }
    // Quarter q of quads[i + c] is column 4 q + c of rows i to i + 3.
    let mut quads = pairs;
    for i in (0..PANEL).step_by(4) {
        for j in 0..2 {
            let (a, b) = (cast(pairs[i + j]), cast(pairs[i + j + 2]));
            quads[i + 2 * j] = cast(avx512._mm512_unpacklo_pd(a, b));
            quads[i + 2 * j + 1] = cast(avx512._mm512_unpackhi_pd(a, b));
        }
    }
    /// Quarters 0 and 2 of both operands, or 1 and 3.
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    for c in 0..4 {
        let [a, b, d, e] = [cast(quads[c]), cast(quads[c + 4]), cast(quads[c + 8]), cast(quads[c + 12])];
        let upper = [avx512._mm512_shuffle_f32x4::<EVEN>(a, b), avx512._mm512_shuffle_f32x4::<ODD>(a, b)];
        let lower = [avx512._mm512_shuffle_f32x4::<EVEN>(d, e), avx512._mm512_shuffle_f32x4::<ODD>(d, e)];
        for odd in 0..2 {
            let near = avx512._mm512_shuffle_f32x4::<EVEN>(upper[odd], lower[odd]);
            let far = avx512._mm512_shuffle_f32x4::<ODD>(upper[odd], lower[odd]);
            store::<pulp::x86::V4>(to, (4 * odd + c) * to_stride, cast(near));
            store::<pulp::x86::V4>(to, (8 + 4 * odd + c) * to_stride, cast(far));
        }
    }
}

/// An 8 x 8 block: pairs of rows, then quads, then halves of the vectors: 24 shuffles.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_eights(simd: pulp::x86::V3, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let avx = simd.avx;
    let mut rows = [simd.splat_f32s(0.0); 8];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = load::<pulp::x86::V3>(from, i * from_stride);
    }
    let mut pairs = rows;
    for i in (0..8).step_by(2) {
        let (a, b) = (cast(rows[i]), cast(rows[i + 1]));
        pairs[i] = cast(avx._mm256_unpacklo_ps(a, b));
        pairs[i + 1] = cast(avx._mm256_unpackhi_ps(a, b));
    }
    // Half h of quads[i + c] is column 4 h + c of rows i to i + 3.
    let mut quads = pairs;
    for i in [0, 4] {
        for j in 0..2 {
            let (a, b) = (cast(pairs[i + j]), cast(pairs[i + j + 2]));
            quads[i + 2 * j] = cast(avx._mm256_unpacklo_pd(a, b));
            quads[i + 2 * j + 1] = cast(avx._mm256_unpackhi_pd(a, b));
        }
    }
    /// The lower halves of both operands, or the upper ones.
    const LOWER: i32 = 0x20;
    const UPPER: i32 = 0x31;
    for c in 0..4 {
        let (a, b) = (cast(quads[c]), cast(quads[c + 4]));
        store::<pulp::x86::V3>(to, c * to_stride, cast(avx._mm256_permute2f128_ps::<LOWER>(a, b)));
        store::<pulp::x86::V3>(to, (c + 4) * to_stride, cast(avx._mm256_permute2f128_ps::<UPPER>(a, b)));
    }
}
