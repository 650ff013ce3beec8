//! A stage of a pipeline, and its response on the unit circle.
//!
//! Not here: how the responses of all stages and a Hessian make a threshold.

use std::f64::consts::PI;
use std::ops::Range;

use num_complex::Complex64;

use super::super::TheoryError;
use super::super::characteristic::Characteristic;
use super::super::equation::{Equation, WeightDecay};
use super::super::law::DelayLaw;
use super::super::margin::first_crossing;

/// `f N(z) / D(z)`: from the gradients of a stage to the weights that its gradients are taken at, per learning rate. `f` is the
/// stage's own factor of the learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct StageResponse {
    characteristic: Characteristic,
    lr_factor: f64,
    /// Updates by which what is read is older than the equation says.
    later: i64,
}

impl StageResponse {
    /// The response of a rule, whose equation is `equation` at the delay of the stage, where its learning rate is `lr_factor` times
    /// that of the threshold.
    ///
    /// Every equation at a fixed delay has one, with all ages, horizons, divisors and overlaps of rounds that
    /// [`super::super::margin_with_decay`] knows.
    ///
    /// # Errors
    /// Delays that vary, a rule that mixes results, a momentum that acts at some arrivals alone, coefficients or a delay out of
    /// range, or a factor that is not positive and finite.
    pub fn new(equation: &Equation, lr_factor: f64) -> Result<Self, TheoryError> {
        if !(lr_factor > 0.0 && lr_factor.is_finite()) {
            return Err(TheoryError::LearningRate(lr_factor));
        }
        let DelayLaw::Fixed(delay) = equation.law else {
            return Err(TheoryError::unsupported("a stage of a pipeline", &equation.law));
        };
        if equation.share.is_some() {
            return Err(TheoryError::Unsupported("mixing has no theory of pipeline stages".into()));
        }
        if equation.momentum_every.is_some() {
            let what = "a momentum that acts at some arrivals alone has no theory of pipeline stages";
            return Err(TheoryError::Unsupported(what.into()));
        }
        Ok(Self { characteristic: equation.characteristic(delay, WeightDecay::None)?, lr_factor, later: 0 })
    }

    /// The same rule where what is read is so many updates older, or newer where that is negative, as that of a backward pass without
    /// weight stashing may be.
    #[must_use]
    pub fn read_later(self, updates: i64) -> Self {
        Self { later: self.later + updates, ..self }
    }

    /// `f N / D` at `e^{iw}`, for `0 < w <= pi`.
    pub fn at(&self, angle: f64) -> Complex64 {
        // -D/N is the gain times a phase.
        let phase = PI - self.characteristic.phase(angle, Complex64::ONE) - self.later as f64 * angle;
        Complex64::from_polar(self.lr_factor / self.characteristic.gain(angle), phase)
    }

    /// Smallest learning rate times curvature at which a stage that has no other beside it leaves its minimum.
    ///
    /// # Errors
    /// No crossing at any gain.
    pub(super) fn gain_alone(&self) -> Result<f64, TheoryError> {
        Ok(first_crossing(&self.characteristic)?.gain / self.lr_factor)
    }

    /// Largest magnitude of the derivative of its phase over the angles `[a, b]`.
    pub(super) fn turning(&self, a: f64, b: f64) -> f64 {
        let slope = self.characteristic.over(a, b).slope;
        slope.low.abs().max(slope.high.abs()) + self.later.unsigned_abs() as f64
    }
}

/// A block of parameters that is updated by a rule of its own.
#[derive(Clone, Debug)]
pub struct Stage {
    pub parameters: Range<usize>,
    /// The rule's, where gradients are as late as those of the stage.
    pub response: StageResponse,
}

impl Stage {
    /// Number of parameters P of all stages.
    ///
    /// # Errors
    /// Where the stages do not follow each other without a gap from parameter 0 on.
    pub(super) fn count_parameters(stages: &[Self]) -> Result<usize, TheoryError> {
        let mut end = 0;
        for (index, Self { parameters, .. }) in stages.iter().enumerate() {
            if parameters.start != end || parameters.end < end {
                return Err(TheoryError::Stages(format!(
                    "stage {index} has the parameters {parameters:?}; accepted: ranges that follow each other from 0 on, here \
                     from {end}"
                )));
            }
            end = parameters.end;
        }
        if end == 0 {
            return Err(TheoryError::Stages("the stages have no parameters".into()));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Rule, RuleKind};

    /// Oracle: the polynomials as the documentation of the theory states them, in plain complex arithmetic.
    #[test]
    fn responses_are_the_quotients_of_their_polynomials() {
        let (m, d, tau) = (0.9, 0.9, 5);
        let at = |kind, z: Complex64| {
            let rule = Rule::new(kind, m, d);
            let response = StageResponse::new(&rule.equation(&DelayLaw::Fixed(tau)).unwrap(), 0.5).unwrap();
            response.at(z.arg())
        };
        for angle in [1e-3, 0.1, 0.7, 2.0, 3.0, PI] {
            let z = Complex64::from_polar(1.0, angle);
            let late = z.powi(tau as i32);
            let server = (z - 1.0) * (z - m) * late;
            let cases = [
                (RuleKind::HeavyBall, (1.0 - d) * z / server),
                (RuleKind::Nesterov, (z - m + m * (1.0 - d) * z) / server),
                (RuleKind::Shifted, (1.0 - d) * z / ((z - 1.0) * (late * z - m))),
            ];
            for (kind, expected) in cases {
                let (name, found) = (format!("{kind:?}"), at(kind, z));
                assert!((found - 0.5 * expected).norm() <= 1e-12 * expected.norm(), "{name} {angle}: {found}");
            }
        }
    }

    #[test]
    fn what_is_read_later_is_the_rule_at_a_longer_delay() {
        let at = |delay: usize, later: i64| {
            let equation = Rule::new(RuleKind::HeavyBall, 0.9, 0.9).equation(&DelayLaw::Fixed(delay)).unwrap();
            StageResponse::new(&equation, 1.0).unwrap().read_later(later).at(0.7)
        };
        assert!((at(2, 3) - at(5, 0)).norm() < 1e-13 && (at(5, -4) - at(1, 0)).norm() < 1e-13);
    }

    #[test]
    fn equations_without_one_delay_or_one_response_are_refused() {
        let of = |rule: Rule, law: &DelayLaw| StageResponse::new(&rule.equation(law).unwrap(), 1.0);
        let refused = |result: Result<StageResponse, TheoryError>, why: &str| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        };
        refused(of(Rule::SGD, &DelayLaw::RandomWorkers(4)), "accepted: a fixed delay");
        refused(of(Rule::new(RuleKind::Mixing, 0.5, 0.0), &DelayLaw::Fixed(2)), "mixing");
        let sgd = Rule::SGD.equation(&DelayLaw::Fixed(2)).unwrap();
        refused(StageResponse::new(&Equation { momentum_every: Some(2), ..sgd.clone() }, 1.0), "some arrivals");
        refused(StageResponse::new(&sgd, 0.0), "learning rate is 0");
    }
}
