//! The rows of a sweep's results folder.

use super::row::{Refusal, Row, outer_name, require, require_positive, row};
use crate::threshold::{StartPoint, Verdict};
use serde::{Deserialize, Serialize};

row! {
    /// One cell of a sweep: everything of a run but its learning rate, with the threshold measured for it.
    pub struct ThresholdRow {
        /// Short content hash of the cell.
        pub cell_id: String,
        /// Name of the data set; empty for problems that have none (quadratics).
        pub data: Option<String>,
        /// Model as given to `--model`: `mlp:16`, `linear`, `quadratic:1.0,0.3`.
        pub model: String,
        /// `ce` or `mse`; empty without data.
        pub loss: Option<String>,
        /// Number of training samples; empty without data.
        pub samples: Option<u64>,
        /// L2 penalty: weight_decay / 2 ||x||^2 is added to the loss.
        pub weight_decay: f64,
        ..update,
        /// Number of workers that make this delay; empty where delays do not come from workers.
        pub workers: Option<u32>,
        /// Mean age of the gradients that a run applies, in updates. The histogram of ages is in delays.csv.
        pub delay_mean: Option<f64>,
        /// Standard deviation of these ages, in updates.
        pub delay_std: Option<f64>,
        /// Median age, updates.
        pub delay_median: Option<u64>,
        /// 95 % quantile of the age, updates.
        pub delay_q95: Option<u64>,
        /// Largest age, updates.
        pub delay_max: Option<u64>,
        /// `full` or the number of samples per gradient of a worker.
        pub batch: String,
        /// How minibatches are drawn; empty where the batch is full.
        pub sampling: Option<String>,
        /// Variance of the curvature along the top eigenvector over the gradients of single updates, relative to its square, at
        /// the minimum; empty where the batch is full.
        pub relative_variance: Option<f64>,
        ..outer,
        /// Seed by which training samples are chosen.
        pub seed_data: u64,
        /// Seed of minibatches and delays.
        pub seed_order: u64,
        /// Seed of the weights from which the minimum is sought.
        pub seed_init: u64,
        /// Sense in which a run stays: `mean`, `mean-square`, `almost-sure` (by the sign of a growth rate) or `escape` (by staying
        /// near the minimum for the horizon).
        pub criterion: String,
        /// Runs of an ensemble, all at one learning rate; 1 where nothing is random, or under `escape`.
        #[serde(default = "one")]
        pub ensemble: u32,
        /// Largest Hessian eigenvalue at the minimum, 1 / (units of learning rate).
        pub lambda_max: f64,
        /// ||H v - lambda_max v|| of the unit eigenvector v that was found.
        pub lambda_residual: f64,
        /// Threshold that theory predicts for this rule, process, batch and criterion (under `escape`, without chance, that of
        /// the mean); empty where no theory is known.
        pub lr_theory: Option<f64>,
        /// Where `lr_theory` comes from; empty in folders that are older than the column.
        pub theory: Option<TheorySource>,
        /// Relative error that is to be expected of `lr_theory`; empty where it is exact.
        pub theory_error: Option<f64>,
        /// What the threshold of stages would be if the Hessian had one large eigenvalue, with the top eigenvector's energy in each
        /// stage; empty where there are no stages, or that is not known.
        pub lr_rank_one: Option<f64>,
        /// What it would be if all stages were as late as the latest one; empty where there are none.
        pub lr_uniform: Option<f64>,
        /// Largest learning rate seen to be stable.
        pub lr_stable: Option<f64>,
        /// Smallest learning rate above it seen to be unstable.
        pub lr_unstable: Option<f64>,
        /// Estimate between the two.
        pub lr_threshold: Option<f64>,
        /// Lower end of the 95 % confidence interval of the estimate, where growth rates are averages of ensembles; empty where their zero lies
        /// outside the bracket, whose geometric middle the estimate then is.
        pub lr_low: Option<f64>,
        /// Upper end of that interval.
        pub lr_high: Option<f64>,
        /// Effective learning rate at `lr_threshold`: how far a constant gradient moves the weights for each gradient that
        /// arrives; of stages their mean. Empty where that depends on the size of the gradient (adam, nadam, lion, signum, clipped, dc-asgd),
        /// and in older tables.
        pub lr_effective: Option<f64>,
        /// `lr_threshold` / `lr_theory`.
        pub ratio: Option<f64>,
        /// Steps after which a run counts as undecided, or as having stayed (`escape`).
        pub horizon_steps: u64,
        /// Number of runs spent on this cell, every member of an ensemble counted.
        pub runs: u32,
        /// `measured`, `undecided` (the horizon or the search ended first; the bracket so far is given) or `failed`
        /// (the column `reason` says why).
        pub status: Status,
        /// Engine and precision: `cpu f32`, `cpu f64` or `gpu f32`.
        pub engine: String,
        /// Adapter's name; the processor architecture for `cpu`.
        pub adapter: String,
        /// `f32` or `f64`: the numbers that the cell's runs were made of.
        #[serde(default)]
        pub precision: Option<String>,
        /// Why the cell failed or stayed undecided; empty where it did not.
        pub reason: Option<String>,
    }
}

/// Where a predicted threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TheorySource {
    /// Threshold gain of the rule's equation / `lambda_max`: without noise every direction of curvature is on its own.
    ClosedForm,
    /// Spectral radius of the map of second moments, with the Hessians of all samples.
    SecondMoment,
    /// Spectral radius of the map of second moments over an epoch, split by the samples that it has visited.
    EpochSecondMoment,
    /// Least limit over all curvatures up to `lambda_max`, where another than the largest may be the first to grow: local steps that
    /// pass the minimum. `theory_error` is how much more the largest one alone would tolerate.
    LeastOverCurvatures,
    /// First crossing of the delayed system of all stages, with Hessian-vector products; `theory_error` is its residual.
    Stages,
    /// No theory is known, or it would be off by too much.
    None,
}

row! {
    /// How often the gradients that a run of a cell applies had a delay, counted over at least 16384 updates where it varies.
    pub struct DelayRow {
        /// Row of thresholds.csv that this belongs to.
        pub cell_id: String,
        /// Updates.
        pub delay: u64,
        /// Gradients that had this delay.
        pub count: u64,
    }
}

/// How far the search for a cell's threshold came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Status {
    /// The bracket, or under a statistical criterion the confidence interval, is within the tolerance.
    Measured,
    /// The horizon or the search ended first; the bracket so far is given.
    Undecided,
    /// It could not be measured; the reason stands in the column `reason`.
    Failed,
}

row! {
    /// One simulated training at one learning rate, or an ensemble of them.
    pub struct RunRow {
        /// Short content hash of the run.
        pub run_id: String,
        /// Row of thresholds.csv that this run belongs to.
        pub cell_id: String,
        /// Learning rate as the rule takes it, before dampening.
        pub lr: f64,
        /// `near` or `far`, the start_distance or the far_start_distance of run.json; empty for an ensemble.
        #[serde(default)]
        pub start: Option<StartPoint>,
        /// What the run was seen to do: `stable`, `escaped` (it grows, or left the neighbourhood of the minimum), `diverged`, `undecided` or `failed`.
        pub verdict: Verdict,
        /// Exponent of the distance's growth, per step; negative where it decays.
        pub growth_rate: Option<f64>,
        /// Its standard error, where it is the average of an ensemble.
        pub growth_error: Option<f64>,
        /// Runs of the ensemble, or 1; the columns from `distance` on describe the last of them.
        #[serde(default = "one")]
        pub members: u32,
        /// Steps that each of them took.
        pub steps: u64,
        /// ||x - minimum|| after the last step.
        pub distance: Option<f64>,
        /// (x - minimum) . top eigenvector after the last step.
        pub projection: Option<f64>,
        /// Loss after the last step.
        pub loss: Option<f64>,
        /// Why a run failed or stayed undecided.
        pub reason: Option<String>,
    }
}

/// What a count was before tables had it.
fn one() -> u32 {
    1
}

outer_name!(ThresholdRow);

impl ThresholdRow {
    /// Gradients of one update.
    pub fn gradients(&self) -> u64 {
        let replicas = if self.batch == "full" { 1 } else { self.replicas.unwrap_or(1) };
        let parts = if self.fresh_share.is_some_and(|share| share < 1.0) { 2 } else { 1 };
        u64::from(self.local_steps.unwrap_or(1)) * u64::from(replicas) * parts
    }
}

impl Row for ThresholdRow {
    fn check(&self) -> Result<(), Refusal> {
        require_positive("lr_theory", self.lr_theory)?;
        require_positive("lr_stable", self.lr_stable)?;
        require_positive("lr_unstable", self.lr_unstable)?;
        require_positive("lr_threshold", self.lr_threshold)?;
        require_positive("lr_effective", self.lr_effective)?;
        let momentum = self.momentum;
        require("momentum", momentum, (0.0..1.0).contains(&momentum), "a number from 0 to below 1")?;
        let dampening = self.dampening;
        require("dampening", dampening, dampening.is_finite() && dampening <= 1.0, "a number of at most 1")
    }
}

impl Row for RunRow {
    fn check(&self) -> Result<(), Refusal> {
        require_positive("lr", self.lr)
    }
}

impl Row for DelayRow {}
