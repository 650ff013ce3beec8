//! How a run's learning rate goes: its base, times a regime, after a warm-up.
//!
//! Not here: what a rule makes of it ([`super::steps`]).

use std::sync::Arc;

/// A learning rate for every step.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRate {
    pub base: f64,
    pub regime: Regime,
    /// Steps of a linear rise from base / warm_up to the base.
    pub warm_up: u64,
    pub clock: RegimeClock,
}

/// Where a regime counts its steps from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegimeClock {
    /// The first step of the run: the regime goes on during the warm-up, and both factors are multiplied.
    #[default]
    Start,
    /// The end of the warm-up, as PyTorch's `SequentialLR` does.
    WarmUp,
}

/// What a learning rate is multiplied by, in units of steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Regime {
    Constant,
    /// `factor` once more from each of these steps on, which rise.
    Steps {
        factor: f64,
        at: Arc<[u64]>,
    },
    /// (1 + cos(pi t / steps)) / 2, and 0 from `steps` on (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).
    Cosine {
        steps: u64,
    },
}

impl From<f64> for LearningRate {
    /// The same for all steps.
    fn from(base: f64) -> Self {
        Self { base, regime: Regime::Constant, warm_up: 0, clock: RegimeClock::Start }
    }
}

impl LearningRate {
    /// That of step `step`, from 0.
    pub fn at(&self, step: u64) -> f64 {
        let counted = match self.clock {
            RegimeClock::Start => step,
            RegimeClock::WarmUp => step.saturating_sub(self.warm_up),
        };
        let factor = match &self.regime {
            Regime::Constant => 1.0,
            Regime::Steps { factor, at } => factor.powi(at.iter().filter(|at| **at <= counted).count() as i32),
            Regime::Cosine { steps } if counted < *steps => {
                (1.0 + (std::f64::consts::PI * counted as f64 / *steps as f64).cos()) / 2.0
            }
            Regime::Cosine { .. } => 0.0,
        };
        let warmth = if step < self.warm_up { (step + 1) as f64 / self.warm_up as f64 } else { 1.0 };
        self.base * factor * warmth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regimes_by_hand() {
        let rate = |regime, warm_up| LearningRate { regime, warm_up, ..LearningRate::from(0.8) };
        assert_eq!(LearningRate::from(0.8), rate(Regime::Constant, 0));
        let seen = |rate: LearningRate, steps: [u64; 5]| steps.map(|step| (rate.at(step) * 1e6).round() / 1e6);
        assert_eq!(seen(0.8.into(), [0, 1, 2, 3, 1 << 40]), [0.8; 5]);
        let steps = Regime::Steps { factor: 0.5, at: [2, 4].into() };
        assert_eq!(seen(rate(steps, 0), [0, 1, 2, 3, 4]), [0.8, 0.8, 0.4, 0.4, 0.2]);
        assert_eq!(seen(rate(Regime::Cosine { steps: 4 }, 0), [0, 1, 2, 3, 4]), [0.8, 0.682843, 0.4, 0.117157, 0.0]);
        assert_eq!(seen(rate(Regime::Constant, 4), [0, 1, 2, 3, 4]), [0.2, 0.4, 0.6, 0.8, 0.8]);
    }
}
