//! Follows one run, observation by observation, until its fate is known.

use super::Criterion;
use super::growth::{Growth, Record};
use crate::engine::Observation;
use crate::table::Verdict;

/// First look at the growth rate, in units of delay + 1 steps; every later look is at twice the time.
const FIRST_LOOK: u64 = 32;

/// A run has left when its distance from the minimum is this many times the one it started at.
const LEFT: f64 = 100.0;

/// A run whose oscillation dies has returned only if it is no farther than this many times the distance it started at,
/// measured across the top eigenvector; otherwise it has gone to another, flatter place and come to rest there.
const ELSEWHERE: f64 = 10.0;

/// A run has returned when its projection stays below this fraction of the distance it started at.
const RETURNED: f64 = 1e-2;

/// How to watch a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchSpec {
    pub criterion: Criterion,
    /// Unit of time, steps: delay + 1.
    pub unit: u64,
    /// Steps after which an undecided run is given up (mean) or counts as having stayed (escape).
    pub horizon: u64,
    /// Distance from the minimum at the start.
    pub start: f64,
    /// Distance beyond which a run has escaped (criterion escape).
    pub radius: f64,
    /// Two successive growth rates must agree within this fraction before the later one is believed.
    pub agreement: f64,
}

/// What became of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub lr: f64,
    pub verdict: Verdict,
    /// Growth rate gamma per step, where it was measured and believed.
    pub growth: Option<f64>,
    /// Its standard error, where it is the average of an ensemble.
    pub error: Option<f64>,
    /// Runs that it took: those of an ensemble, or 1.
    pub members: usize,
    /// Steps of each.
    pub steps: u64,
    /// Last observation.
    pub last: Observation,
}

/// Watches one run. Under the mean criterion it looks at 32, 64, 128, ... times (delay + 1) steps and is done when
/// - the state is no longer finite: diverged;
/// - the distance has grown a hundredfold: escaped;
/// - the projection on the top eigenvector has shrunk a hundredfold: stable, or escaped if the weights came to rest
///   elsewhere;
/// - two successive looks agree on the growth rate of the projection: escaped or stable by its sign, but stable only if the
///   distance from the minimum is not growing either (another direction could be the unstable one);
/// - the horizon is reached: undecided.
#[derive(Clone, Debug)]
pub struct Watch {
    spec: WatchSpec,
    lr: f64,
    record: Record,
    look: u64,
    before: Option<Growth>,
    /// Largest |projection| in the current and the previous unit of time, so that a zero crossing is not a return.
    swing: [f64; 2],
}

impl Watch {
    pub fn new(spec: WatchSpec, lr: f64) -> Self {
        Self { spec, lr, record: Record::new(), look: FIRST_LOOK * spec.unit, before: None, swing: [0.0; 2] }
    }

    /// Takes the next observation; `Some` when the run is decided, after which nothing more may be pushed.
    pub fn push(&mut self, seen: &Observation) -> Option<Trial> {
        self.record.push(seen.projection, seen.distance_squared);
        match self.spec.criterion {
            Criterion::Escape => self.escaping(seen),
            _ => self.growing(seen),
        }
    }

    fn escaping(&self, seen: &Observation) -> Option<Trial> {
        if !seen.finite {
            return Some(self.trial(Verdict::Diverged, None, seen));
        }
        if seen.distance_squared > self.spec.radius * self.spec.radius {
            return Some(self.trial(Verdict::Escaped, None, seen));
        }
        (self.record.steps() >= self.spec.horizon).then(|| self.trial(Verdict::Stable, None, seen))
    }

    fn growing(&mut self, seen: &Observation) -> Option<Trial> {
        let steps = self.record.steps();
        if !seen.finite {
            return Some(self.trial(Verdict::Diverged, None, seen));
        }
        if seen.distance_squared > (LEFT * self.spec.start).powi(2) {
            return Some(self.trial(Verdict::Escaped, self.confirmed(steps), seen));
        }
        self.swing[0] = self.swing[0].max(seen.projection.abs());
        if steps.is_multiple_of(8 * self.spec.unit) {
            let highest = self.swing[0].max(self.swing[1]);
            if steps >= 16 * self.spec.unit && highest < RETURNED * self.spec.start {
                return Some(match self.is_elsewhere(seen) {
                    true => self.trial(Verdict::Escaped, None, seen),
                    false => self.trial(Verdict::Stable, self.confirmed(steps), seen),
                });
            }
            self.swing = [0.0, self.swing[0]];
        }
        if steps == self.look {
            self.look *= 2;
            let now = self.record.growth(steps);
            let before = std::mem::replace(&mut self.before, now);
            if let Some(growth) = self.agreed(before, now) {
                if growth.projection > 0.0 {
                    return Some(self.trial(Verdict::Escaped, Some(growth.projection), seen));
                }
                if self.is_elsewhere(seen) {
                    return Some(self.trial(Verdict::Escaped, None, seen));
                }
                if growth.distance <= growth.projection.abs() {
                    return Some(self.trial(Verdict::Stable, Some(growth.projection), seen));
                }
            }
        }
        (steps >= self.spec.horizon).then(|| self.trial(Verdict::Undecided, None, seen))
    }

    /// Whether the weights have moved away across the top eigenvector.
    fn is_elsewhere(&self, seen: &Observation) -> bool {
        let across = seen.distance_squared - seen.projection * seen.projection;
        across > (ELSEWHERE * self.spec.start).powi(2)
    }

    /// The growth rate over everything so far, if half of the time says the same.
    fn confirmed(&self, steps: u64) -> Option<f64> {
        self.agreed(self.record.growth(steps / 2), self.record.growth(steps)).map(|growth| growth.projection)
    }

    fn agreed(&self, before: Option<Growth>, now: Option<Growth>) -> Option<Growth> {
        let (before, now) = (before?, now?);
        let close = (now.projection - before.projection).abs() <= self.spec.agreement * now.projection.abs();
        close.then_some(now)
    }

    fn trial(&self, verdict: Verdict, growth: Option<f64>, seen: &Observation) -> Trial {
        Trial { lr: self.lr, verdict, growth, error: None, members: 1, steps: self.record.steps(), last: *seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: WatchSpec =
        WatchSpec { criterion: Criterion::Mean, unit: 1, horizon: 4096, start: 1.0, radius: 3.0, agreement: 0.02 };

    /// What a run with this projection and this distance across the top eigenvector looks like.
    fn seen(projection: f64, across: f64) -> Observation {
        let finite = projection.is_finite() && across.is_finite();
        Observation { distance_squared: projection * projection + across * across, projection, loss: 0.0, finite }
    }

    /// Feeds a signal until the watch is done.
    fn watch(spec: WatchSpec, signal: impl Fn(f64) -> (f64, f64)) -> Trial {
        let mut watch = Watch::new(spec, 0.5);
        (0..=spec.horizon)
            .find_map(|t| {
                let (projection, across) = signal(t as f64);
                watch.push(&seen(projection, across))
            })
            .expect("every watch ends at its horizon")
    }

    fn swing(gamma: f64) -> impl Fn(f64) -> f64 {
        move |t| (gamma * t).exp() * (1.3 * t).cos()
    }

    #[test]
    fn the_sign_of_a_small_growth_rate_decides_long_before_the_run_has_gone_anywhere() {
        for (gamma, verdict) in [(1e-3, Verdict::Escaped), (-1e-3, Verdict::Stable)] {
            let trial = watch(SPEC, |t| (swing(gamma)(t), 0.3));
            assert_eq!(trial.verdict, verdict);
            assert!((trial.growth.unwrap() / gamma - 1.0).abs() < 0.05, "{:?}", trial.growth);
            assert!(trial.steps <= 256, "{} steps", trial.steps);
        }
    }

    #[test]
    fn what_leaves_escapes_and_what_overflows_diverges() {
        let left = watch(SPEC, |t| (swing(0.5)(t), 0.0));
        assert!(left.verdict == Verdict::Escaped && left.steps < 16);
        let overflown = watch(SPEC, |t| if t < 5.0 { (0.1, 0.1) } else { (f64::NAN, 0.1) });
        assert!(overflown.verdict == Verdict::Diverged && overflown.steps == 6);
    }

    #[test]
    fn a_dying_oscillation_is_stable_only_at_the_minimum() {
        assert_eq!(watch(SPEC, |t| (swing(-0.2)(t), 1.0)).verdict, Verdict::Stable);
        assert_eq!(watch(SPEC, |t| (swing(-0.2)(t), 20.0)).verdict, Verdict::Escaped);
        // The top eigenvector is quiet, but something else grows.
        let elsewhere = watch(SPEC, |t| (swing(-1e-4)(t), (2e-3 * t).exp()));
        assert_eq!(elsewhere.verdict, Verdict::Escaped);
    }

    #[test]
    fn without_an_oscillation_there_is_no_verdict_before_it_has_shrunk() {
        let slow = watch(SPEC, |t| ((-1e-4 * t).exp(), 0.0));
        assert_eq!((slow.verdict, slow.growth, slow.steps), (Verdict::Undecided, None, 4096));
        assert_eq!(watch(SPEC, |t| ((-1e-2 * t).exp(), 0.0)).verdict, Verdict::Stable);
    }

    #[test]
    fn under_the_escape_criterion_staying_for_the_horizon_is_stable() {
        let spec = WatchSpec { criterion: Criterion::Escape, horizon: 100, ..SPEC };
        let stayed = watch(spec, |t| (2.0 * (0.3 * t).cos(), 1.0));
        assert_eq!((stayed.verdict, stayed.growth, stayed.steps), (Verdict::Stable, None, 100));
        let escaped = watch(spec, |t| (0.1 * t, 0.0));
        assert_eq!((escaped.verdict, escaped.steps), (Verdict::Escaped, 32));
    }
}
