//! One question for every delay process and criterion.

use super::TheoryError;
use super::margin::gain_margin;
use super::mean_square::mean_square_margin;
use super::random_delay::{DelayPmf, random_delay_margin, random_delay_mean_square_margin};
use super::rule::Rule;
use super::workers::{random_workers_margin, random_workers_mean_square_margin};

/// How the delay of each gradient comes about.
#[derive(Clone, Debug, PartialEq)]
pub enum DelayProcess {
    /// Always the same delay, in updates; `N` workers in turn have `N - 1`.
    Fixed(usize),
    /// Drawn independently at every update.
    Independent(DelayPmf),
    /// This many workers, a uniformly random one of which reports at each update.
    RandomWorkers(usize),
}

impl DelayProcess {
    /// Mean delay, in updates.
    pub fn mean_delay(&self) -> f64 {
        match self {
            Self::Fixed(delay) => *delay as f64,
            Self::Independent(pmf) => pmf.mean(),
            Self::RandomWorkers(workers) => workers.saturating_sub(1) as f64,
        }
    }
}

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

/// Threshold gain of `rule` under `process` for `criterion`.
///
/// # Errors
/// See the function of that process and criterion.
pub fn threshold(rule: &Rule, process: &DelayProcess, criterion: Criterion) -> Result<Threshold, TheoryError> {
    let margin = match criterion {
        Criterion::Mean => match process {
            DelayProcess::Fixed(delay) => gain_margin(rule, *delay),
            DelayProcess::Independent(pmf) => random_delay_margin(rule, pmf),
            DelayProcess::RandomWorkers(workers) => random_workers_margin(rule, *workers),
        },
        Criterion::MeanSquare { relative_variance: r } => {
            let gain = match process {
                DelayProcess::Fixed(delay) => mean_square_margin(rule, *delay, r),
                DelayProcess::Independent(pmf) => random_delay_mean_square_margin(rule, pmf, r),
                DelayProcess::RandomWorkers(workers) => random_workers_mean_square_margin(rule, *workers, r),
            }?;
            return Ok(Threshold { gain, angle: None });
        }
    }?;
    Ok(Threshold { gain: margin.gain, angle: Some(margin.angle) })
}
