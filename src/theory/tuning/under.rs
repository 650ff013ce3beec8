//! The search for the fastest parameters of a rule under delays that vary.
//!
//! It starts from the parameters that are best at fixed delays, at their gain and less, and goes on with the simplex; what it minimises is the
//! updates per e-fold in mean square, exact or simulated ([`LateRates`]). That they are the best of all is not proved.

use super::rate::RateEffort;
use super::rule::LinearRule;
use super::search::{NOWHERE, descend};
use super::simulation::{SimulatedDelays, SlotSteps};
use super::varying::{LateDynamics, rate_under};
use super::{TunedRule, momentum, predicting, tune, tune_by_formula};
use crate::theory::DelayLaw;

/// Curvatures while searching, and of the rate that is told.
const SEARCHING: usize = 9;
const TOLD: usize = 25;

/// Parts of a fixed delay's best gain from which the search starts.
const PARTS: [f64; 6] = [1.0, 0.7, 0.45, 0.25, 0.1, 0.03];

/// Parts of what the search finds that are confirmed.
const LESS: [f64; 3] = [1.0, 0.87, 0.7];

/// Starts from which the simplex goes.
const DESCENTS: usize = 2;

/// Delays with which a rate can be asked for.
pub trait LateRates: Sync {
    /// The rate in mean square for the search, at a gain and a condition number; `efold` is about the updates of an e-fold.
    fn estimate(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64>;
    /// An estimate by more draws, by which the search goes on from what it has found; none where it would tell no more.
    fn refine(&self, _rule: &LinearRule, _at: (f64, f64), _efold: f64) -> Option<f64> {
        None
    }
    /// The same with more care, and by other draws: the search takes what its own are kind to.
    fn confirm(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64>;
}

impl LateRates for DelayLaw {
    fn estimate(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64> {
        let effort = RateEffort { precision: 1e-4, hint: Some(efold.recip()) };
        rate_under(self, LateDynamics::MeanSquare, rule, at, SEARCHING, effort)
    }

    fn confirm(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64> {
        let effort = RateEffort { precision: 1e-5, hint: Some(efold.recip()) };
        rate_under(self, LateDynamics::MeanSquare, rule, at, TOLD, effort)
    }
}

impl<F: Fn(u64) -> S + Sync, S: SlotSteps> LateRates for SimulatedDelays<F> {
    fn estimate(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64> {
        self.estimated(rule, at, SEARCHING, efold)
    }

    fn refine(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64> {
        self.refined(rule, at, SEARCHING, efold)
    }

    fn confirm(&self, rule: &LinearRule, at: (f64, f64), efold: f64) -> Option<f64> {
        self.confirmed(rule, at, TOLD, efold)
    }
}

impl DelayLaw {
    /// Updates per e-fold of the slowest of 25 logarithmically spaced curvatures at a gain, that of the largest; none where one does not
    /// decay, and where delays drawn independently are longer than [`super::LONGEST_EXACT`] or meet a velocity for each worker.
    pub fn updates_per_efold(
        &self,
        dynamics: LateDynamics,
        rule: &LinearRule,
        gain: f64,
        condition: f64,
    ) -> Option<f64> {
        let effort = RateEffort { precision: 1e-6, hint: None };
        rate_under(self, dynamics, rule, (gain, condition), TOLD, effort).map(f64::recip)
    }
}

impl<F: Fn(u64) -> S + Sync, S: SlotSteps> SimulatedDelays<F> {
    /// The rate of the slowest of 25 logarithmically spaced curvatures at a gain, that of the largest; `efold` is about the updates of an
    /// e-fold. None where numbers do not hold the run.
    pub fn rate(&self, rule: &LinearRule, gain: f64, condition: f64, efold: f64) -> Option<super::SimulatedRate> {
        self.measure(rule, (gain, condition), TOLD, efold)
    }
}

/// Rule and gain that are fastest in mean square under delays that vary, with the gain times `lr_factor` and the others best for that gain; none
/// where nothing that was tried decays. `fixed` are delays whose best parameters are the starts, the first of them typical: its e-folds tell
/// how long a simulation lasts.
pub fn tune_under(
    rule: TunedRule,
    rates: &dyn LateRates,
    fixed: &[usize],
    condition: f64,
    lr_factor: f64,
) -> Option<(LinearRule, f64)> {
    let starts = fixed.iter().flat_map(|delay| {
        [tune(rule, *delay, condition, 1.0), tune_by_formula(rule, *delay, condition, 1.0)].into_iter().flatten()
    });
    let starts = starts.filter_map(|tuning| Some((tuning.rule, tuning.gain, tuning.updates_per_efold?)));
    let starts: Vec<(LinearRule, f64, f64)> = starts.collect();
    let efold = starts.first()?.2;
    let cost = |found: Option<(LinearRule, f64)>| -> f64 {
        let rate = found.and_then(|(rule, gain)| rates.estimate(&rule, (gain, condition), efold));
        rate.map_or(NOWHERE, |rate| -rate.ln())
    };
    let tried = starts.iter().flat_map(|(rule, gain, _)| PARTS.map(|part| (*rule, part * gain)));
    let tried = tried.map(|(at, gain)| (cost(Some((at, gain))), at, gain));
    let mut tried: Vec<(f64, LinearRule, f64)> = tried.filter(|(least, ..)| *least < NOWHERE).collect();
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    tried.truncate(DESCENTS);
    let descended = tried.iter().filter_map(|(least, at, gain)| {
        let start = (*least, numbers(rule, at, Some(*gain)));
        let (_, found) = descend(&|numbers| cost(of_numbers(rule, numbers, at, None)), start);
        of_numbers(rule, &found, at, None)
    });
    // Between the curvatures of the search, and under other draws, what was found may be slower than with less gain, or than where
    // it began.
    let descended = descended.flat_map(|(rule, gain)| LESS.map(|part| (rule, part * gain)));
    let finalists = descended.chain(tried.iter().map(|(_, at, gain)| (*at, *gain)));
    let finalists = finalists.chain(starts.iter().map(|(at, gain, _)| (*at, *gain)));
    let confirm = |(at, gain): (LinearRule, f64)| Some((rates.confirm(&at, (gain, condition), efold)?, at, gain));
    let mut confirmed: Vec<(f64, LinearRule, f64)> = finalists.filter_map(confirm).collect();
    confirmed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (_, at, gain) = *confirmed.first()?;
    // What few draws were kind to is far from the best; more draws are searched from what they have left.
    let refined = |numbers: &[f64]| {
        let found = of_numbers(rule, numbers, &at, None);
        let rate = found.and_then(|(rule, gain)| rates.refine(&rule, (gain, condition), efold));
        rate.map_or(NOWHERE, |rate| -rate.ln())
    };
    let start = numbers(rule, &at, Some(gain));
    let least = refined(&start);
    if least < NOWHERE {
        let (_, found) = descend(&refined, (least, start));
        let further = of_numbers(rule, &found, &at, None).into_iter();
        confirmed.extend(further.flat_map(|(rule, gain)| LESS.map(|part| (rule, part * gain))).filter_map(confirm));
    }
    let best = confirmed.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at, gain)| (at, gain))?;
    if lr_factor == 1.0 {
        return Some(best);
    }
    let gain = lr_factor * best.1;
    let start = numbers(rule, &best.0, None);
    let least = cost(Some((best.0, gain)));
    let (_, found) = descend(&|numbers| cost(of_numbers(rule, numbers, &best.0, Some(gain))), (least, start));
    of_numbers(rule, &found, &best.0, Some(gain))
}

/// What is free of a rule as numbers of about the size 1: the logarithm of the gain where it is free, the momentum, horizons.
fn numbers(rule: TunedRule, at: &LinearRule, gain: Option<f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = gain.into_iter().map(f64::ln).collect();
    if rule != TunedRule::Sgd {
        numbers.push(at.momentum().atanh());
    }
    if let LinearRule::Predicting { horizons: [first, second], .. } = *at {
        match rule {
            TunedRule::WeightPrediction(None) => numbers.push((first + SHORT).ln()),
            TunedRule::SecondPrediction(None) => numbers.extend([(first + SHORT).ln(), (second + SHORT).ln()]),
            _ => {}
        }
    }
    numbers
}

/// Added to a horizon, updates, so that one of 0 has a logarithm.
const SHORT: f64 = 0.5;

/// Rule and gain of [`numbers`]; none outside what the rule accepts. What `numbers` do not say is as `at`.
fn of_numbers(rule: TunedRule, numbers: &[f64], at: &LinearRule, gain: Option<f64>) -> Option<(LinearRule, f64)> {
    let mut numbers = numbers.iter().copied();
    let gain = match gain {
        Some(gain) => gain,
        None => numbers.next()?.exp(),
    };
    let number = numbers.next().unwrap_or(0.0);
    let mut horizon = || numbers.next().map_or(0.0, |number| number.exp() - SHORT).max(0.0);
    let rule = match (rule, *at) {
        (TunedRule::Nesterov, _) => predicting(number, [momentum(number), 0.0]),
        (TunedRule::WeightPrediction(None), _) => predicting(number, [horizon(), 0.0]),
        (TunedRule::SecondPrediction(None), _) => {
            let first = horizon();
            predicting(number, [first, horizon()])
        }
        (_, LinearRule::Predicting { horizons, .. }) => predicting(number, horizons),
        (_, LinearRule::PerWorker { .. }) => Some(LinearRule::PerWorker { momentum: momentum(number) }),
        (_, LinearRule::Mixing { share, .. }) => Some(LinearRule::Mixing { momentum: momentum(number), share }),
    };
    rule.filter(|_| gain.is_finite()).map(|rule| (rule, gain))
}
