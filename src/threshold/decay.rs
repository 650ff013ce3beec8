//! Rate at which a displacement decays or grows, and how well it is known, from how its size changed over a whole run.
//!
//! Far from the beginning the logarithm of the distance is `c - rate t + q ln t`, with ripples of oscillations on it: `q = 1` where the
//! slowest root is a double one and the distance falls like `t r^t`, as tuned parameters have it, `q < 0` where many directions
//! of about the same rate die one after the other. Three smooth windows, one quarter of the run each, tell `rate` and `q`. What cannot be told
//! in `t` steps is any factor that stays within a few times: whether two roots are equal or differ by less than `1/t`, and where in its
//! period a slow oscillation is. It changes the rate by about `1/t`, which is a part of the error that is told. So the
//! rate itself has to be waited for: an error of 2 % takes 75 e-folds at least.
//!
//! A displacement that became too small or too large is scaled back; how much is remembered here. Not here: an engine, nor ensembles of
//! runs that differ by chance ([`super::ensemble`]).

use serde::{Deserialize, Serialize};

/// Bins kept at most; twice as many steps make every bin twice as wide.
const BINS: usize = 1024;

/// Windows of a record, as parts of it.
const WINDOWS: [[f64; 2]; 3] = [[0.125, 0.375], [0.375, 0.625], [0.75, 1.0]];

/// Logarithms of the distance over that of the start, beyond which a run is scaled back to it.
const KEPT: std::ops::RangeInclusive<f64> = -3.0..=1.0;

/// Change of the logarithm of the distance between two looks at it: where it is less they come farther apart, where it is more closer.
const PACE: [f64; 2] = [0.5, 2.0];

/// Steps between two looks at most.
const LONGEST_PACE: u64 = 64;

/// Logarithm of a factor that cannot be told from a change of the rate: that of a slow oscillation moves it by so much, and all else by less.
const UNTOLD: f64 = 1.5;

/// Steps of a run at the first check, in units of its delay, and at least.
const FIRST_CHECK: (u64, u64) = (64, 128);

/// A rate, and the error that it is unlikely to exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decay {
    /// `-ln |z|` per step; negative where the displacement grows.
    pub rate: f64,
    pub error: f64,
}

/// Logarithms of squared distances over time, in bounded memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct DistanceRecord {
    /// Logarithm of the sum over the steps of each bin.
    bins: Vec<f64>,
    /// Steps per bin.
    width: u64,
    steps: u64,
}

impl DistanceRecord {
    fn push(&mut self, log_square: f64) {
        self.width = self.width.max(1);
        if self.steps == self.width * BINS as u64 {
            let halved =
                self.bins.chunks(2).map(|pair| pair.iter().copied().fold(f64::NEG_INFINITY, log_sum)).collect();
            self.bins = halved;
            self.width *= 2;
        }
        if self.steps.is_multiple_of(self.width) {
            self.bins.push(f64::NEG_INFINITY);
        }
        let bin = self.bins.last_mut().expect("a bin was opened for the first step");
        *bin = log_sum(*bin, log_square);
        self.steps += 1;
    }

    /// The rate over all steps so far; none of too few.
    fn decay(&self) -> Option<Decay> {
        let whole = (self.steps / self.width.max(1)) as usize;
        let bins = &self.bins[..whole];
        if whole < 32 {
            return None;
        }
        let width = self.width as f64;
        let mut slope = 0.5 * (bins[whole - 1] - bins[whole / 4]) / (width * (whole - 1 - whole / 4) as f64);
        let (mut power, mut curved) = (0.0, slope);
        // Windows count all of their steps alike where the decay in between is taken out, so that they are looked at again.
        for _ in 0..3 {
            let [one, two, three] = WINDOWS.map(|part| window(bins, part, slope * width));
            let steps =
                |from: (f64, f64), to: (f64, f64)| ((to.0 - from.0) * width, to.1 - from.1, (to.0 / from.0).ln());
            let (early, late) = (steps(one, two), steps(two, three));
            slope = late.1 / late.0;
            // change = -rate time + q ln(ratio of times), between the first two windows and the last two.
            power = (early.1 / early.0 - slope) / (early.2 / early.0 - late.2 / late.0);
            curved = slope - power.clamp(0.0, 1.0) * late.2 / late.0;
        }
        let straight = slope - power * late_logarithm(width * whole as f64);
        let error = 0.5 * (straight - slope).abs() + UNTOLD / self.steps as f64;
        let decay = Decay { rate: -curved, error };
        (decay.rate.is_finite() && decay.error.is_finite()).then_some(decay)
    }
}

/// Change of `ln t` per step between the last two windows of a record of so many steps.
fn late_logarithm(steps: f64) -> f64 {
    let [two, three] = [1, 2].map(|place: usize| 0.5 * (WINDOWS[place][0] + WINDOWS[place][1]));
    (three / two).ln() / (steps * (three - two))
}

/// The middle of a window, in bins, and the logarithm of the distance there: a mean of squares under a Hann window, with the decay `slope` per
/// bin taken out and put back.
fn window(bins: &[f64], [from, to]: [f64; 2], slope: f64) -> (f64, f64) {
    let place = |part: f64| (part * bins.len() as f64) as usize;
    let (from, to) = (place(from), place(to));
    let (middle, count) = (0.5 * (from + to) as f64, (to - from) as f64);
    let (mut sum, mut weights) = (f64::NEG_INFINITY, 0.0);
    for (offset, bin) in bins[from..to].iter().enumerate() {
        let weight = (std::f64::consts::PI * (offset as f64 + 0.5) / count).sin().powi(2);
        let time = (from + offset) as f64 + 0.5;
        sum = log_sum(sum, bin - 2.0 * slope * (time - middle) + weight.ln());
        weights += weight;
    }
    (middle, 0.5 * (sum - weights.ln()))
}

/// `ln(e^a + e^b)`
fn log_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// How a [`DecayMonitor`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecaySpec {
    /// Relative error at which a rate is known well enough.
    pub tolerance: f64,
    /// Steps after which the run is given up.
    pub horizon: u64,
    /// Unit of time: delay + 1.
    pub unit: u64,
    /// Distance from the minimum at which the run starts.
    pub distance: f64,
    /// Relative error of the rate that comes with the minimum, whatever is measured.
    pub of_minimum: f64,
}

/// What became of the run whose rate is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecayEnd {
    /// The rate is known well enough.
    Known,
    /// Not within the horizon.
    Horizon,
    /// The displacement is exactly zero.
    Zero,
    /// It is no number any more.
    Diverged,
}

/// What is to be done with the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DecayAction {
    /// Its displacement is to be multiplied by this.
    Scale(f64),
    Done(DecayEnd, Option<Decay>),
}

/// Watches one run until its rate is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecayMonitor {
    spec: DecaySpec,
    record: DistanceRecord,
    /// Logarithm of all that the displacement was multiplied by.
    scaled: f64,
    /// Steps at the next look at the distance, and since the one before.
    look: u64,
    pace: u64,
    /// Logarithm of the distance at the latest look, as it would be without scaling.
    seen: f64,
    next_check: u64,
}

impl DecayMonitor {
    pub fn new(spec: DecaySpec) -> Self {
        let next_check = (FIRST_CHECK.0 * spec.unit).max(FIRST_CHECK.1).min(spec.horizon);
        let seen = spec.distance.ln();
        Self { spec, record: DistanceRecord::default(), scaled: 0.0, look: 1, pace: 1, seen, next_check }
    }

    /// Steps taken in.
    pub fn steps(&self) -> u64 {
        self.record.steps
    }

    /// Steps to the next look, before which nothing has to be done but where the run ends.
    pub fn due(&self) -> u64 {
        self.look - self.record.steps
    }

    /// Takes the squared distance from the minimum after a step.
    pub fn push(&mut self, distance_squared: f64) -> Option<DecayAction> {
        if !distance_squared.is_finite() {
            return Some(DecayAction::Done(DecayEnd::Diverged, None));
        }
        if distance_squared == 0.0 {
            return Some(DecayAction::Done(DecayEnd::Zero, None));
        }
        self.record.push(distance_squared.ln() - 2.0 * self.scaled);
        let steps = self.record.steps;
        if steps >= self.next_check {
            self.next_check = (steps + steps.div_ceil(4)).min(self.spec.horizon.max(steps + 1));
            let found = self
                .record
                .decay()
                .map(|decay| Decay { error: decay.error + self.spec.of_minimum * decay.rate.abs(), ..decay });
            if found.is_some_and(|decay| decay.error <= self.spec.tolerance * decay.rate.abs()) {
                return Some(DecayAction::Done(DecayEnd::Known, found));
            }
            if steps >= self.spec.horizon {
                return Some(DecayAction::Done(DecayEnd::Horizon, found));
            }
        }
        if steps < self.look {
            return None;
        }
        let here = 0.5 * distance_squared.ln();
        let change = (here - self.scaled - self.seen).abs();
        self.seen = here - self.scaled;
        self.pace = match change {
            change if change > PACE[1] => (self.pace / 2).max(1),
            change if change < PACE[0] => (2 * self.pace).min(LONGEST_PACE),
            _ => self.pace,
        };
        self.look = steps + self.pace;
        let off = here - self.spec.distance.ln();
        if KEPT.contains(&off) {
            return None;
        }
        self.scaled -= off;
        Some(DecayAction::Scale((-off).exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: DecaySpec = DecaySpec { tolerance: 0.02, horizon: 1 << 22, unit: 1, distance: 1e-3, of_minimum: 0.0 };

    /// What a monitor says of a displacement whose logarithm is given by the time, and the steps that it took.
    fn watched(spec: DecaySpec, log_distance: impl Fn(f64) -> f64) -> (DecayEnd, Option<Decay>, u64) {
        let mut monitor = DecayMonitor::new(spec);
        let mut scaled = spec.distance.ln();
        loop {
            let time = (monitor.steps() + 1) as f64;
            match monitor.push((2.0 * (log_distance(time) + scaled)).exp()) {
                None => {}
                Some(DecayAction::Scale(factor)) => scaled += factor.ln(),
                Some(DecayAction::Done(end, decay)) => return (end, decay, monitor.steps()),
            }
        }
    }

    /// Logarithm of a distance after so many updates.
    type Course = Box<dyn Fn(f64) -> f64>;

    /// Sums of roots as the equations of rules have them, each with its own amplitude; the rate is that of the slowest.
    #[test]
    fn the_error_covers_simple_double_and_nearly_double_roots_oscillations_and_many_directions() {
        for rate in [2e-4, 2e-3, 0.03, 0.3, -1e-3] {
            let shrinks: f64 = f64::abs(rate);
            let cases: Vec<(&str, Course)> = vec![
                ("simple", Box::new(move |t| -rate * t)),
                ("double", Box::new(move |t| -rate * t + (1.0 + 5.0 * shrinks * t).ln())),
                ("double, from zero", Box::new(move |t| -rate * t + (shrinks * t).ln())),
                ("nearly double", Box::new(move |t| -rate * t + (1.05 - (-0.1 * shrinks * t).exp()).ln())),
                ("less nearly", Box::new(move |t| -rate * t + (1.01 - (-0.5 * shrinks * t).exp()).ln())),
                ("fast oscillation", Box::new(move |t| -rate * t + (1.3 * t).cos().abs().max(1e-12).ln())),
                ("slow oscillation", Box::new(move |t| -rate * t + (shrinks * t + 1.0).cos().abs().max(1e-12).ln())),
                ("slower", Box::new(move |t| -rate * t + (0.3 * shrinks * t + 1.0).sin().abs().max(1e-12).ln())),
                ("slowest", Box::new(move |t| -rate * t + (0.1 * shrinks * t + 0.1).sin().abs().max(1e-12).ln())),
                (
                    "forty directions",
                    Box::new(move |t| {
                        let of = |k: i32| (-2.0 * shrinks * t * (f64::from(k) * 0.1)).exp();
                        -rate * t + 0.5 * (0..40).map(of).sum::<f64>().ln()
                    }),
                ),
                ("a loud fast one", Box::new(move |t| -rate * t + (1.0 + 1e3 * (-shrinks * t).exp()).ln())),
            ];
            for (name, log_distance) in &cases {
                let (end, decay, steps) = watched(SPEC, log_distance);
                let Decay { rate: found, error } = decay.unwrap();
                assert_eq!(end, DecayEnd::Known, "{name}");
                let efolds = shrinks * steps as f64;
                assert!(
                    (found - rate).abs() <= error && error <= 0.02 * found.abs() && (40.0..400.0).contains(&efolds),
                    "{name} at {rate}: {found} +- {error} after {efolds} e-folds"
                );
            }
        }
    }

    #[test]
    fn what_ends_diverges_or_stands_still_is_told_apart() {
        let mut monitor = DecayMonitor::new(SPEC);
        assert_eq!(monitor.push(0.0), Some(DecayAction::Done(DecayEnd::Zero, None)));
        assert_eq!(monitor.push(f64::NAN), Some(DecayAction::Done(DecayEnd::Diverged, None)));
        let (end, decay, steps) = watched(DecaySpec { horizon: 5000, ..SPEC }, |t| 0.1 * (0.3 * t).sin());
        let Decay { rate, error } = decay.unwrap();
        assert_eq!((end, steps), (DecayEnd::Horizon, 5000));
        assert!(rate.abs() <= error, "{rate} +- {error}");
    }
}
