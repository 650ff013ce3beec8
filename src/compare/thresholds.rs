//! The thresholds of a sweep, each beside that of a baseline rule under the same circumstances.
//!
//! Two cells stand side by side if they differ in nothing but rule, momentum and dampening, those of stages included. A threshold under another
//! criterion is one of another kind, so that a rule which knows only `escape` is compared only with a baseline that was
//! measured so. A ratio says how much larger the largest stable learning rate of the rule is; the effective ratio says the
//! same of effective learning rates ([`crate::drift`]), in which gradients that a rule shortens, averages or drops count as
//! what they move. Neither says how fast a rule trains.

use crate::delay::ScheduleSpec;
use crate::drift;
use crate::rule::RuleSpec;
use crate::table::number::rounded;
use crate::table::{ComparisonRow, ComparisonStatus, Status, ThresholdRow, engines_matter, median};
use anyhow::{Result, bail};
use std::collections::HashMap;

/// A cell and the one that it is compared with, if the table has it.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    pub row: &'a ThresholdRow,
    pub baseline: Option<&'a ThresholdRow>,
    /// Effective learning rates of the row and of its baseline, per unit of learning rate.
    effects: (Option<f64>, Option<f64>),
    /// What its place beside others is decided by.
    pub quantity: Quantity,
}

/// What is set side by side in tables and pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Effective,
    /// As the rules take learning rates, where no baseline has an effective one (adam beside adamw).
    Plain,
}

impl Quantity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Effective => "effective learning rate",
            Self::Plain => "learning rate",
        }
    }
}

/// Puts every row beside the one of the rule called `to` under the same circumstances. `to` is a series as pictures name
/// it (`heavy-ball m=0.9 ema`), or a rule (`heavy-ball`, `ringmaster:4`, `ringmaster`) where only one series has it.
///
/// # Errors
/// Where no series or more than one is meant, or where two rows are one cell of it. Messages say what would be accepted.
pub fn compare<'a>(rows: &'a [ThresholdRow], to: &str) -> Result<Vec<Comparison<'a>>> {
    // Stages with remedies stand beside those without.
    let plain = rows.iter().filter(|row| !row.has_remedies());
    let to = super::meant(plain.map(|row| (row.rule_name(), row.rule.as_str())), to, &[])?;
    let engines = engines_matter(rows.iter());
    let circumstances = |row: &'a ThresholdRow| (circumstances(row), engines.then_some((&row.engine, &row.adapter)));
    let mut baselines: HashMap<_, &ThresholdRow> = HashMap::new();
    for row in rows.iter().filter(|row| row.rule_name() == to) {
        if let Some(other) = baselines.insert(circumstances(row), row) {
            bail!(
                "cells {} and {} are both of the baseline `{to}` under the same circumstances, expected one; a table is \
                 compared that has each cell once",
                other.cell_id,
                row.cell_id
            );
        }
    }
    let mut effects = Effects::default();
    let effective = baselines.is_empty() || baselines.values().any(|baseline| effects.of(baseline).is_some());
    let quantity = if effective { Quantity::Effective } else { Quantity::Plain };
    let comparison = |row: &'a ThresholdRow| {
        let baseline = baselines.get(&circumstances(row)).copied();
        let effects = (effects.of(row), baseline.and_then(|baseline| effects.of(baseline)));
        Comparison { row, baseline, effects, quantity }
    };
    Ok(rows.iter().map(comparison).collect())
}

fn is_rate(value: &f64) -> bool {
    value.is_finite() && *value > 0.0
}

/// All that a row shares with its baseline, but for the engine. The delay is the one asked for, as the realised one depends on what a rule
/// throws away; a process with delays of its own has them in its name.
fn circumstances(row: &ThresholdRow) -> impl Eq + std::hash::Hash + '_ {
    let problem = (&row.data, &row.model, &row.loss, row.samples, row.weight_decay.to_bits(), row.lambda_max.to_bits());
    let process = (row.delay, &row.schedule, row.workers);
    let gradients = (&row.batch, &row.sampling, row.seed_data, row.seed_order, row.seed_init);
    (problem, process, gradients, (row.outer_key(), row.stage_key()), &row.criterion)
}

/// Effective learning rates per unit of learning rate, of what rows say of rule and delays: older tables do not have them,
/// nor do cells without a threshold.
#[derive(Default)]
pub struct Effects(HashMap<String, Option<f64>>);

impl Effects {
    /// None where the rule has none, or where the file of its delays is not there any more.
    pub fn of(&mut self, row: &ThresholdRow) -> Option<f64> {
        if let Some((effective, lr)) = row.lr_effective.zip(row.lr_threshold) {
            return Some(effective / lr);
        }
        // What stages of their own learning rates have stands in their row.
        if row.stages.is_some() {
            return None;
        }
        let key =
            (&row.rule, row.momentum.to_bits(), row.dampening.to_bits(), &row.schedule, row.delay, row.seed_order);
        *self.0.entry(format!("{key:?}")).or_insert_with(|| {
            let spec: RuleSpec = row.rule.parse().ok()?;
            let rule = spec.with(row.momentum, row.dampening);
            if let Some(constant) = rule.constant_factor() {
                return Some(constant);
            }
            let spec: ScheduleSpec = row.schedule.parse().ok()?;
            let schedule = row.delay.map_or_else(|| spec.own(), |delay| spec.resolve(delay)).ok()?;
            drift::effective_factor(&rule, &schedule, row.seed_order)
        })
    }
}

/// Where the threshold lies at least and at most, as far as that is known.
pub fn range(row: &ThresholdRow) -> (Option<f64>, Option<f64>) {
    let around = |value: f64, wider: fn(f64, f64) -> f64| row.lr_threshold.map_or(value, |lr| wider(value, lr));
    let low = row.lr_low.filter(is_rate).or(row.lr_stable).map(|value| around(value, f64::min));
    let high = row.lr_high.filter(is_rate).or(row.lr_unstable).map(|value| around(value, f64::max));
    (low, high)
}

impl Comparison<'_> {
    /// Ratio of the thresholds, as the rules take learning rates.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.row.lr_threshold? / self.baseline?.lr_threshold?)
    }

    /// Least and largest ratio that the ranges of both thresholds allow. Nothing is uncertain of a cell beside itself.
    pub fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let Some(baseline) = self.baseline else { return (None, None) };
        if std::ptr::eq(self.row, baseline) {
            return (self.ratio(), self.ratio());
        }
        let ((low, high), (base_low, base_high)) = (range(self.row), range(baseline));
        let quotient = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
        (quotient(low, base_high), quotient(high, base_low))
    }

    /// None where one of the two rules has no effective learning rate.
    pub fn effective_ratio(&self) -> Option<f64> {
        Some(self.ratio()? * self.effect()?)
    }

    fn effect(&self) -> Option<f64> {
        let (own, baseline) = self.effects;
        Some(own? / baseline?)
    }

    /// Factor from a ratio of learning rates to that of what is set side by side; none where there is none to be shown.
    pub fn shown_factor(&self) -> Option<f64> {
        match self.quantity {
            Quantity::Effective => self.effect(),
            Quantity::Plain => Some(1.0),
        }
    }

    pub fn shown_ratio(&self) -> Option<f64> {
        Some(self.ratio()? * self.shown_factor()?)
    }

    pub fn status(&self) -> ComparisonStatus {
        let Some(baseline) = self.baseline else { return ComparisonStatus::NoBaseline };
        let both = [self.row.status, baseline.status];
        if both.contains(&Status::Failed) {
            ComparisonStatus::Failed
        } else if both.contains(&Status::Undecided) {
            ComparisonStatus::Undecided
        } else {
            ComparisonStatus::Measured
        }
    }

    /// The delay under which it is listed: as asked for, else the baseline's mean to three digits.
    pub fn delay(&self) -> f64 {
        let mean = || self.baseline.unwrap_or(self.row).delay_mean.unwrap_or(0.0);
        self.row.delay.map_or_else(|| rounded(mean(), 3), f64::from)
    }

    /// As compare.csv has it.
    pub fn record(&self) -> ComparisonRow {
        let row = self.row;
        let (ratio_low, ratio_high) = self.bounds();
        ComparisonRow {
            cell_id: row.cell_id.clone(),
            rule: row.rule.clone(),
            momentum: row.momentum,
            dampening: row.dampening,
            schedule: row.schedule.clone(),
            delay: row.delay,
            delay_mean: row.delay_mean,
            batch: row.batch.clone(),
            criterion: row.criterion.clone(),
            way: row.way(),
            lr_threshold: row.lr_threshold,
            effective_lr: row.lr_effective.or_else(|| Some(row.lr_threshold? * self.effects.0?)),
            baseline: self.baseline.map(ThresholdRow::rule_name),
            baseline_lr: self.baseline.and_then(|baseline| baseline.lr_threshold),
            ratio: self.ratio(),
            effective_ratio: self.effective_ratio(),
            ratio_low,
            ratio_high,
            status: self.status(),
        }
    }
}

/// The comparisons of one rule with its numbers.
#[derive(Clone, Debug)]
pub struct Ranked<'a> {
    pub name: String,
    pub comparisons: Vec<Comparison<'a>>,
    /// Median of the ratios of measured settings, or of all that are shown where none is measured; `None` where there are none.
    pub median: Option<f64>,
}

/// Rules by their median ratio, the largest first; equal ones in the order of the table, those of which nothing is measured last.
pub fn ranked<'a>(comparisons: &[Comparison<'a>]) -> Vec<Ranked<'a>> {
    let mut all: Vec<Ranked<'a>> = vec![];
    for comparison in comparisons {
        let name = comparison.row.rule_name();
        match all.iter_mut().find(|rule| rule.name == name) {
            Some(rule) => rule.comparisons.push(*comparison),
            None => all.push(Ranked { name, comparisons: vec![*comparison], median: None }),
        }
    }
    let is_measured = |one: &&Comparison| one.status() == ComparisonStatus::Measured && one.shown_ratio().is_some();
    let counts = |rule: &Ranked| rule.comparisons.iter().any(|one| is_measured(&one));
    for rule in &mut all {
        let known = counts(rule);
        let told = rule.comparisons.iter().filter(|one| is_measured(one) || !known);
        rule.median = median(told.filter_map(Comparison::shown_ratio));
    }
    // Of which nothing is measured comes last, whatever its brackets say.
    let key = |rule: &Ranked| (counts(rule), rule.median.unwrap_or(f64::NEG_INFINITY));
    all.sort_by(|a, b| key(b).0.cmp(&key(a).0).then(key(b).1.total_cmp(&key(a).1)));
    all
}
