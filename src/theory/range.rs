//! Closed intervals of reals: the little interval arithmetic that the crossing search needs.
//!
//! Ends are not rounded outward; a statement made here holds up to rounding of the last digits.

use std::f64::consts::{PI, TAU};
use std::ops::{Add, Mul, Sub};

/// The closed interval `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    /// The interval between two numbers given in either order.
    pub fn between(a: f64, b: f64) -> Self {
        Self { low: a.min(b), high: a.max(b) }
    }

    /// The interval that holds one number.
    pub fn point(x: f64) -> Self {
        Self { low: x, high: x }
    }

    /// Every value `scale * x` for `x` in the interval.
    pub fn scaled(self, scale: f64) -> Self {
        Self::between(self.low * scale, self.high * scale)
    }

    /// The image of the interval under a monotone function.
    pub fn map_ends(self, f: impl Fn(f64) -> f64) -> Self {
        Self::between(f(self.low), f(self.high))
    }

    /// Values of the sine squared of half an angle in `self`.
    pub fn half_sine_squared(self) -> Self {
        if !(self.high - self.low).is_finite() {
            return Self { low: 0.0, high: 1.0 };
        }
        let turns = |offset: f64, x: f64| ((x - offset) / TAU).floor();
        let at = |x: f64| (0.5 * x).sin().powi(2);
        let mut range = Self::between(at(self.low), at(self.high));
        if turns(0.0, self.low) != turns(0.0, self.high) {
            range.low = 0.0;
        }
        if turns(PI, self.low) != turns(PI, self.high) {
            range.high = 1.0;
        }
        range
    }
}

impl Add for Range {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }
    }
}

impl Sub for Range {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }
    }
}

/// Product of intervals of non-negative numbers.
impl Mul for Range {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        debug_assert!(self.low >= 0.0 && other.low >= 0.0);
        Self { low: self.low * other.low, high: self.high * other.high }
    }
}
