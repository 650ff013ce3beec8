//! Test accuracy and loss of a training's groups, each beside those of a baseline group, paired by seed.

use super::{NEEDED, Outcome, write};
use crate::command::lines::wrapped;
use crate::command::shown::{Column, Worth, fitted};
use crate::compare::training::{GroupComparison, SYNCHRONOUS, compare, ranked, usual};
use crate::plot::{self, Theme};
use crate::streams::stdout_width;
use crate::table::number::{percent, within};
use crate::table::{Interval, SummaryRow, TrainComparisonRow, TrainRow, read_csv, trained_groups, training_setting};
use anyhow::{Context, Result};
use std::path::Path;

/// Compares what stands in the folder's runs.csv and summary.csv, and writes the files.
///
/// `named` is the folder as the user knows it.
pub fn run(dir: &Path, named: &Path, to: Option<&str>, out: &Path, theme: Theme) -> Result<Outcome> {
    let runs: Vec<TrainRow> = read_csv(&dir.join("runs.csv")).context(NEEDED)?;
    let summaries: Vec<SummaryRow> = read_csv(&dir.join("summary.csv")).context(NEEDED)?;
    let groups = trained_groups(&runs, &summaries, &[]).with_context(|| named.display().to_string())?;
    let to = to.unwrap_or_else(|| usual(&groups));
    let comparisons = compare(&groups, to).with_context(|| named.display().to_string())?;
    let drawing = plot::compare_training(&comparisons, to, &training_setting(&runs))
        .with_context(|| named.display().to_string())?;
    let records: Vec<TrainComparisonRow> = comparisons.iter().map(GroupComparison::record).collect();
    write(out, &records, &drawing, theme)?;
    Ok(Outcome {
        text: text(&comparisons, to, stdout_width()),
        notes: alone(&comparisons).into_iter().chain(drawing.left_out).collect(),
    })
}

/// How many groups have nothing to be compared with.
fn alone(comparisons: &[GroupComparison]) -> Option<String> {
    let names: Vec<&str> =
        comparisons.iter().filter(|one| one.baseline.is_none()).map(|one| one.group.name.as_str()).collect();
    let groups = if names.len() == 1 { "group has" } else { "groups have" };
    (!names.is_empty()).then(|| format!("{} {groups} no baseline: {}", names.len(), names.join("; ")))
}

/// A line for each group, the best difference of accuracies first.
fn text(comparisons: &[GroupComparison], to: &str, width: Option<usize>) -> String {
    let shown: Vec<&GroupComparison> = ranked(comparisons).into_iter().filter(|one| one.baseline.is_some()).collect();
    let baseline = if to == SYNCHRONOUS {
        "the same training without delay".to_owned()
    } else {
        format!("{to} under the same circumstances")
    };
    let heading = format!(
        "Test accuracy and loss minus those of {baseline}: mean over seeds that finished in both ± half of its 95 % \
         interval; * where this leaves out 0"
    );
    format!("{}\n{}\n", wrapped(&heading, width), fitted(&shown, columns(), width, "compare.csv has all"))
}

/// What is shown of a group.
fn columns<'a>() -> Vec<Column<&'a GroupComparison<'a>>> {
    type Row<'a> = &'a GroupComparison<'a>;
    vec![
        Column::new("group", Worth::Needed, |one: &Row| one.group.name.clone()),
        Column::new("diverged", Worth::Evidence, |one: &Row| {
            format!("{} of {}", one.group.summary.diverged, one.group.summary.runs)
        }),
        Column::new("test accuracy", Worth::Result, |one: &Row| {
            one.group.summary.test_accuracy.map_or(String::new(), |mean| percent(mean, 4))
        }),
        Column::new("accuracy, points", Worth::Needed, |one: &Row| {
            if one.is_baseline() { "baseline".into() } else { difference(&one.accuracy, 100.0) }
        }),
        Column::new("loss", Worth::Evidence, |one: &Row| {
            if one.is_baseline() { String::new() } else { difference(&one.loss, 1.0) }
        }),
        Column::new("pairs", Worth::Detail, |one: &Row| one.accuracy.len().to_string()),
    ]
}

/// A mean difference with its sign and half the width of its interval.
fn difference(differences: &[f64], unit: f64) -> String {
    let Some(at) = Interval::of(differences) else { return String::new() };
    let sign = if at.mean > 0.0 { "+" } else { "" };
    let told = at.half_width.is_some_and(|half| at.mean.abs() > half);
    let number = within(unit * at.mean, at.half_width.map(|half| unit * half), 3);
    format!("{sign}{number}{}", if told { " *" } else { "" })
}
