//! The groups of a training as a person reads them, and the answer in a sentence.

use crate::table::SummaryRow;
use crate::table::number::{percent_within, significant};
use comfy_table::{CellAlignment, Table, presets};

/// A column: its title, whether it says anything, and its cells.
type Column = (&'static str, bool, fn(&SummaryRow) -> String);

/// One line for each group. Columns that would say nothing are left out.
pub fn table(groups: &[SummaryRow]) -> Table {
    let several = |value: fn(&SummaryRow) -> String| groups.windows(2).any(|pair| value(&pair[0]) != value(&pair[1]));
    let any = |value: fn(&SummaryRow) -> bool| groups.iter().any(value);
    let columns: [Column; 15] = [
        ("rule", true, |group| group.rule.clone()),
        ("momentum", any(|group| group.momentum != 0.0), |group| group.momentum.to_string()),
        ("dampening", any(|group| group.dampening != 0.0), |group| group.dampening.to_string()),
        ("schedule", several(|group| group.schedule.clone()), |group| group.schedule.clone()),
        ("delay", true, |group| group.delay.map_or(String::new(), |delay| delay.to_string())),
        ("batch", several(|group| group.batch.clone()), |group| group.batch.clone()),
        (
            groups.iter().find_map(SummaryRow::way_title).unwrap_or("outer loop"),
            any(|group| group.way().is_some()),
            |group| group.way().unwrap_or_default(),
        ),
        ("lr", several(|group| group.lr.to_string()), |group| group.lr.to_string()),
        ("scaling", true, |group| group.lr_scaling.clone()),
        ("lr scaled", true, |group| significant(group.lr_scaled, 4)),
        ("diverged", true, |group| format!("{} of {}", group.diverged, group.runs)),
        ("test accuracy", true, test_accuracy),
        ("gap", true, |group| {
            percent(group.generalisation_gap, group.generalisation_gap_low.zip(group.generalisation_gap_high))
        }),
        ("lambda_max", any(|group| group.lambda_max.is_some()), |group| number(group.lambda_max)),
        ("K*/lr", any(|group| group.lambda_max.is_some()), |group| number(group.lambda_predicted)),
    ];
    let shown: Vec<Column> = columns.into_iter().filter(|(_, shown, _)| *shown).collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(shown.iter().map(|(name, ..)| *name));
    for group in groups {
        table.add_row(shown.iter().map(|(.., value)| value(group)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The answer in a sentence.
pub fn verdict(groups: &[SummaryRow], seconds: f64) -> String {
    let (runs, diverged) = groups.iter().fold((0, 0), |(runs, lost), group| (runs + group.runs, lost + group.diverged));
    let known = groups.iter().filter_map(|group| Some((group, group.test_accuracy?)));
    let best = known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(String::new(), |(group, _)| {
        let other = || group.way().unwrap_or_else(|| group.schedule.clone());
        let delay = group.delay.map_or_else(other, |delay| format!("delay {delay}"));
        let (accuracy, rule, lr) = (test_accuracy(group), &group.rule, significant(group.lr_scaled, 4));
        format!("; the best test accuracy is {accuracy}, of {rule} at {delay} with learning rate {lr}")
    });
    format!("{} of {runs} runs finished in {seconds:.1} s, {diverged} diverged{best}", runs - diverged)
}

fn test_accuracy(group: &SummaryRow) -> String {
    percent(group.test_accuracy, group.test_accuracy_low.zip(group.test_accuracy_high))
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| significant(value, 4))
}

/// A fraction with its interval: `97.22 ± 0.31 %`.
fn percent(mean: Option<f64>, ends: Option<(f64, f64)>) -> String {
    mean.map_or(String::new(), |mean| percent_within(mean, ends.map(|(low, high)| 0.5 * (high - low))))
}
