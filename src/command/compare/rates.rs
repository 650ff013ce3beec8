//! Measured rates of two folders side by side, or of the rules of one folder at their fastest.

use super::Outcome;
use crate::command::lines::wrapped;
use crate::command::shown::{Column, Worth, fitted};
use crate::compare::rates::{fastest, side_by_side};
use crate::streams::stdout_width;
use crate::table::number::{significant, within};
use crate::table::{RateComparisonRow, RateRow, read_csv, rule_name, write_csv};
use anyhow::{Context, Result};
use std::path::Path;

/// A rates.csv.
pub struct Source<'a> {
    pub file: &'a Path,
    /// Its folder as the user knows it.
    pub folder: &'a Path,
}

/// Rule that is compared with where none is given.
const USUAL: &str = "sgd";

/// Compares what stands in the folder's rates.csv with that of another folder, or with one of its rules, and writes compare.csv.
pub fn run(source: &Source, other: Option<&Source>, to: Option<&str>, out: &Path) -> Result<Outcome> {
    let rows: Vec<RateRow> = read_csv(source.file)?;
    let named = || source.folder.join("rates.csv").display().to_string();
    let (records, alone, heading) = match other {
        Some(other) => {
            let (records, alone) = side_by_side(&rows, &read_csv(other.file)?).with_context(named)?;
            let shown = other.folder.display();
            (
                records,
                alone,
                format!(
                    "Updates per e-fold beside those of the same cells in {shown}; ± is the error that is unlikely to be exceeded"
                ),
            )
        }
        None => {
            let to = to.unwrap_or(USUAL);
            let (records, alone) = fastest(&rows, to).with_context(named)?;
            (
                records,
                alone,
                format!(
                    "Updates per e-fold of every rule at its fastest learning rate, beside those of {to} at its own"
                ),
            )
        }
    };
    super::create(out)?;
    write_csv(&out.join("compare.csv"), &records)?;
    let what = match (other, alone) {
        (Some(_), 1) => "cell is in the first folder alone",
        (Some(_), _) => "cells are in the first folder alone",
        (None, 1) => "rule does not shrink, or has no baseline",
        (None, _) => "rules do not shrink, or have no baseline",
    };
    let note = (alone > 0).then(|| format!("{alone} {what}"));
    Ok(Outcome { text: text(&records, &heading, stdout_width()), notes: note.into_iter().collect() })
}

fn text(records: &[RateComparisonRow], heading: &str, width: Option<usize>) -> String {
    format!("{}\n{}\n", wrapped(heading, width), fitted(records, columns(), width, "compare.csv has all"))
}

/// What is shown of a comparison.
fn columns() -> Vec<Column<RateComparisonRow>> {
    fn short(value: Option<f64>) -> String {
        value.map_or_else(|| "-".to_owned(), |value| significant(value, 4))
    }
    fn with_error(value: Option<f64>, error: Option<f64>) -> String {
        value.map_or_else(|| "-".to_owned(), |value| within(value, error, 4))
    }
    type Row = RateComparisonRow;
    vec![
        Column::new("rule", Worth::Needed, |one: &Row| rule_name(&one.rule, one.momentum, one.dampening)),
        Column::new("delay", Worth::Setting, |one: &Row| {
            one.delay.map_or_else(|| "-".to_owned(), |delay| delay.to_string())
        }),
        Column::new("schedule", Worth::Setting, |one: &Row| one.schedule.clone()),
        Column::new("lr", Worth::Setting, |one: &Row| significant(one.lr, 4)),
        Column::new("updates", Worth::Result, |one: &Row| with_error(one.updates_per_efold, one.updates_error)),
        Column::new("baseline lr", Worth::Detail, |one: &Row| significant(one.baseline_lr, 4)),
        Column::new("baseline updates", Worth::Evidence, |one: &Row| {
            with_error(one.baseline_updates, one.baseline_error)
        }),
        Column::new("ratio", Worth::Needed, |one: &Row| short(one.ratio)),
        Column::new("from", Worth::Evidence, |one: &Row| short(one.ratio_low)).part_of("interval"),
        Column::new("to", Worth::Evidence, |one: &Row| short(one.ratio_high)).part_of("interval"),
    ]
}
