//! The rows of a folder of rates: how fast every cell approaches its minimum at a learning rate; which of them belong together, and
//! what they have in common.

use super::number::{exact, significant};
use super::row::{Refusal, Row, outer_name, require_positive, row};
use super::series::{Property, Series, grouped, is_constant, rule_name};
use super::sweep::Status;
use crate::text::counted;
use crate::theory::tuning::bound;

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
        /// Seed by which training samples are chosen.
        pub seed_data: u64,
        /// Seed of minibatches and delays.
        pub seed_order: u64,
        /// Seed of the weights from which the minimum is sought.
        pub seed_init: u64,
        /// Sense of the rate: `mean` of a run without chance; `mean-square`, that of the root of the mean square over an ensemble;
        /// `almost-sure`, that of almost every run.
        pub criterion: String,
        /// Learning rate as the rule takes it.
        pub lr: f64,
        /// Largest Hessian eigenvalue at the minimum, 1 / (units of learning rate).
        pub lambda_max: f64,
        /// Smallest one.
        pub lambda_min: f64,
        /// `-ln` of the factor by which the distance from the minimum shrinks in an update; negative where it grows.
        pub rate: Option<f64>,
        /// What `rate` is unlikely to be off by: for a run without chance a bound from how long it was watched, for an ensemble twice its
        /// standard error and that bound.
        pub rate_error: Option<f64>,
        /// 1 / `rate`: updates in which the distance shrinks by e; empty where it does not shrink.
        pub updates_per_efold: Option<f64>,
        /// What `updates_per_efold` is unlikely to be off by.
        pub updates_error: Option<f64>,
        /// Updates per e-fold of the slowest direction by theory; empty where one does not shrink or no theory is known.
        pub updates_theory: Option<f64>,
        /// Curvature of that direction.
        pub curvature_theory: Option<f64>,
        /// Which curvatures theory looked at.
        pub directions: Option<String>,
        /// `updates_per_efold` / `updates_theory`
        pub ratio: Option<f64>,
        /// `measured` (the error is within the tolerance, or the weights came to the minimum itself), `undecided` (the horizon ended
        /// first, or the run left too fast to be followed) or `failed`.
        pub status: Status,
        /// Runs of an ensemble, or 1.
        pub runs: u32,
        /// Steps that each run took.
        pub steps: u64,
        /// Engine and precision.
        pub engine: String,
        /// Adapter's name; the processor architecture for `cpu`.
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

outer_name!(RateRow);

/// What may tell rows apart besides rule and learning rate.
const PROPERTIES: [Property<RateRow>; 13] = [
    |row| row.delay.map(|delay| format!("delay {delay}")),
    |row| row.data.clone(),
    |row| row.samples.map(|samples| counted(samples, "sample")),
    |row| Some(row.model.clone()),
    |row| row.loss.clone(),
    |row| (row.weight_decay != 0.0).then(|| format!("weight decay {}", exact(row.weight_decay))),
    |row| Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
    |row| Some(row.schedule.clone()),
    RateRow::outer_name,
    |row| Some(row.criterion.clone()),
    |row| (row.seed_data != 0).then(|| format!("data seed {}", row.seed_data)),
    |row| (row.seed_order != 0).then(|| format!("order seed {}", row.seed_order)),
    |row| (row.seed_init != 0).then(|| format!("init seed {}", row.seed_init)),
];

impl RateRow {
    /// The rule with its numbers, those of stages included.
    pub fn rule_name(&self) -> String {
        rule_name(&self.rule, self.momentum, self.dampening) + &self.remedies()
    }

    /// Updates per e-fold that no stationary linear rule gets below; none where delays vary, where an update is made of other gradients than one,
    /// and where the spectrum has no smallest positive curvature of its own.
    pub fn bound(&self) -> Option<f64> {
        let (condition, delay) = (self.lambda_max / self.lambda_min, self.delay?);
        let known = self.lambda_min > 0.0 && condition > 1.0 && self.outer_name().is_none();
        (known && self.schedule == "round-robin").then(|| bound(delay as usize, condition))
    }
}

/// Rows that differ in rule and learning rate alone, for each of the circumstances in order of first appearance: what these are called, and a series for
/// each rule, by learning rate.
pub fn rate_panels(rows: &[RateRow]) -> Vec<(String, Vec<Series<'_, RateRow>>)> {
    let varying: Vec<_> = PROPERTIES.into_iter().filter(|property| !is_constant(rows, *property)).collect();
    let told = |row: &RateRow| {
        let parts: Vec<String> = varying.iter().filter_map(|property| property(row)).collect();
        if parts.is_empty() { PROPERTIES[0](row).unwrap_or_else(|| row.schedule.clone()) } else { parts.join(", ") }
    };
    let panels = grouped(rows.iter().map(|row| (told(row), row)), |key, _| key.to_owned(), |_| 0.0);
    let by_rule = panels.into_iter().map(|panel| {
        let rules =
            grouped(panel.rows.into_iter().map(|row| (row.rule_name(), row)), |key, _| key.to_owned(), |row| row.lr);
        (panel.name, rules)
    });
    by_rule.collect()
}

/// What all rows share, as one line.
pub fn rate_setting(rows: &[RateRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let shared = PROPERTIES.into_iter().filter(|property| is_constant(rows, *property));
    let mut parts: Vec<String> = shared.filter_map(|property| property(first)).collect();
    if is_constant(rows, |row| Some(format!("{} {}", row.lambda_max, row.lambda_min))) {
        parts.push(format!("curvatures {} to {}", significant(first.lambda_min, 3), significant(first.lambda_max, 4)));
    }
    parts.join(" · ")
}
