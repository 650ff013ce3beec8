//! The arms of a training as a person reads them, and the answer in a sentence.

use crate::plot::significant;
use crate::table::SummaryRow;
use comfy_table::{CellAlignment, Table, presets};

/// A column: its title, whether it says anything, and its cells.
type Column = (&'static str, bool, fn(&SummaryRow) -> String);

/// One line for each arm. Columns that would say nothing are left out.
pub fn table(arms: &[SummaryRow]) -> Table {
    let several = |value: fn(&SummaryRow) -> String| arms.windows(2).any(|pair| value(&pair[0]) != value(&pair[1]));
    let any = |value: fn(&SummaryRow) -> bool| arms.iter().any(value);
    let columns: [Column; 14] = [
        ("rule", true, |arm| arm.rule.clone()),
        ("momentum", any(|arm| arm.momentum != 0.0), |arm| arm.momentum.to_string()),
        ("dampening", any(|arm| arm.dampening != 0.0), |arm| arm.dampening.to_string()),
        ("schedule", several(|arm| arm.schedule.clone()), |arm| arm.schedule.clone()),
        ("delay", true, |arm| arm.delay.map_or(String::new(), |delay| delay.to_string())),
        ("batch", several(|arm| arm.batch.clone()), |arm| arm.batch.clone()),
        ("lr", several(|arm| arm.lr.to_string()), |arm| arm.lr.to_string()),
        ("scaling", true, |arm| arm.lr_scaling.clone()),
        ("lr scaled", true, |arm| significant(arm.lr_scaled, 4)),
        ("diverged", true, |arm| format!("{} of {}", arm.diverged, arm.runs)),
        ("test accuracy", true, test_accuracy),
        ("gap", true, |arm| {
            percent(arm.generalisation_gap, arm.generalisation_gap_low.zip(arm.generalisation_gap_high))
        }),
        ("lambda_max", any(|arm| arm.lambda_max.is_some()), |arm| number(arm.lambda_max)),
        ("K*/lr", any(|arm| arm.lambda_max.is_some()), |arm| number(arm.lambda_predicted)),
    ];
    let shown: Vec<Column> = columns.into_iter().filter(|(_, shown, _)| *shown).collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(shown.iter().map(|(name, ..)| *name));
    for arm in arms {
        table.add_row(shown.iter().map(|(.., value)| value(arm)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The answer in a sentence.
pub fn verdict(arms: &[SummaryRow], seconds: f64) -> String {
    let (runs, diverged) = arms.iter().fold((0, 0), |(runs, lost), arm| (runs + arm.runs, lost + arm.diverged));
    let known = arms.iter().filter_map(|arm| Some((arm, arm.test_accuracy?)));
    let best = known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(String::new(), |(arm, _)| {
        let delay = arm.delay.map_or_else(|| arm.schedule.clone(), |delay| format!("delay {delay}"));
        let (accuracy, rule, lr) = (test_accuracy(arm), &arm.rule, significant(arm.lr_scaled, 4));
        format!("; the best test accuracy is {accuracy}, of {rule} at {delay} with learning rate {lr}")
    });
    format!("{} of {runs} runs finished in {seconds:.1} s, {diverged} diverged{best}", runs - diverged)
}

fn test_accuracy(arm: &SummaryRow) -> String {
    percent(arm.test_accuracy, arm.test_accuracy_low.zip(arm.test_accuracy_high))
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| significant(value, 4))
}

/// A fraction with its interval: `97.22 ± 0.31 %`.
fn percent(mean: Option<f64>, ends: Option<(f64, f64)>) -> String {
    let half = ends.map_or(String::new(), |(low, high)| format!(" ± {:.2}", 50.0 * (high - low)));
    mean.map_or(String::new(), |mean| format!("{:.2}{half} %", 100.0 * mean))
}
