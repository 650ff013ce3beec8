//! Vectors of f32 and of f64 under one name, for code that is written for both.

use super::Instructions;
use crate::math::Real;
use pulp::Simd;

/// A number that vectors hold.
pub trait Element: Real {
    type Vector<S: Simd>: Copy;

    /// Numbers of a vector.
    fn lanes<S: Simd>() -> usize;

    fn splat<S: Simd>(simd: S, number: Self) -> Self::Vector<S>;

    /// a b + c
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    /// The sum of the numbers of a vector.
    fn total<S: Simd>(simd: S, vector: Self::Vector<S>) -> Self;

    /// Numbers of a vector of these instructions.
    fn lanes_of(instructions: Instructions) -> usize {
        (instructions.bytes() / size_of::<Self>()).max(1)
    }
}

macro_rules! element {
    ($number:ty, $vector:ident, $lanes:ident, $splat:ident, $multiply_add:ident, $total:ident) => {
        impl Element for $number {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, number: Self) -> S::$vector {
                simd.$splat(number)
            }
            #[inline(always)]
            fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$multiply_add(a, b, c)
            }
            #[inline(always)]
            fn total<S: Simd>(simd: S, vector: S::$vector) -> Self {
                simd.$total(vector)
            }
        }
    };
}

element!(f32, f32s, F32_LANES, splat_f32s, mul_add_e_f32s, reduce_sum_f32s);
element!(f64, f64s, F64_LANES, splat_f64s, mul_add_e_f64s, reduce_sum_f64s);
