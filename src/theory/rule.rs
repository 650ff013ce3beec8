//! Update rules as equations.

use super::TheoryError;
use super::characteristic::{Binomial, Characteristic};

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
    /// `v_w = m v_w + (1-d) g; x += -lr v_w`, one velocity per worker: at a fixed delay `v[t+1] = m v[t-tau] + (1-d) g`.
    Shifted { momentum: f64, dampening: f64 },
}

impl Rule {
    /// Momentum `m`; 0 for a rule without momentum.
    pub fn momentum(&self) -> f64 {
        self.coefficients().0
    }

    /// Dampening `d`; 0 for a rule without momentum.
    pub fn dampening(&self) -> f64 {
        self.coefficients().1
    }

    fn coefficients(&self) -> (f64, f64) {
        match *self {
            Rule::Sgd => (0.0, 0.0),
            Rule::HeavyBall { momentum, dampening }
            | Rule::Nesterov { momentum, dampening }
            | Rule::Shifted { momentum, dampening } => (momentum, dampening),
        }
    }

    /// Checks the coefficients.
    ///
    /// # Errors
    /// Momentum outside `[0, 1)`, dampening outside `[0, 1]`, or a dampening of 1 in a rule that then never reads a
    /// gradient.
    pub fn validate(&self) -> Result<(), TheoryError> {
        let (momentum, dampening) = self.coefficients();
        if !(0.0..1.0).contains(&momentum) {
            return Err(TheoryError::Momentum(momentum));
        }
        if !(0.0..=1.0).contains(&dampening) {
            return Err(TheoryError::Dampening(dampening));
        }
        match self {
            Rule::HeavyBall { .. } | Rule::Shifted { .. } if dampening == 1.0 => Err(TheoryError::NoGradient),
            _ => Ok(()),
        }
    }

    /// The equation `D(z) + K N(z) = 0` at a fixed delay.
    pub(super) fn characteristic(&self, delay: usize) -> Result<Characteristic, TheoryError> {
        self.validate()?;
        let (momentum, dampening) = self.coefficients();
        let integrator = Binomial::root(1.0);
        Ok(match self {
            Rule::Sgd => Characteristic { poles: vec![integrator, Binomial::delay(delay)], zeros: vec![], scale: 1.0 },
            Rule::HeavyBall { .. } => Characteristic {
                poles: vec![integrator, Binomial::root(momentum), Binomial::delay(delay)],
                zeros: vec![Binomial::delay(1)],
                scale: 1.0 - dampening,
            },
            Rule::Nesterov { .. } => {
                // (z - m) + m (1-d) z has its zero at m / (1 + m (1-d)).
                let scale = 1.0 + momentum * (1.0 - dampening);
                Characteristic {
                    poles: vec![integrator, Binomial::root(momentum), Binomial::delay(delay)],
                    zeros: vec![Binomial::root(momentum / scale)],
                    scale,
                }
            }
            Rule::Shifted { .. } => Characteristic {
                poles: vec![integrator, Binomial { power: delay + 1, constant: momentum }],
                zeros: vec![Binomial::delay(1)],
                scale: 1.0 - dampening,
            },
        })
    }
}
