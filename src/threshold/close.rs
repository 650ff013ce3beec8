//! Ensembles around the expected zero of a growth rate that is an average: at which learning rates, and how long.
//!
//! Their length is chosen before they start, from what the trials so far say of noise and slope. An ensemble that ended as
//! soon as its growth rate looked clear would be one whose growth rate was overestimated. Not here: the fit ([`super::zero`]).

use super::monitor::Trial;
use super::zero::Spread;
use super::{Request, StartPoint, Verdict};

/// Standard error of the threshold that a pair of ensembles aims at, in units of the tolerance: the confidence interval,
/// four of them wide, is then within the tolerance in almost every case.
const AIM: f64 = 0.2;

/// Distance of each of the pair from the expected threshold, in units of the tolerance. Closer ones might not be told from
/// the threshold, between more distant ones the growth rate is less straight.
const DISTANCE: f64 = 1.8;

/// Largest standard error of one of the pair, in units of the tolerance: its sign must be clear.
const CLEAR: f64 = 0.36;

/// Where the standard error of the expected threshold is larger than one of the pair may be, the pair stands so many of them
/// apart, at most so far, and aims at a standard error so many times smaller.
const FARTHER: (f64, f64, f64) = (2.0, 0.2, 4.0);

/// Distance where growth rates above the threshold alone say where it is: they bend towards it.
const NEAR_BEND: f64 = 0.5;

/// Where growth rates above the threshold alone say where it is, a third one stands so many times as far above it.
const ABOVE: f64 = 3.0;

/// Share of an ensemble's steps that its growth rate is measured in.
const SETTLED: f64 = 0.875;

/// Distance from the threshold in ln(lr) up to which an ensemble says how noisy others will be.
const ALIKE: f64 = 0.3;

/// Learning rates, in units of the threshold, whose growth rate is that of whatever decays slowest.
const SLOWEST: (f64, f64) = (0.5, 0.95);

/// Length of an ensemble, in units of the time in which an e-th of that is left.
const SETTLING: f64 = 8.0;

/// Returns the next requests of a search that expects the threshold at `zero`.
pub fn requests(trials: &[Trial], zero: f64, spread: &Spread, tolerance: f64) -> Vec<Request> {
    let Spread { error, slope, from_above, .. } = *spread;
    let pair = |half: f64, steps| {
        let of = |lr| Request { lr, start: StartPoint::Near, agreement: 1.0, steps };
        let mut lrs = vec![1.0 - half, 1.0 + half];
        lrs.extend(from_above.then_some(1.0 + ABOVE * half));
        lrs.into_iter().map(|factor| of(zero * factor)).collect()
    };
    let half = match from_above {
        true => NEAR_BEND * tolerance,
        false => (FARTHER.0 * error).clamp(DISTANCE * tolerance, FARTHER.1.max(DISTANCE * tolerance)),
    };
    let Some(noise) = noise(trials, zero) else { return pair(half, None) };
    // Information adds up: what is missing is shared by two.
    let missing = (AIM * tolerance).powi(-2) - error.powi(-2);
    let each = match from_above {
        true => CLEAR / DISTANCE * half,
        false => (0.5 * missing).powf(-0.5).min(CLEAR * tolerance).max(error / FARTHER.2),
    };
    let steps = noise / (each * slope).powi(2) / SETTLED;
    pair(half, Some(steps.max(settling(trials, zero)).ceil() as u64))
}

/// Steps until what an ensemble starts with matters no more: what decays slowest at learning rates below the threshold does so at
/// the threshold too.
fn settling(trials: &[Trial], zero: f64) -> f64 {
    let below = trials.iter().filter(|trial| (SLOWEST.0..SLOWEST.1).contains(&(trial.lr / zero)));
    let rates = below.filter(|trial| trial.verdict == Verdict::Stable).filter_map(|trial| trial.growth);
    SETTLING / rates.map(f64::abs).fold(f64::INFINITY, f64::min)
}

/// Variance of the growth rate times the steps that it is measured in: the mean of the ensembles nearby, or of all.
fn noise(trials: &[Trial], zero: f64) -> Option<f64> {
    let of = |distance: f64| {
        let near = trials.iter().filter(|trial| (trial.lr / zero).ln().abs() <= distance);
        let noises = near.filter_map(|trial| Some((trial.steps as f64, trial.error?)));
        let sums = noises.map(|(steps, error)| [steps * steps * error * error * SETTLED, steps]);
        let [noise, steps] = sums.fold([0.0; 2], |sum, term| [sum[0] + term[0], sum[1] + term[1]]);
        (steps > 0.0).then_some(noise / steps)
    };
    of(ALIKE).or_else(|| of(f64::INFINITY))
}
