//! Monitor of one run, observation by observation, until it is stable, escaped or diverged.

use super::growth::{EnergyRecord, Growth, Level};
use super::{Criterion, Doubt, StartPoint};
use crate::engine::Observation;
use crate::threshold::Verdict;
use serde::{Deserialize, Serialize};

/// First check of the growth rate, in units of time; every later check is at twice the time.
const FIRST_CHECK: u64 = 32;

/// Units of time after which the projection is looked at again and again.
const INTERVAL: u64 = 8;

/// A run has escaped when its distance from the minimum is this many times the initial distance, or as many times as slow
/// velocities alone may raise it.
const ESCAPED: f64 = 100.0;

/// A run whose oscillation dies out has returned only if its distance perpendicular to the top eigenvector is at most this
/// many times the initial distance; otherwise it has come to rest at another, flatter place.
const ELSEWHERE: f64 = 10.0;

/// A run has returned when its projection stays below this fraction of the initial distance.
const RETURNED: f64 = 1e-2;

/// A growth rate says that a run escapes only while its projection is at least this fraction of the initial distance. One that
/// has shrunk further and then grows by nothing has met the rounding of its weights.
const GROWING: f64 = 0.1;

/// How many times the smallest displacement on which rounding has no say a run must have kept that grows again.
const CLEAR: f64 = 100.0;

/// A run that meets the rounding of its numbers when its projection has shrunk to this fraction of the initial distance has
/// returned, though the growth rate was not seen.
const SUNK: f64 = 0.05;

/// A growth rate of 0 or less says that a run returns only if its displacement has not grown this many times since
/// velocities have settled; otherwise it has met a bend of the loss that holds it.
const HELD: f64 = 2.0;

/// Relative difference up to which the growth rates of the projection and of its change per step are those of one oscillation.
const ALONE: f64 = 0.25;

/// Change of ln |p| between two windows from which on a growth rate is believed.
const RESOLVED: f64 = 1e-3;

/// A run that has neither grown nor decayed by then, in units of time, is given up.
const STILL: u64 = 2048;

/// Settings of a [`RunMonitor`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunMonitorSpec {
    pub criterion: Criterion,
    /// Unit of time, steps: delay + 1, or more where velocities are slow.
    pub unit: u64,
    /// Steps after which a run ends undecided (criterion mean) or stable (criterion escape).
    pub horizon: u64,
    /// Which of a cell's starts the run is at.
    pub start: StartPoint,
    /// Distance from the minimum at the start.
    pub distance: f64,
    /// Distance beyond which a run has escaped (criterion escape).
    pub radius: f64,
    /// Distance up to which the dynamics are linear (criterion mean).
    pub linear: f64,
    /// How many times its size slow velocities may raise a displacement that decays in the end.
    pub transient: f64,
    /// Distance that what the search has left of the gradient at the minimum moves the weights in a step, at most: along flat directions
    /// they go on towards a minimum that is not quite where they began.
    #[serde(default)]
    pub drift: f64,
    /// Smallest displacement on which rounding has no say.
    pub floor: Level,
    /// Two successive growth rates must agree within this fraction before the later one is believed.
    pub agreement: f64,
}

/// Result of one run or of one ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub lr: f64,
    /// Where the run began; none for an ensemble.
    pub start: Option<StartPoint>,
    pub verdict: Verdict,
    /// Why it is undecided, where a single run is.
    pub doubt: Option<Doubt>,
    /// Growth rate gamma per step, where it was measured and two checks agreed.
    pub growth: Option<f64>,
    /// Standard error of the growth rate, where it is the average of an ensemble.
    pub error: Option<f64>,
    /// Number of runs: those of an ensemble, or 1.
    pub members: usize,
    /// Steps of each run.
    pub steps: u64,
    /// Last observation.
    pub last: Observation,
}

impl Trial {
    /// A run that cannot be made.
    pub fn failed(lr: f64) -> Self {
        let last = Observation::default();
        let (verdict, members) = (Verdict::Failed, 1);
        Self { lr, start: None, verdict, doubt: None, growth: None, error: None, members, steps: 0, last }
    }
}

/// Monitor of one run. Under the mean criterion it checks after 32, 64, 128, ... units of time and is done when
/// - the state is no longer finite: diverged;
/// - the distance has grown a hundredfold, or as far as slow velocities alone may take it: escaped;
/// - the projection on the top eigenvector has shrunk a hundredfold: stable, or escaped if the weights came to rest
///   elsewhere;
/// - two successive checks agree on the growth rate of the projection: escaped or stable by its sign, but stable only if the
///   distance from the minimum is not growing either (another direction could be the unstable one);
/// - there is a [`Doubt`], or the horizon is reached: undecided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunMonitor {
    spec: RunMonitorSpec,
    lr: f64,
    record: EnergyRecord,
    next_check: u64,
    before: Option<Growth>,
    /// Largest |projection| in the current and the previous interval, so that a zero crossing is not taken for a return.
    amplitude: [f64; 2],
    /// The same of the second interval, once it is over: velocities have settled by then.
    settled: Option<f64>,
}

impl RunMonitor {
    pub fn new(spec: RunMonitorSpec, lr: f64) -> Self {
        Self {
            spec,
            lr,
            record: EnergyRecord::new(),
            next_check: FIRST_CHECK * spec.unit,
            before: None,
            amplitude: [0.0; 2],
            settled: None,
        }
    }

    /// Steps taken in.
    pub fn steps(&self) -> u64 {
        self.record.steps()
    }

    /// Takes the next observation. Returns the result once the run is decided; nothing more may be pushed after that.
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
        if seen.distance_squared > self.reached(ESCAPED).powi(2) {
            return Some(self.trial(Verdict::Escaped, self.confirmed(steps).map(|growth| growth.projection), seen));
        }
        if seen.distance_squared > self.spec.linear.powi(2) {
            return Some(self.doubtful(Doubt::Transient, seen));
        }
        self.amplitude[0] = self.amplitude[0].max(seen.projection.abs());
        if steps.is_multiple_of(INTERVAL * self.spec.unit)
            && let Some(trial) = self.end_interval(seen)
        {
            return Some(trial);
        }
        if steps == self.next_check {
            self.next_check *= 2;
            if let Some(trial) = self.check(seen) {
                return Some(trial);
            }
        }
        (steps >= self.spec.horizon).then(|| self.doubtful(Doubt::Horizon, seen))
    }

    fn end_interval(&mut self, seen: &Observation) -> Option<Trial> {
        let steps = self.record.steps();
        let highest = self.amplitude[0].max(self.amplitude[1]);
        let first = steps == INTERVAL * self.spec.unit;
        if first && highest >= RETURNED * self.spec.distance && !self.record.level().is_above(self.spec.floor) {
            return Some(self.doubtful(Doubt::Rounding, seen));
        }
        if !first && highest < RETURNED * self.spec.distance {
            return Some(match self.is_elsewhere(seen) {
                true => self.trial(Verdict::Escaped, None, seen),
                false => self.trial(Verdict::Stable, self.confirmed(steps).map(|growth| growth.projection), seen),
            });
        }
        if !first && self.settled.is_none() {
            self.settled = Some(self.amplitude[0]);
        }
        self.amplitude = [0.0, self.amplitude[0]];
        None
    }

    fn check(&mut self, seen: &Observation) -> Option<Trial> {
        let steps = self.record.steps();
        let now = self.record.growth(steps);
        let before = std::mem::replace(&mut self.before, now);
        if now.is_some_and(|now| !now.least.is_above(self.spec.floor)) {
            // What it showed before it sank to the rounding of its numbers still counts.
            let growth = self.confirmed(steps / 2).map(|growth| growth.projection);
            let sunk = self.amplitude[0].max(self.amplitude[1]) <= SUNK * self.spec.distance;
            let returned = growth.map_or(sunk, |growth| growth < 0.0) && !self.is_elsewhere(seen);
            return Some(match returned {
                true => self.trial(Verdict::Stable, growth, seen),
                false => self.doubtful(Doubt::Rounding, seen),
            });
        }
        let Some(growth) = self.agreed(before, now) else {
            if now.is_none_or(|now| self.is_resolved(now)) {
                return None;
            }
            // It stays where slow velocities alone could not have taken it: a bend holds a run that had left.
            if seen.distance_squared > self.reached(0.0).powi(2) {
                return Some(self.trial(Verdict::Escaped, None, seen));
            }
            return (steps >= STILL * self.spec.unit).then(|| self.doubtful(Doubt::Held, seen));
        };
        let highest = self.amplitude[0].max(self.amplitude[1]);
        if growth.projection > 0.0 {
            if highest >= GROWING * self.spec.distance {
                return Some(self.trial(Verdict::Escaped, Some(growth.projection), seen));
            }
            // A direction in which the start hardly lies takes its time.
            let clear = growth.least.is_above(self.spec.floor.times(CLEAR));
            return (!clear).then(|| self.doubtful(Doubt::Rounding, seen));
        }
        if self.is_elsewhere(seen) {
            return Some(self.trial(Verdict::Escaped, None, seen));
        }
        if self.settled.is_some_and(|settled| highest > HELD * settled) {
            return Some(self.doubtful(Doubt::Held, seen));
        }
        (growth.distance <= growth.projection.abs()).then(|| self.trial(Verdict::Stable, Some(growth.projection), seen))
    }

    /// Whether the weights have moved away perpendicular to the top eigenvector.
    fn is_elsewhere(&self, seen: &Observation) -> bool {
        let across = seen.distance_squared - seen.projection * seen.projection;
        across > self.reached(ELSEWHERE).powi(2)
    }

    /// So many times the initial distance, or as many times as slow velocities alone may raise it, and what the weights may have drifted.
    fn reached(&self, times: f64) -> f64 {
        let RunMonitorSpec { distance, transient, drift, .. } = self.spec;
        times.max(transient) * distance + drift * self.record.steps() as f64
    }

    /// Returns the growth over all of the first `steps` steps, if their first half gives the same.
    fn confirmed(&self, steps: u64) -> Option<Growth> {
        let growth = self.agreed(self.record.growth(steps / 2), self.record.growth(steps))?;
        growth.least.is_above(self.spec.floor).then_some(growth)
    }

    fn agreed(&self, before: Option<Growth>, now: Option<Growth>) -> Option<Growth> {
        let (before, now) = (before?, now?);
        let close = (now.projection - before.projection).abs() <= self.spec.agreement * now.projection.abs();
        let alone = (now.projection - now.change).abs() <= ALONE * now.projection.abs();
        (close && alone && self.is_resolved(now)).then_some(now)
    }

    /// Whether the displacement has grown or decayed by more than what else could have changed it.
    fn is_resolved(&self, growth: Growth) -> bool {
        growth.projection.abs() * growth.between >= RESOLVED
    }

    fn doubtful(&self, doubt: Doubt, seen: &Observation) -> Trial {
        Trial { doubt: Some(doubt), ..self.trial(Verdict::Undecided, None, seen) }
    }

    fn trial(&self, verdict: Verdict, growth: Option<f64>, seen: &Observation) -> Trial {
        Trial {
            lr: self.lr,
            start: Some(self.spec.start),
            verdict,
            doubt: None,
            growth,
            error: None,
            members: 1,
            steps: self.record.steps(),
            last: *seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: RunMonitorSpec = RunMonitorSpec {
        criterion: Criterion::Mean,
        unit: 1,
        horizon: 4096,
        start: StartPoint::Near,
        distance: 1.0,
        radius: 3.0,
        linear: f64::INFINITY,
        transient: 1.0,
        drift: 0.0,
        floor: Level { projection: 0.0, change: 0.0 },
        agreement: 0.02,
    };

    /// Observation of a run with this projection and this distance perpendicular to the top eigenvector.
    fn seen(projection: f64, across: f64) -> Observation {
        let finite = projection.is_finite() && across.is_finite();
        Observation { distance_squared: projection * projection + across * across, projection, loss: 0.0, finite }
    }

    /// Feeds a signal until the monitor is done.
    fn observe(spec: RunMonitorSpec, signal: impl Fn(f64) -> (f64, f64)) -> Trial {
        let mut monitor = RunMonitor::new(spec, 0.5);
        (0..=spec.horizon)
            .find_map(|t| {
                let (projection, across) = signal(t as f64);
                monitor.push(&seen(projection, across))
            })
            .expect("every monitor ends at its horizon")
    }

    fn swing(gamma: f64) -> impl Fn(f64) -> f64 {
        move |t| (gamma * t).exp() * (1.3 * t).cos()
    }

    #[test]
    fn the_sign_of_a_small_growth_rate_decides_long_before_the_run_has_gone_anywhere() {
        for (gamma, verdict) in [(1e-3, Verdict::Escaped), (-1e-3, Verdict::Stable)] {
            let trial = observe(SPEC, |t| (swing(gamma)(t), 0.3));
            assert_eq!(trial.verdict, verdict);
            assert!((trial.growth.unwrap() / gamma - 1.0).abs() < 0.05, "{:?}", trial.growth);
            assert!(trial.steps <= 256, "{} steps", trial.steps);
        }
    }

    #[test]
    fn a_run_that_sinks_to_the_rounding_of_its_numbers_has_returned_only_from_far_above_it() {
        let spec = |projection| RunMonitorSpec { floor: Level { projection, change: 0.0 }, ..SPEC };
        let flipping = |gamma: f64| move |t: f64| ((gamma * t).exp() * (1.0 - 2.0 * (t % 2.0)), 0.0);
        let returned = observe(spec(0.0095), flipping(-0.16));
        assert_eq!((returned.verdict, returned.growth, returned.steps), (Verdict::Stable, None, 32));
        let hidden = observe(spec(0.1), flipping(-0.08));
        assert_eq!((hidden.verdict, hidden.doubt), (Verdict::Undecided, Some(Doubt::Rounding)));
    }

    #[test]
    fn what_leaves_escapes_and_what_overflows_diverges() {
        let left = observe(SPEC, |t| (swing(0.5)(t), 0.0));
        assert!(left.verdict == Verdict::Escaped && left.steps < 16);
        let overflown = observe(SPEC, |t| if t < 5.0 { (0.1, 0.1) } else { (f64::NAN, 0.1) });
        assert!(overflown.verdict == Verdict::Diverged && overflown.steps == 6);
    }

    #[test]
    fn a_dying_oscillation_is_stable_only_at_the_minimum() {
        assert_eq!(observe(SPEC, |t| (swing(-0.2)(t), 1.0)).verdict, Verdict::Stable);
        assert_eq!(observe(SPEC, |t| (swing(-0.2)(t), 20.0)).verdict, Verdict::Escaped);
        // The top eigenvector is quiet, but something else grows.
        let elsewhere = observe(SPEC, |t| (swing(-1e-4)(t), (2e-3 * t).exp()));
        assert_eq!(elsewhere.verdict, Verdict::Escaped);
        // Not where what is left of the gradient takes it there.
        let drifting = |drift: f64| observe(RunMonitorSpec { drift, ..SPEC }, |t| (swing(-0.02)(t), 0.1 * t));
        assert_eq!([drifting(0.1), drifting(0.0)].map(|trial| trial.verdict), [Verdict::Stable, Verdict::Escaped]);
    }

    #[test]
    fn a_run_that_has_shrunk_to_a_floor_and_stays_there_has_not_escaped() {
        // Rounding keeps weights going round and round; that the record then grows by a billionth says nothing.
        let floor = |t: f64| (swing(-0.2)(t) + 0.012 * (1e-9 * t).exp() * (1.3 * t).cos(), 0.1);
        let trial = observe(SPEC, floor);
        assert_eq!((trial.verdict, trial.growth), (Verdict::Undecided, None));
    }

    #[test]
    fn a_run_that_a_bend_holds_has_left_only_where_velocities_alone_could_not_have_taken_it() {
        let spec = RunMonitorSpec { transient: 40.0, ..SPEC };
        let held = |size: f64| move |t: f64| ((0.5 * t).exp().min(size) * (1.0 - 2.0 * (t % 2.0)), 0.0);
        assert_eq!(observe(spec, held(60.0)).verdict, Verdict::Escaped);
        let doubted = observe(spec, held(30.0));
        assert_eq!((doubted.verdict, doubted.doubt), (Verdict::Undecided, Some(Doubt::Held)));
    }

    #[test]
    fn without_an_oscillation_there_is_no_verdict_before_it_has_shrunk() {
        let slow = observe(SPEC, |t| ((-1e-4 * t).exp(), 0.0));
        assert_eq!((slow.verdict, slow.growth, slow.steps), (Verdict::Undecided, None, 4096));
        assert_eq!(observe(SPEC, |t| ((-1e-2 * t).exp(), 0.0)).verdict, Verdict::Stable);
    }

    #[test]
    fn under_the_escape_criterion_staying_for_the_horizon_is_stable() {
        let spec = RunMonitorSpec { criterion: Criterion::Escape, horizon: 100, ..SPEC };
        let stayed = observe(spec, |t| (2.0 * (0.3 * t).cos(), 1.0));
        assert_eq!((stayed.verdict, stayed.growth, stayed.steps), (Verdict::Stable, None, 100));
        let escaped = observe(spec, |t| (0.1 * t, 0.0));
        assert_eq!((escaped.verdict, escaped.steps), (Verdict::Escaped, 32));
    }
}
