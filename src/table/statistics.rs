//! What is taken of several values: a quantile, the median, or a mean with its confidence interval by Student's t.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// Probability that an interval holds the mean.
const CONFIDENCE: f64 = 0.95;

/// The middle value, or the mean of the two middle ones. None where there are no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which the fraction `q` of the values lies, from 0 for the least to 1 for the largest: linear between
/// neighbours, as numpy's and R's (type 7). None where there are no values.
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (lower, share) = (place.floor() as usize, place.fract());
    let below = *sorted.get(lower)?;
    let Some(&above) = sorted.get(lower + 1).filter(|_| share > 0.0) else { return Some(below) };
    // Rounding must not lead out of the two.
    Some(((1.0 - share) * below + share * above).clamp(below, above))
}

/// A mean and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub mean: f64,
    /// Half the width of the 95 % confidence interval, t s / sqrt(n), for values that are independent and normal; None of a
    /// single value.
    pub half_width: Option<f64>,
}

impl Interval {
    /// None where there are no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let half_width = (values.len() > 1).then(|| {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            student(values.len() - 1) * (variance / n).sqrt()
        });
        (!values.is_empty()).then_some(Self { mean, half_width })
    }

    /// Lower end.
    pub fn low(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean - half)
    }

    /// Upper end.
    pub fn high(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean + half)
    }

    /// Ends of the interval of a mean of values that lie between `least` and `most`, as shares do; they never leave that range.
    /// Wilson's score interval of a share (1927), for as many trials as the spread of the values amounts to, m (1 - m) / s^2 of a
    /// mean m with the standard error s, and with Student's t in the place of the normal quantile. With the half width h = t s and
    /// q = h^2 / (m (1 - m)) the ends are (m + q/2 ± sqrt(h^2 + q^2/4)) / (1 + q), which are m ± h where h is small.
    pub fn within(&self, least: f64, most: f64) -> Option<(f64, f64)> {
        let share = ((self.mean - least) / (most - least)).clamp(0.0, 1.0);
        let half = self.half_width? / (most - least);
        let variance = share * (1.0 - share);
        // Values that are all alike, at an end of the range among others.
        if half == 0.0 || variance == 0.0 {
            return Some((self.mean, self.mean));
        }
        let q = half * half / variance;
        let (middle, reach) = (share + 0.5 * q, (half * half + 0.25 * q * q).sqrt());
        let end = |at: f64| least + (most - least) * (at / (1.0 + q)).clamp(0.0, 1.0);
        Some((end(middle - reach), end(middle + reach)))
    }
}

/// The t for which |T| <= t has probability [`CONFIDENCE`] under so many degrees of freedom. With t = sqrt(degrees) tan(theta)
/// the probability rises from 0 to 1 as theta goes to a right angle.
fn student(degrees: usize) -> f64 {
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
    // 1 + 1/2 c^2 + 1 3 / (2 4) c^4 + ... for even degrees, c + 2/3 c^3 + 2 4 / (3 5) c^5 + ... for odd ones.
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
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([15, 20, 35, 40, 50], [0.05, 0.25, 0.4, 0.5, 0.9]), and of four values.
        let five = [40.0, 15.0, 50.0, 20.0, 35.0];
        let expected = [(0.0, 15.0), (0.05, 16.0), (0.25, 20.0), (0.4, 29.0), (0.5, 35.0), (0.9, 46.0), (1.0, 50.0)];
        for (q, expected) in expected {
            assert!((quantile(five, q).unwrap() - expected).abs() < 1e-12, "{q}: {:?}", quantile(five, q));
        }
        assert_eq!(quantile([1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile([], 0.5), None);
    }

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_two() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0]), Some(5.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn student_s_t_is_that_of_the_tables() {
        let published = [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)];
        for (degrees, expected) in published {
            assert!((student(degrees) - expected).abs() < 6e-4, "{degrees}: {}", student(degrees));
        }
        assert!((student(100_000) - 1.959_96).abs() < 1e-4, "the normal distribution in the end");
    }

    #[test]
    fn intervals_by_hand() {
        // 1, 2, 3 have mean 2 and deviation 1: half the width is 4.3027 / sqrt(3).
        let interval = Interval::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!(interval.mean == 2.0 && (interval.half_width.unwrap() - 2.484_14).abs() < 1e-4, "{interval:?}");
        assert!(
            (interval.low().unwrap() + 0.484_14).abs() < 1e-4 && (interval.high().unwrap() - 4.484_14).abs() < 1e-4
        );
        assert_eq!(Interval::of(&[5.0]), Some(Interval { mean: 5.0, half_width: None }));
        assert_eq!(Interval::of(&[]), None);
        assert_eq!(Interval::of(&[1.0, 1.0]), Some(Interval { mean: 1.0, half_width: Some(0.0) }));
    }

    #[test]
    fn an_interval_of_shares_is_wilson_s_by_hand_and_never_leaves_its_range() {
        // 8 of 10 trials: 0.4902 to 0.9433 by Wilson's formula with z = 1.959964, whose half width by Wald is z sqrt(0.16 / 10).
        let half = 1.959_964 * 0.016f64.sqrt();
        let (low, high) = Interval { mean: 0.8, half_width: Some(half) }.within(0.0, 1.0).unwrap();
        assert!((low - 0.490_16).abs() < 1e-5 && (high - 0.943_32).abs() < 1e-5, "{low} {high}");
        // In percent, and of a difference of shares, the same.
        let percent = Interval { mean: 80.0, half_width: Some(100.0 * half) }.within(0.0, 100.0).unwrap();
        assert!((percent.0 - 100.0 * low).abs() < 1e-9 && (percent.1 - 100.0 * high).abs() < 1e-9);
        let gap = Interval { mean: 0.6, half_width: Some(2.0 * half) }.within(-1.0, 1.0).unwrap();
        assert!((gap.0 - (2.0 * low - 1.0)).abs() < 1e-9 && (gap.1 - (2.0 * high - 1.0)).abs() < 1e-9);
        // Two seeds at 95 and 99.9 %: by Student's t from 66 to 129 %.
        let wide = Interval::of(&[95.0, 99.9]).unwrap();
        assert!(wide.high().unwrap() > 100.0);
        let (low, high) = wide.within(0.0, 100.0).unwrap();
        assert!((0.0..97.45).contains(&low) && 97.45 < high && high <= 100.0, "{low} {high}");
        // A narrow one is that by Student's t.
        let (low, high) = Interval { mean: 0.5, half_width: Some(1e-4) }.within(0.0, 1.0).unwrap();
        assert!((low - 0.4999).abs() < 1e-9 && (high - 0.5001).abs() < 1e-9);
        assert_eq!(Interval::of(&[1.0, 1.0]).unwrap().within(0.0, 1.0), Some((1.0, 1.0)));
        assert_eq!(Interval::of(&[0.5]).unwrap().within(0.0, 1.0), None);
    }

    #[test]
    fn the_interval_of_gosset_s_sleep_data() {
        // Student, The probable error of a mean (1908): additional hours of sleep by two drugs, paired by patient; R's t.test
        // gives the mean 1.58 and the interval 0.7001 to 2.4599.
        let pairs = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let interval = Interval::of(&pairs).unwrap();
        assert!((interval.mean - 1.58).abs() < 1e-12, "{interval:?}");
        assert!((interval.low().unwrap() - 0.700_114).abs() < 1e-5, "{interval:?}");
        assert!((interval.high().unwrap() - 2.459_886).abs() < 1e-5, "{interval:?}");
    }

    proptest! {
        #[test]
        fn an_interval_of_shares_holds_their_mean(values in prop::collection::vec(0.0f64..=1.0, 2..9)) {
            let interval = Interval::of(&values).unwrap();
            let (low, high) = interval.within(0.0, 1.0).unwrap();
            prop_assert!(0.0 <= low && low <= interval.mean + 1e-12 && interval.mean <= high + 1e-12 && high <= 1.0);
        }

        #[test]
        fn a_quantile_lies_within_and_rises(values in prop::collection::vec(-1e9f64..1e9, 1..40), q in 0.0f64..1.0) {
            let at = |q: f64| quantile(values.iter().copied(), q).unwrap();
            prop_assert!(at(0.0) <= at(q) && at(q) <= at(1.0));
            prop_assert_eq!(at(0.0), values.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(at(1.0), values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
    }
}
