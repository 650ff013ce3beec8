//! Confidence intervals of means of few values: Student's t.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// Probability that an interval holds the mean.
const CONFIDENCE: f64 = 0.95;

/// Mean of `values` and, of two or more, half the width of its 95 % confidence interval, t s / sqrt(n), for values that are
/// independent and normal. None where there are no values.
pub fn mean_and_half_width(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let half = (values.len() > 1).then(|| {
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        quantile(values.len() - 1) * (variance / n).sqrt()
    });
    (!values.is_empty()).then_some((mean, half))
}

/// The t for which |T| <= t has probability [`CONFIDENCE`] under so many degrees of freedom. With t = sqrt(degrees) tan(theta)
/// the probability rises from 0 to 1 as theta goes to a right angle.
fn quantile(degrees: usize) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Until neighbouring floats.
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if probability(middle, degrees) < CONFIDENCE { low = middle } else { high = middle }
    }
    (degrees as f64).sqrt() * low.tan()
}

/// P(|T| <= sqrt(degrees) tan(theta)), by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4.
fn probability(theta: f64, degrees: usize) -> f64 {
    let (sine, cosine) = theta.sin_cos();
    // 1 + 1/2 c^2 + 1 3 / (2 4) c^4 + ... of even degrees, c + 2/3 c^3 + 2 4 / (3 5) c^5 + ... of odd ones.
    let odd = degrees % 2 == 1;
    let first = if odd { cosine } else { 1.0 };
    let terms = if odd { (degrees - 1) / 2 } else { degrees / 2 };
    let (mut sum, mut term) = (0.0, first);
    for index in 1..=terms {
        sum += term;
        let above = 2 * index - usize::from(!odd);
        term *= above as f64 / (above + 1) as f64 * cosine * cosine;
    }
    if odd { FRAC_2_PI * (theta + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let published = [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)];
        for (degrees, expected) in published {
            assert!((quantile(degrees) - expected).abs() < 6e-4, "{degrees}: {}", quantile(degrees));
        }
        assert!((quantile(100_000) - 1.959_96).abs() < 1e-4, "the normal distribution in the end");
    }

    #[test]
    fn intervals_by_hand() {
        // Of 1, 2, 3: mean 2, deviation 1, 4.3027 / sqrt(3).
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0]).unwrap();
        assert!(mean == 2.0 && (half.unwrap() - 2.484_14).abs() < 1e-4, "{half:?}");
        assert_eq!(mean_and_half_width(&[5.0]), Some((5.0, None)));
        assert_eq!(mean_and_half_width(&[]), None);
        assert_eq!(mean_and_half_width(&[1.0, 1.0]), Some((1.0, Some(0.0))));
    }
}
