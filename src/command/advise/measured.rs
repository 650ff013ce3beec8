//! Measured thresholds of a results folder, as advice takes them.
//!
//! A row counts where rule, momentum, process and delay are those asked for; dampening only rescales the learning rate of
//! heavy-ball and shifted. Rows that differ in nothing but seeds are one threshold, their median. Not here: any reading of
//! tables ([`crate::table`]).

use super::super::results::Results;
use crate::compare::thresholds::Effects;
use crate::rule::{KnownRule, Rule, RuleKind, ThresholdSource};
use crate::table::{self, ThresholdRow, median};
use crate::theory::{Criterion, TheoryError};
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::path::Path;

/// Rows of one problem and one batch.
pub struct MeasuredThresholds {
    folder: String,
    rows: Vec<ThresholdRow>,
    curvature: f64,
    effects: RefCell<Effects>,
}

impl MeasuredThresholds {
    /// # Errors
    /// A folder without a table of thresholds, or one with several batches or problems.
    pub fn read(folder: &Path) -> Result<Self> {
        let results = Results::open(folder)?;
        let shown = folder.display();
        let path = results.tables().join("thresholds.csv");
        let rows: Vec<ThresholdRow> = table::read_csv(&path).with_context(|| {
            let rates = if results.tables().join("rates.csv").is_file() {
                "; this one has rates, which say nothing of the thresholds that advice is made of: `tauscope tune --folder` takes it, and \
                 --lambda with its lambda_max and --condition do without a folder"
            } else {
                ""
            };
            format!(
                "--folder {shown}: it needs a results folder with a thresholds.csv, as written by `tauscope sweep`{rates}"
            )
        })?;
        let Some(curvature) = median(rows.iter().map(|row| row.lambda_max)) else {
            bail!("--folder {shown}: its table of thresholds has no rows; accepted: a finished sweep");
        };
        let batches = table::distinct(rows.iter().map(|row| row.batch.clone()));
        if batches.len() > 1 {
            bail!("--folder {shown}: it has batches {}; accepted: a sweep of one batch", batches.join(", "));
        }
        let problem =
            |row: &ThresholdRow| (row.data.clone(), row.model.clone(), row.loss.clone(), row.weight_decay.to_bits());
        if table::distinct(rows.iter().map(problem)).len() > 1 {
            bail!("--folder {shown}: it has several problems; accepted: a sweep of one");
        }
        Ok(Self { folder: shown.to_string(), rows, curvature, effects: RefCell::default() })
    }

    /// Largest curvature of the minimum; the median over its seeds.
    pub fn curvature(&self) -> f64 {
        self.curvature
    }

    /// Whether gradients are those of minibatches.
    pub fn is_noisy(&self) -> bool {
        self.rows.iter().any(|row| row.batch != "full")
    }

    /// The measured threshold of a rule under this process at this delay.
    pub fn find(&self, rule: &Rule, schedule: &str, delay: Option<usize>, criterion: Criterion) -> Option<KnownRule> {
        let rescales = matches!(rule.kind, RuleKind::HeavyBall | RuleKind::Shifted);
        let matches = |row: &&ThresholdRow| {
            let process =
                row.schedule == schedule || row.schedule.strip_prefix(schedule).is_some_and(|c| c.starts_with('#'));
            let same_rule = row.rule == rule.name() && row.momentum == rule.momentum;
            let dampening = row.dampening == rule.dampening || rescales && row.dampening < 1.0;
            // Without chance the mean and the mean square are one, and the row says mean.
            let sense = row.criterion == criterion.name() || row.criterion == "mean";
            let cell = same_rule && dampening && process && row.delay.map(|delay| delay as usize) == delay && sense;
            cell && row.is_measured()
        };
        let found: Vec<&ThresholdRow> = self.rows.iter().filter(matches).collect();
        let scale = |row: &ThresholdRow| if rescales { (1.0 - row.dampening) / (1.0 - rule.dampening) } else { 1.0 };
        let gain = median(found.iter().filter_map(|row| Some(row.lr_threshold? * row.lambda_max * scale(row))))?;
        let row = found.iter().find(|row| row.lr_threshold.is_some())?;
        let effective_factor = self.effects.borrow_mut().of(row).map(|factor| factor / scale(row));
        Some(KnownRule { gain, effective_factor, source: ThresholdSource::Measured })
    }

    /// Whether theory may stand in for a threshold that was not measured.
    ///
    /// # Errors
    /// Under minibatches there is no theory of one number, so that it must be measured.
    pub fn needs(&self, rule: &Rule, schedule: &str, delay: Option<usize>) -> Result<(), TheoryError> {
        if !self.is_noisy() {
            return Ok(());
        }
        let (name, batch) = (table::rule_name(&rule.name(), rule.momentum, rule.dampening), &self.rows[0].batch);
        let delay = delay.map_or(String::new(), |delay| format!(" at delay {delay}"));
        Err(TheoryError::Unsupported(format!(
            "--folder {}: no measured threshold of {name} under {schedule}{delay} with batch {batch}; accepted: a sweep that \
             has it",
            self.folder
        )))
    }
}
