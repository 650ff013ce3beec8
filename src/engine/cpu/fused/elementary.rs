//! Elementary functions of vectors of f32, on any instruction set. Relative errors of a few units in the last place; NaN
//! stays NaN.

use pulp::Simd;

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for c in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*c));
    }
    sum
}

/// The larger of `a` and `b`; NaN where `b` is. A choice by a comparison would be stored under a mask, which takes AMD's AVX2 twelve
/// cycles; vector instructions return their second operand where one is NaN, plain code must check for it.
#[inline(always)]
pub fn larger<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    if S::IS_SCALAR {
        return simd.select_f32s(simd.less_than_f32s(b, a), a, b);
    }
    simd.max_f32s(a, b)
}

/// Limits x to a range. Vector instructions return their second operand where one is NaN; plain code must check for it.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, lowest: f32, highest: f32) -> S::f32s {
    let (lowest, highest) = (simd.splat_f32s(lowest), simd.splat_f32s(highest));
    if S::IS_SCALAR {
        let x = simd.select_f32s(simd.less_than_f32s(x, lowest), lowest, x);
        return simd.select_f32s(simd.less_than_f32s(highest, x), highest, x);
    }
    simd.min_f32s(highest, simd.max_f32s(lowest, x))
}

/// e^x for x <= 0 (as at -86 below it, near the smallest normal f32). S. L. Moshier, Cephes mathematical library, expf.
#[inline(always)]
pub fn exp_of_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first of few bits: n times it is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Added and subtracted, it rounds to the nearest integer, whose bits are then the sum's lowest.
    const ROUNDING: f32 = 12_582_912.0;
    let x = clamp(simd, x, -86.0, 0.0);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(LOG2_E), simd.splat_f32s(ROUNDING));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUNDING));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2[0]), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2[1]), r);
    let series = polynomial(
        simd,
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5, 1.0, 1.0],
    );
    // 2^n by adding n to the exponent of the series, which lies around 1.
    let shift = simd.splat_u32s(23);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), shift);
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(series), exponent))
}

/// ln x for positive normal x. Cephes, logf.
#[inline(always)]
pub fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)): the exponent of x / sqrt(1/2).
    let bits = simd.transmute_u32s_f32s(x);
    let from_half = simd.sub_u32s(bits, simd.splat_u32s(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
    // Arithmetic shift of a number that may be negative, by way of a biased one.
    const BIAS: u32 = 256;
    let biased = simd.add_u32s(from_half, simd.splat_u32s(BIAS << 23));
    let e = simd.wrapping_dyn_shr_u32s(biased, simd.splat_u32s(23));
    let shifted = simd.wrapping_dyn_shl_u32s(simd.sub_u32s(e, simd.splat_u32s(BIAS)), simd.splat_u32s(23));
    let m = simd.sub_f32s(simd.transmute_f32s_u32s(simd.sub_u32s(bits, shifted)), one);
    // e as a float: its bits below those of 2^23.
    const INTEGERS: f32 = 8_388_608.0;
    let e = simd.transmute_f32s_u32s(simd.or_u32s(e, simd.splat_u32s(INTEGERS.to_bits())));
    let e = simd.sub_f32s(e, simd.splat_f32s(INTEGERS + BIAS as f32));
    let series = polynomial(
        simd,
        m,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_98,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_57,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_3,
        ],
    );
    let square = simd.mul_f32s(m, m);
    let tail = simd.mul_f32s(simd.mul_f32s(series, square), m);
    let tail = simd.mul_add_e_f32s(e, simd.splat_f32s(-2.121_944_4e-4), tail);
    let tail = simd.mul_add_e_f32s(square, simd.splat_f32s(-0.5), tail);
    let sum = simd.mul_add_e_f32s(e, simd.splat_f32s(0.693_359_4), simd.add_f32s(m, tail));
    // Bits of NaN and infinity were taken for a number: x - x is 0 for all others.
    simd.add_f32s(sum, simd.sub_f32s(x, x))
}

/// tanh x, as [`crate::math::Real::vector_tanh`].
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, -7.905_311, 7.905_311);
    let square = simd.mul_f32s(x, x);
    let odd = polynomial(
        simd,
        square,
        [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3],
    );
    let even = polynomial(simd, square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3]);
    simd.div_f32s(simd.mul_f32s(x, odd), even)
}

/// The normal distribution function and its density at z. Abramowitz and Stegun, Handbook of Mathematical Functions,
/// 7.1.26: absolute error below 1.5e-7.
#[inline(always)]
pub fn normal<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
    let one = simd.splat_f32s(1.0);
    let size = simd.mul_f32s(simd.abs_f32s(z), simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(size, simd.splat_f32s(0.327_591_1), one));
    let series = polynomial(simd, t, [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6, 0.0]);
    let exponential = exp_of_negative(simd, simd.mul_f32s(simd.mul_f32s(size, size), simd.splat_f32s(-1.0)));
    let upper = simd.mul_f32s(simd.mul_f32s(series, exponential), simd.splat_f32s(0.5));
    let negative = simd.less_than_f32s(z, simd.splat_f32s(0.0));
    let distribution = simd.select_f32s(negative, upper, simd.sub_f32s(one, upper));
    (distribution, simd.mul_f32s(exponential, simd.splat_f32s(0.398_942_3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::vector::Instructions;
    use crate::math::vector::tile::{load, store};
    use pulp::WithSimd;
    use strum::IntoEnumIterator;

    /// One of the functions above.
    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Ln,
        Tanh,
        Distribution,
    }

    struct Applied<'a>(Function, &'a mut [f32]);

    impl WithSimd for Applied<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(function, values) = self;
            for at in (0..values.len()).step_by(S::F32_LANES) {
                let x = load::<S>(values, at);
                let y = match function {
                    Function::Exp => exp_of_negative(simd, x),
                    Function::Ln => ln(simd, x),
                    Function::Tanh => tanh(simd, x),
                    Function::Distribution => normal(simd, x).0,
                };
                store::<S>(values, at, y);
            }
        }
    }

    /// Oracle: the f64 library, over the range that each is used in; errors relative to the value, or absolute.
    #[test]
    fn elementary_functions_are_those_of_the_library_under_every_instruction_set() {
        type Case = (Function, [f64; 2], fn(f64) -> f64, [f64; 2]);
        let cases: [Case; 4] = [
            (Function::Exp, [-85.0, 0.0], f64::exp, [2e-7, 0.0]),
            (Function::Ln, [1.0, 1e6], f64::ln, [2e-7, 1e-7]),
            (Function::Tanh, [-12.0, 12.0], f64::tanh, [4e-7, 0.0]),
            (Function::Distribution, [-9.0, 9.0], |z| 0.5 * libm::erfc(-z / f64::sqrt(2.0)), [0.0, 3e-7]),
        ];
        for set in Instructions::iter().filter(|set| set.are_there()) {
            for (function, [low, high], exact, [relative, absolute]) in cases {
                let inputs: Vec<f32> =
                    (0..65_536).map(|i| (low + (high - low) * f64::from(i) / 65_536.0) as f32).collect();
                let mut values = inputs.clone();
                set.run(Applied(function, &mut values));
                for (x, found) in inputs.iter().zip(&values) {
                    let expected = exact(f64::from(*x));
                    let is_close = (f64::from(*found) - expected).abs() <= relative * expected.abs() + absolute;
                    assert!(is_close, "{set}: {x} gave {found}, not {expected}");
                }
                let mut none = [f32::NAN; 16];
                set.run(Applied(function, &mut none));
                assert!(none.iter().all(|x| x.is_nan()), "{set}: {none:?}");
            }
        }
    }
}
