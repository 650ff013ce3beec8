//! Activations inside the products: the value, and the slope computed from what the forward pass kept.

use super::elementary;
use crate::math::LEAKY_SLOPE;
use crate::math::vector::tile::{Epilogue, load, store};
use pulp::Simd;
use std::marker::PhantomData;

/// An activation function a(z).
pub trait Curve {
    /// Whether the slope does not follow from a(z) and must be kept beside it.
    const KEEPS_SLOPE: bool = false;

    /// a(z), and a'(z) where it is kept.
    fn value<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s);

    /// a'(z), from the kept slope or else from a(z).
    fn slope<S: Simd>(simd: S, kept: S::f32s) -> S::f32s;
}

pub struct Tanh;

impl Curve for Tanh {
    #[inline(always)]
    fn value<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
        (elementary::tanh(simd, z), z)
    }
    #[inline(always)]
    fn slope<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        simd.negate_mul_add_e_f32s(a, a, simd.splat_f32s(1.0))
    }
}

pub struct Relu;

impl Curve for Relu {
    #[inline(always)]
    fn value<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
        (elementary::larger(simd, simd.splat_f32s(0.0), z), z)
    }
    #[inline(always)]
    fn slope<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        simd.select_f32s(simd.less_than_f32s(simd.splat_f32s(0.0), a), simd.splat_f32s(1.0), a)
    }
}

pub struct LeakyRelu;

impl Curve for LeakyRelu {
    #[inline(always)]
    fn value<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
        let leak = simd.mul_f32s(z, simd.splat_f32s(LEAKY_SLOPE as f32));
        (elementary::larger(simd, leak, z), z)
    }
    #[inline(always)]
    fn slope<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        let leak = simd.splat_f32s(LEAKY_SLOPE as f32);
        simd.select_f32s(simd.less_than_f32s(simd.splat_f32s(0.0), a), simd.splat_f32s(1.0), leak)
    }
}

pub struct Gelu;

impl Curve for Gelu {
    const KEEPS_SLOPE: bool = true;

    #[inline(always)]
    fn value<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
        let (distribution, density) = elementary::normal(simd, z);
        (simd.mul_f32s(z, distribution), simd.mul_add_e_f32s(z, density, distribution))
    }
    #[inline(always)]
    fn slope<S: Simd>(_: S, kept: S::f32s) -> S::f32s {
        kept
    }
}

/// z + b.
pub struct Forward<'a> {
    pub bias: &'a [f32],
    /// rows x `bias.len()`
    pub values: &'a mut [f32],
}

impl<S: Simd> Epilogue<S> for Forward<'_> {
    #[inline(always)]
    fn store(&mut self, simd: S, row: usize, column: usize, sums: S::f32s) {
        let at = row * self.bias.len() + column;
        store::<S>(self.values, at, simd.add_f32s(sums, load::<S>(self.bias, column)));
    }
}

/// Replaces every z of `values` by a(z), and puts the slopes that are kept into `slopes`. A loop of its own: inside
/// each tile it would wait for the tile's last sums.
#[inline(always)]
pub fn activate<S: Simd, C: Curve>(simd: S, values: &mut [f32], slopes: &mut [f32]) {
    for at in (0..values.len()).step_by(S::F32_LANES) {
        let (value, slope) = C::value(simd, load::<S>(values, at));
        store::<S>(values, at, value);
        if C::KEEPS_SLOPE {
            store::<S>(slopes, at, slope);
        }
    }
}

/// Multiplies the delta of the layer below by the slope there.
pub struct Backward<'a, C> {
    /// rows x width: slopes where they are kept, else activations.
    pub kept: &'a [f32],
    /// rows x width
    pub below: &'a mut [f32],
    pub width: usize,
    pub curve: PhantomData<C>,
}

impl<S: Simd, C: Curve> Epilogue<S> for Backward<'_, C> {
    #[inline(always)]
    fn store(&mut self, simd: S, row: usize, column: usize, sums: S::f32s) {
        let at = row * self.width + column;
        let slope = C::slope(simd, load::<S>(self.kept, at));
        store::<S>(self.below, at, simd.mul_f32s(sums, slope));
    }
}
