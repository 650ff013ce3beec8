//! What every group came to: the generalisation gap and the test accuracy at the end, with the 95 % confidence intervals of
//! the means and a faint dot for every seed.

use super::super::intervals::{self, Entry, Figure, MOST, Values};
use super::super::scene::Scene;
use super::DrawnGroup;
use crate::table::{Interval, SummaryRow, TrainRow};

/// Least and largest values of the two figures, percent.
const RANGES: [(f64, f64); 2] = [(-100.0, 100.0), (0.0, 100.0)];
const FIGURES: [Figure; 2] = [
    Figure {
        title: "generalisation gap (training - test accuracy, points)",
        least_span: 1.0,
        line: Some(0.0),
        range: Some(RANGES[0]),
    },
    Figure { title: "test accuracy (%)", least_span: 1.0, line: None, range: Some(RANGES[1]) },
];

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    let entries: Vec<Entry> = groups.iter().map(entry).collect();
    let mut note = "Marks: mean over the seeds, with its 95 % confidence interval by Wilson's formula for their spread, which stays within \
                    what is possible. Faint dots: the seeds that did not diverge."
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
    let values = |of_run: fn(&TrainRow) -> Option<f64>, (least, most): (f64, f64)| {
        let finished = group.runs.iter().filter(|run| run.is_finished());
        let single: Vec<f64> = finished.filter_map(|run| of_run(run.row)).map(|value| 100.0 * value).collect();
        let interval = Interval::of(&single);
        Values { mean: interval.map(|at| at.mean), ends: interval.and_then(|at| at.within(least, most)), single }
    };
    Entry {
        name: &group.name,
        note,
        color: group.color,
        marker: group.look.marker,
        values: [values(|run| run.generalisation_gap, RANGES[0]), values(|run| run.test_accuracy, RANGES[1])],
    }
}
