//! Measured rates beside each other: those of two folders, cell by cell, or every rule of a folder at its fastest learning rate beside a baseline
//! rule at its own.

use crate::table::{RateComparisonRow, RateRow, Status, rate_panels};
use anyhow::{Result, bail};
use std::collections::HashMap;

/// The cells of `rows` that stand in `others` too, each beside that one: the same cell at the same learning rate. With them, how many
/// of `rows` have none.
///
/// # Errors
/// Where no cell stands in both.
pub fn side_by_side(rows: &[RateRow], others: &[RateRow]) -> Result<(Vec<RateComparisonRow>, usize)> {
    let by_cell: HashMap<String, &RateRow> = others.iter().map(|row| (cell(row), row)).collect();
    let found: Vec<RateComparisonRow> =
        rows.iter().filter_map(|row| Some(beside(row, by_cell.get(&cell(row))?))).collect();
    if found.is_empty() {
        bail!(
            "no cell at the same learning rate stands in both tables; accepted: two folders of `sweep --rates` that share rules, delays, \
             seeds and learning rates"
        );
    }
    let alone = rows.len() - found.len();
    Ok((found, alone))
}

/// What is run, and not how its rate is measured: tolerance, horizon and engine may differ.
fn cell(row: &RateRow) -> String {
    let problem = (&row.data, row.samples, &row.model, &row.loss, row.weight_decay.to_bits());
    let update =
        (&row.rule, row.momentum.to_bits(), row.dampening.to_bits(), row.delay, &row.schedule, row.outer_name());
    let draws = (&row.batch, &row.criterion, row.seed_data, row.seed_order, row.seed_init);
    format!("{:?}", (problem, update, draws, row.lr.to_bits()))
}

/// Every rule at the learning rate at which it shrinks fastest, under each of the circumstances, beside the rule called `to` at its own. With
/// them, how many rules have none, or nothing to be compared with.
///
/// # Errors
/// Where no rule or more than one is meant, or nothing can be compared.
pub fn fastest(rows: &[RateRow], to: &str) -> Result<(Vec<RateComparisonRow>, usize)> {
    let to = super::meant(rows.iter().map(|row| (row.rule_name(), row.rule.as_str())), to, &[])?;
    let (mut found, mut alone) = (vec![], 0);
    for (_, rules) in rate_panels(rows) {
        let best: Vec<Option<&RateRow>> = rules.iter().map(|rule| fastest_of(&rule.rows)).collect();
        let baseline = rules.iter().zip(&best).find(|(rule, _)| rule.name == to).and_then(|(_, best)| *best);
        for row in best {
            match row.zip(baseline) {
                Some((row, baseline)) => found.push(beside(row, baseline)),
                None => alone += 1,
            }
        }
    }
    if found.is_empty() {
        bail!(
            "no rule shrinks beside {to} under the same circumstances; accepted: --to with another rule, or more learning rates"
        );
    }
    Ok((found, alone))
}

/// The row of the fewest updates per e-fold, if any shrinks.
pub fn fastest_of<'a>(rows: &[&'a RateRow]) -> Option<&'a RateRow> {
    let shrinking = rows.iter().copied().filter_map(|row| Some((row.updates_per_efold?, row)));
    shrinking.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, row)| row)
}

fn beside(row: &RateRow, baseline: &RateRow) -> RateComparisonRow {
    let both = row.updates_per_efold.zip(baseline.updates_per_efold);
    let errors = row.updates_error.zip(baseline.updates_error);
    // A cell beside itself has no error.
    let is_itself = std::ptr::eq(row, baseline);
    let ends = both.zip(errors).map(|((here, there), (error, other))| match is_itself {
        true => [Some(1.0), Some(1.0)],
        false => {
            [Some((here - error).max(0.0) / (there + other)), (there > other).then(|| (here + error) / (there - other))]
        }
    });
    let [ratio_low, ratio_high] = ends.unwrap_or_default();
    let status = match [row.status, baseline.status] {
        [Status::Measured, Status::Measured] => Status::Measured,
        both if both.contains(&Status::Failed) => Status::Failed,
        _ => Status::Undecided,
    };
    RateComparisonRow {
        rate_id: row.rate_id.clone(),
        baseline_id: baseline.rate_id.clone(),
        rule: row.rule.clone(),
        momentum: row.momentum,
        dampening: row.dampening,
        delay: row.delay,
        schedule: row.schedule.clone(),
        batch: row.batch.clone(),
        criterion: row.criterion.clone(),
        lr: row.lr,
        baseline: baseline.rule_name(),
        baseline_lr: baseline.lr,
        updates_per_efold: row.updates_per_efold,
        updates_error: row.updates_error,
        baseline_updates: baseline.updates_per_efold,
        baseline_error: baseline.updates_error,
        ratio: both.map(|(here, there)| here / there),
        ratio_low,
        ratio_high,
        status,
    }
}
