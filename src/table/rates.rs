//! The rows of a folder of rates: how fast every cell approaches its minimum at a learning rate.

use super::row::{Refusal, Row, require_positive, row};
use super::sweep::Status;

row! {
    /// One cell at one learning rate: how many updates the slowest direction takes for an e-fold, as measured at the minimum.
    pub struct RateRow {
        /// Short content hash of the cell and the learning rate.
        pub rate_id: String,
        /// Name of the data set; empty for problems that have none (quadratics).
        pub data: Option<String>,
        /// Model as given to `--model`, with its activation.
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
        /// `full` or the number of samples per gradient of a worker.
        pub batch: String,
        ..outer,
        pub seed_data: u64,
        pub seed_order: u64,
        pub seed_init: u64,
        /// Sense of the rate: `mean` of a run without chance; `mean-square`, that of the root of the mean square over an ensemble;
        /// `almost-sure`, that of almost every run.
        pub criterion: String,
        /// Learning rate as the rule takes it.
        pub lr: f64,
        /// Largest and smallest Hessian eigenvalue at the minimum.
        pub lambda_max: f64,
        pub lambda_min: f64,
        /// `-ln` of the factor by which the distance from the minimum shrinks in an update; negative where it grows.
        pub rate: Option<f64>,
        /// What `rate` is unlikely to be off by: for a run without chance a bound from how long it was watched, for an ensemble twice its
        /// standard error and that bound.
        pub rate_error: Option<f64>,
        /// 1 / `rate`: updates in which the distance shrinks by e; empty where it does not shrink.
        pub updates_per_efold: Option<f64>,
        pub updates_error: Option<f64>,
        /// Updates per e-fold of the slowest direction by theory; empty where one does not shrink or no theory is known.
        pub updates_theory: Option<f64>,
        /// Curvature of that direction, and which curvatures theory looked at.
        pub curvature_theory: Option<f64>,
        pub directions: Option<String>,
        /// `updates_per_efold` / `updates_theory`
        pub ratio: Option<f64>,
        /// `measured` (the error is within the tolerance, or the weights came to the minimum itself), `undecided` (the horizon ended
        /// first, or the run left too fast to be followed) or `failed`.
        pub status: Status,
        /// Runs of an ensemble, or 1, and the steps that each took.
        pub runs: u32,
        pub steps: u64,
        /// Engine and precision.
        pub engine: String,
        pub adapter: String,
        /// Why there is no rate, or none within the tolerance.
        pub reason: Option<String>,
    }
}

impl Row for RateRow {
    fn check(&self) -> Result<(), Refusal> {
        require_positive("lr", self.lr)?;
        require_positive("updates_per_efold", self.updates_per_efold)?;
        require_positive("updates_theory", self.updates_theory)
    }
}
