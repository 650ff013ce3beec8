//! Activation functions: value and slope of each. `shaders/shared/activation.wgsl` is the same for kernels.

use super::Number;
use super::vector::Pieces;
use serde::{Deserialize, Serialize};

/// Elementwise nonlinearity between dense layers, with PyTorch's definitions and defaults.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Activation {
    Tanh,
    Relu,
    /// Negative slope 0.01.
    LeakyRelu,
    /// The exact form, z Phi(z) with Phi the normal distribution function.
    Gelu,
}

/// Slope of leaky ReLU left of zero (PyTorch's default).
pub const LEAKY_SLOPE: f64 = 0.01;

impl Activation {
    /// a(z) and a'(z). At the kink of a ReLU the slope is the one from the left, as in PyTorch.
    #[inline]
    pub fn value_and_slope<T: Number>(self, z: T) -> (T, T) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Self::Tanh => {
                let a = z.vector_tanh();
                (a, one - a * a)
            }
            Self::Relu => {
                if z > zero {
                    (z, one)
                } else if z <= zero {
                    (zero, zero)
                } else {
                    (z, z) // NaN stays NaN
                }
            }
            Self::LeakyRelu => {
                let slope = if z > zero { one } else { T::of(LEAKY_SLOPE) };
                (slope * z, slope)
            }
            Self::Gelu => {
                let (distribution, density) = normal(z);
                (z * distribution, distribution + z * density)
            }
        }
    }

    /// a'(z) where a(z) is `value`, of activations whose value tells it. A number that is none has a slope that is none.
    #[inline]
    fn slope_at<T: Number>(self, value: T) -> T {
        match self {
            Self::Tanh => T::one() - value * value,
            // The value has the sign of z.
            Self::Relu | Self::LeakyRelu => self.value_and_slope(value).1,
            Self::Gelu => unreachable!("the value of GELU does not tell its slope"),
        }
    }

    /// Sets every z of `numbers` to a(z).
    pub fn alter<T: Number>(self, numbers: &mut [T], pieces: Pieces) {
        match self {
            Self::Tanh => pieces.alter(numbers, |z| Self::Tanh.value_and_slope(z).0),
            Self::Relu => pieces.alter(numbers, |z| Self::Relu.value_and_slope(z).0),
            Self::LeakyRelu => pieces.alter(numbers, |z| Self::LeakyRelu.value_and_slope(z).0),
            Self::Gelu => pieces.alter(numbers, |z| Self::Gelu.value_and_slope(z).0),
        }
    }

    /// Multiplies every delta of a(z) by a'(z), told by the `values` a(z), of activations whose value tells it.
    pub fn alter_delta<T: Number>(self, delta: &mut [T], values: &[T], pieces: Pieces) {
        match self {
            Self::Tanh => pieces.change(delta, values, |delta, a| *delta *= Self::Tanh.slope_at(a)),
            Self::Relu => pieces.change(delta, values, |delta, a| *delta *= Self::Relu.slope_at(a)),
            Self::LeakyRelu => pieces.change(delta, values, |delta, a| *delta *= Self::LeakyRelu.slope_at(a)),
            Self::Gelu => unreachable!("the value of GELU does not tell its slope"),
        }
    }

    /// Sets every number of `to` to a(z), with z what `of` makes of that of `from` at its place. Compiled for the caller's instructions.
    #[inline(always)]
    pub fn of_each<T: Number>(self, to: &mut [T], from: &[T], of: impl Fn(T) -> T) {
        let pairs = to.iter_mut().zip(from);
        match self {
            Self::Tanh => pairs.for_each(|(to, x)| *to = Self::Tanh.value_and_slope(of(*x)).0),
            Self::Relu => pairs.for_each(|(to, x)| *to = Self::Relu.value_and_slope(of(*x)).0),
            Self::LeakyRelu => pairs.for_each(|(to, x)| *to = Self::LeakyRelu.value_and_slope(of(*x)).0),
            Self::Gelu => pairs.for_each(|(to, x)| *to = Self::Gelu.value_and_slope(of(*x)).0),
        }
    }

    /// Sets `below` to the deltas of z, from those of a(z) and the `values` a(z), of activations whose value tells the slope. Compiled
    /// for the caller's instructions.
    #[inline(always)]
    pub fn delta_below<T: Number>(self, delta: &[T], values: &[T], below: &mut [T]) {
        let all = below.iter_mut().zip(delta.iter().zip(values));
        match self {
            Self::Tanh => all.for_each(|(below, (delta, a))| *below = *delta * Self::Tanh.slope_at(*a)),
            Self::Relu => all.for_each(|(below, (delta, a))| *below = *delta * Self::Relu.slope_at(*a)),
            Self::LeakyRelu => all.for_each(|(below, (delta, a))| *below = *delta * Self::LeakyRelu.slope_at(*a)),
            Self::Gelu => unreachable!("the value of GELU does not tell its slope"),
        }
    }

    /// Writes a(z) of every z of `inputs` into `values` and a'(z) into `slopes`. One loop for each activation: the choice stays
    /// outside, so that the loops can become vector code.
    pub fn apply<T: Number>(self, inputs: &[T], values: &mut [T], slopes: &mut [T], pieces: Pieces) {
        match self {
            Self::Tanh => pieces.split(values, slopes, inputs, |z| Self::Tanh.value_and_slope(z)),
            Self::Relu => pieces.split(values, slopes, inputs, |z| Self::Relu.value_and_slope(z)),
            Self::LeakyRelu => pieces.split(values, slopes, inputs, |z| Self::LeakyRelu.value_and_slope(z)),
            Self::Gelu => pieces.split(values, slopes, inputs, |z| Self::Gelu.value_and_slope(z)),
        }
    }
}

/// Standard normal distribution function and density at z.
fn normal<T: Number>(z: T) -> (T, T) {
    let half = T::of(0.5);
    let distribution = half * (T::one() + (z * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf());
    let density = T::of(0.398_942_280_401_432_7) * (-half * z * z).exp();
    (distribution, density)
}
