//! The answer of a training in sentences: which group is best, how delay changes the test accuracy, and what diverged.
//!
//! Changes are paired by seed; where the 95 % interval of a change holds 0, the sentence says that it cannot be told from
//! chance.

use crate::compare::training::beside;
use crate::table::number::{percent_within, significant};
use crate::table::{Interval, SummaryRow, TrainedGroup};
use crate::text::counted;

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

/// Places of the groups from the best test accuracy on; those without one last.
pub fn order(groups: &[TrainedGroup]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let key = |place: &usize| groups[*place].summary.test_accuracy.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    order
}

/// What to do under delay: the group of the best test accuracy where most groups were trained, which others cannot be told from it, and what
/// there is without delay.
pub fn recommendation(groups: &[TrainedGroup]) -> String {
    let ordered: Vec<&TrainedGroup> = order(groups).iter().map(|place| &groups[*place]).collect();
    let late = groups.iter().filter(|group| group.summary.delay != Some(0));
    // Of the delays with most groups the largest; delays of a process are its own.
    let count = |of: &SummaryRow| groups.iter().filter(|group| delay_key(group.summary) == delay_key(of)).count();
    let meant = late.map(|group| group.summary).max_by_key(|summary| (count(summary), summary.delay));
    let is_meant = |group: &&&TrainedGroup| meant.is_none_or(|meant| delay_key(meant) == delay_key(group.summary));
    let has_accuracy = |group: &&&TrainedGroup| group.summary.test_accuracy.is_some();
    let known: Vec<&TrainedGroup> = ordered.iter().filter(is_meant).filter(has_accuracy).copied().collect();
    let undelayed = ordered.iter().filter(|group| group.summary.delay == Some(0)).find(has_accuracy);
    let without = undelayed
        .filter(|_| meant.is_some())
        .and_then(|group| Some(format!("; the best without delay is {}, {}", accuracy(group.summary)?, group.name)));
    let without = without.unwrap_or_default();
    let Some((best, others)) = known.split_first() else {
        let at = meant.map_or(String::new(), |summary| match summary.delay {
            Some(delay) => format!(" at delay {delay}"),
            None => format!(" under {}", summary.schedule),
        });
        return format!("No run came through{at}: take a smaller learning rate{without}.");
    };
    let told = accuracy(best.summary).unwrap_or_default();
    if others.is_empty() {
        return match groups.len() {
            1 => format!("The test accuracy is {told}."),
            _ => format!("Use {}: its test accuracy is {told}{without}.", best.name),
        };
    }
    let changes: Vec<Option<Interval>> =
        others.iter().map(|group| Interval::of(&beside(group, best).accuracy)).collect();
    let has_interval = changes.iter().any(|change| change.is_some_and(|at| at.half_width.is_some()));
    let close: Vec<String> = others
        .iter()
        .zip(&changes)
        .filter(|(_, change)| change.is_none_or(|at| at.half_width.is_none_or(|half| at.mean.abs() <= half)))
        .map(|(group, _)| group.name.clone())
        .collect();
    let rest = match close.len() {
        _ if !has_interval => "; with one seed for each group, nothing tells differences from chance".into(),
        0 => "; paired by seed, every other group at this delay is worse by more than its 95 % interval".into(),
        count => {
            let noun = if count == 1 { "1 other group".into() } else { format!("{count} other groups") };
            format!("; paired by seed, {noun} cannot be told from it: {}", listed(close.into_iter()))
        }
    };
    format!("Use {}: its test accuracy is the best, {told}{rest}{without}.", best.name)
}

/// What groups share that are trained under one delay.
fn delay_key(summary: &SummaryRow) -> (Option<u32>, Option<&str>) {
    (summary.delay, summary.delay.is_none().then_some(summary.schedule.as_str()))
}

/// One group in the ranked list, beside the best one: its test accuracy, and how far that is from the best, paired by seed.
pub fn entry(group: &TrainedGroup, best: &TrainedGroup) -> String {
    let diverged = match (group.summary.diverged, group.summary.runs) {
        (0, _) => String::new(),
        (diverged, runs) => format!("; {diverged} of {} diverged", counted(runs, "run")),
    };
    let Some(told) = accuracy(group.summary) else { return format!("no run came through{diverged}.") };
    let behind = match Interval::of(&beside(group, best).accuracy) {
        _ if std::ptr::eq(group, best) => String::new(),
        None => "; no seed came through in both".into(),
        Some(Interval { mean, half_width: None }) => format!("; {} points in one seed", signed(mean)),
        Some(Interval { mean, half_width: Some(half) }) => {
            let chance = if mean.abs() <= half { ", which cannot be told from chance" } else { "" };
            format!("; {} ± {} points from the best{chance}", signed(mean), significant(100.0 * half, 2))
        }
    };
    format!("{told}{behind}{diverged}.")
}

/// A difference of shares in percentage points, with its sign.
fn signed(difference: f64) -> String {
    format!("{}{}", if difference > 0.0 { "+" } else { "" }, significant(100.0 * difference, 3))
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
    let points = signed(change.mean);
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
