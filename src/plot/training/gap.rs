//! What every group came to: the generalisation gap and the test accuracy at the end, with the 95 % confidence intervals of
//! the means and a faint dot for every seed.

use super::super::intervals::{self, Entry, Figure, MOST, Values};
use super::super::scene::Scene;
use super::DrawnGroup;
use crate::table::{SummaryRow, TrainRow};

const FIGURES: [Figure; 2] = [
    Figure { title: "generalisation gap (training - test accuracy, %)", least_span: 1.0, line: None },
    Figure { title: "test accuracy (%)", least_span: 1.0, line: None },
];

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    let entries: Vec<Entry> = groups.iter().map(entry).collect();
    let mut note =
        "Marks: mean over the seeds, with its 95 % confidence interval by Student's t. Faint dots: the seeds that did \
                    not diverge."
            .to_owned();
    if groups.len() > MOST {
        note += &format!(" For want of room, the first {MOST} of {} groups; summary.csv has all.", groups.len());
    }
    intervals::picture("Generalisation under delay", setting, &FIGURES, &entries, &note)
}

fn entry<'a>(group: &'a DrawnGroup) -> Entry<'a> {
    let note = match group.summary {
        SummaryRow { diverged: 0, .. } => String::new(),
        SummaryRow { diverged, runs, .. } => format!(" ({diverged} of {runs} diverged)"),
    };
    let values = |of_run: fn(&TrainRow) -> Option<f64>, mean: Option<f64>, ends: Option<(f64, f64)>| {
        let finished = group.runs.iter().filter(|run| run.is_finished());
        Values {
            single: finished.filter_map(|run| of_run(run.row)).map(|value| 100.0 * value).collect(),
            mean: mean.map(|mean| 100.0 * mean),
            ends: ends.map(|(low, high)| (100.0 * low, 100.0 * high)),
        }
    };
    let SummaryRow { generalisation_gap, generalisation_gap_low, generalisation_gap_high, .. } = group.summary;
    let SummaryRow { test_accuracy, test_accuracy_low, test_accuracy_high, .. } = group.summary;
    Entry {
        name: &group.name,
        note,
        color: group.color,
        marker: group.marker,
        values: [
            values(
                |run| run.generalisation_gap,
                *generalisation_gap,
                generalisation_gap_low.zip(*generalisation_gap_high),
            ),
            values(|run| run.test_accuracy, *test_accuracy, test_accuracy_low.zip(*test_accuracy_high)),
        ],
    }
}
