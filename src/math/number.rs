//! The numbers that are computed with on the processor: f32, f64 and dual numbers.

use super::product::{View, native_product};
use num_dual::{Dual64, DualNum};
use num_traits::{Float, Num, NumAssign};
use std::iter::Sum;
use std::ops::Neg;

/// What the pass through a model is written over: f32, f64, and dual numbers of f64, whose second part is a directional
/// derivative, so that a gradient of them holds a Hessian-vector product.
pub trait Number:
    Num + NumAssign + Neg<Output = Self> + PartialOrd + Copy + Sum + std::fmt::Debug + Send + Sync + 'static
{
    fn of(value: f64) -> Self;
    /// Its value.
    fn widen(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    /// Gauss error function.
    fn erf(self) -> Self;
    /// Hyperbolic tangent, in a form that compilers turn into vector code where the precision allows it.
    fn vector_tanh(self) -> Self;
    /// The same numbers by their kind, for code that is written for some kinds alone.
    fn kind(numbers: &[Self]) -> Kind<'_>;
    /// [`Self::kind`], to be written.
    fn kind_mut(numbers: &mut [Self]) -> KindMut<'_>;
    /// The same numbers, where they are of this kind.
    fn of_kind(numbers: Kind<'_>) -> Option<&[Self]>;
    /// [`Self::of_kind`], to be written.
    fn of_kind_mut(numbers: KindMut<'_>) -> Option<&mut [Self]>;
    /// `math::product`; added to what is there where `onto`.
    fn product(shape: [usize; 3], a: View<Self>, b: View<Self>, onto: bool, c: &mut [Self], parallel: bool);
}

/// Numbers by their kind.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    Dual(&'a [Dual64]),
}

/// [`Kind`], to be written.
#[derive(Debug)]
pub enum KindMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    Dual(&'a mut [Dual64]),
}

/// f32 or f64: f32 mirrors the GPU; f64 is the reference that both are checked against.
pub trait Real: Number + Float + Default {
    /// `"f32"` or `"f64"`, as written in the results.
    const NAME: &'static str;
}

impl Real for f32 {
    const NAME: &'static str = "f32";
}

impl Real for f64 {
    const NAME: &'static str = "f64";
}

/// [`Number::kind`].
macro_rules! kind {
    ($kind:ident) => {
        fn kind(numbers: &[Self]) -> Kind<'_> {
            Kind::$kind(numbers)
        }
        fn kind_mut(numbers: &mut [Self]) -> KindMut<'_> {
            KindMut::$kind(numbers)
        }
        fn of_kind(numbers: Kind<'_>) -> Option<&[Self]> {
            if let Kind::$kind(numbers) = numbers { Some(numbers) } else { None }
        }
        fn of_kind_mut(numbers: KindMut<'_>) -> Option<&mut [Self]> {
            if let KindMut::$kind(numbers) = numbers { Some(numbers) } else { None }
        }
    };
}

/// The functions that read the same for f32 and f64.
macro_rules! native {
    () => {
        fn exp(self) -> Self {
            Float::exp(self)
        }
        fn ln(self) -> Self {
            Float::ln(self)
        }
        fn sqrt(self) -> Self {
            Float::sqrt(self)
        }
        fn product(shape: [usize; 3], a: View<Self>, b: View<Self>, onto: bool, c: &mut [Self], parallel: bool) {
            native_product(shape, a, b, onto, c, parallel);
        }
    };
}

impl Number for f32 {
    native!();
    kind!(F32);
    fn of(value: f64) -> Self {
        value as f32
    }
    fn widen(self) -> f64 {
        f64::from(self)
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
    /// The odd rational function of degrees 13 and 6 that Eigen uses (`generic_fast_tanh_float`), within 4e-7 of tanh; seven
    /// times faster than the C library's, which takes nearly half of a step, and the same bits on every platform.
    #[inline]
    fn vector_tanh(self) -> Self {
        const ODD: [f32; 7] = [
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619_3e-4,
            4.893_524_6e-3,
        ];
        const EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
        /// Beyond it tanh is 1 in f32, and the polynomials leave their range.
        const SATURATED: f32 = 7.905_311;
        let x = self.clamp(-SATURATED, SATURATED); // NaN stays NaN
        let square = x * x;
        let horner = |coefficients: &[f32]| coefficients.iter().fold(0.0, |sum, c| sum * square + c);
        x * horner(&ODD) / horner(&EVEN)
    }
}

impl Number for f64 {
    native!();
    kind!(F64);
    fn of(value: f64) -> Self {
        value
    }
    fn widen(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    /// e / (e + 2) with e = exp(2 |x|) - 1, within 1e-15 of tanh, relatively; ten times faster than the C library's where loops become
    /// vector code. e is 2^k (exp(r) - 1) + 2^k - 1 with 2 |x| = k ln 2 + r, and exp(r) - 1 its Taylor series to r^13.
    #[inline]
    fn vector_tanh(self) -> Self {
        /// Beyond it tanh is 1.
        const SATURATED: f64 = 20.0;
        /// Adding it leaves the nearest integer in the lowest bits.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        /// ln 2 in two parts, the first of which has few enough digits for exact multiples.
        const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
        /// 1 / n! from 13 down to 2.
        const TERMS: [f64; 12] = [
            1.0 / 6_227_020_800.0,
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
        ];
        let double = 2.0 * self.clamp(-SATURATED, SATURATED).abs(); // NaN stays NaN
        let shifted = double * std::f64::consts::LOG2_E + ROUND;
        let k = shifted - ROUND;
        let r = (double - k * LN_2[0]) - k * LN_2[1];
        let series = r + r * r * TERMS.iter().fold(0.0, |sum, term| sum * r + term);
        let power = Self::from_bits((shifted.to_bits() << 52).wrapping_add(1f64.to_bits()));
        let e = power * series + (power - 1.0);
        (e / (e + 2.0)).copysign(self)
    }
}

impl Number for Dual64 {
    kind!(Dual);
    fn of(value: f64) -> Self {
        Self::from_re(value)
    }
    fn widen(self) -> f64 {
        self.re
    }
    fn exp(self) -> Self {
        DualNum::exp(&self)
    }
    fn ln(self) -> Self {
        DualNum::ln(&self)
    }
    fn sqrt(self) -> Self {
        DualNum::sqrt(&self)
    }
    fn erf(self) -> Self {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-self.re * self.re).exp();
        Self::new(libm::erf(self.re), slope * self.eps)
    }
    /// Not a number where it is saturated beyond the range of exponentials: weights that have run so far are at no minimum.
    fn vector_tanh(self) -> Self {
        DualNum::tanh(&self)
    }
    /// Values AB, derivatives A'B + AB'.
    fn product(shape: [usize; 3], a: View<Self>, b: View<Self>, onto: bool, c: &mut [Self], parallel: bool) {
        let part = |view: &View<Self>, of: fn(&Self) -> f64| view.data.iter().map(of).collect::<Vec<f64>>();
        let [a_values, b_values] = [&a, &b].map(|view| part(view, |x| x.re));
        let [a_slopes, b_slopes] = [&a, &b].map(|view| part(view, |x| x.eps));
        let [a_values, a_slopes] = [&a_values, &a_slopes].map(|data| View { data, ..a.strides() });
        let [b_values, b_slopes] = [&b_values, &b_slopes].map(|data| View { data, ..b.strides() });
        let [rows, _, columns] = shape;
        let (mut values, mut slopes) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
        native_product(shape, a_values, b_values, false, &mut values, parallel);
        native_product(shape, a_slopes, b_values, false, &mut slopes, parallel);
        native_product(shape, a_values, b_slopes, true, &mut slopes, parallel);
        for ((c, value), slope) in c.iter_mut().zip(values).zip(slopes) {
            let product = Self::new(value, slope);
            *c = if onto { *c + product } else { product };
        }
    }
}

/// Running sums of an [`ordered_sum`].
pub const WIDTH: usize = 16;

/// Sum of `term(i)` for `i < length` in a fixed order: sixteen running sums, then a tree over them. The order depends
/// on `length` alone, so a lane's observations have the same bits wherever it runs.
#[inline(always)]
pub fn ordered_sum<T: Number>(length: usize, term: impl Fn(usize) -> T) -> T {
    let mut sums = [T::zero(); WIDTH];
    let whole = length - length % WIDTH;
    for start in (0..whole).step_by(WIDTH) {
        for (offset, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + offset);
        }
    }
    for (sum, index) in sums.iter_mut().zip(whole..length) {
        *sum += term(index);
    }
    tree_sum(sums)
}

/// [`ordered_sum`] of what `term` makes of every number, in the same order.
#[inline(always)]
pub fn ordered_sum_of<T: Number>(numbers: &[T], term: impl Fn(T) -> T) -> T {
    ordered_sum_of_pairs(numbers, numbers, |number, _| term(number))
}

/// [`ordered_sum`] of what `term` makes of every pair of numbers, as many of one as of the other.
#[inline(always)]
pub fn ordered_sum_of_pairs<T: Number>(one: &[T], two: &[T], term: impl Fn(T, T) -> T) -> T {
    assert_eq!(one.len(), two.len());
    let mut sums = [T::zero(); WIDTH];
    let (ones, twos) = (one.chunks_exact(WIDTH), two.chunks_exact(WIDTH));
    let (last, other) = (ones.remainder(), twos.remainder());
    for (one, two) in ones.zip(twos) {
        for (sum, (one, two)) in sums.iter_mut().zip(one.iter().zip(two)) {
            *sum += term(*one, *two);
        }
    }
    for (sum, (one, two)) in sums.iter_mut().zip(last.iter().zip(other)) {
        *sum += term(*one, *two);
    }
    tree_sum(sums)
}

/// The sum of running sums, halves onto each other.
#[inline(always)]
pub fn tree_sum<T: Number>(mut sums: [T; WIDTH]) -> T {
    let mut width = WIDTH;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            let other = sums[i + width];
            sums[i] += other;
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the C library's, itself within a unit in the last place. All magnitudes, both signs.
    #[test]
    fn the_vector_tanh_of_f64_is_tanh() {
        for i in -40_000..=40_000 {
            for x in [f64::from(i) * 5.3e-4, f64::from(i).signum() * 10f64.powf(-f64::from(i).abs() / 130.0)] {
                let (found, expected) = (x.vector_tanh(), x.tanh());
                assert!(
                    (found - expected).abs() <= 1e-15 * expected.abs(),
                    "tanh({x:e}) = {found:e}, not {expected:e}"
                );
            }
        }
        assert!(f64::NAN.vector_tanh().is_nan());
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, 0.0].map(Number::vector_tanh), [1.0, -1.0, 0.0]);
    }

    /// Oracle: tanh of the f64 library. Every f32 of a fine sweep through both tails, the origin and the saturation.
    #[test]
    fn the_vector_tanh_is_tanh() {
        let mut checked = 0;
        for i in -120_000..=120_000i32 {
            let x = (f64::from(i) * 1e-4) as f32;
            let (found, expected) = (f64::from(x.vector_tanh()), f64::from(x).tanh());
            assert!(
                (found - expected).abs() <= 4e-7 * expected.abs().max(1e-30),
                "tanh({x}) = {found}, not {expected}"
            );
            checked += 1;
        }
        assert_eq!(checked, 240_001);
        assert!(f32::NAN.vector_tanh().is_nan());
        assert!(
            (1.0 - f32::INFINITY.vector_tanh()).abs() <= 4e-7 && (1.0 + f32::NEG_INFINITY.vector_tanh()).abs() <= 4e-7
        );
        assert!((1e-20f32.vector_tanh() / 1e-20 - 1.0).abs() <= 4e-7);
    }

    #[test]
    fn an_ordered_sum_of_any_length_is_the_sum() {
        for length in 0..70 {
            let expected = (0..length).sum::<usize>() as f64;
            assert_eq!(ordered_sum(length, |i| i as f64), expected, "{length} terms");
            // Numbers whose sum depends on the order.
            let numbers: Vec<f64> = (0..length).map(|i| 1.0 / (1.0 + i as f64)).collect();
            let by_index = ordered_sum(length, |i| numbers[i] * (numbers[i] + 0.3));
            let in_pairs = ordered_sum_of_pairs(&numbers, &numbers, |one, two| one * (two + 0.3));
            assert_eq!([by_index; 2], [in_pairs, ordered_sum_of(&numbers, |one| one * (one + 0.3))]);
        }
    }
}
