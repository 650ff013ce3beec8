//! Update rules as equations.

use super::TheoryError;
use super::binomial::Binomial;
use super::characteristic::Characteristic;
use super::mixture::Mixture;

/// Largest delay, in updates, that the theory accepts.
pub const MAX_DELAY: usize = 1_000_000_000;

/// An update rule of delayed SGD, in PyTorch's parametrisation.
///
/// `g` is the gradient read at delay tau, `v` the velocity, `x` the weights, `lr` the learning rate. Momentum `m` lies
/// in `[0, 1)`; dampening `d` in `[0, 1]`, where `d = m` is the exponential moving average (EMA) form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `x += -lr g`.
    Sgd,
    /// `v = m v + (1-d) g; x += -lr v`, one velocity on the server.
    HeavyBall { momentum: f64, dampening: f64 },
    /// `v = m v + (1-d) g; x += -lr (g + m v)`, one velocity on the server.
    Nesterov { momentum: f64, dampening: f64 },
    /// `v_w = m v_w + (1-d) g; x += -lr v_w`, one velocity per worker: at a fixed delay
    /// `v[t+1] = m v[t-tau] + (1-d) g`.
    Shifted { momentum: f64, dampening: f64 },
    /// Heavy-ball whose gradient is read at `x[t-tau] + tau (x[t-tau] - x[t-tau-1])`: the weights predicted for the
    /// time of use, along the last displacement (SpecTrain's `w - s lr v`).
    WeightPrediction { momentum: f64, dampening: f64 },
    /// `y[t] = x[t] + m (x[t] - x[t-1]); x[t+1] = y[t] - lr (1-d) g(y[t-tau])`: Nesterov's look-ahead, kept at the time
    /// of reading. With dampening 0 it is [`Rule::Nesterov`]; with `d = m` the asynchronous NAG of pipeline training.
    DelayedNesterov { momentum: f64, dampening: f64 },
    /// Heavy-ball whose learning rate is divided by the staleness `max(1, tau)` of the arriving gradient.
    StalenessScaled { momentum: f64, dampening: f64 },
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

impl Rule {
    /// Every rule's name, as flags and tables write it.
    pub const NAMES: [&'static str; 7] =
        ["sgd", "heavy-ball", "nesterov", "shifted", "weight-prediction", "delayed-nesterov", "staleness-scaled"];

    /// The rule of that name with these coefficients, unchecked; sgd has none and ignores them. `None` for a name not
    /// in [`Rule::NAMES`].
    pub fn named(name: &str, momentum: f64, dampening: f64) -> Option<Self> {
        Some(match name {
            "sgd" => Self::Sgd,
            "heavy-ball" => Self::HeavyBall { momentum, dampening },
            "nesterov" => Self::Nesterov { momentum, dampening },
            "shifted" => Self::Shifted { momentum, dampening },
            "weight-prediction" => Self::WeightPrediction { momentum, dampening },
            "delayed-nesterov" => Self::DelayedNesterov { momentum, dampening },
            "staleness-scaled" => Self::StalenessScaled { momentum, dampening },
            _ => return None,
        })
    }

    /// The rule's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::HeavyBall { .. } => "heavy-ball",
            Self::Nesterov { .. } => "nesterov",
            Self::Shifted { .. } => "shifted",
            Self::WeightPrediction { .. } => "weight-prediction",
            Self::DelayedNesterov { .. } => "delayed-nesterov",
            Self::StalenessScaled { .. } => "staleness-scaled",
        }
    }

    /// Momentum `m`; 0 for a rule without momentum.
    pub fn momentum(&self) -> f64 {
        self.coefficients().0
    }

    /// Dampening `d`; 0 for a rule without momentum.
    pub fn dampening(&self) -> f64 {
        self.coefficients().1
    }

    /// `(1-d)/(1-m)`: how far a constant gradient moves the weights per update, in learning rates.
    pub fn effective_factor(&self) -> f64 {
        (1.0 - self.dampening()) / (1.0 - self.momentum())
    }

    fn coefficients(&self) -> (f64, f64) {
        match *self {
            Self::Sgd => (0.0, 0.0),
            Self::HeavyBall { momentum, dampening }
            | Self::Nesterov { momentum, dampening }
            | Self::Shifted { momentum, dampening }
            | Self::WeightPrediction { momentum, dampening }
            | Self::DelayedNesterov { momentum, dampening }
            | Self::StalenessScaled { momentum, dampening } => (momentum, dampening),
        }
    }

    /// Checks the coefficients.
    ///
    /// # Errors
    /// Momentum outside `[0, 1)`, dampening outside `[0, 1]`, or a dampening of 1 in a rule that then never uses a
    /// gradient (all but sgd and nesterov).
    pub fn validate(&self) -> Result<(), TheoryError> {
        let (momentum, dampening) = self.coefficients();
        if !(0.0..1.0).contains(&momentum) {
            return Err(TheoryError::Momentum(momentum));
        }
        if !(0.0..=1.0).contains(&dampening) {
            return Err(TheoryError::Dampening(dampening));
        }
        match self {
            Self::Sgd | Self::Nesterov { .. } => Ok(()),
            _ if dampening == 1.0 => Err(TheoryError::NoGradient),
            _ => Ok(()),
        }
    }

    /// The numerator `N` as `[n0, n1]`, meaning `n0 + n1 (z-1)`: how the gradient enters the server's recurrence.
    pub(super) fn numerator(&self, delay: usize) -> [f64; 2] {
        let (m, d) = self.coefficients();
        let tau = delay as f64;
        match self {
            Self::Sgd => [1.0, 0.0],
            Self::HeavyBall { .. } | Self::Shifted { .. } => [1.0 - d, 1.0 - d],
            // (z - m) + m (1-d) z
            Self::Nesterov { .. } => [1.0 - m * d, 1.0 + m * (1.0 - d)],
            // (1-d) ((1+m) z - m)
            Self::DelayedNesterov { .. } => [1.0 - d, (1.0 - d) * (1.0 + m)],
            // (1-d) ((1+tau) z - tau)
            Self::WeightPrediction { .. } => [1.0 - d, (1.0 - d) * (1.0 + tau)],
            Self::StalenessScaled { .. } => [(1.0 - d) / tau.max(1.0); 2],
        }
    }

    /// The equation `D(z) + K N(z) = 0` at a fixed delay.
    pub(super) fn characteristic(&self, delay: usize, decay: WeightDecay) -> Result<Characteristic, TheoryError> {
        self.validate()?;
        decay.validate()?;
        if delay > MAX_DELAY {
            return Err(TheoryError::Delay(delay));
        }
        let momentum = self.momentum();
        let mut poles = vec![Binomial::root(1.0)];
        match self {
            Self::Sgd => poles.push(Binomial::delay(delay)),
            Self::Shifted { .. } => poles.push(Binomial { power: delay + 1, constant: momentum }),
            _ => poles.extend([Binomial::root(momentum), Binomial::delay(delay)]),
        }
        let (mut zeros, mut scale) = linear_factor(self.numerator(delay));
        let mixture = match (decay, self) {
            (WeightDecay::None, _) => None,
            (WeightDecay::Delayed { ratio }, _) => {
                scale *= 1.0 + ratio;
                None
            }
            (WeightDecay::Current { ratio }, Self::WeightPrediction { dampening, .. }) => {
                zeros.clear();
                scale = 1.0 - dampening;
                let tau = delay as f64;
                Some(Mixture::new([(0, -tau), (1, 1.0 + tau), (delay + 1, ratio)]))
            }
            (WeightDecay::Current { ratio }, _) => Some(Mixture::new([(0, 1.0), (delay, ratio)])),
        };
        Ok(Characteristic { mixture, ..Characteristic::new(poles, zeros, scale) })
    }
}

/// `n0 + n1 (z-1)` as factors and a scale.
pub(super) fn linear_factor([n0, n1]: [f64; 2]) -> (Vec<Binomial>, f64) {
    if n1 == 0.0 { (vec![], n0) } else { (vec![Binomial::root((n1 - n0) / n1)], n1) }
}
