//! The fastest parameters of stationary linear rules under a delay, and how far they are from what anything can reach.
//!
//! *What it is:* updates per e-fold of the slowest direction, the worst over *all* curvatures between `lambda_max / condition` and
//! `lambda_max`, of rules whose equation is `D(z) + K N(z) = 0`; parameters that make it small; the bound below which no such
//! rule gets. Under delays that vary ([`tune_under`]) it is the worst over curvatures of a grid, in the mean, in mean
//! square, or simulated. *What it is not:* a statement about noise of gradients that multiplies, or losses that are no quadratic.

mod circle;
mod formula;
mod locus;
mod mixing;
mod noise;
mod rate;
mod robustness;
mod rule;
mod run;
mod search;
mod simulation;
mod under;
mod varying;

use std::cell::Cell;

use super::mixed::mixed_margin;
use formula::{Formula, recipe};
use rate::RateEffort;
pub use rate::{bound, bound_at};
pub use robustness::with_a_slow_worker;
pub use rule::LinearRule;
use search::Family;
pub use simulation::{SimulatedDelays, SimulatedRate, SlotSteps};
pub use under::{LateRates, tune_under};
pub use varying::{LONGEST_EXACT, LateDynamics};

/// The longest delay and the largest condition number that are answered; the longest horizon, updates, and the largest weight of the
/// change of a step, updates squared, those of the rules that run.
pub const LONGEST_TUNED_DELAY: usize = 64;
pub const LARGEST_CONDITION: f64 = 1e6;
pub const LONGEST_HORIZON: f64 = 1e4;
pub const LARGEST_SECOND_HORIZON: f64 = 1e8;

/// A rule to tune, with the numbers that are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TunedRule {
    Sgd,
    HeavyBall,
    Nesterov,
    Shifted,
    /// With the horizon free, or held.
    WeightPrediction(Option<f64>),
    /// With both horizons free, or held.
    SecondPrediction(Option<[f64; 2]>),
    Mixing {
        share: f64,
    },
}

impl TunedRule {
    /// Vectors as long as the weights that are kept beside them: by the server, and one for each worker with `Shifted`.
    pub fn extra_vectors(&self, delay: usize) -> usize {
        match self {
            Self::Sgd => 0,
            Self::HeavyBall | Self::Nesterov | Self::WeightPrediction(_) | Self::Mixing { .. } => 1,
            Self::SecondPrediction(_) => 2,
            Self::Shifted => delay + 1,
        }
    }

    /// Whether the rule is, or has at its best, one velocity and no prediction where nothing is late.
    fn is_heavy_ball_without_delay(&self) -> bool {
        match self {
            Self::HeavyBall | Self::Shifted => true,
            Self::WeightPrediction(horizon) => horizon.is_none_or(|horizon| horizon == 0.0),
            Self::SecondPrediction(horizons) => horizons.is_none_or(|horizons| horizons == [0.0; 2]),
            Self::Sgd | Self::Nesterov | Self::Mixing { .. } => false,
        }
    }
}

/// Where parameters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TuningSource {
    Optimised,
    Formula,
    /// A formula that was fitted to other delays and condition numbers.
    FormulaBeyondFit,
}

/// Parameters, and what they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    pub rule: LinearRule,
    /// Learning rate times the largest curvature.
    pub gain: f64,
    /// None where a direction does not decay, which a formula does not exclude.
    pub updates_per_efold: Option<f64>,
    pub source: TuningSource,
}

impl Tuning {
    /// What gradient noise of variance 1 leaves of curvature times variance, on the mean of logarithmically spaced curvatures, at
    /// the server and at the read point, with `lambda_max = 1`; none where a direction does not decay.
    pub fn noise_floors(&self, delay: usize, condition: f64) -> Option<[f64; 2]> {
        self.updates_per_efold?;
        let floors = noise::floors(&self.rule, delay, self.gain, condition);
        // Rounded gains may be those of a rule that is not stable.
        Some(floors).filter(|floors| floors.iter().all(|floor| floor.is_finite()))
    }
}

/// The parameters of `rule` that make the slowest direction fastest, with the gain times `lr_factor` and the others best for that
/// gain; none where nothing of the rule is stable.
pub fn tune(rule: TunedRule, delay: usize, condition: f64, lr_factor: f64) -> Option<Tuning> {
    if delay == 0 && rule.is_heavy_ball_without_delay() {
        return synchronous(rule, condition, lr_factor).map(optimised);
    }
    let best = family(rule, delay, condition, None).best()?;
    if lr_factor == 1.0 {
        return Some(optimised(best));
    }
    tune_at(rule, delay, condition, best.1 * lr_factor)
}

/// The parameters of `rule` that make the slowest direction fastest at a gain, that of the largest curvature; none where nothing of the rule is
/// stable there.
pub fn tune_at(rule: TunedRule, delay: usize, condition: f64, gain: f64) -> Option<Tuning> {
    if delay == 0 && rule.is_heavy_ball_without_delay() {
        let (fastest, _) = recipe(Formula::Mixing { share: 1.0 }, 0, condition, 1.0)?;
        return synchronous(rule, condition, gain / fastest).map(optimised);
    }
    family(rule, delay, condition, Some(gain)).best().map(optimised)
}

fn optimised((rule, gain, rate): (LinearRule, f64, f64)) -> Tuning {
    Tuning { rule, gain, updates_per_efold: Some(1.0 / rate), source: TuningSource::Optimised }
}

/// Synchronous heavy-ball, whose optimum is known and is the bound itself. Its roots are on one circle at all gains, so that
/// there is nothing to search.
fn synchronous(rule: TunedRule, condition: f64, lr_factor: f64) -> Option<(LinearRule, f64, f64)> {
    let (gain, mixing) = recipe(Formula::Mixing { share: 1.0 }, 0, condition, lr_factor)?;
    let rate = rate::rate(&mixing, 0, gain, condition, RateEffort { precision: 0.0, hint: None })?;
    let momentum = mixing.momentum();
    let rule = match rule {
        TunedRule::Shifted => LinearRule::PerWorker { momentum },
        _ => LinearRule::Predicting { momentum, horizons: [0.0; 2] },
    };
    Some((rule, gain, rate))
}

/// The parameters that a formula gives, for rules that have one.
pub fn tune_by_formula(rule: TunedRule, delay: usize, condition: f64, lr_factor: f64) -> Option<Tuning> {
    let formula = match rule {
        TunedRule::WeightPrediction(None) => Formula::WeightPrediction,
        TunedRule::SecondPrediction(None) => Formula::SecondPrediction,
        TunedRule::Mixing { share } => Formula::Mixing { share },
        _ => return None,
    };
    let (gain, rule) = recipe(formula, delay, condition, lr_factor)?;
    let updates_per_efold = updates_per_efold(&rule, delay, gain, condition);
    let source =
        if formula.is_fitted(delay, condition) { TuningSource::Formula } else { TuningSource::FormulaBeyondFit };
    Some(Tuning { rule, gain, updates_per_efold, source })
}

/// Updates per e-fold of the slowest direction at a gain (that of the largest curvature); none where one does not decay.
pub fn updates_per_efold(rule: &LinearRule, delay: usize, gain: f64, condition: f64) -> Option<f64> {
    rate::rate(rule, delay, gain, condition, RateEffort { precision: 1e-9, hint: None }).map(f64::recip)
}

/// Momenta from which a search starts, as numbers: closer and closer to 1.
const MOMENTA: [f64; 11] = [0.0, 0.2, 0.5, 0.9, 1.4, 1.9, 2.5, 3.2, 4.0, 5.0, 6.0];

/// The momentum of a number: from 0 to below 1, and finer towards 1. Negative momenta, which no rule here takes, would make
/// heavy-ball up to a twentieth faster.
fn momentum(number: f64) -> f64 {
    number.max(0.0).tanh()
}

fn family(rule: TunedRule, delay: usize, condition: f64, gain: Option<f64>) -> Family {
    let period = (delay + 1) as f64;
    let number = |momentum: f64| momentum.atanh();
    let alone = || MOMENTA.map(|number| vec![number]).to_vec();
    let family =
        |rule, starts| Family { delay, condition, gain, rule, gain_is_last: false, starts, latest: Cell::new(0.0) };
    let fit = |formula| recipe(formula, delay, condition, 1.0).map(|(_, rule)| rule);
    match rule {
        TunedRule::Sgd => {
            let sgd = LinearRule::Predicting { momentum: 0.0, horizons: [0.0; 2] };
            family(Box::new(move |_| Some(sgd)), vec![vec![]])
        }
        TunedRule::HeavyBall => family(Box::new(move |n| predicting(n[0], [0.0; 2])), alone()),
        TunedRule::Nesterov => family(Box::new(move |n| predicting(n[0], [momentum(n[0]), 0.0])), alone()),
        TunedRule::Shifted => {
            // The memory of a worker is as old as its gradient: momentum by update, and for T of them.
            let shifted = move |n: &[f64]| Some(LinearRule::PerWorker { momentum: momentum(n[0]) });
            family(Box::new(shifted), alone())
        }
        TunedRule::WeightPrediction(Some(horizon)) => {
            family(Box::new(move |n| predicting(n[0], [horizon, 0.0])), alone())
        }
        TunedRule::WeightPrediction(None) => {
            let mut starts: Vec<Vec<f64>> = MOMENTA
                .iter()
                .flat_map(|number| [0.3, 0.8, 1.2, 1.5, 1.8, 2.2].map(|horizon| vec![*number, horizon]))
                .collect();
            if let Some(LinearRule::Predicting { momentum, horizons }) = fit(Formula::WeightPrediction) {
                starts.push(vec![number(momentum), horizons[0] / period]);
            }
            family(Box::new(move |n| predicting(n[0], [n[1] * period, 0.0])), starts)
        }
        TunedRule::SecondPrediction(Some(horizons)) => family(Box::new(move |n| predicting(n[0], horizons)), alone()),
        TunedRule::SecondPrediction(None) => {
            let mut starts = vec![];
            if let Some(LinearRule::Predicting { momentum, horizons: [first, second] }) = fit(Formula::SecondPrediction)
            {
                for shift in [-0.4, 0.0, 0.4] {
                    for stretch in [0.7, 0.85, 1.0] {
                        for bend in [0.7, 1.0, 1.2] {
                            let horizons = [stretch * first / period, bend * second / period.powi(2)];
                            starts.push(vec![number(momentum) + shift, horizons[0], horizons[1]]);
                        }
                    }
                }
            }
            let rule = move |n: &[f64]| predicting(n[0], [n[1] * period, n[2] * period * period]);
            family(Box::new(rule), starts)
        }
        TunedRule::Mixing { share } => {
            // The double root of the flattest direction at every gain up to twice that of synchronous heavy-ball, or at the one given.
            let with = |lr_factor| recipe(Formula::Mixing { share }, delay, condition, lr_factor);
            let (synchronous, _) = with(1.0).expect("mixing has a formula at every delay");
            let factors = match gain {
                Some(gain) => vec![gain / synchronous],
                None => (0..60).map(|step| (f64::from(step) / 60.0).exp2()).collect(),
            };
            let start = |(best, rule): (f64, LinearRule)| {
                let momentum = number(rule.momentum());
                if gain.is_some() { vec![momentum] } else { vec![momentum, best.ln()] }
            };
            // With a tiny share the server is slow enough for larger gains, and anything but no momentum remembers for 1/share
            // updates: parts of the threshold without momentum.
            let (threshold, _) = mixed_margin(0.0, share, delay);
            let without = match gain {
                Some(_) => vec![vec![0.0]],
                None => (1..12).map(|part| vec![0.0, (threshold * f64::from(part) / 12.0).ln()]).collect(),
            };
            let starts = factors.into_iter().filter_map(with).map(start).chain(without);
            let starts = starts.filter(|start: &Vec<f64>| start.iter().all(|number| number.is_finite())).collect();
            let rule = move |n: &[f64]| Some(LinearRule::Mixing { momentum: momentum(n[0]), share });
            Family { gain_is_last: gain.is_none(), ..family(Box::new(rule), starts) }
        }
    }
}

/// A predicting rule, where its horizons are forward ones.
fn predicting(number: f64, horizons: [f64; 2]) -> Option<LinearRule> {
    let limits = [LONGEST_HORIZON, LARGEST_SECOND_HORIZON];
    let forward = horizons.iter().zip(limits).all(|(horizon, limit)| (0.0..=limit).contains(horizon));
    forward.then(|| LinearRule::Predicting { momentum: momentum(number), horizons })
}
