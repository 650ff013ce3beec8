//! Stability in mean square under multiplicative gradient noise at a fixed delay.
//!
//! A minibatch sees the curvature `a (1 + xi)` with `xi` independent from step to step, of mean 0 and variance `r`. The
//! variance of the weights then feeds the noise that feeds it, and the loop is stable iff the rule is stable in the mean
//! and `r K^2 ||N / (D + K N)||^2 < 1`, where `||.||^2` is the mean of the modulus squared over the unit circle.
//!
//! That mean has a closed form ([`super::response`]). For sgd the condition becomes
//! `r tan(w/2) tan(pi/4 + (2 tau + 1) w/4) < 1` with `K = 2 sin(w/2)`.

use super::TheoryError;
use super::bisection::bisect;
use super::equation::{Equation, WeightDecay};
use super::law::DelayPmf;
use super::margin::first_crossing;
use super::mixed_noise::MixedRule;
use super::response::response;

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
    if equation.share.is_some() {
        let delays = DelayPmf::certain(delay)?;
        if let Some(rule) = MixedRule::of(equation, &delays)? {
            return rule.mean_square_margin(relative_variance);
        }
    }
    equation.takes_noise()?;
    let mean = first_crossing(&equation.characteristic(delay, WeightDecay::None)?)?.gain;
    let stable = |gain: f64| {
        let variance = relative_variance * gain * gain * response(equation, delay, [gain; 2]);
        (0.0..1.0).contains(&variance)
    };
    Ok(bisect(0.0, mean, stable))
}
