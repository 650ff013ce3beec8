//! The rows that `tauscope compare` writes.

use super::row::{Row, row};
use super::sweep::Status;
use serde::{Deserialize, Serialize};

row! {
    /// One cell beside the cell of another rule under the same circumstances, as `tauscope compare` writes it.
    pub struct ComparisonRow {
        /// The row of thresholds.csv that is compared.
        pub cell_id: String,
        /// The rule's name and, where it has one, its number.
        pub rule: String,
        /// 0 for a rule without momentum.
        pub momentum: f64,
        /// PyTorch's dampening; equal to the momentum in the EMA form.
        pub dampening: f64,
        /// Name of the delay process, as typed.
        pub schedule: String,
        /// Updates between reading the weights and applying their gradient, as asked for; empty where the process
        /// brings delays of its own.
        pub delay: Option<u32>,
        /// Mean age of the gradients that a run applies, updates.
        pub delay_mean: Option<f64>,
        /// `full` or the number of samples per gradient of a worker.
        pub batch: String,
        /// Sense in which a run stays: `mean`, `mean-square`, `almost-sure` or `escape`.
        pub criterion: String,
        /// Outer loop or stages, with what is done against the delays of these; empty where there are none.
        pub way: Option<String>,
        /// Estimate of the largest stable learning rate.
        pub lr_threshold: Option<f64>,
        /// Effective learning rate at `lr_threshold`; empty where the rule has none.
        pub effective_lr: Option<f64>,
        /// Name of the rule that it is compared with; empty where the table has no cell of it under these circumstances.
        pub baseline: Option<String>,
        /// Threshold of that cell.
        pub baseline_lr: Option<f64>,
        /// `lr_threshold` / `baseline_lr`.
        pub ratio: Option<f64>,
        /// The same of effective learning rates; empty where the rule or its baseline has none.
        pub effective_ratio: Option<f64>,
        /// Least `ratio` that the confidence intervals, or else the brackets, of both cells allow.
        pub ratio_low: Option<f64>,
        /// Largest such ratio.
        pub ratio_high: Option<f64>,
        /// `measured`, `undecided`, `failed` or `no-baseline`.
        pub status: ComparisonStatus,
    }
}

/// How far a comparison can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ComparisonStatus {
    /// Both cells are measured.
    Measured,
    /// At least one is undecided.
    Undecided,
    /// At least one failed.
    Failed,
    /// There is nothing to compare with.
    NoBaseline,
}

row! {
    /// One group of a training beside another, paired by seed, as `tauscope compare` writes it. Differences are the group's
    /// figure minus the baseline's, means over the pairs of which both runs finished; `_low` and `_high` are the ends of
    /// their 95 % confidence interval by Student's t.
    pub struct TrainComparisonRow {
        /// Group of summary.csv that is compared.
        pub group_id: String,
        ..update,
        /// `none`, `inverse-delay` or `preserve`; `none` wherever it changes nothing.
        pub lr_scaling: String,
        /// Learning rate as asked for, that of synchronous training.
        pub lr: f64,
        /// Learning rate as the rule takes it: scaled.
        pub lr_scaled: f64,
        /// `full` or the number of samples per gradient of a worker.
        pub batch: String,
        /// Runs of the group, one for each seed.
        pub runs: u64,
        /// Those of them that diverged.
        pub diverged: u64,
        /// Mean over the runs of the group that finished.
        pub test_accuracy: Option<f64>,
        /// Mean over the runs of the group that finished.
        pub test_loss: Option<f64>,
        /// Name of the group that it is compared with; empty where the table has none under these circumstances.
        pub baseline: Option<String>,
        /// Id of that row.
        pub baseline_id: Option<String>,
        /// Its learning rate.
        pub baseline_lr: Option<f64>,
        /// Its runs that diverged.
        pub baseline_diverged: Option<u64>,
        /// Seeds of which both runs finished.
        pub pairs: u64,
        /// Test accuracy minus that of the baseline, mean over pairs, as a fraction.
        pub accuracy_difference: Option<f64>,
        /// Lower end of its 95 % confidence interval.
        pub accuracy_difference_low: Option<f64>,
        /// Upper end of that interval.
        pub accuracy_difference_high: Option<f64>,
        /// Test loss minus that of the baseline, mean over pairs.
        pub loss_difference: Option<f64>,
        /// Lower end of its 95 % confidence interval.
        pub loss_difference_low: Option<f64>,
        /// Upper end of that interval.
        pub loss_difference_high: Option<f64>,
        /// `paired`, `single` (one pair, no interval), `diverged` (no pair of which both runs finished) or `no-
        /// baseline`.
        pub status: PairingStatus,
    }
}

/// What a [`TrainComparisonRow`] rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PairingStatus {
    /// Several pairs, so that there is an interval.
    Paired,
    /// One pair, and no interval.
    Single,
    /// No pair of which both runs finished.
    Diverged,
    /// There is nothing to compare with.
    NoBaseline,
}

row! {
    /// The updates per e-fold of one cell beside those of another, as `tauscope compare` writes it.
    pub struct RateComparisonRow {
        /// Row of rates.csv.
        pub rate_id: String,
        /// Id of that row.
        pub baseline_id: String,
        ..update,
        /// `full` or the number of samples per gradient of a worker.
        pub batch: String,
        /// Sense in which a run stays: `mean`, `mean-square`, `almost-sure` or `escape`.
        pub criterion: String,
        /// Learning rate as the rule takes it.
        pub lr: f64,
        /// Rule that it is compared with.
        pub baseline: String,
        /// Its learning rate.
        pub baseline_lr: f64,
        /// Updates in which the distance from the minimum shrinks by e; empty where it does not shrink.
        pub updates_per_efold: Option<f64>,
        /// What that is unlikely to be off by.
        pub updates_error: Option<f64>,
        /// Updates per e-fold of the baseline.
        pub baseline_updates: Option<f64>,
        /// What that is unlikely to be off by.
        pub baseline_error: Option<f64>,
        /// `updates_per_efold` / `baseline_updates`; empty where one does not shrink.
        pub ratio: Option<f64>,
        /// Least ratio that the errors of both allow.
        pub ratio_low: Option<f64>,
        /// Largest such ratio.
        pub ratio_high: Option<f64>,
        /// `measured`, `undecided` or `failed`: that of the less sure of the two.
        pub status: Status,
    }
}

impl Row for RateComparisonRow {}
impl Row for ComparisonRow {}
impl Row for TrainComparisonRow {}
