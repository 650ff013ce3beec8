//! The dominant root at any gain: how fast a run grows or decays, and how fast it oscillates.
//!
//! A root of modulus `e^s` is a crossing of the circle of that radius, so the search of [`super::margin`] serves here
//! on other circles. Crossings also count roots: as the gain grows from 0 the number of roots outside a circle changes
//! only where one crosses it, and the slope of the phase there tells its direction. That count is the argument
//! principle, done exactly rather than by sampling a winding number. Bisection on the radius encloses the dominant root
//! between two circles; Newton's method from a crossing nearby finds it; the count just outside it, which must be 0,
//! verifies it.

use std::f64::consts::{PI, TAU};

use num_complex::Complex64;

use super::TheoryError;
use super::characteristic::Characteristic;
use super::equation::{Equation, WeightDecay};
use super::margin::{crossings_below, first_crossing};
use super::mixed::mixed_root;

/// The characteristic root of largest modulus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DominantRoot {
    /// `ln |z|`: the distance to the minimum behaves as `e^(rate t)` over `t` updates. Minus infinity when every root
    /// is 0, which ends in finitely many updates.
    pub rate: f64,
    /// `arg z` in `[0, pi]`: radians per update of the oscillation.
    pub angle: f64,
}

/// Dominant root at a fixed delay and any positive gain, stable or not.
///
/// # Errors
/// Coefficients out of range, a delay that varies, a gain that is not positive and finite, or a dominant root that rounding does not
/// separate from another of the same modulus.
pub fn dominant_root(equation: &Equation, gain: f64) -> Result<DominantRoot, TheoryError> {
    let delay = equation.fixed_delay()?;
    if !(gain > 0.0 && gain.is_finite()) {
        return Err(TheoryError::Gain(gain));
    }
    if let Some(share) = equation.share {
        equation.validate()?;
        let root = mixed_root(equation.velocity.momentum(), share, delay, gain * equation.numerator[0]);
        return Ok(DominantRoot { rate: root.re, angle: root.im });
    }
    find(&equation.characteristic(delay, WeightDecay::None)?, gain)
}

/// Radii below `e^-SMALLEST` count as zero.
const SMALLEST: f64 = 600.0;

fn find(equation: &Characteristic, gain: f64) -> Result<DominantRoot, TheoryError> {
    let turns: usize = equation.poles.iter().map(|f| f.power).sum();
    // On a smaller circle z^delay is next to 0, and with it the gain of every crossing, of which there are as many as the delay.
    let first = 1e-6f64.min(1.0 / (1.0 + turns as f64));
    let (mut inner, mut outer) = if gain < first_crossing(equation)?.gain {
        let mut inner = -first;
        while roots_outside(equation, inner, gain) == 0 {
            inner *= 2.0;
            if inner < -SMALLEST {
                return Ok(DominantRoot { rate: f64::NEG_INFINITY, angle: 0.0 });
            }
        }
        (inner, 0.0)
    } else {
        let mut outer = first;
        while roots_outside(equation, outer, gain) > 0 {
            outer *= 2.0;
        }
        (0.0, outer)
    };
    let slack = 1e-8 / (1.0 + turns as f64);
    for _ in 0..100 {
        if let Some(root) = newton_between(equation, gain, inner, outer + slack)
            && roots_outside(equation, root.re + slack, gain) == 0
        {
            return Ok(DominantRoot { rate: root.re, angle: root.im.abs() });
        }
        let middle = 0.5 * (inner + outer);
        if middle == inner || middle == outer {
            break;
        }
        if roots_outside(equation, middle, gain) > 0 {
            inner = middle;
        } else {
            outer = middle;
        }
    }
    Err(TheoryError::NotSeparated(gain))
}

/// How many roots lie outside the circle of radius `e^log_radius` at this gain.
fn roots_outside(equation: &Characteristic, log_radius: f64, gain: f64) -> usize {
    let at_no_gain: usize = equation.poles.iter().map(|factor| factor.zeros_outside(log_radius)).sum();
    let circle = equation.on_circle(log_radius);
    let direction = |outward: bool| if outward { 1 } else { -1 };
    let pairs: i64 = crossings_below(&circle, gain).iter().filter_map(|crossing| crossing.outward.map(direction)).sum();
    let real: i64 = [(1.0, 0.0), (-1.0, PI)]
        .into_iter()
        .filter(|&(sign, _)| circle.gain_at_real(sign).is_some_and(|k| k < gain))
        .map(|(_, angle)| direction(circle.slope(angle) > 0.0))
        .sum();
    usize::try_from(at_no_gain as i64 + 2 * pairs + real).unwrap_or(0)
}

/// The root of largest modulus, as `ln z`, that Newton's method finds between two circles from the crossings of the
/// inner one.
fn newton_between(equation: &Characteristic, gain: f64, inner: f64, outer: f64) -> Option<Complex64> {
    const STARTS: usize = 8;
    let circle = equation.on_circle(inner);
    let mut starts: Vec<(f64, f64)> =
        crossings_below(&circle, 2.0 * gain).iter().map(|crossing| (crossing.angle, crossing.gain)).collect();
    for (sign, angle) in [(1.0, 0.0), (-1.0, PI)] {
        starts.extend(circle.gain_at_real(sign).map(|k| (angle, k)));
    }
    let distance = |k: f64| (k / gain).ln().abs();
    starts.sort_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
    starts
        .into_iter()
        .take(STARTS)
        .filter_map(|(angle, _)| newton(equation, gain, Complex64::new(inner, angle)))
        .filter(|root| root.re >= inner && root.re <= outer)
        .max_by(|a, b| a.re.total_cmp(&b.re))
}

/// Newton's method on `ln(-D/N) - ln K` in the variable `ln z`, in which long delays are nearly linear.
fn newton(equation: &Characteristic, gain: f64, start: Complex64) -> Option<Complex64> {
    // A start that leads elsewhere can throw `ln z` far out, where nothing means anything any more.
    const LONGEST_STEP: f64 = 2.0;
    let wrapped = |z: Complex64| Complex64::new(z.re, z.im - (z.im / TAU).round() * TAU);
    let mut log_z = start;
    for _ in 0..60 {
        let (value, derivative) = equation.logarithm(log_z);
        let step = wrapped(value - gain.ln()) / derivative;
        let length = step.norm();
        if !length.is_finite() {
            return None;
        }
        log_z = wrapped(log_z - step * (LONGEST_STEP / length).min(1.0));
        // What the rounding of `ln(-D/N)` moves the root by, which is much where z is small.
        let blur = f64::EPSILON * (1.0 + log_z.norm() + 1.0 / derivative.norm());
        if length <= 8.0 * blur {
            return Some(log_z);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::{DelayLaw, LONGEST_DELAY, Velocity};

    /// The slowest root is `1 - K` to the first order in the gain.
    #[test]
    fn at_the_longest_delay_a_small_gain_decays_by_itself() {
        let equation = Equation::new(&DelayLaw::Fixed(LONGEST_DELAY), Velocity::None, [1.0, 0.0]);
        let root = dominant_root(&equation, 1e-13).unwrap();
        assert!((root.rate / -1e-13 - 1.0).abs() < 1e-3 && root.angle == 0.0, "{root:?}");
    }

    /// On circles so small that `-D/N` is one number to the last digit no crossing can be told from another.
    #[test]
    fn roots_at_zero_and_momenta_next_to_one_have_an_answer_or_a_refusal() {
        let nearly_one = 1.0 - 0.5 * f64::EPSILON;
        for (velocity, delay, gain) in [
            (Velocity::None, 0, 1.0),
            (Velocity::None, 0, 1.0 + 1e-15),
            (Velocity::Server { momentum: 0.0 }, 0, 1.0),
            (Velocity::Worker { momentum: nearly_one }, 0, 1e3),
            (Velocity::Worker { momentum: nearly_one }, 3, 1e3),
            (Velocity::Server { momentum: nearly_one }, 2, 1e-9),
            (Velocity::None, LONGEST_DELAY, 5e-324),
            (Velocity::Server { momentum: 0.9 }, LONGEST_DELAY, 5e-324),
            (Velocity::Worker { momentum: 0.9 }, LONGEST_DELAY, 5e-324),
        ] {
            let numerator = if velocity == Velocity::None { [1.0, 0.0] } else { [1.0, 1.0] };
            let equation = Equation::new(&DelayLaw::Fixed(delay), velocity, numerator);
            match dominant_root(&equation, gain) {
                Ok(root) => assert!(!root.rate.is_nan(), "{velocity:?} {gain}: {root:?}"),
                Err(error) => assert!(matches!(error, TheoryError::NotSeparated(_)), "{velocity:?} {gain}: {error}"),
            }
        }
    }
}
