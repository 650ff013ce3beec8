//! Monitor of an ensemble of runs that differ in their random numbers alone, until its growth rate is known.
//!
//! Stability of a random process near a minimum has two meanings. Almost every run returns iff the mean of ln |p| falls (the
//! Lyapunov exponent). The variance returns iff ln E p^2 falls (half of it per step is the growth rate in mean square);
//! this is decided by rare runs that grow for long.
//!
//! Displacements are observed over windows of a few delays. After each window every member is scaled back to the distance
//! at which it started. In mean square the members are also resampled in proportion to their growth, so that the rare ones
//! are present. The rate is then computed from the windows' growth factors ([`super::rate`]). Not here: an engine; this
//! module only asks for copies and scalings.
//!
//! The population method is that of Grassberger (2002) and Vanneste (Phys. Rev. E 81, 036701, 2010) for generalised
//! Lyapunov exponents.

use super::monitor::Trial;
use super::rate::{self, Rate};
use super::{Criterion, mix};
use crate::engine::Observation;
use crate::threshold::Verdict;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// Windows, and units of memory, until the first check of an ensemble of no given length; every later check is at twice the
/// time.
const FIRST_CHECK: (u64, u64) = (32, 24);

/// Steps that any ensemble lasts at least: directions of little curvature take their time, whatever the delay.
const FEWEST_STEPS: u64 = 256;

/// Windows, and units of memory, that an ensemble of given length lasts at least, so that its standard error is well known.
const LEAST: (u64, u64) = (28, 80);

/// Standard errors by which a growth rate must differ from zero before its sign is believed, in an ensemble of no given length
/// and in one that is checked only once: more than two, because a search makes several of them.
const SIGNIFICANCE: [f64; 2] = [3.5, 3.0];

/// Squared distance, in units of the weighted square, beyond which rounding hides the latter.
const LOST_RATIO: f64 = 1e4;

/// Settings of an [`Ensemble`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleSpec {
    /// [`Criterion::MeanSquare`] or [`Criterion::AlmostSure`].
    pub criterion: Criterion,
    pub members: usize,
    /// Weight of a displacement across the top eigenvector, relative to one along it: as much as gradients make noise of it,
    /// zero where that is not known. Members are measured, scaled back and resampled by the weighted square.
    pub across: f64,
    /// Steps of an observation window.
    pub window: u64,
    /// Steps within which a run forgets its past, at least.
    pub memory: u64,
    /// Length in steps, where it is given before the first step; else the ensemble ends once the sign of its growth rate is
    /// clear. A length that does not depend on what is seen leaves the growth rate without a bias of selection.
    /// Longer where the standard error would not be known well.
    pub steps: Option<u64>,
    /// Steps after which the ensemble ends undecided.
    pub horizon: u64,
    /// Root of the mean weighted square to which members are scaled back after a window.
    pub scale: f64,
    /// Seed of the resampling.
    pub seed: u64,
}

/// A member that continues from the present state of `source`, scaled by `factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub member: usize,
    pub source: usize,
    pub factor: f64,
    /// Seed of new random numbers, for copies.
    pub seed: Option<u64>,
}

/// Action at the end of a window.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowEnd {
    Renew(Vec<Change>),
    Done(Trial),
}

/// Sums of squares over a window, of one member.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Energy {
    weighted: f64,
    distance: f64,
}

/// Monitor of one ensemble.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ensemble {
    spec: EnsembleSpec,
    lr: f64,
    /// Sums over the present window, one for each member.
    energies: Vec<Energy>,
    finite: bool,
    steps: u64,
    /// Growth rates per step, of finished windows: one a window in mean square, else one for each member of each window.
    rates: Vec<f64>,
    /// Windows at the next check.
    next_check: u64,
    last: Observation,
}

impl Ensemble {
    pub fn new(spec: EnsembleSpec, lr: f64) -> Self {
        let energies = vec![Energy::default(); spec.members];
        let last = Observation::default();
        let windows = |steps: u64| steps.div_ceil(spec.window);
        let next_check = match spec.steps {
            Some(steps) => windows(steps.max(LEAST.1 * spec.memory).max(FEWEST_STEPS)).max(LEAST.0),
            None => FIRST_CHECK.0.max(windows((FIRST_CHECK.1 * spec.memory).max(FEWEST_STEPS))),
        };
        Self { spec, lr, energies, finite: true, steps: 0, rates: Vec::new(), next_check, last }
    }

    /// Steps taken in.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the steps to the end of the present window.
    pub fn due(&self) -> u64 {
        self.spec.window - self.steps % self.spec.window
    }

    /// Takes one observation of every member, in their order. Returns an action at the end of each window.
    pub fn push<'a>(&mut self, seen: impl Iterator<Item = &'a Observation>) -> Option<WindowEnd> {
        for (energy, seen) in self.energies.iter_mut().zip(seen) {
            let along = seen.projection * seen.projection;
            energy.weighted += along + self.spec.across * (seen.distance_squared - along).max(0.0);
            energy.distance += seen.distance_squared;
            self.finite &= seen.finite;
            self.last = *seen;
        }
        self.steps += 1;
        self.steps.is_multiple_of(self.spec.window).then(|| self.end_window())
    }

    fn end_window(&mut self) -> WindowEnd {
        let scale = self.spec.scale * self.spec.scale * self.spec.window as f64;
        let growth: Vec<f64> = self.energies.iter().map(|energy| energy.weighted / scale).collect();
        let total = growth.iter().sum::<f64>();
        if !(self.finite && total.is_finite()) {
            return WindowEnd::Done(self.trial(Verdict::Diverged, None));
        }
        let per_step = 0.5 / self.spec.window as f64;
        match self.spec.criterion {
            Criterion::MeanSquare => self.rates.push(per_step * (total / growth.len() as f64).ln()),
            _ => self.rates.extend(growth.iter().map(|factor| per_step * factor.ln())),
        }
        let across: f64 = self.energies.iter().map(|energy| energy.distance).sum::<f64>() / scale - total;
        let lost = across > LOST_RATIO * total;
        let windows = self.steps / self.spec.window;
        let over = self.steps + self.spec.window > self.spec.horizon;
        if total == 0.0 && across == 0.0 {
            // Every member is at the minimum itself, where nothing moves it any more.
            return WindowEnd::Done(self.trial(Verdict::Stable, None));
        }
        if windows == self.next_check || over || lost {
            self.next_check *= 2;
            let ends = over || lost || self.spec.steps.is_some();
            if let Some(measured) = self.rate() {
                let Rate { rate, error } = measured;
                let clear = SIGNIFICANCE[usize::from(self.spec.steps.is_some())] * error;
                if rate.abs() > clear || (lost && rate < 0.0) {
                    let verdict = if rate > 0.0 { Verdict::Escaped } else { Verdict::Stable };
                    return WindowEnd::Done(self.trial(verdict, Some(measured)));
                }
                if ends {
                    return WindowEnd::Done(self.trial(Verdict::Undecided, Some(measured)));
                }
            } else if self.rates.iter().sum::<f64>() < if lost { 0.0 } else { f64::MIN } {
                // It fell too fast for a growth rate with a standard error, or to nothing at all.
                return WindowEnd::Done(self.trial(Verdict::Stable, None));
            } else if ends {
                return WindowEnd::Done(self.trial(Verdict::Undecided, None));
            }
        }
        let changes = self.changes(&growth, total, windows);
        self.energies.fill(Energy::default());
        WindowEnd::Renew(changes)
    }

    /// Returns the growth rate per step so far.
    fn rate(&self) -> Option<Rate> {
        match self.spec.criterion {
            Criterion::MeanSquare => rate::of_mean_square(&self.rates, self.spec.window, self.spec.memory),
            _ => rate::of_members(&self.rates, self.spec.members),
        }
    }

    /// Scales every member back; in mean square also resamples them in proportion to their growth (systematic resampling:
    /// as many copies as a member's share, rounded up or down). Survivors keep their places, the others become copies.
    fn changes(&self, growth: &[f64], total: f64, windows: u64) -> Vec<Change> {
        let members = growth.len();
        let factor = |source: usize| if growth[source] > 0.0 { growth[source].sqrt().recip() } else { 1.0 };
        let stay = |member: usize| Change { member, source: member, factor: factor(member), seed: None };
        let mut changes: Vec<Change> = (0..members).map(stay).collect();
        if self.spec.criterion != Criterion::MeanSquare || members == 1 || total <= 0.0 {
            return changes;
        }
        let seed = mix(self.spec.seed, windows);
        let offset: f64 = ChaCha8Rng::seed_from_u64(seed).random();
        let mut copies = vec![0u32; members];
        let (mut source, mut passed) = (0, growth[0]);
        for place in 0..members {
            let mark = (place as f64 + offset) / members as f64 * total;
            while passed <= mark && source + 1 < members {
                source += 1;
                passed += growth[source];
            }
            copies[source] += 1;
        }
        let mut spare =
            (0..members).flat_map(|source| (1..copies[source]).map(move |_| source)).collect::<Vec<_>>().into_iter();
        for member in (0..members).filter(|member| copies[*member] == 0) {
            let source = spare.next().expect("there are as many spare copies as members without one");
            changes[member] =
                Change { member, source, factor: factor(source), seed: Some(mix(seed, 1 + member as u64)) };
        }
        changes
    }

    fn trial(&self, verdict: Verdict, rate: Option<Rate>) -> Trial {
        Trial {
            lr: self.lr,
            start: None,
            verdict,
            doubt: None,
            growth: rate.map(|measured| measured.rate),
            error: rate.map(|measured| measured.error),
            members: self.spec.members,
            steps: self.steps,
            last: self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    const SPEC: EnsembleSpec = EnsembleSpec {
        criterion: Criterion::AlmostSure,
        members: 64,
        across: 0.0,
        window: 4,
        memory: 1,
        steps: None,
        horizon: 40_000,
        scale: 1.0,
        seed: 3,
    };

    fn seen(projection: f64) -> Observation {
        Observation { distance_squared: projection * projection, projection, loss: 0.0, finite: projection.is_finite() }
    }

    /// Members whose ln |p| makes independent normal steps, drift and spread per step: the Lyapunov exponent is the drift, and
    /// E p^2 grows by e^(2 drift + 2 spread^2), half of which per step is the growth rate in mean square.
    fn observe(spec: EnsembleSpec, drift: f64, spread: f64) -> Trial {
        let mut ensemble = Ensemble::new(spec, 0.5);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let step = Normal::new(drift, spread).unwrap();
        let mut members = vec![1.0f64; spec.members];
        loop {
            members.iter_mut().for_each(|p| *p *= step.sample(&mut rng).exp());
            let seen: Vec<Observation> = members.iter().map(|p| seen(*p)).collect();
            match ensemble.push(seen.iter()) {
                None => {}
                Some(WindowEnd::Done(trial)) => return trial,
                Some(WindowEnd::Renew(changes)) => {
                    let before = members.clone();
                    for Change { member, source, factor, .. } in changes {
                        members[member] = before[source] * factor;
                    }
                }
            }
        }
    }

    #[test]
    fn a_walk_that_almost_surely_returns_may_leave_in_mean_square() {
        let (drift, spread) = (-0.01, 0.15);
        let sure = observe(SPEC, drift, spread);
        assert_eq!((sure.verdict, sure.members), (Verdict::Stable, 64));
        assert!((sure.growth.unwrap() - drift).abs() <= 4.0 * sure.error.unwrap(), "{sure:?}");
        let square = observe(EnsembleSpec { criterion: Criterion::MeanSquare, ..SPEC }, drift, spread);
        assert_eq!(square.verdict, Verdict::Escaped);
        let expected = drift + spread * spread;
        assert!((square.growth.unwrap() - expected).abs() <= 4.0 * square.error.unwrap(), "{square:?}");
    }

    #[test]
    fn what_cannot_be_told_from_zero_is_undecided_and_what_overflows_diverges() {
        let spec = EnsembleSpec { horizon: 2_000, ..SPEC };
        assert_eq!(observe(spec, 0.0, 0.1).verdict, Verdict::Undecided);
        assert_eq!(observe(spec, 400.0, 0.0).verdict, Verdict::Diverged);
    }

    #[test]
    fn a_direction_that_dies_away_under_the_others_is_stable() {
        let mut ensemble = Ensemble::new(SPEC, 0.5);
        let dying = |t: i32| Observation { distance_squared: 1.0, ..seen(0.1f64.powi(t)) };
        let trial = (0..).find_map(|t| match ensemble.push(vec![dying(t); SPEC.members].iter()) {
            Some(WindowEnd::Done(trial)) => Some(trial),
            _ => None,
        });
        assert_eq!(trial.unwrap().verdict, Verdict::Stable);
    }

    proptest! {
        /// Every member has as many copies as its share, rounded up or down; none is both overwritten and copied.
        #[test]
        fn members_survive_in_proportion_to_their_growth(
            growth in proptest::collection::vec(0.0..10.0f64, 2..40), windows in 0u64..1000,
        ) {
            let spec = EnsembleSpec { criterion: Criterion::MeanSquare, members: growth.len(), ..SPEC };
            let total: f64 = growth.iter().sum();
            prop_assume!(total > 0.0);
            let changes = Ensemble::new(spec, 0.5).changes(&growth, total, windows);
            prop_assert_eq!(changes.iter().map(|change| change.member).collect::<Vec<_>>(), (0..growth.len()).collect::<Vec<_>>());
            for (member, own) in growth.iter().enumerate() {
                let copies = changes.iter().filter(|change| change.source == member).count() as f64;
                let share = own / total * growth.len() as f64;
                prop_assert!((copies - share).abs() < 1.0 + 1e-9, "{copies} copies of a share of {share}");
                if copies > 0.0 {
                    prop_assert_eq!(changes[member].source, member, "a source keeps its place");
                }
            }
            for change in &changes {
                prop_assert_eq!(change.seed.is_some(), change.source != change.member);
                prop_assert!((change.factor * growth[change.source].sqrt() - 1.0).abs() < 1e-9);
            }
        }
    }
}
