//! The rows of a training's results folder.

use serde::{Deserialize, Serialize};

/// One run of `tauscope train`: a row of runs.csv. Losses are means over samples without weight decay, accuracies fractions;
/// those of a run that diverged are of its last evaluation that was finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRow {
    /// Short content hash of the run.
    pub run_id: String,
    /// The same of everything but its seed: the [`SummaryRow`] that it belongs to.
    pub arm_id: String,
    pub data: String,
    /// As given to `--model`, with the activation where it has none of its own.
    pub model: String,
    pub loss: String,
    /// Training and test samples.
    pub samples: u64,
    pub test_samples: u64,
    /// L2 penalty: weight_decay / 2 ||x||^2 is added to the loss.
    pub weight_decay: f64,
    pub rule: String,
    /// 0 for a rule without momentum.
    pub momentum: f64,
    pub dampening: f64,
    /// Updates, as asked for; empty where the process brings delays of its own. 0 is synchronous.
    pub delay: Option<u32>,
    /// Name of the delay process, as typed.
    pub schedule: String,
    /// `none`, `inverse-delay` or `preserve`; `none` wherever it changes nothing.
    pub lr_scaling: String,
    /// Learning rate as asked for, that of synchronous training.
    pub lr: f64,
    /// As the rule takes it: scaled.
    pub lr_scaled: f64,
    /// `lr_scaled` (1 - dampening) / (1 - momentum).
    pub effective_lr: f64,
    /// As given to `--regime`, and the warm-up.
    pub lr_regime: String,
    /// `full` or the number of samples per gradient of a worker.
    pub batch: String,
    /// Of start, order of minibatches and delays.
    pub seed: u64,
    pub epochs: u64,
    pub status: TrainStatus,
    /// Step at which it diverged, from 1.
    pub diverged_step: Option<u64>,
    pub train_loss: Option<f64>,
    pub test_loss: Option<f64>,
    pub train_accuracy: Option<f64>,
    pub test_accuracy: Option<f64>,
    /// Largest test accuracy of all evaluations, and the first epoch that had it.
    pub best_test_accuracy: Option<f64>,
    pub best_epoch: Option<u64>,
    /// `train_accuracy` - `test_accuracy`
    pub generalisation_gap: Option<f64>,
    /// `test_loss` - `train_loss`
    pub loss_gap: Option<f64>,
    /// ||x - x_0|| at the end; empty where it diverged.
    pub distance_from_init: Option<f64>,
    /// Largest Hessian eigenvalue at the end and ||H v - lambda_max v|| of its unit eigenvector, where they were asked for.
    pub lambda_max: Option<f64>,
    pub lambda_residual: Option<f64>,
    /// K* / `lr_scaled`, where theory knows the threshold gain K* and the learning rate is constant: minima sharper than this
    /// are not accessible.
    pub lambda_predicted: Option<f64>,
    /// Median of lambda_max over the last third of the steps at which it was tracked, and the same / `lambda_predicted`.
    pub plateau: Option<f64>,
    pub plateau_ratio: Option<f64>,
    /// Made.
    pub steps: u64,
    /// Engine and precision.
    pub engine: String,
    pub adapter: String,
}

/// How a training ended. Both are results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TrainStatus {
    Finished,
    Diverged,
}

/// One number on the way of a run: a row of metrics.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRow {
    /// The [`TrainRow`] that it belongs to.
    pub run_id: String,
    /// Steps made.
    pub step: u64,
    /// The same in epochs.
    pub epoch: f64,
    pub metric: Metric,
    pub value: f64,
}

/// What a [`MetricRow`] tells.
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
}

/// The runs that differ in their seed alone: a row of summary.csv. Means are over the runs that did not diverge; `_low` and
/// `_high` are the ends of their 95 % confidence interval by Student's t, empty of a single run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryRow {
    pub arm_id: String,
    pub data: String,
    pub model: String,
    pub loss: String,
    pub samples: u64,
    pub test_samples: u64,
    pub weight_decay: f64,
    pub rule: String,
    pub momentum: f64,
    pub dampening: f64,
    pub delay: Option<u32>,
    pub schedule: String,
    pub lr_scaling: String,
    pub lr: f64,
    pub lr_scaled: f64,
    pub effective_lr: f64,
    pub lr_regime: String,
    pub batch: String,
    pub epochs: u64,
    /// All, and those of them that diverged.
    pub runs: u64,
    pub diverged: u64,
    pub test_accuracy: Option<f64>,
    pub test_accuracy_low: Option<f64>,
    pub test_accuracy_high: Option<f64>,
    pub generalisation_gap: Option<f64>,
    pub generalisation_gap_low: Option<f64>,
    pub generalisation_gap_high: Option<f64>,
    pub test_loss: Option<f64>,
    pub test_loss_low: Option<f64>,
    pub test_loss_high: Option<f64>,
    pub lambda_max: Option<f64>,
    pub lambda_max_low: Option<f64>,
    pub lambda_max_high: Option<f64>,
    pub lambda_predicted: Option<f64>,
    pub engine: String,
    pub adapter: String,
}
