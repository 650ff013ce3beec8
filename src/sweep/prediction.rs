//! What theory says of a cell's threshold: which theory it is, and how far it can be trusted.
//!
//! Not here: the mathematics ([`crate::theory`]), nor the Hessians of samples ([`crate::curvature`]).

use super::stage_theory::{StagePrediction, StageTheory};
use super::{PreparedSweep, RESTLESS_GUESS};
use crate::batch::Sampling;
use crate::curvature::{curvature_noise, sample_hessians};
use crate::plan::Cell;
use crate::rule::{Locality, Rule};
use crate::stages::Stages;
use crate::table::TheorySource;
use crate::theory::{self, CurvatureNoise, DelayLaw, Equation, TheoryError};
use crate::threshold::{Criterion, Guess};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Largest relative error with which a threshold is told.
const MOST_ERROR: f64 = 1e-2;

/// Curvatures up to the largest at which an outer loop's limit is compared with that at the largest.
const CURVATURES: u32 = 256;

/// Relative difference below which two limits are the same.
const ALIKE: f64 = 1e-9;

/// What theory says of a cell's threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Learning rate; none where no theory is known.
    pub lr: Option<f64>,
    pub source: TheorySource,
    /// Relative error that it is unlikely to exceed, where it is not exact.
    pub error: Option<f64>,
    /// A learning rate near it that is none of theory's.
    pub(super) near: Option<f64>,
    /// See [`theory::SecondMomentThreshold::across`]; zero where it is not known.
    pub across: f64,
    /// See [`theory::SecondMomentThreshold::along`].
    pub along: f64,
    /// Estimate for a Hessian with one large eigenvalue, where there are stages.
    pub rank_one: Option<f64>,
    /// Estimate for a delay as long as that of the latest stage.
    pub uniform: Option<f64>,
}

impl Prediction {
    pub const NONE: Self = Self {
        lr: None,
        source: TheorySource::None,
        error: None,
        near: None,
        across: 0.0,
        along: 0.0,
        rank_one: None,
        uniform: None,
    };
}

/// What the predictions of a sweep's cells share, each made when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct SharedTheory {
    noise: OnceLock<Option<CurvatureNoise>>,
    /// Hessians of all samples, where there are few parameters.
    hessians: OnceLock<Option<Vec<DMatrix<f64>>>>,
    /// Predictions for the cells with noise of minibatches, by their ids.
    predictions: OnceLock<HashMap<String, Prediction>>,
    pub stages: StageTheory,
}

impl PreparedSweep {
    /// Share of the variance over samples that the gradient of this cell's updates has. None where it has none.
    fn share(&self, cell: &Cell) -> Option<f64> {
        let (rows, samples) = (self.plan.rows(cell)? as f64, self.problem.samples()? as f64);
        // Of a mean over `rows` of `samples` rows drawn without repetition.
        (rows < samples).then(|| (samples - rows) / (rows * (samples - 1.0)))
    }

    /// Variance of the curvature along the top eigenvector over the gradients of this cell, relative to its square: r of
    /// [`theory::Criterion::MeanSquare`]. None where the batch is full.
    pub fn relative_variance(&self, cell: &Cell) -> Option<f64> {
        self.plan.rows(cell)?;
        Some(self.spread? * self.share(cell).unwrap_or(0.0))
    }

    /// What theory says of a cell's threshold.
    ///
    /// # Errors
    /// Where the theory refuses the rule's numbers.
    pub fn prediction(&self, cell: &Cell) -> Result<Prediction, TheoryError> {
        if let Some(stages) = &cell.stages {
            return self.of_stages(cell, stages);
        }
        if !cell.outer.is_plain() {
            return self.of_outer_loop(cell);
        }
        if self.share(cell).is_some() {
            let all = self.shared.predictions.get_or_init(|| {
                let cells = self.plan.cells();
                let noisy = cells.par_iter().filter(|cell| self.share(cell).is_some());
                noisy.map(|cell| (self.plan.cell_id(cell), self.under_noise(cell))).collect()
            });
            return Ok(all.get(&self.plan.cell_id(cell)).copied().unwrap_or(Prediction::NONE));
        }
        let Some(law) = cell.schedule.theory() else { return Ok(Prediction::NONE) };
        let known = match self.frozen {
            // With decoupled decay there is none: the plan has it at 0.
            Some(_) => cell.rule.frozen_equation(&law, 0.0),
            None => cell.rule.equation(&law),
        };
        let Some(equation) = known else { return Ok(Prediction::NONE) };
        let criterion = match cell.criterion {
            Criterion::Mean => theory::Criterion::Mean,
            Criterion::MeanSquare => theory::Criterion::MeanSquare { relative_variance: 0.0 },
            // Without randomness all criteria are one. That of the mean is also what an escape is compared with.
            Criterion::AlmostSure | Criterion::Escape if equation.law.is_fixed() => theory::Criterion::Mean,
            Criterion::AlmostSure | Criterion::Escape => return Ok(Prediction::NONE),
        };
        match theory::threshold(&equation, criterion) {
            Ok(threshold) => Ok(Prediction {
                lr: Some(threshold.gain / self.top().value),
                source: TheorySource::ClosedForm,
                ..Prediction::NONE
            }),
            Err(TheoryError::Unsupported(_) | TheoryError::LongPmf(_) | TheoryError::Unbounded) => Ok(Prediction::NONE),
            Err(error) => Err(error),
        }
    }

    /// The prediction for a cell whose gradients are those of minibatches.
    fn under_noise(&self, cell: &Cell) -> Prediction {
        let (Some(share), Some(law)) = (self.share(cell), cell.schedule.theory()) else { return Prediction::NONE };
        let Some(equation) = cell.rule.equation(&law).filter(|_| cell.criterion == Criterion::MeanSquare) else {
            return Prediction::NONE;
        };
        // That of the top eigenvector alone is at hand for every problem and every law.
        let relative_variance = self.relative_variance(cell).unwrap_or(0.0);
        let alone = theory::threshold(&equation, theory::Criterion::MeanSquare { relative_variance });
        let near = alone.ok().map(|threshold| threshold.gain / self.minimum.largest.value);
        let near = Prediction { near, ..Prediction::NONE };
        if !equation.law.is_fixed() {
            return near;
        }
        let noise = self.shared.noise.get_or_init(|| {
            let minimum = &self.minimum;
            curvature_noise(&self.problem, &minimum.weights, &minimum.largest)
        });
        let Some(noise) = noise else { return near };
        let Ok(threshold) = theory::second_moment_threshold(&equation, noise, share) else { return near };
        let near = Prediction {
            near: Some(threshold.lr),
            across: threshold.across,
            along: threshold.along,
            ..Prediction::NONE
        };
        if !cell.rule.is_linear() {
            return near;
        }
        if !self.is_drawn_afresh(cell) {
            let lr = self.over_epochs(cell, &equation, threshold.lr);
            return lr.map_or(near, |lr| Prediction { lr: Some(lr), source: TheorySource::EpochSecondMoment, ..near });
        }
        if threshold.error.is_some_and(|error| error > MOST_ERROR) {
            return near;
        }
        Prediction { lr: Some(threshold.lr), source: TheorySource::SecondMoment, error: threshold.error, ..near }
    }

    /// The threshold for epochs without repetition, close to that of independent batches, where it can be followed.
    fn over_epochs(&self, cell: &Cell, equation: &Equation, near: f64) -> Option<f64> {
        // A rule that averages gradients drops others, whose batches are visited all the same.
        if equation.averaged != 1.0 {
            return None;
        }
        let hessians = self.shared.hessians.get_or_init(|| sample_hessians(&self.problem, &self.minimum.weights));
        theory::epoch_threshold(equation, hessians.as_ref()?, self.plan.rows(cell)?, near).ok()
    }

    /// Whether a batch does not depend on those before it. An epoch of a single batch is a draw of its own.
    fn is_drawn_afresh(&self, cell: &Cell) -> bool {
        let rows = self.plan.rows(cell).zip(self.problem.samples());
        self.plan.sampling == Sampling::Independent || rows.is_none_or(|(rows, samples)| samples / rows < 2)
    }

    /// Where the search for a cell's threshold starts: theory, else what is near it, else the mean's threshold at a fixed delay
    /// as long as the mean one.
    ///
    /// # Errors
    /// As [`Self::prediction`].
    pub fn guess(&self, cell: &Cell) -> Result<Guess, TheoryError> {
        if cell.rule.definition().locality == Locality::Restless && self.frozen.is_none() {
            return Ok(RESTLESS_GUESS.into());
        }
        let prediction = self.prediction(cell)?;
        let passes = cell.outer.local.is_some_and(|local| local.lr * self.minimum.largest.value > 1.0);
        if prediction.source == TheorySource::LeastOverCurvatures && passes {
            let curvature = self.minimum.largest.value;
            return Err(TheoryError::Unsupported(format!(
                "an even number of local steps that pass the minimum (local lr x {curvature} is above 1) is not measured, as not \
                 the largest curvature is the first to grow; accepted: --local-lr up to {}, or an odd --local-steps",
                1.0 / curvature
            )));
        }
        if let Some(lr) = prediction.lr {
            return Ok(Guess { lr, is_theory: true });
        }
        if let Some(lr) = prediction.near {
            return Ok(lr.into());
        }
        let fixed = DelayLaw::Fixed(cell.schedule.mean_delay().round() as usize);
        let known = cell.rule.equation(&fixed).map(|equation| Equation { law: fixed.clone(), ..equation });
        let threshold = match known.map(|equation| theory::threshold(&equation, theory::Criterion::Mean)) {
            Some(Ok(threshold)) => threshold,
            Some(Err(_)) | None => Rule::SGD.threshold(&fixed, theory::Criterion::Mean)?,
        };
        // Through the local steps at the largest curvature, where there are some.
        let round = cell.outer.round();
        let local_gain = cell.outer.local.map(|local| local.lr * self.minimum.largest.value);
        let covered = local_gain.map_or(Ok(self.minimum.largest.value), |gain| round.coverage(gain))?;
        Ok((threshold.gain / covered / cell.outer.weight(cell.workers())).into())
    }

    fn of_stages(&self, cell: &Cell, stages: &Stages) -> Result<Prediction, TheoryError> {
        let StagePrediction { crossing, near, rank_one, uniform, .. } = self.stage_prediction(cell, stages)?;
        let source = if crossing.is_some() { TheorySource::Stages } else { TheorySource::None };
        let (lr, error) = crossing.unzip();
        Ok(Prediction { lr, source, error, near, rank_one, uniform, ..Prediction::NONE })
    }

    /// What theory says of a cell with an outer loop. Under minibatches it is what is near, for their noise has no theory here.
    fn of_outer_loop(&self, cell: &Cell) -> Result<Prediction, TheoryError> {
        let largest = self.minimum.largest.value;
        let local_gain = |curvature: f64| cell.outer.local.map_or(curvature, |local| local.lr * curvature);
        if cell.outer.local.is_some() {
            // Whatever the rule, local steps that diverge are told.
            cell.outer.round().coverage(local_gain(largest))?;
        }
        let Some(equation) = cell.schedule.theory().and_then(|law| cell.outer.equation(&cell.rule, &law)) else {
            return Ok(Prediction::NONE);
        };
        let criterion = match cell.criterion {
            _ if equation.law.is_fixed() => theory::Criterion::Mean,
            Criterion::Mean => theory::Criterion::Mean,
            Criterion::MeanSquare => theory::Criterion::MeanSquare { relative_variance: 0.0 },
            Criterion::AlmostSure | Criterion::Escape => return Ok(Prediction::NONE),
        };
        let weight = cell.outer.weight(cell.workers());
        let limit = |curvature: f64| {
            let limit = match cell.outer.local {
                None => theory::threshold(&equation, criterion)?.gain / curvature,
                Some(_) => cell.outer.round().limit(&equation, criterion, local_gain(curvature))?,
            };
            Ok::<f64, TheoryError>(limit / weight)
        };
        let found = limit(largest).and_then(|at_largest| {
            let least = (1..CURVATURES).try_fold(at_largest, |least, place| {
                let curvature = largest * f64::from(place) / f64::from(CURVATURES);
                Ok::<f64, TheoryError>(if cell.outer.local.is_some() { least.min(limit(curvature)?) } else { least })
            })?;
            Ok((at_largest, least))
        });
        let (at_largest, least) = match found {
            Ok(found) => found,
            Err(TheoryError::Unsupported(_) | TheoryError::LongPmf(_) | TheoryError::Unbounded) => {
                return Ok(Prediction::NONE);
            }
            Err(error) => return Err(error),
        };
        if self.share(cell).is_some() {
            return Ok(Prediction { near: Some(least), ..Prediction::NONE });
        }
        let excess = at_largest / least - 1.0;
        if excess <= ALIKE {
            return Ok(Prediction { lr: Some(at_largest), source: TheorySource::ClosedForm, ..Prediction::NONE });
        }
        let source = TheorySource::LeastOverCurvatures;
        Ok(Prediction { lr: Some(least), source, error: Some(excess), ..Prediction::NONE })
    }
}
