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
    let bits = bits(rule);
    for index in 0..CURVATURES {
        let curvature = condition.powf(-(index as f64) / (CURVATURES - 1) as f64);
        let [equation, server, read] = rule.polynomials(delay, gain * curvature, |number| long(number, bits));
        for (sum, noise) in sums.iter_mut().zip([server, read]) {
            *sum += curvature * gain * gain * norm_squared(equation.clone(), noise) / CURVATURES as f64;
        }
    }
    sums
}

/// Bits that are computed with: where directions are a million times as flat as the steepest the recursion loses more than an
/// f64 has.
const BITS: usize = 160;

/// The same with a tiny share of mixing, whose roots are as close to 1 and cost as many bits each.
fn bits(rule: &LinearRule) -> usize {
    match *rule {
        LinearRule::Mixing { share, .. } => BITS + 4 * (-share.log2()).ceil().max(0.0) as usize,
        _ => BITS,
    }
}

type Long = FBig<Zero, 2>;

fn long(number: f64, bits: usize) -> Long {
    Long::try_from(number).expect("parameters are finite").with_precision(bits).value()
}

/// `(1/2pi) int |B/A|^2 dw` by the recursion of Astrom and Jury: each pass takes off what the last coefficient of `B` adds, and
/// lowers both degrees by one. Infinite where a root of `A` is not inside the unit circle.
fn norm_squared(mut a: Vec<Long>, mut b: Vec<Long>) -> f64 {
    let lead = a[0].clone();
    let mut sum = lead.clone() - lead.clone();
    for last in (0..a.len()).rev() {
        if a[0] <= Long::ZERO {
            return f64::INFINITY;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: as the share vanishes, mixing without momentum is sgd whose learning rate is the product of both.
    #[test]
    fn with_a_tiny_share_the_floor_is_that_of_sgd() {
        let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
        for condition in [100.0, 1e6] {
            let [expected, _] = floors(&sgd, 4, 0.2, condition);
            for share in [1e-9, 1e-17] {
                let mixing = LinearRule::Mixing { momentum: 0.0, share };
                let [found, _] = floors(&mixing, 4, 0.2 / share, condition);
                assert!((found / expected - 1.0).abs() < 1e-4, "share {share}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_stable_has_an_infinite_norm() {
        let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
        let [equation, server, _] = sgd.polynomials(4, 0.0, |number| long(number, BITS));
        assert_eq!(norm_squared(equation, server), f64::INFINITY);
    }

    /// Roots a billionth from the circle: the norm keeps its sign.
    #[test]
    fn no_norm_of_a_tiny_share_is_negative() {
        for (momentum, share, gain) in [(0.99, 1e-9, 3.9), (0.5, 1e-17, 1.0), (0.0, 1e-9, 2e8)] {
            let floor = floors(&LinearRule::Mixing { momentum, share }, 4, gain, 1e6)[0];
            assert!(floor > 0.0 && floor.is_finite(), "share {share}: {floor}");
        }
    }
}
