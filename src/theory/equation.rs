//! The characteristic equation `D(z) + K N(z) = 0` as an update rule states it.
//!
//! *What it is:* `D` by where the rule keeps its velocity, and `N` by its two coefficients, under a law of delays. *What it
//! is not:* a search for roots ([`super::margin`]); nor a list of rules, which state their equations themselves.

use std::ops::{Range, RangeInclusive};

use super::TheoryError;
use super::binomial::Binomial;
use super::characteristic::Characteristic;
use super::law::{DelayLaw, LONGEST_DELAY};
use super::mixture::Mixture;

/// Momenta that a rule may have.
pub const MOMENTA: Range<f64> = 0.0..1.0;

/// Dampenings that a rule may have.
pub const DAMPENINGS: RangeInclusive<f64> = 0.0..=1.0;

/// `D(z) + K N(z) = 0`: an update rule under a law of delays, along one direction of curvature, with the gain `K`.
#[derive(Clone, Debug)]
pub struct Equation {
    pub law: DelayLaw,
    pub velocity: Velocity,
    /// `N(z) = n0 + n1 (z-1)` as `[n0, n1]`: how a gradient comes to the weights that workers read.
    pub numerator: [f64; 2],
    /// The same from a gradient to the weights that a server's weight decay acts on, where those are others.
    pub decay_numerator: Option<[f64; 2]>,
    /// Coefficient `n2` of a rule whose workers read weights predicted by two differences, or whose look-ahead is extrapolated: `N` is then
    /// `z (n0 + n1 (z-1)) + n2 (z-1)^2` behind one power of `z` more. 0 elsewhere.
    pub bend: f64,
    /// What `N` is divided by for a gradient of this age, where the age matters.
    pub divisor: Option<fn(usize) -> f64>,
    /// Share `a` of a worker's result that the server takes in, where it mixes results instead of adding gradients; `velocity`
    /// and `numerator` are then those of the worker's own step, and with `q = z^tau (z - 1 + a)` the equation is
    /// `(q - a)(q - a m) + K n0 a q = 0` (`theory::mixed`).
    pub share: Option<f64>,
    /// Ages of the gradients that one update applies together, with their weights, which sum to 1: `N` is then multiplied by
    /// `sum_j w_j z^(tau - age_j)`. Empty where all are as old as the law says.
    pub ages: Vec<(usize, f64)>,
    /// What an overlap of rounds does to `N` and `D`.
    pub lag: Option<Lag>,
    /// Arrivals from one step of the momentum to the next, where it does not act on each of them (`theory::periodic`).
    pub momentum_every: Option<usize>,
    /// Share of the weights that a decay apart from the gradient takes off at every update, whatever the gain: the factor `z - 1` of
    /// `D` is then `z - 1 + shrink`.
    pub shrink: f64,
    /// Gradients that one update averages, which divides the variance of their noise.
    pub averaged: f64,
    /// Gradients that arrive for each update, those that are thrown away included.
    pub arrivals: f64,
}

/// The velocity of a rule, which decides about `D`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Velocity {
    /// `D = (z-1) z^tau`.
    None,
    /// One on the server: `D = (z-1)(z-m) z^tau`.
    Server { momentum: f64 },
    /// One for each worker, so that it is as old as the gradient: `D = (z-1)(z^(tau+1) - m)`.
    Worker { momentum: f64 },
}

/// Local weights that go on while the result of their round is on its way ([`super::outer`]): `N` is multiplied by
/// `seen z - kept`, `D` by `z - kept`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// What a local weight keeps of itself from one round to the next.
    pub kept: f64,
    /// What a round's difference sees of the server's weights.
    pub seen: f64,
}

/// A weight decay in the equation: `ratio` is the decay coefficient over the curvature of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightDecay {
    None,
    /// The worker adds the decay to its gradient, so the decay is as late as the gradient: it only adds to the curvature.
    Delayed {
        ratio: f64,
    },
    /// The server adds the decay of its current weights when it applies the gradient, as PyTorch's optimisers do.
    Current {
        ratio: f64,
    },
}

impl WeightDecay {
    fn validate(self) -> Result<(), TheoryError> {
        match self {
            Self::Delayed { ratio } | Self::Current { ratio } if !(ratio >= 0.0 && ratio.is_finite()) => {
                Err(TheoryError::WeightDecay(ratio))
            }
            _ => Ok(()),
        }
    }
}

impl Velocity {
    /// `m`; 0 where there is no velocity.
    pub fn momentum(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Server { momentum } | Self::Worker { momentum } => momentum,
        }
    }
}

impl Equation {
    /// An equation whose `N` does not depend on the age of a gradient.
    pub fn new(law: &DelayLaw, velocity: Velocity, numerator: [f64; 2]) -> Self {
        Self {
            law: law.clone(),
            velocity,
            numerator,
            decay_numerator: None,
            bend: 0.0,
            divisor: None,
            share: None,
            ages: Vec::new(),
            lag: None,
            momentum_every: None,
            shrink: 0.0,
            averaged: 1.0,
            arrivals: 1.0,
        }
    }

    /// The same where the share `fresh` of each gradient under `law` is taken at the newest weights. None where that is not one
    /// delay, or the equation has ages of its own.
    pub fn with_fresh_share(self, fresh: f64, law: &DelayLaw) -> Option<Self> {
        match (&self.law, law) {
            (DelayLaw::Fixed(delay), DelayLaw::Fixed(asked)) if delay == asked && self.ages.is_empty() => {
                let ages = vec![(0, fresh), (*delay, 1.0 - fresh)];
                Some(Self { ages, ..self })
            }
            _ => None,
        }
    }

    /// `N(1) / D'(1)` over the gradients that arrive for each update: how far a constant gradient moves the weights for each
    /// gradient that arrives, in learning rates. Where `N` depends on the age of a gradient this is the mean over the ages.
    pub fn effective_factor(&self) -> f64 {
        let factor = self.numerator[0] / (1.0 - self.velocity.momentum()) / self.arrivals;
        if let Some(share) = self.share {
            // A worker's result is as old as its read, and the server takes 1/a updates to take it in.
            return factor / (self.law.mean_delay() + 1.0 / share);
        }
        match (self.divisor, &self.law) {
            (None, _) => factor,
            (Some(divisor), DelayLaw::Fixed(delay)) => factor / divisor(*delay),
            (Some(divisor), DelayLaw::Independent(pmf)) => {
                let shares = pmf.probabilities().iter().enumerate().map(|(delay, p)| p / divisor(delay));
                factor * shares.sum::<f64>()
            }
            (Some(divisor), DelayLaw::RandomWorkers(workers)) => factor * mean_over_ages(*workers, divisor),
        }
    }

    /// Refuses coefficients that no rule has.
    ///
    /// # Errors
    /// Momentum outside [`MOMENTA`], or an `N` that lets no gradient through to the weights.
    pub(super) fn validate(&self) -> Result<(), TheoryError> {
        let momentum = self.velocity.momentum();
        if !MOMENTA.contains(&momentum) {
            return Err(TheoryError::Momentum(momentum));
        }
        if !(self.numerator[0] > 0.0 && self.numerator.iter().all(|n| n.is_finite())) {
            return Err(TheoryError::NoGradient);
        }
        if !(0.0..1.0).contains(&self.shrink) {
            return Err(TheoryError::Shrink(self.shrink));
        }
        Ok(())
    }

    /// The delay, where it is always the same.
    ///
    /// # Errors
    /// Another law.
    pub(super) fn fixed_delay(&self) -> Result<usize, TheoryError> {
        match &self.law {
            DelayLaw::Fixed(delay) => Ok(*delay),
            law => Err(TheoryError::unsupported("a growth rate or a weight decay", law)),
        }
    }

    /// That noise of the gradients is followed: a rule that adds gradients, and whose read point is at most one difference
    /// ahead.
    ///
    /// # Errors
    /// Another.
    pub(super) fn takes_noise(&self) -> Result<(), TheoryError> {
        if !self.ages.is_empty() || self.lag.is_some() || self.momentum_every.is_some() {
            return Err(TheoryError::Unsupported("updates of several ages have no theory of minibatches".into()));
        }
        if self.shrink > 0.0 {
            return Err(TheoryError::Unsupported(
                "a decay apart from the gradient has no theory of minibatches".into(),
            ));
        }
        match (self.share, self.bend) {
            (None, 0.0) => Ok(()),
            (Some(_), _) => Err(TheoryError::Unsupported("mixing has no theory of minibatches".into())),
            (None, _) => Err(TheoryError::Unsupported(
                "two horizons, or an extrapolated look-ahead, have no theory of minibatches".into(),
            )),
        }
    }

    /// `[n0, n1]` for gradients of this age.
    pub(super) fn numerator_at(&self, delay: usize) -> [f64; 2] {
        match self.divisor {
            None => self.numerator,
            Some(divisor) => self.numerator.map(|n| n / divisor(delay)),
        }
    }

    /// The equation in factors, where every gradient is `delay` updates old.
    pub(super) fn characteristic(&self, delay: usize, decay: WeightDecay) -> Result<Characteristic, TheoryError> {
        self.validate()?;
        decay.validate()?;
        if self.share.is_some() {
            return Err(TheoryError::Unsupported("mixing has no theory of weight decay apart from the loss".into()));
        }
        if delay > LONGEST_DELAY {
            return Err(TheoryError::Delay(delay));
        }
        if self.momentum_every.is_some() {
            return Err(TheoryError::Unsupported(
                "a momentum that acts at some arrivals alone has no growth rate".into(),
            ));
        }
        let plain = self.factors(delay, decay)?;
        if self.ages.is_empty() && self.lag.is_none() {
            return Ok(plain);
        }
        if plain.mixture.is_some() {
            let what = "two horizons, an extrapolated look-ahead, or a weight decay apart from the loss, in updates of several ages";
            return Err(TheoryError::Unsupported(format!("{what} have no theory")));
        }
        self.with_ages(delay, plain)
    }

    /// Puts ages and lag into an equation that has neither.
    fn with_ages(&self, delay: usize, mut plain: Characteristic) -> Result<Characteristic, TheoryError> {
        if let Some(Lag { kept, seen }) = self.lag {
            // Also negative ones, where local steps overshoot.
            let terms = [(1, seen), (0, -kept)];
            plain.mixture = Some(Mixture::new(terms));
            plain.poles.push(Binomial::root(kept));
        }
        if !self.ages.is_empty() {
            if plain.mixture.is_some() || self.ages.iter().any(|(age, _)| *age > delay) {
                return Err(TheoryError::Unsupported("an overlap of rounds has no theory beside a fresh share".into()));
            }
            plain.mixture = Some(Mixture::new(self.ages.iter().map(|(age, weight)| (delay - age, *weight))));
        }
        Ok(plain)
    }

    fn factors(&self, delay: usize, decay: WeightDecay) -> Result<Characteristic, TheoryError> {
        let mut poles = vec![Binomial::root(1.0 - self.shrink)];
        match self.velocity {
            Velocity::None => poles.push(Binomial::delay(delay)),
            Velocity::Worker { momentum } => poles.push(Binomial { power: delay + 1, constant: momentum }),
            Velocity::Server { momentum } => poles.extend([Binomial::root(momentum), Binomial::delay(delay)]),
        }
        let numerator = self.numerator_at(delay);
        if self.bend != 0.0 {
            let [n0, n1] = numerator;
            poles.push(Binomial::delay(1));
            let mut terms = vec![(0, self.bend), (1, n0 - n1 - 2.0 * self.bend), (2, n1 + self.bend)];
            match (decay, self.decay_numerator) {
                (WeightDecay::None, _) => {}
                (WeightDecay::Delayed { ratio }, _) => terms.iter_mut().for_each(|(_, c)| *c *= 1.0 + ratio),
                (WeightDecay::Current { ratio }, own) => {
                    let [c0, c1] = own.unwrap_or(numerator);
                    terms.extend([(delay + 1, ratio * (c0 - c1)), (delay + 2, ratio * c1)]);
                }
            }
            return Ok(Characteristic {
                mixture: Some(Mixture::new(terms)),
                ..Characteristic::new(poles, vec![], 1.0)
            });
        }
        let (mut zeros, mut scale) = linear_factor(numerator);
        let mixture = match (decay, self.decay_numerator) {
            (WeightDecay::None, _) => None,
            (WeightDecay::Delayed { ratio }, _) => {
                scale *= 1.0 + ratio;
                None
            }
            (WeightDecay::Current { ratio }, None) => Some(Mixture::new([(0, 1.0), (delay, ratio)])),
            // N + ratio z^tau times the numerator of the decay has no factor in common.
            (WeightDecay::Current { ratio }, Some([c0, c1])) => {
                zeros.clear();
                scale = 1.0;
                let [n0, n1] = numerator;
                let late = [(0, n0 - n1), (1, n1)];
                Some(Mixture::new(late.into_iter().chain([(delay, ratio * (c0 - c1)), (delay + 1, ratio * c1)])))
            }
        };
        Ok(Characteristic { mixture, ..Characteristic::new(poles, zeros, scale) })
    }
}

/// Mean of `1 / divisor` over the ages of gradients of so many randomly reporting workers, which are geometric.
fn mean_over_ages(workers: usize, divisor: fn(usize) -> f64) -> f64 {
    /// Share of the ages that is left out, the oldest.
    const TAIL: f64 = 1e-17;
    let report = 1.0 / workers as f64;
    let (mut mean, mut tail, mut age) = (0.0, 1.0, 0);
    while tail > TAIL {
        mean += report * tail / divisor(age);
        tail *= 1.0 - report;
        age += 1;
    }
    mean
}

/// `n0 + n1 (z-1)` as factors and a scale.
pub(super) fn linear_factor([n0, n1]: [f64; 2]) -> (Vec<Binomial>, f64) {
    if n1 == 0.0 { (vec![], n0) } else { (vec![Binomial::root((n1 - n0) / n1)], n1) }
}
