//! Parameters by formula: what to type without a search.
//!
//! Those of mixing are exact: the optimum of synchronous heavy-ball. Those of the two predicting rules are fits to their optima at
//! condition numbers from 20 to 3000 and delays from 1 to 24; whoever uses them gets the rate recomputed from the roots.

use std::ops::RangeInclusive;

use super::rule::LinearRule;

/// The rule whose parameters a formula knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Formula {
    WeightPrediction,
    SecondPrediction,
    Mixing { share: f64 },
}

/// The condition numbers and delays of the optima that the fits were made for.
const FITTED_CONDITIONS: RangeInclusive<f64> = 20.0..=3000.0;
const FITTED_DELAYS: RangeInclusive<usize> = 1..=24;

impl Formula {
    /// Whether the formula is exact, or was fitted to optima at such a delay and condition number.
    pub fn is_fitted(self, delay: usize, condition: f64) -> bool {
        let fitted = FITTED_CONDITIONS.contains(&condition) && FITTED_DELAYS.contains(&delay);
        matches!(self, Self::Mixing { .. }) || fitted
    }
}

/// Gain and parameters, with the gain multiplied by `lr_factor` and the momentum that belongs to that gain; none at a delay
/// at which there is nothing to predict.
pub(super) fn recipe(formula: Formula, delay: usize, condition: f64, lr_factor: f64) -> Option<(f64, LinearRule)> {
    let (tau, root) = (delay as f64, condition.sqrt());
    match formula {
        Formula::Mixing { share } => {
            // The two ends of the spectrum at the double roots of synchronous heavy-ball.
            let gain = lr_factor * (2.0 * root / (root + 1.0)).powi(2);
            let momentum = (1.0 - (gain / condition).sqrt()).powi(2);
            Some((gain, LinearRule::Mixing { momentum, share }))
        }
        _ if delay == 0 => None,
        Formula::WeightPrediction => {
            let gain = lr_factor * 0.55 / (tau + 0.5).powi(2);
            let momentum = (-2.0 * (gain / condition).sqrt() * (1.0 - 0.3 * (1.0 - 1.0 / tau) / root)).exp();
            let horizons = [(1.725 * tau + 0.34) / (1.0 + 1.0 / root), 0.0];
            Some((gain, LinearRule::Predicting { momentum, horizons }))
        }
        Formula::SecondPrediction => {
            let gain = lr_factor * 1.8 / (tau + 1.0).powi(2);
            let momentum = (-2.0 * (gain / condition).sqrt()).exp();
            let second = (1.0 - 0.76 / root).powi(2) * (tau + 0.38).powi(2) / 2.0;
            Some((gain, LinearRule::Predicting { momentum, horizons: [tau * (1.0 - 0.6 / root), second] }))
        }
    }
}
