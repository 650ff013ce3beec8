//! Axes: where a value falls on the picture, and which values get a tick. No drawing here.

use crate::table::number::exact;
use std::ops::RangeInclusive;

/// How values are spaced along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    Linear,
    /// Positive values only.
    Log,
    /// By ln(value + 1), so that 0 has a place.
    LogPlusOne,
    /// By ln(p / (100 - p)) of a percentage: 90, 99 and 99.9 stand about as far apart as 50 and 90. Neither 0 nor 100 has a place.
    Logit,
}

impl Scale {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.ln(),
            Self::LogPlusOne => value.ln_1p(),
            Self::Logit => (value / (100.0 - value)).ln(),
        }
    }

    fn undo(self, position: f64) -> f64 {
        match self {
            Self::Linear => position,
            Self::Log => position.exp(),
            Self::LogPlusOne => position.exp_m1(),
            Self::Logit => 100.0 / (1.0 + (-position).exp()),
        }
    }
}

/// A range of values laid over a range of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    scale: Scale,
    /// Smallest and largest value, on the scale.
    domain: (f64, f64),
    /// Where these two fall.
    pixels: (f64, f64),
}

impl Axis {
    /// Covers `values`, spans at least `least_span` on the scale (a ratio's logarithm for the logarithmic ones), and
    /// leaves the fraction `margin` of the whole free at either end. Values that have no place on the scale are passed over;
    /// where nothing is left, it lies around 1.
    pub fn covering(
        scale: Scale,
        values: impl IntoIterator<Item = f64>,
        least_span: f64,
        margin: f64,
        pixels: (f64, f64),
    ) -> Self {
        let (low, high) = values
            .into_iter()
            .map(|value| scale.apply(value))
            .filter(|z| z.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), z| (low.min(z), high.max(z)));
        let (low, high) = if low <= high { (low, high) } else { (scale.apply(1.0), scale.apply(1.0)) };
        let (middle, span) = (0.5 * (low + high), (high - low).max(least_span));
        let half = 0.5 * span / (1.0 - 2.0 * margin);
        Self { scale, domain: (middle - half, middle + half), pixels }
    }

    /// The same axis without what lies beyond `least` and `most` by more than a fiftieth of its length.
    pub fn limited(&self, least: f64, most: f64) -> Self {
        let (low, high) = self.domain;
        let room = 0.02 * (high - low);
        Self { domain: (low.max(self.scale.apply(least) - room), high.min(self.scale.apply(most) + room)), ..*self }
    }

    /// The pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let (first, last) = self.pixels;
        first + (self.scale.apply(value) - low) / (high - low) * (last - first)
    }

    /// The pixel of a value, or the place `inset` pixels from the nearer end of the axis where that lies beyond.
    pub fn clamped(&self, value: f64, inset: f64) -> f64 {
        let (first, last) = self.pixels;
        self.at(value).clamp(first.min(last) + inset, first.max(last) - inset)
    }

    /// Whether a value lies on the axis.
    pub fn holds(&self, value: f64) -> bool {
        let (low, high) = self.domain;
        (low..=high).contains(&self.scale.apply(value))
    }

    pub fn pixels(&self) -> (f64, f64) {
        self.pixels
    }

    /// Round values to label, at most about ten of them.
    pub fn ticks(&self) -> Vec<f64> {
        // The margin of an axis may reach beyond the largest number.
        let bounded = |position: f64| self.scale.undo(position).clamp(f64::MIN, f64::MAX);
        let (low, high) = (bounded(self.domain.0), bounded(self.domain.1));
        let mut ticks = match self.scale {
            Scale::Log => log_ticks(low, high),
            Scale::Logit => LOGIT_TICKS.to_vec(),
            Scale::Linear | Scale::LogPlusOne => linear_ticks(low, high),
        };
        ticks.retain(|&tick| self.holds(tick));
        ticks
    }

    /// The ticks with their labels; on a linear axis all with the same number of decimals.
    pub fn labelled_ticks(&self) -> Vec<(f64, String)> {
        let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let ticks = self.ticks();
        let most = ticks.iter().map(|tick| decimals(&tick.to_string())).max().unwrap_or(0);
        let text = |tick| if self.scale == Scale::Linear { format!("{tick:.most$}") } else { exact(tick) };
        ticks.into_iter().map(|tick| (tick, text(tick))).collect()
    }
}

/// Percentages on a logistic axis.
const LOGIT_TICKS: [f64; 17] =
    [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 70.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9];

/// Every multiple of a round step (1, 2 or 5 times a power of ten) between `low` and `high`, about five of them.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = high / 5.0 - low / 5.0;
    if !rough.is_normal() {
        return Vec::new();
    }
    let power = rough.log10().floor() as i32;
    let step_in_power = [1, 2, 5, 10].into_iter().find(|&m| f64::from(m) * 10f64.powi(power) >= rough).unwrap_or(10);
    let step = f64::from(step_in_power) * 10f64.powi(power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| decimal(i * i64::from(step_in_power), power)).collect()
}

/// 1, 2 and 5 times every power of ten between `low` and `high`; only powers, or only some, where that is too many, and
/// an even spacing where it is too few.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let low = low.max(f64::MIN_POSITIVE);
    let powers = low.log10().floor() as i32..=high.log10().floor() as i32;
    let within = |mantissas: &[i64], step: usize, powers: RangeInclusive<i32>| -> Vec<f64> {
        powers
            .step_by(step)
            .flat_map(|power| mantissas.iter().map(move |&m| decimal(m, power)))
            .filter(|tick| (low..=high).contains(tick))
            .collect()
    };
    let fine = within(&[1, 2, 5], 1, powers.clone());
    match fine.len() {
        0..=2 => linear_ticks(low, high),
        3..=10 => fine,
        _ => within(&[1], powers.clone().count().div_ceil(10), powers),
    }
}

/// mantissa x 10^power, as close as f64 comes.
fn decimal(mantissa: i64, power: i32) -> f64 {
    format!("{mantissa}e{power}").parse().expect("a number with an exponent")
}

/// Those of `values` (sorted, distinct) that can be labelled without touching each other: the ends first, then powers of
/// two, then the rest. `extent` is the pixel where a value's label is centred and its half width.
pub fn thinned(values: &[f64], extent: impl Fn(f64) -> (f64, f64)) -> Vec<f64> {
    let ends = [values.first().copied(), values.last().copied()];
    let rank = |value: f64| match value {
        _ if ends.contains(&Some(value)) => 0,
        value if value >= 1.0 && value.log2().fract() == 0.0 => 1,
        _ => 2,
    };
    thinned_by(values, rank, extent)
}

/// [`thinned`] where those of lower `rank` come first.
pub fn thinned_by(values: &[f64], rank: impl Fn(f64) -> u8, extent: impl Fn(f64) -> (f64, f64)) -> Vec<f64> {
    let mut order = values.to_vec();
    order.sort_by_key(|&value| rank(value));
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for value in order {
        let (x, half) = extent(value);
        if taken.iter().all(|&(_, other, other_half)| (x - other).abs() >= half + other_half) {
            taken.push((value, x, half));
        }
    }
    let mut kept: Vec<f64> = taken.into_iter().map(|(value, ..)| value).collect();
    kept.sort_by(f64::total_cmp);
    kept
}

/// At most `count` of the sorted `values`: the first, the last, and those nearest to an even spacing of ln(value + 1).
pub fn spaced(values: &[f64], count: usize) -> Vec<f64> {
    if values.len() <= count {
        return values.to_vec();
    }
    let (first, last) = (values[0].ln_1p(), values[values.len() - 1].ln_1p());
    let mut kept: Vec<f64> = (0..count)
        .filter_map(|i| {
            let target = first + (last - first) * i as f64 / (count - 1) as f64;
            values.iter().copied().min_by(|a, b| (a.ln_1p() - target).abs().total_cmp(&(b.ln_1p() - target).abs()))
        })
        .collect();
    kept.dedup();
    kept
}

/// Moves `targets` (sorted) as little as it takes, in least squares, to stand `spacing` apart within `low..=high`.
pub fn spread(targets: &[f64], spacing: f64, low: f64, high: f64) -> Vec<f64> {
    // With y_i = z_i + i spacing, "at least spacing apart" is "z never falls": an isotonic regression, which pools
    // neighbours that are out of order into blocks at their mean.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (i, target) in targets.iter().enumerate() {
        let mut block = (target - i as f64 * spacing, 1);
        while let Some(&(mean, count)) = blocks.last()
            && mean > block.0
        {
            let total = count + block.1;
            block = ((mean * count as f64 + block.0 * block.1 as f64) / total as f64, total);
            blocks.pop();
        }
        blocks.push(block);
    }
    let highest = (high - targets.len().saturating_sub(1) as f64 * spacing).max(low);
    let pooled = blocks.iter().flat_map(|&(mean, count)| std::iter::repeat_n(mean, count));
    pooled.enumerate().map(|(i, z)| z.clamp(low, highest) + i as f64 * spacing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, values: &[f64]) -> Axis {
        Axis::covering(scale, values.iter().copied(), 1e-3, 0.0, (0.0, 100.0))
    }

    #[test]
    fn values_fall_where_the_scale_puts_them() {
        let log = axis(Scale::Log, &[0.01, 100.0]);
        assert!((log.at(1.0) - 50.0).abs() < 1e-9);
        let delays = axis(Scale::LogPlusOne, &[0.0, 3.0]);
        assert_eq!(delays.at(0.0), 0.0);
        assert!((delays.at(1.0) - 50.0).abs() < 1e-9, "ln 2 is half of ln 4");
        let linear = axis(Scale::Linear, &[-1.0, 1.0]);
        assert_eq!((linear.at(0.5), linear.clamped(7.0, 2.0), linear.holds(7.0)), (75.0, 98.0, false));
    }

    #[test]
    fn shares_far_apart_have_a_logistic_axis_and_no_axis_of_shares_reaches_beyond_what_is_possible() {
        let logit = axis(Scale::Logit, &[1.0, 99.0]);
        assert!(
            (logit.at(50.0) - 50.0).abs() < 1e-9
                && (logit.at(90.0) - (50.0 + 50.0 * 9f64.ln() / 99f64.ln())).abs() < 1e-9
        );
        assert_eq!((logit.clamped(0.0, 0.0), logit.clamped(100.0, 0.0)), (0.0, 100.0));
        assert_eq!(logit.ticks()[..3], [1.0, 2.0, 5.0]);
        let shares = Axis::covering(Scale::Linear, [0.0, 100.0], 0.0, 0.2, (0.0, 100.0)).limited(0.0, 100.0);
        assert!(shares.holds(0.0) && shares.holds(100.0) && !shares.holds(105.0) && !shares.holds(-5.0));
    }

    #[test]
    fn an_axis_of_one_value_has_it_in_the_middle() {
        for scale in [Scale::Linear, Scale::Log, Scale::LogPlusOne] {
            assert!((axis(scale, &[4.0]).at(4.0) - 50.0).abs() < 1e-9);
        }
    }

    #[test]
    fn values_without_a_place_leave_an_axis_around_one() {
        for values in [vec![], vec![f64::NAN], vec![0.0, f64::INFINITY, -1.0]] {
            let axis = Axis::covering(Scale::Log, values, 0.1, 0.1, (0.0, 100.0));
            assert!(axis.holds(1.0) && !axis.ticks().is_empty());
        }
    }

    #[test]
    fn axes_at_the_ends_of_all_numbers_have_few_ticks() {
        for values in [[1e308, 1.7e308], [3e-308, 4e-308], [1e-300, 1e300], [0.0, f64::MAX], [f64::MIN, f64::MAX]] {
            for scale in
                [Scale::Log, Scale::Linear].into_iter().filter(|scale| *scale == Scale::Linear || values[0] > 0.0)
            {
                let ticks = Axis::covering(scale, values, 0.1, 0.1, (0.0, 100.0)).ticks();
                assert!(ticks.len() <= 12 && ticks.iter().all(|tick| tick.is_finite()), "{values:?}: {ticks:?}");
            }
        }
    }

    #[test]
    fn ticks_are_round_and_labels_short() {
        let labels = |axis: Axis| axis.labelled_ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(axis(Scale::Linear, &[0.97, 1.03])), ["0.98", "1.00", "1.02"]);
        assert_eq!(labels(axis(Scale::Log, &[0.03, 3.5])), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(
            labels(axis(Scale::Log, &[0.9e-7, 0.11])),
            ["1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1"]
        );
        assert_eq!(labels(axis(Scale::Log, &[0.9, 1.1])), ["0.9", "0.95", "1", "1.05", "1.1"]);
    }

    #[test]
    fn crowded_delays_keep_their_ends_and_powers_of_two() {
        let all: Vec<f64> = (0..=33).map(f64::from).collect();
        let x = axis(Scale::LogPlusOne, &[0.0, 33.0]);
        let kept = thinned(&all, |delay| (x.at(delay), 5.0));
        assert_eq!(kept, [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 33.0]);
        assert_eq!(thinned(&[7.5], |_| (0.0, 6.0)), [7.5]);
    }

    #[test]
    fn a_few_delays_stand_for_many() {
        let all: Vec<f64> = (0..=64).map(f64::from).collect();
        assert_eq!(spaced(&all, 4), [0.0, 3.0, 15.0, 64.0]);
        assert_eq!(spaced(&[0.0, 5.0], 4), [0.0, 5.0]);
        assert_eq!(spaced(&[0.0, 1.0, 2.0, 3.0, 1e6], 4), [0.0, 3.0, 1e6], "none is taken twice");
    }

    #[test]
    fn labels_stand_apart_in_order_and_within_bounds() {
        assert_eq!(spread(&[10.0, 50.0], 5.0, 0.0, 100.0), [10.0, 50.0], "no need to move");
        assert_eq!(spread(&[49.0, 51.0], 10.0, 0.0, 100.0), [45.0, 55.0], "both give way");
        assert_eq!(spread(&[1.0, 1.0, 1.0], 10.0, 0.0, 100.0), [0.0, 10.0, 20.0], "the upper bound holds");
        assert_eq!(spread(&[99.0, 99.0], 10.0, 0.0, 100.0), [90.0, 100.0], "and so does the lower");
    }
}
