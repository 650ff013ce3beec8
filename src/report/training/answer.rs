//! The answer of a training in sentences: which recipe is best, how delay changes the test accuracy, what diverged and what did not train.
//!
//! Changes are paired by seed; where the 95 % interval of a change holds 0, the sentence says that it cannot be told from
//! chance.

use crate::compare::training::beside;
use crate::table::number::{percent_within, significant};
use crate::table::{Interval, SummaryRow, TrainedGroup};
use crate::text::counted;

/// Most groups that a sentence lists.
const MOST_LISTED: usize = 6;

/// How many runs came through, and how many of these learned nothing.
pub fn overall(groups: &[TrainedGroup]) -> String {
    let runs: u64 = groups.iter().map(|group| group.summary.runs).sum();
    let diverged: u64 = groups.iter().map(|group| group.summary.diverged).sum();
    let idle: u64 = groups.iter().map(untrained).sum();
    let noun = if runs == 1 { "run" } else { "runs" };
    let named = |count: fn(&TrainedGroup) -> u64| {
        let told = |group: &TrainedGroup| format!("{} ({} of {})", group.name, count(group), group.summary.runs);
        let concerned: Vec<String> = groups.iter().filter(|group| count(group) > 0).map(told).collect();
        if concerned.is_empty() { String::new() } else { format!(": {}", listed(concerned.into_iter())) }
    };
    let lost = named(|group| group.summary.diverged);
    let mut told = format!("{} of {runs} {noun} finished, {diverged} diverged{lost}.", runs - diverged);
    if idle > 0 {
        let (verb, noun) = if idle == 1 { ("is", "run") } else { ("are", "runs") };
        told += &format!(" {idle} finished {noun} {verb} no better than guessing{}.", named(untrained));
    }
    told
}

/// Runs of a group that finished and are no better than guessing; none in folders that do not tell.
fn untrained(group: &TrainedGroup) -> u64 {
    group.summary.untrained.unwrap_or(0)
}

/// Whether all runs of a group that finished are no better than guessing.
pub fn did_not_train(group: &TrainedGroup) -> bool {
    untrained(group) > 0 && untrained(group) + group.summary.diverged >= group.summary.runs
}

/// Whether a group has learned something: no other is recommended.
fn is_candidate(group: &TrainedGroup) -> bool {
    group.summary.test_accuracy.is_some() && !did_not_train(group)
}

/// Whether some gradient of a group arrives late, those of stages included.
fn is_late(group: &TrainedGroup) -> bool {
    let is_zero = |delays: &String| delays.split('/').all(|delay| delay == "0");
    group.summary.delay != Some(0) && !group.summary.stage_delays.as_ref().is_some_and(is_zero)
}

/// Places of groups in the order in which they are told.
pub struct Order {
    /// The groups under delay, those that the recommendation is about first; where nothing is late, all groups.
    pub ranked: Vec<usize>,
    /// The groups without delay, by which the others are judged.
    pub yardstick: Vec<usize>,
}

/// Groups by what they came to: those under the delay that is recommended for first, in each delay from the best test accuracy on; what did not
/// train, and then what diverged, last.
pub fn order(groups: &[TrainedGroup]) -> Order {
    let meant = meant(groups).map(delay_key);
    let key = |place: usize| {
        let group = &groups[place];
        let standing = match group.summary.test_accuracy {
            Some(_) if is_candidate(group) => 0,
            Some(_) => 1,
            None => 2,
        };
        (Some(delay_key(group.summary)) != meant, standing)
    };
    let accuracy = |place: usize| groups[place].summary.test_accuracy.unwrap_or(f64::NEG_INFINITY);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| key(*a).cmp(&key(*b)).then(accuracy(*b).total_cmp(&accuracy(*a))));
    let (ranked, yardstick): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|place| is_late(&groups[*place]));
    if ranked.is_empty() { Order { ranked: yardstick, yardstick: vec![] } } else { Order { ranked, yardstick } }
}

/// A group of the delay that the recommendation is about: of the delays with most groups the largest; delays of a process are its own. None
/// where nothing is late.
fn meant<'a>(groups: &[TrainedGroup<'a>]) -> Option<&'a SummaryRow> {
    let count = |of: &SummaryRow| groups.iter().filter(|group| delay_key(group.summary) == delay_key(of)).count();
    let late = groups.iter().filter(|group| is_late(group)).map(|group| group.summary);
    late.max_by_key(|summary| (count(summary), summary.delay))
}

/// What to do under delay: the recipe of the best test accuracy where most groups were trained, which others cannot be told from it, and what
/// there is without delay. What did not train is recommended nowhere.
pub fn recommendation(groups: &[TrainedGroup]) -> String {
    let meant = meant(groups);
    let at = meant.map_or_else(String::new, |summary| match summary.delay {
        Some(delay) => format!("at delay {delay} "),
        None => format!("under {} ", summary.schedule),
    });
    let Order { ranked, yardstick } = order(groups);
    let is_here = |group: &&TrainedGroup| meant.is_none_or(|meant| delay_key(meant) == delay_key(group.summary));
    let here: Vec<&TrainedGroup> = ranked.iter().map(|place| &groups[*place]).filter(is_here).collect();
    let without = yardstick.iter().map(|place| &groups[*place]).find(|group| is_candidate(group));
    let without = without.and_then(|group| {
        let (told, recipe) = (accuracy(group.summary)?, recipe(group));
        let recipe = if recipe.is_empty() { String::new() } else { format!(" ('{recipe}')") };
        Some(format!("; without delay the best is {told}{recipe}"))
    });
    let without = without.unwrap_or_default();
    let known: Vec<&TrainedGroup> = here.iter().copied().filter(|group| is_candidate(group)).collect();
    let Some((best, others)) = known.split_first() else {
        return capital(match here.iter().any(|group| did_not_train(group)) {
            true => format!(
                "{at}nothing trained: every run diverged or ended no better than guessing; try another learning rate or rule{without}."
            ),
            false => format!("{at}no run came through: take a smaller learning rate{without}."),
        });
    };
    let told = accuracy(best.summary).unwrap_or_default();
    let idle: Vec<String> = here.iter().filter(|group| did_not_train(group)).map(|group| group.name.clone()).collect();
    let idle = match idle.len() {
        0 => String::new(),
        _ => format!("; no better than guessing: {}", listed(idle.into_iter())),
    };
    if here.len() == 1 || recipe(best).is_empty() {
        return capital(format!("{at}the test accuracy is {told}{idle}{without}."));
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
        _ if others.is_empty() => String::new(),
        _ if !has_interval => "; with one seed for each group, nothing tells differences from chance".into(),
        0 => "; paired by seed, every other group there that trained is worse by more than its 95 % interval".into(),
        count => {
            let noun = if count == 1 { "1 other group".into() } else { format!("{count} other groups") };
            format!("; paired by seed, {noun} cannot be told from it: {}", listed(close.into_iter()))
        }
    };
    capital(format!("{at}the recipe '{}' is the best, with {told} test accuracy{rest}{idle}{without}.", recipe(best)))
}

/// What tells a group from others under the same delay; empty where the delay alone does.
fn recipe(group: &TrainedGroup) -> String {
    let delay = group.summary.delay.map_or_else(|| group.summary.schedule.clone(), |delay| format!("delay {delay}"));
    group.name.split(", ").filter(|part| *part != delay).collect::<Vec<_>>().join(", ")
}

fn capital(text: String) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What groups share that are trained under one delay.
fn delay_key(summary: &SummaryRow) -> (Option<u32>, Option<&str>) {
    (summary.delay, summary.delay.is_none().then_some(summary.schedule.as_str()))
}

/// One group in the ranked list, beside the first of it: its test accuracy, and how far that is from the first one's, paired by seed.
pub fn entry(group: &TrainedGroup, first: &TrainedGroup) -> String {
    let runs = counted(group.summary.runs, "run");
    let diverged = match group.summary.diverged {
        0 => String::new(),
        diverged => format!("; {diverged} of {runs} diverged"),
    };
    let idle = match untrained(group) {
        0 => String::new(),
        idle => format!("; {idle} of {runs} no better than guessing"),
    };
    let Some(told) = accuracy(group.summary) else { return format!("no run came through{diverged}.") };
    if did_not_train(group) {
        return format!("did not train: {told}{idle}{diverged}.");
    }
    let behind = match Interval::of(&beside(group, first).accuracy) {
        _ if std::ptr::eq(group, first) || !is_candidate(first) => String::new(),
        None => "; no seed came through in both".into(),
        Some(Interval { mean, half_width: None }) => format!("; {} points from the first in one seed", signed(mean)),
        Some(Interval { mean, half_width: Some(half) }) => {
            let chance = if mean.abs() <= half { ", which cannot be told from chance" } else { "" };
            format!("; {} ± {} points from the first{chance}", signed(mean), significant(100.0 * half, 2))
        }
    };
    format!("{told}{behind}{idle}{diverged}.")
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
    let idle: Vec<String> = line.iter().filter(|group| did_not_train(group)).map(|group| delay_number(group)).collect();
    if !idle.is_empty() {
        let noun = if idle.len() == 1 { "delay" } else { "delays" };
        parts.push(format!("at {noun} {} every run that finished is no better than guessing", idle.join(", ")));
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
