//! The answer of a training in sentences: which group is best, how delay changes the test accuracy, and what diverged.
//!
//! Changes are paired by seed; where the 95 % interval of a change holds 0, the sentence says that it cannot be told from
//! chance.

use crate::compare::training::beside;
use crate::table::number::{percent_within, significant};
use crate::table::{Interval, SummaryRow, TrainedGroup};

/// Most groups that a sentence lists.
const MOST_LISTED: usize = 6;

/// How many runs came through.
pub fn overall(groups: &[TrainedGroup]) -> String {
    let runs: u64 = groups.iter().map(|group| group.summary.runs).sum();
    let diverged: u64 = groups.iter().map(|group| group.summary.diverged).sum();
    let noun = if runs == 1 { "run" } else { "runs" };
    let lost: Vec<&TrainedGroup> = groups.iter().filter(|group| group.summary.diverged > 0).collect();
    let told = |group: &&TrainedGroup| {
        let SummaryRow { runs, diverged, .. } = group.summary;
        format!("{} ({diverged} of {runs})", group.name)
    };
    let lost = if lost.is_empty() { String::new() } else { format!(": {}", listed(lost.iter().map(told))) };
    format!("{} of {runs} {noun} finished, {diverged} diverged{lost}.", runs - diverged)
}

/// Which group has the best test accuracy, and which others cannot be told from it.
pub fn best(groups: &[TrainedGroup]) -> Option<String> {
    let known = groups.iter().filter_map(|group| Some((group, group.summary.test_accuracy?)));
    let (best, _) = known.clone().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let others: Vec<&TrainedGroup> =
        known.map(|(group, _)| group).filter(|group| !std::ptr::eq(*group, best)).collect();
    let told = accuracy(best.summary)?;
    if others.is_empty() {
        return Some(format!("the test accuracy is {told}."));
    }
    let compared = others.iter().map(|group| (*group, Interval::of(&beside(group, best).accuracy)));
    let has_interval = compared.clone().any(|(_, change)| change.is_some_and(|at| at.half_width.is_some()));
    let close: Vec<String> = compared
        .filter(|(_, change)| change.is_none_or(|at| at.half_width.is_none_or(|half| at.mean.abs() <= half)))
        .map(|(group, _)| group.name.clone())
        .collect();
    let rest = match close.len() {
        _ if !has_interval => "; with one seed for each group, nothing tells differences from chance".into(),
        0 => "; paired by seed, every other group is worse by more than its 95 % interval".into(),
        count => {
            let noun = if count == 1 { "1 other group".into() } else { format!("{count} other groups") };
            format!("; paired by seed, {noun} cannot be told from it: {}", listed(close.into_iter()))
        }
    };
    Some(format!("the best test accuracy is {told}, of {}{rest}.", best.name))
}

/// How the test accuracy changes along groups that differ in their delay alone, in the order of their delays.
pub fn along_delays(line: &[&TrainedGroup]) -> String {
    let mut parts = vec![];
    let through: Vec<&TrainedGroup> =
        line.iter().copied().filter(|group| group.summary.test_accuracy.is_some()).collect();
    match through[..] {
        [] => {}
        [only] => {
            parts.extend(accuracy(only.summary).map(|told| format!("the test accuracy is {told} at {}", delay(only))))
        }
        [first, .., last] => parts.extend(change(first, last)),
    }
    let lost: Vec<String> =
        line.iter().filter(|group| !group.came_through()).map(|group| delay_number(group)).collect();
    if !lost.is_empty() {
        let noun = if lost.len() == 1 { "delay" } else { "delays" };
        parts.push(format!("at {noun} {} every run diverged", lost.join(", ")));
    }
    parts.join("; ") + "."
}

fn change(first: &TrainedGroup, last: &TrainedGroup) -> Option<String> {
    let (from, to) = (accuracy(first.summary)?, accuracy(last.summary)?);
    let ends = format!("{from} at {} and {to} at {}", delay(first), delay(last));
    let Some(change) = Interval::of(&beside(last, first).accuracy) else {
        return Some(format!("the test accuracy is {ends}; no seed came through at both"));
    };
    let points = format!("{}{}", if change.mean > 0.0 { "+" } else { "" }, significant(100.0 * change.mean, 3));
    Some(match change.half_width {
        None => format!("the test accuracy is {ends}, a change of {points} points in one seed"),
        Some(half) if change.mean.abs() <= half => format!(
            "the test accuracy is {ends}; paired by seed, the change of {points} ± {} points cannot be told from chance",
            significant(100.0 * half, 2)
        ),
        Some(half) => format!(
            "the test accuracy {} from {from} at {} to {to} at {}; paired by seed, a change of {points} ± {} points",
            if change.mean < 0.0 { "falls" } else { "rises" },
            delay(first),
            delay(last),
            significant(100.0 * half, 2)
        ),
    })
}

/// Mean and half the width of its interval.
fn accuracy(summary: &SummaryRow) -> Option<String> {
    let half = summary.test_accuracy_low.zip(summary.test_accuracy_high).map(|(low, high)| 0.5 * (high - low));
    Some(percent_within(summary.test_accuracy?, half))
}

fn delay(group: &TrainedGroup) -> String {
    format!("delay {}", delay_number(group))
}

fn delay_number(group: &TrainedGroup) -> String {
    group.summary.delay.map_or_else(|| group.summary.schedule.clone(), |delay| delay.to_string())
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST_LISTED);
    let mut names: Vec<String> = names.take(MOST_LISTED).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join("; ")
}
