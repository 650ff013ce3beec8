//! The floor that additive gradient noise leaves.
//!
//! White noise of variance 1 on every gradient leaves the weights along the curvature `lambda` with the variance
//! `lr^2 ||B/A||^2`, where `A = D + K N` and `||.||` is the H2 norm. The floor is the mean of `lambda` times that over
//! logarithmically spaced curvatures up to `lambda_max = 1`: twice the mean loss above the minimum, for a direction.
//!
//! Not here: noise of the curvature, which multiplies ([`crate::theory::threshold()`]).

use dashu_float::FBig;
use dashu_float::round::mode::Zero;

use super::rule::LinearRule;

/// Curvatures over which the floor is averaged.
const CURVATURES: usize = 60;

/// The floor of the server's weights and of the weights at which gradients are taken, for noise of variance 1 and
/// `lambda_max = 1`; NaN or infinite where the rule is not stable.
pub(super) fn floors(rule: &LinearRule, delay: usize, gain: f64, condition: f64) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for index in 0..CURVATURES {
        let curvature = condition.powf(-(index as f64) / (CURVATURES - 1) as f64);
        let [equation, server, read] = rule.polynomials(delay, gain * curvature);
        for (sum, noise) in sums.iter_mut().zip([server, read]) {
            *sum += curvature * gain * gain * norm_squared(&equation, noise) / CURVATURES as f64;
        }
    }
    sums
}

/// Bits that are computed with: where directions are a million times as flat as the steepest the recursion loses more than an
/// f64 has.
const BITS: usize = 160;

type Long = FBig<Zero, 2>;

fn long(number: f64) -> Long {
    Long::try_from(number).expect("coefficients are finite").with_precision(BITS).value()
}

/// `(1/2pi) int |B/A|^2 dw` by the recursion of Astrom and Jury: each pass takes off what the last coefficient of `B` adds, and
/// lowers both degrees by one.
fn norm_squared(equation: &[f64], noise: Vec<f64>) -> f64 {
    let mut a: Vec<Long> = equation.iter().map(|number| long(*number)).collect();
    let mut b: Vec<Long> = noise.iter().map(|number| long(*number)).collect();
    let lead = a[0].clone();
    let mut sum = long(0.0);
    for last in (0..a.len()).rev() {
        sum += &b[last] * &b[last] / &a[0];
        let reversed: Vec<Long> = a[..=last].iter().rev().cloned().collect();
        let (alpha, beta) = (&a[last] / &a[0], &b[last] / &a[0]);
        for index in 0..last {
            b[index] -= &beta * &reversed[index];
            a[index] -= &alpha * &reversed[index];
        }
    }
    (sum / lead).to_f64().value()
}
