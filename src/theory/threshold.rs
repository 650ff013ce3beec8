//! One question for every rule, law of delays and criterion.

use super::TheoryError;
use super::equation::Equation;
use super::law::DelayLaw;
use super::margin::gain_margin;
use super::mean_square::mean_square_margin;
use super::periodic::periodic_margin;
use super::random_delay::{random_delay_margin, random_delay_mean_square_margin};
use super::workers::{random_workers_margin, random_workers_mean_square_margin};

/// In which sense a run stays at the minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// The mean of the weights returns.
    Mean,
    /// The variance of the weights returns too, under gradient noise of this relative variance.
    MeanSquare { relative_variance: f64 },
}

impl Criterion {
    /// As tables write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::MeanSquare { .. } => "mean-square",
        }
    }
}

/// The end of the stable range of gains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Stable for `0 < K < gain`.
    pub gain: f64,
    /// Where a root reaches the circle, in `(0, pi]`; a mean-square threshold has no such angle.
    pub angle: Option<f64>,
}

/// Threshold gain for `criterion`.
///
/// # Errors
/// Coefficients or delays out of range, a relative variance that is negative or not finite, a velocity that the theory does
/// not know under the law, or no threshold at all.
pub fn threshold(equation: &Equation, criterion: Criterion) -> Result<Threshold, TheoryError> {
    if let Some(every) = equation.momentum_every {
        if criterion != Criterion::Mean {
            equation.takes_noise()?;
        }
        let gain = periodic_margin(equation, every)?;
        return Ok(Threshold { gain, angle: None });
    }
    if !equation.law.is_fixed() && (!equation.ages.is_empty() || equation.lag.is_some()) {
        return Err(TheoryError::unsupported("an update of several ages, or an overlap of rounds,", &equation.law));
    }
    if !equation.law.is_fixed() && equation.shrink > 0.0 {
        return Err(TheoryError::unsupported("a decay apart from the gradient", &equation.law));
    }
    let margin = match criterion {
        Criterion::Mean => match &equation.law {
            DelayLaw::Fixed(delay) => gain_margin(equation, *delay),
            DelayLaw::Independent(pmf) => random_delay_margin(equation, pmf),
            DelayLaw::RandomWorkers(workers) => random_workers_margin(equation, *workers),
        },
        Criterion::MeanSquare { relative_variance } => {
            let r = relative_variance / equation.averaged;
            let gain = match &equation.law {
                DelayLaw::Fixed(delay) => mean_square_margin(equation, *delay, r),
                DelayLaw::Independent(pmf) => random_delay_mean_square_margin(equation, pmf, r),
                DelayLaw::RandomWorkers(workers) => random_workers_mean_square_margin(equation, *workers, r),
            }?;
            return Ok(Threshold { gain, angle: None });
        }
    }?;
    Ok(Threshold { gain: margin.gain, angle: Some(margin.angle) })
}
