//! Follows one run, observation by observation, until its fate is known.

use super::growth::{Growth, Record};
use crate::engine::Observation;
use crate::record::Verdict;
use serde::{Deserialize, Serialize};

/// First look at the growth rate, in units of delay + 1 steps; every later look is at twice the time.
const FIRST_LOOK: u64 = 32;

/// A run has left when its distance from the minimum is this many times the one it started at.
const LEFT: f64 = 100.0;

/// A run has returned when its projection stays below this fraction of the distance it started at.
const RETURNED: f64 = 1e-2;

/// What is asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Criterion {
    /// Full batch: the sign of the growth rate of a small displacement (stability in the mean).
    Mean,
    /// Minibatches: whether the run, kicked by the noise of its batches, stays near the minimum for the whole horizon.
    Escape,
}

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
    pub steps: u64,
    /// Last observation.
    pub last: Observation,
}

/// Watches one run. Under the mean criterion it looks at 32, 64, 128, ... times (delay + 1) steps and is done when
/// - the state is no longer finite: diverged;
/// - the distance has grown a hundredfold: escaped;
/// - the projection on the top eigenvector has shrunk a hundredfold: stable;
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
            Criterion::Mean => self.growing(seen),
            Criterion::Escape => self.escaping(seen),
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
                return Some(self.trial(Verdict::Stable, self.confirmed(steps), seen));
            }
            self.swing = [0.0, self.swing[0]];
        }
        if steps == self.look {
            self.look *= 2;
            let now = self.record.growth(steps);
            let before = std::mem::replace(&mut self.before, now);
            if let Some(growth) = self.agreed(before, now) {
                let verdict = if growth.projection > 0.0 { Verdict::Escaped } else { Verdict::Stable };
                if verdict == Verdict::Escaped || growth.distance <= growth.projection.abs() {
                    return Some(self.trial(verdict, Some(growth.projection), seen));
                }
            }
        }
        (steps >= self.spec.horizon).then(|| self.trial(Verdict::Undecided, None, seen))
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
        Trial { lr: self.lr, verdict, growth, steps: self.record.steps(), last: *seen }
    }
}
