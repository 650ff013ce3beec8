//! The thresholds of a sweep, each beside that of a baseline rule.

use super::{NEEDED, Outcome, write};
use crate::command::lines::wrapped;
use crate::command::shown::continued;
use crate::compare::thresholds::{self as compare, Comparison, Quantity, Ranked};
use crate::plot::{self, Theme};
use crate::streams::stdout_width;
use crate::table::number::aligned;
use crate::table::{self, ComparisonRow, ComparisonStatus, ThresholdRow};
use crate::text::counted;
use anyhow::{Context, Result};
use std::path::Path;

/// Rule that is compared with where none is given.
const USUAL: &str = "sgd";
/// Most rules that a note lists.
const MOST_LISTED: usize = 6;

/// Compares what stands in the folder's thresholds.csv, and writes the files.
///
/// `named` is the table as the user knows it.
pub fn run(source: &Path, named: &Path, to: Option<&str>, out: &Path, theme: Theme) -> Result<Outcome> {
    let rows: Vec<ThresholdRow> = table::read_csv(source).context(NEEDED)?;
    let comparisons = compare::compare(&rows, to.unwrap_or(USUAL)).with_context(|| named.display().to_string())?;
    let drawing = plot::compare(&comparisons).with_context(|| named.display().to_string())?;
    let records: Vec<ComparisonRow> = comparisons.iter().map(Comparison::record).collect();
    write(out, &records, &drawing, theme)?;
    let notes = [missing(&comparisons), without_effect(&comparisons)].into_iter().flatten().chain(drawing.left_out);
    Ok(Outcome { text: text(&comparisons, stdout_width()), notes: notes.collect() })
}

/// How many rows have nothing to be compared with, and of which rules.
fn missing(comparisons: &[Comparison]) -> Option<String> {
    let alone: Vec<&ThresholdRow> =
        comparisons.iter().filter(|one| one.baseline.is_none()).map(|one| one.row).collect();
    let baseline = comparisons.iter().find_map(|one| one.baseline).map(ThresholdRow::rule_name)?;
    if alone.is_empty() {
        return None;
    }
    let (rows, names) = listed(&alone);
    let escape = if alone.iter().any(|row| row.criterion == "escape") {
        format!("; a threshold by `escape` is compared only with one of {baseline} by `escape`")
    } else {
        String::new()
    };
    Some(format!("{rows} no baseline ({baseline} in the same setting, by the same criterion): {names}{escape}"))
}

/// How many rows with a ratio have none of effective learning rates, and of which rules.
fn without_effect(comparisons: &[Comparison]) -> Option<String> {
    let without = comparisons.iter().filter(|one| one.ratio().is_some() && one.shown_ratio().is_none());
    let without: Vec<&ThresholdRow> = without.map(|one| one.row).collect();
    if without.is_empty() {
        return None;
    }
    let (rows, names) = listed(&without);
    Some(format!(
        "{rows} no effective learning rate, or their baseline has none (how far a gradient moves the weights depends on its \
         size, or the file of delays is not there): {names}; column `ratio` of compare.csv has their learning rates"
    ))
}

/// `3 rows have`, and the names of their rules.
fn listed(rows: &[&ThresholdRow]) -> (String, String) {
    let count = format!("{} {}", counted(rows.len(), "row"), if rows.len() == 1 { "has" } else { "have" });
    let mut names = table::distinct(rows.iter().map(|row| row.rule_name()));
    if names.len() > MOST_LISTED {
        let more = names.split_off(MOST_LISTED).len();
        names.push(format!("{more} more"));
    }
    (count, names.join(", "))
}

/// Rules down, circumstances and delays across, ratios in the cells.
fn text(comparisons: &[Comparison], width: Option<usize>) -> String {
    let compared: Vec<&Comparison> = comparisons.iter().filter(|one| one.baseline.is_some()).collect();
    let title = table::circumstances(&compared.iter().map(|one| one.row).collect::<Vec<_>>());
    let mut columns: Vec<(String, f64)> = table::distinct(compared.iter().map(|one| (title(one.row), one.delay())));
    let titles = table::distinct(columns.iter().map(|(title, _)| title.clone()));
    let place = |title: &String| titles.iter().position(|other| other == title);
    columns.sort_by(|a, b| place(&a.0).cmp(&place(&b.0)).then(a.1.total_cmp(&b.1)));

    let rules = compare::ranked(comparisons);
    let names = ("rule".to_owned(), rules.iter().map(|rule| rule.name.clone()).collect());
    let ratios = columns.iter().map(|(circumstances, delay)| {
        let here =
            |one: &&Comparison| one.baseline.is_some() && title(one.row) == *circumstances && one.delay() == *delay;
        let title = circumstances.replace(" stability", "").replace(", ", "\n");
        let name = if title.is_empty() { format!("τ = {delay}") } else { format!("{title}\nτ = {delay}") };
        (name, rules.iter().map(|rule| cell(rule, here)).collect())
    });
    let table = continued(&std::iter::once(names).chain(ratios).collect::<Vec<_>>(), width);
    let baseline = compared.first().and_then(|one| one.baseline).map(ThresholdRow::rule_name).unwrap_or_default();
    let (quantity, without) = match comparisons.first().map(|one| one.quantity) {
        Some(Quantity::Plain) => ("Learning rate", "a baseline"),
        Some(Quantity::Effective) | None => ("Effective learning rate", "a baseline or an effective learning rate"),
    };
    let heading =
        format!("{quantity} at the threshold / that of {baseline}; ~ undecided or failed, empty without {without}");
    format!("{}\n{table}\n", wrapped(&heading, width))
}

/// The ratio, or the median of those of repetitions.
fn cell(rule: &Ranked, here: impl Fn(&&Comparison) -> bool) -> String {
    let cells: Vec<&Comparison> = rule.comparisons.iter().filter(here).collect();
    let ratio = table::median(cells.iter().filter_map(|one| one.shown_ratio()));
    let open = cells.iter().any(|one| one.status() != ComparisonStatus::Measured);
    format!("{}{}", if open { "~" } else { "" }, ratio.map_or(String::new(), |ratio| aligned(ratio, 4)))
}
