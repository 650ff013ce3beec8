//! Stability in mean square under multiplicative gradient noise at a fixed delay.
//!
//! A minibatch sees the curvature `a (1 + xi)` with `xi` independent from step to step, of mean 0 and variance `r`. The
//! variance of the weights then feeds the noise that feeds it, and the loop is stable iff the rule is stable in the mean
//! and `r K^2 ||N / (D + K N)||^2 < 1`, where `||.||^2` is the mean of the modulus squared over the unit circle.
//!
//! That mean has a closed form. At a fixed delay `D + K N = A z^T + B` with `A` and `B` of low degree, and
//!
//! ```text
//! 1 / |A z^T + B|^2 = Re[(A z^T - B) / (A z^T + B)] / (|A|^2 - |B|^2) .
//! ```
//!
//! The fraction in brackets is analytic outside the circle (the rule is stable there) and tends to 1; what divides it
//! is a polynomial of degree at most 2 in `s = |z - 1|^2 = 2 - z - 1/z`, whatever the delay. So the integral is the sum
//! of at most two residues, those on the circle counted half. For sgd the condition becomes
//! `r tan(w/2) tan(pi/4 + (2 tau + 1) w/4) < 1` with `K = 2 sin(w/2)`.

use num_complex::Complex64;

use super::TheoryError;
use super::equation::{Equation, Velocity, WeightDecay};
use super::margin::first_crossing;

/// Threshold gain at a fixed delay for stability in mean square, under gradient noise of the given relative
/// variance `r` (variance of the minibatch curvature over the square of its mean). With `r = 0` it is the mean's.
///
/// # Errors
/// Coefficients or delay out of range, or a relative variance that is negative or not finite.
pub(super) fn mean_square_margin(
    equation: &Equation,
    delay: usize,
    relative_variance: f64,
) -> Result<f64, TheoryError> {
    if !(relative_variance >= 0.0 && relative_variance.is_finite()) {
        return Err(TheoryError::RelativeVariance(relative_variance));
    }
    let mean = first_crossing(&equation.characteristic(delay, WeightDecay::None)?)?.gain;
    let stable = |gain: f64| {
        let variance = relative_variance * gain * gain * noise_response(equation, delay, gain);
        (0.0..1.0).contains(&variance)
    };
    Ok(bisect(0.0, mean, stable))
}

/// Halves `[stable, unstable]` until its ends are neighbours, and returns the stable one; the upper end is never
/// tested.
pub(super) fn bisect(mut low: f64, mut high: f64, stable: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = if low == 0.0 { high / 16.0 } else { 0.5 * (low + high) };
        if high - low <= 1e-15 * high || middle <= low || middle >= high {
            return if low == 0.0 { high } else { low };
        }
        if stable(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// A polynomial in `y = z - 1`. Long delays live near `y = 0`, where coefficients in `z` would cancel.
#[derive(Clone, Copy, Debug)]
struct Polynomial([f64; 3]);

impl Polynomial {
    fn at(self, y: Complex64) -> Complex64 {
        let [p0, p1, p2] = self.0;
        p0 + y * (p1 + y * p2)
    }

    /// Coefficients of `|p|^2` on the unit circle as a polynomial in `s`, from `|y|^2 = s` and `Re y = -s/2`.
    fn modulus_squared(self) -> [f64; 3] {
        let [p0, p1, p2] = self.0;
        [p0 * p0, p1 * p1 - p0 * p1 - 2.0 * p0 * p2, p2 * p2 + p0 * p2 - p1 * p2]
    }
}

/// `||N / (D + K N)||^2` for a gain at which the rule is stable in the mean.
fn noise_response(equation: &Equation, delay: usize, gain: f64) -> f64 {
    let [n0, n1] = equation.numerator_at(delay);
    let noise = Polynomial([n0, n1, 0.0]);
    // D + K N = lead z^power + tail
    let (lead, tail, power) = match equation.velocity {
        Velocity::None => ([0.0, 1.0, 0.0], [gain * n0, gain * n1, 0.0], delay),
        // (z-1) (z^(tau+1) - m) + K N
        Velocity::Worker { momentum } => ([0.0, 1.0, 0.0], [gain * n0, gain * n1 - momentum, 0.0], delay + 1),
        // (z-1) (z-m) = y (y + 1 - m)
        Velocity::Server { momentum } => ([0.0, 1.0 - momentum, 1.0], [gain * n0, gain * n1, 0.0], delay),
    };
    mean_modulus_squared(noise, Polynomial(lead), Polynomial(tail), power)
}

/// Mean of `|noise / (lead z^power + tail)|^2` over the unit circle, when every zero of the denominator is inside.
fn mean_modulus_squared(noise: Polynomial, lead: Polynomial, tail: Polynomial, power: usize) -> f64 {
    let [c0, c1, _] = noise.modulus_squared();
    let (l, t) = (lead.modulus_squared(), tail.modulus_squared());
    let [q0, q1, q2] = [l[0] - t[0], l[1] - t[1], l[2] - t[2]];

    let at_infinity = if q2 == 0.0 { c1 / q1 } else { 0.0 };
    let residues: f64 = roots_of_quadratic(q0, q1, q2)
        .into_iter()
        .map(|s| {
            // s = 4 sin^2(w/2), z = e^{iw}; of z and 1/z the one outside the circle, or either on it.
            let mut w = 2.0 * (0.5 * s.sqrt()).asin();
            if w.im > 0.0 {
                w = -w;
            }
            let half_turn = (0.5 * Complex64::I * w).exp();
            let y = 2.0 * Complex64::I * (0.5 * w).sin() * half_turn;
            let late = tail.at(y) * (-Complex64::I * w * power as f64).exp();
            let fraction = (lead.at(y) - late) / (lead.at(y) + late);
            let slope = q1 + 2.0 * q2 * s;
            let residue = (c0 + c1 * s) / slope * fraction / (-2.0 * Complex64::I * w.sin());
            // Half of each of the two conjugate residues on the circle is the real part of one.
            residue.re
        })
        .sum();
    at_infinity - residues
}

/// Roots of `q0 + q1 s + q2 s^2`, without cancellation between them.
fn roots_of_quadratic(q0: f64, q1: f64, q2: f64) -> Vec<Complex64> {
    if q2 == 0.0 {
        return vec![Complex64::from(-q0 / q1)];
    }
    let root = Complex64::from(q1 * q1 - 4.0 * q0 * q2).sqrt();
    let sum = if q1 >= 0.0 { -q1 - root } else { -q1 + root };
    vec![0.5 * sum / q2, 2.0 * q0 / sum]
}
