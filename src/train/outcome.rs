//! What is known of a run: its evaluations, its sharpness, whether it has diverged, and what it ended with.
//!
//! A run has diverged when a weight or its loss is no longer finite, or when the mean objective of an epoch exceeds
//! [`BLOWN_UP`] times that of its first step. Both depend on its own steps alone, however they are cut into blocks.
//!
//! Not here: how runs advance ([`super::wave`]), nor the rows that outcomes make ([`super::rows`]).

use crate::curvature::Eigenpair;
use crate::engine::{Evaluation, Observation};
use serde::{Deserialize, Serialize};

/// Objective of an epoch, relative to that of the first step, at which a run has diverged.
pub const BLOWN_UP: f64 = 1e4;

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps made: all, or up to and with the one at which it diverged.
    pub steps: u64,
    pub diverged: bool,
    /// Evaluations, from the start of the run on; those that are not finite are left out.
    pub evaluations: Vec<EvaluationRecord>,
    /// Sharpness, where it was asked for.
    pub sharpness: Vec<SharpnessRecord>,
    /// The same under the second moment of the rule, where it was asked for.
    #[serde(default)]
    pub preconditioned: Vec<SharpnessRecord>,
    /// Generalised sharpness, where it was asked for.
    #[serde(default)]
    pub generalised: Vec<GeneralisedRecord>,
    /// Weights at the end, unless the run diverged.
    pub last: Option<FinalWeights>,
}

/// One evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    pub step: u64,
    pub epoch: u64,
    /// Mean over the steps of the latest epoch of the objective that they saw; none before the first.
    pub objective: Option<f64>,
    pub train: Evaluation,
    pub test: Evaluation,
}

/// Sharpness after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharpnessRecord {
    pub step: u64,
    pub value: f64,
    pub residual: f64,
    /// Whether the residual is as small as was asked for.
    #[serde(default)]
    pub converged: bool,
}

impl SharpnessRecord {
    pub(super) fn new(step: u64, pair: &Eigenpair) -> Self {
        Self { step, value: pair.value, residual: pair.residual, converged: pair.converged }
    }
}

/// Generalised sharpness after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneralisedRecord {
    pub step: u64,
    /// The curvature of a direction that was found.
    pub lower: f64,
    /// None where no bound was found.
    pub upper: Option<f64>,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalWeights {
    /// P weights.
    pub weights: Vec<f64>,
    /// Running statistics of batch norms, where they are to be kept.
    pub statistics: Vec<f64>,
    /// Second moments with bias correction, P, where they are to be kept.
    #[serde(default)]
    pub second_moment: Vec<f64>,
}

/// What the host knows of a run on its way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RunInProgress {
    pub outcome: Outcome,
    /// Objective of its first step.
    pub first: Option<f64>,
    /// Sum over the steps of the present epoch, and mean of the latest whole one.
    pub sum: f64,
    pub objective: Option<f64>,
    /// Eigenvector of the latest sharpness, near which the next one is sought.
    #[serde(skip)]
    pub eigenvector: Option<Vec<f64>>,
    /// That of the latest preconditioned sharpness.
    #[serde(skip)]
    pub preconditioned_eigenvector: Option<Vec<f64>>,
    /// The direction of the latest generalised sharpness.
    #[serde(skip)]
    pub direction: Option<Vec<f64>>,
}

impl RunInProgress {
    /// Whether it has not diverged.
    pub fn goes_on(&self) -> bool {
        !self.outcome.diverged
    }

    /// Takes in a step, unless the run has diverged before.
    pub fn observe(&mut self, observation: &Observation, epoch: u64) {
        let Self { outcome, first, sum, objective, .. } = self;
        if outcome.diverged {
            return;
        }
        outcome.steps += 1;
        let first = *first.get_or_insert(observation.loss);
        *sum += observation.loss;
        outcome.diverged = !observation.finite;
        if outcome.steps.is_multiple_of(epoch) {
            let mean = *sum / epoch as f64;
            outcome.diverged |= mean > BLOWN_UP * first;
            (*objective, *sum) = (Some(mean), 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(losses: &[f64]) -> RunInProgress {
        let mut run = RunInProgress::default();
        for loss in losses {
            run.observe(&Observation { loss: *loss, finite: loss.is_finite(), ..Observation::default() }, 2);
        }
        run
    }

    #[test]
    fn a_run_diverges_when_it_is_not_finite_or_its_epoch_blows_up() {
        let calm = after(&[2.0, 1.0, 0.5, 0.25]);
        assert_eq!((calm.outcome.steps, calm.outcome.diverged, calm.objective), (4, false, Some(0.375)));
        let overflown = after(&[2.0, 1.0, f64::NAN, 1.0, 1.0]);
        assert_eq!((overflown.outcome.steps, overflown.outcome.diverged, overflown.objective), (3, true, Some(1.5)));
        // One wild step is no divergence, an epoch beyond 1e4 times the start is.
        let wild = after(&[2.0, 3e4, 5.0, 5.0]);
        assert_eq!((wild.outcome.steps, wild.outcome.diverged), (4, false));
        let blown_up = after(&[2.0, 1.0, 2.1e4, 2.1e4, 1.0]);
        assert_eq!((blown_up.outcome.steps, blown_up.outcome.diverged), (4, true));
    }
}
