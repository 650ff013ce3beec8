//! The rows of a training's results folder.

use super::row::{Refusal, Row, outer_name, require, row};
use serde::{Deserialize, Serialize};

row! {
    /// One run of `tauscope train`: a row of runs.csv. Losses are means over samples without weight decay, accuracies fractions;
    /// those of a run that diverged are of its last evaluation that was finite.
    pub struct TrainRow {
        /// Short content hash of the run.
        pub run_id: String,
        ..group,
        /// Seed of the start, of the order of minibatches and of the delays.
        pub seed: u64,
        /// Epochs that a run was to last.
        pub epochs: u64,
        /// `finished`, `diverged` (a result) or `failed` (the column `reason` says why).
        pub status: TrainStatus,
        /// Step at which it diverged, from 1.
        pub diverged_step: Option<u64>,
        /// Mean loss over the training samples at the end, without weight decay.
        pub train_loss: Option<f64>,
        /// Mean loss over the test samples at the end, without weight decay.
        pub test_loss: Option<f64>,
        /// Fraction of training samples that are classified right.
        pub train_accuracy: Option<f64>,
        /// Fraction of test samples that are classified right.
        pub test_accuracy: Option<f64>,
        /// 1 where it ended no better than guessing: its training accuracy is within 3 standard deviations of that of always naming the
        /// most frequent class; else 0, and empty where it diverged.
        pub untrained: Option<u32>,
        /// Largest test accuracy of all evaluations.
        pub best_test_accuracy: Option<f64>,
        /// First epoch that had it.
        pub best_epoch: Option<u64>,
        /// `train_accuracy` - `test_accuracy`
        pub generalisation_gap: Option<f64>,
        /// `test_loss` - `train_loss`
        pub loss_gap: Option<f64>,
        /// ||x - x_0|| at the end; empty where it diverged.
        pub distance_from_init: Option<f64>,
        /// Largest Hessian eigenvalue at the end, where it was asked for, 1 / (units of learning rate).
        pub lambda_max: Option<f64>,
        /// ||H v - lambda_max v|| of its unit eigenvector.
        pub lambda_residual: Option<f64>,
        /// K* / `lr_scaled`, where theory knows the threshold gain K* and the learning rate is constant: minima sharper than this
        /// are not accessible.
        pub lambda_predicted: Option<f64>,
        /// Median of lambda_max over the last third of the steps at which it was tracked.
        pub plateau: Option<f64>,
        /// `plateau` / `lambda_predicted`.
        pub plateau_ratio: Option<f64>,
        /// Largest eigenvalue of P^-1 H at the end, P the root of the rule's second moment, where it was tracked.
        pub preconditioned_lambda_max: Option<f64>,
        /// Its residual.
        pub preconditioned_residual: Option<f64>,
        /// K* / `lr_scaled` of the rule with a frozen second moment, where theory knows K* and the learning rate is constant.
        pub preconditioned_predicted: Option<f64>,
        /// Median of that eigenvalue over the last third of the steps at which it was tracked.
        pub preconditioned_plateau: Option<f64>,
        /// `preconditioned_plateau` / `preconditioned_predicted`.
        pub preconditioned_ratio: Option<f64>,
        /// Lower bound of the generalised sharpness at the end, where it was tracked: the curvature d^T H d of the sharpest step d that was
        /// found, of signs or of hidden matrices with their scale.
        pub generalised_sharpness: Option<f64>,
        /// Upper bound of the same; both are equal where it is known exactly.
        pub generalised_bound: Option<f64>,
        /// Steps made.
        pub steps: u64,
        /// Engine and precision.
        pub engine: String,
        /// Adapter's name; the processor architecture for `cpu`.
        pub adapter: String,
        /// Why the run failed; empty where it did not.
        pub reason: Option<String>,
    }
}

/// How a training ended. Divergence is a result, a failure is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TrainStatus {
    Finished,
    Diverged,
    /// A number of its row is not finite; the reason stands in the column `reason`.
    Failed,
}

row! {
    /// One number measured along a run: a row of metrics.csv.
    pub struct MetricRow {
        /// Row of runs.csv that it belongs to.
        pub run_id: String,
        /// Steps made.
        pub step: u64,
        /// The same in epochs.
        pub epoch: f64,
        /// `objective` (mean over the steps of an epoch of the loss with weight decay, at late weights),
        /// `train_loss`, `train_accuracy`, `test_loss`, `test_accuracy`, `lambda_max`, `lambda_residual`, `preconditioned_lambda_max`, `preconditioned_residual` (that of P^-1/2 H P^-1/2), `preconditioned_converged` (1 where the residual is as small as was asked for, else 0), `generalised_sharpness` (a lower bound) or `generalised_bound` (an upper one).
        pub metric: Metric,
        /// What it is at that step.
        pub value: f64,
    }
}

/// The quantity that a [`MetricRow`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Metric {
    /// Mean over the steps of the latest epoch of the objective (weight decay included) that each saw, over its minibatch and
    /// at the late weights of its gradient.
    Objective,
    TrainLoss,
    TrainAccuracy,
    TestLoss,
    TestAccuracy,
    LambdaMax,
    LambdaResidual,
    /// The largest eigenvalue of P^-1 H, P the root of the rule's second moment with bias correction; the residual is that of P^-1/2 H P^-1/2.
    PreconditionedLambdaMax,
    PreconditionedResidual,
    /// 1 where the residual is as small as was asked for, else 0.
    PreconditionedConverged,
    /// The curvature d^T H d of the sharpest step d that was found, of those that a rule of signs or of whole matrices can make.
    GeneralisedSharpness,
    /// What no such step exceeds.
    GeneralisedBound,
}

row! {
    /// The runs that differ in their seed alone: a row of summary.csv. Means are over the runs that did not diverge; `_low` and
    /// `_high` are the ends of their 95 % confidence interval by Student's t, empty of a single run; those of accuracies and gaps by
    /// Wilson's formula for the spread of the seeds, which stays within what is possible.
    pub struct SummaryRow {
        ..group,
        /// Epochs that a run was to last.
        pub epochs: u64,
        /// Runs of the group, one for each seed.
        pub runs: u64,
        /// Those of them that diverged or failed.
        pub diverged: u64,
        /// Those that ended no better than guessing; empty in folders that are older than the column.
        pub untrained: Option<u64>,
        /// Fraction of test samples that are classified right.
        pub test_accuracy: Option<f64>,
        /// Lower end of its 95 % confidence interval over seeds.
        pub test_accuracy_low: Option<f64>,
        /// Upper end of that interval.
        pub test_accuracy_high: Option<f64>,
        /// Training accuracy minus test accuracy.
        pub generalisation_gap: Option<f64>,
        /// Lower end of its 95 % confidence interval over seeds.
        pub generalisation_gap_low: Option<f64>,
        /// Upper end of that interval.
        pub generalisation_gap_high: Option<f64>,
        /// Mean loss over the test samples at the end, without weight decay.
        pub test_loss: Option<f64>,
        /// Lower end of its 95 % confidence interval over seeds.
        pub test_loss_low: Option<f64>,
        /// Upper end of that interval.
        pub test_loss_high: Option<f64>,
        /// Largest Hessian eigenvalue at the end.
        pub lambda_max: Option<f64>,
        /// Lower end of its 95 % confidence interval over seeds.
        pub lambda_max_low: Option<f64>,
        /// Upper end of that interval.
        pub lambda_max_high: Option<f64>,
        /// K* / `lr_scaled`, the sharpness above which minima are not accessible.
        pub lambda_predicted: Option<f64>,
        /// Engine and precision: `cpu f32`, `cpu f64` or `gpu f32`.
        pub engine: String,
        /// Adapter's name; the processor architecture for `cpu`.
        pub adapter: String,
    }
}

outer_name!(TrainRow);
outer_name!(SummaryRow);

impl Row for TrainRow {}
impl Row for SummaryRow {}

impl Row for MetricRow {
    fn check(&self) -> Result<(), Refusal> {
        require("value", self.value, self.value.is_finite(), "a finite number")
    }
}
