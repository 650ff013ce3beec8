//! How fast a rule is under delays that vary, where the theory knows their law: in the mean, and in mean square.
//!
//! The rate is that of the slowest of logarithmically spaced curvatures, both ends among them. In the mean ([`LateDynamics::Averaged`]) the
//! average over all draws decays; a run does not know of it. The root of the mean square ([`LateDynamics::MeanSquare`]) decays more slowly, and
//! almost every run at least as fast as that.
//!
//! Independent delays go by [`super::circle`]. Of randomly reporting workers the second moments of server and workers are 16 numbers,
//! whatever the number of workers ([`crate::theory::workers`]). Not here: processes without a law ([`super::simulation`]).

use super::circle::Loops;
use super::rate::{RateEffort, bound, largest};
use super::rule::LinearRule;
use super::run::Run;
use crate::theory::DelayLaw;
use crate::theory::workers::random_workers_growth;

/// Whose decay is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateDynamics {
    /// The average over all draws of the delays.
    Averaged,
    /// The root of the mean square over all draws.
    MeanSquare,
}

/// The longest delay of a distribution whose rates are computed; beyond they are simulated.
pub const LONGEST_EXACT: usize = 128;

/// The decay per update of the slowest of `curvatures` curvatures under a law of delays; none where one does not decay, where delays are
/// drawn independently and the rule keeps a velocity for each worker, or where they are longer than [`LONGEST_EXACT`]. Of a
/// fixed delay both dynamics are one.
pub(super) fn rate_under(
    law: &DelayLaw,
    dynamics: LateDynamics,
    rule: &LinearRule,
    (gain, condition): (f64, f64),
    curvatures: usize,
    effort: RateEffort,
) -> Option<f64> {
    let gains = gains(gain, condition, curvatures);
    match law {
        DelayLaw::RandomWorkers(workers) => {
            let growth = |gain: f64| {
                let report = Run::new(*rule, 1, gain).map_of(|run| run.report(0, 0));
                let [mean, root_mean_square] = random_workers_growth(&report, *workers);
                match dynamics {
                    LateDynamics::Averaged => mean,
                    LateDynamics::MeanSquare => root_mean_square,
                }
            };
            let slowest = gains.map(growth).fold(f64::NEG_INFINITY, f64::max);
            (slowest < 0.0).then_some(-slowest)
        }
        DelayLaw::Independent(pmf) if pmf.longest() <= LONGEST_EXACT => {
            exact(pmf.probabilities(), dynamics, rule, gains, (condition, effort))
        }
        DelayLaw::Fixed(delay) if *delay <= LONGEST_EXACT => {
            let certain: Vec<f64> = (0..=*delay).map(|j| f64::from(u8::from(j == *delay))).collect();
            exact(&certain, dynamics, rule, gains, (condition, effort))
        }
        DelayLaw::Independent(_) | DelayLaw::Fixed(_) => None,
    }
}

fn exact(
    probabilities: &[f64],
    dynamics: LateDynamics,
    rule: &LinearRule,
    gains: impl Iterator<Item = f64>,
    (condition, effort): (f64, RateEffort),
) -> Option<f64> {
    let all: Option<Vec<Loops>> = gains.map(|gain| Loops::new(rule, gain, probabilities)).collect();
    let all = all?;
    let room = |rate: f64| match dynamics {
        LateDynamics::Averaged => all.iter().all(|loops| loops.mean_decays(rate)).then_some(1.0),
        LateDynamics::MeanSquare => {
            let rooms = all.iter().map(|loops| loops.room_in_mean_square(rate).filter(|room| *room >= 0.0));
            rooms.reduce(|a, b| Some(a?.min(b?)))?
        }
    };
    // No rule gets below the bound of a delay of 0.
    largest(room, bound(0, condition).recip(), effort)
}

/// Gains of logarithmically spaced curvatures from the largest to the smallest.
pub(super) fn gains(gain: f64, condition: f64, curvatures: usize) -> impl Iterator<Item = f64> {
    (0..curvatures).map(move |index| gain * condition.powf(-(index as f64) / (curvatures - 1) as f64))
}
