//! The picture of a training's comparison: by how much test accuracy and loss of each group differ from its baseline's, with a
//! faint dot for every seed.

use super::compare::Drawing;
use super::intervals::{self, Entry, Figure, MOST, Values};
use super::look::{Look, Ruled, told_apart};
use crate::compare::training::{GroupComparison, SYNCHRONOUS, ranked};
use crate::table::Interval;
use anyhow::{Result, bail};

const FIGURES: [Figure; 2] = [
    Figure {
        title: "difference of test accuracies (percentage points)",
        least_span: 0.1,
        line: Some(0.0),
        range: None,
    },
    Figure { title: "difference of test losses", least_span: 1e-3, line: Some(0.0), range: None },
];

/// Lays out the picture of `comparisons` with the groups of the rule `to`, or with synchronous training, under the title's
/// `setting`. Groups that are their own baseline are not drawn. The same ones give the same bytes.
///
/// # Errors
/// Where there is no other group with a baseline.
pub fn compare_training(comparisons: &[GroupComparison], to: &str, setting: &str) -> Result<Drawing> {
    let shown: Vec<&GroupComparison> =
        ranked(comparisons).into_iter().filter(|one| one.baseline.is_some() && !one.is_baseline()).collect();
    if shown.is_empty() {
        bail!("no group has another one to be compared with");
    }
    let looks = told_apart(shown.iter().map(|one| one.group.summary.look()).collect());
    let entries: Vec<Entry> = shown.iter().zip(looks).map(|(one, look)| entry(one, look)).collect();
    let left_out: Vec<String> = (shown.len() > MOST)
        .then(|| format!("the first {MOST} of {} groups are drawn", shown.len()))
        .into_iter()
        .collect();
    let mut note =
        "Marks: mean difference over the seeds that finished in both, group minus baseline, with its 95 % confidence \
                    interval by Student's t. Faint dots: seeds."
            .to_owned();
    left_out.iter().for_each(|left_out| note += &format!(" For want of room, {left_out}; compare.csv has all."));
    let title = if to == SYNCHRONOUS {
        "Test accuracy and loss under delay, beside the same training without delay".to_owned()
    } else {
        format!("Test accuracy and loss, beside {to} under the same delay")
    };
    let scene = intervals::picture(&title, setting, &FIGURES, &entries, &note);
    Ok(Drawing { scene, left_out })
}

fn entry<'a>(one: &GroupComparison<'a>, look: Look) -> Entry<'a> {
    let lost = one.group.summary.diverged;
    let values = |differences: &[f64], unit: f64| {
        let single: Vec<f64> = differences.iter().map(|difference| unit * difference).collect();
        let interval = Interval::of(&single);
        let ends = interval.and_then(|at| at.low().zip(at.high()));
        Values { single, mean: interval.map(|at| at.mean), ends }
    };
    Entry {
        name: &one.group.name,
        note: if lost == 0 { String::new() } else { format!(" ({lost} of {} diverged)", one.group.summary.runs) },
        color: look.color(),
        marker: look.marker,
        values: [values(&one.accuracy, 100.0), values(&one.loss, 1.0)],
    }
}
