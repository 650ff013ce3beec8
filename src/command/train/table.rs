//! The groups of a training as a person reads them, and the answer in a sentence.

use crate::command::shown::{Column, Worth};
use crate::table::number::{percent_within, significant};
use crate::table::{SummaryRow, rule_name};
use crate::text::counted;
use std::cmp::Ordering;

type Shown = Column<SummaryRow>;

/// The columns of groups, as a person reads them.
pub fn columns(groups: &[SummaryRow]) -> Vec<Shown> {
    let way = groups.iter().find_map(SummaryRow::way_title).unwrap_or("outer loop");
    vec![
        Shown::new("rule", Worth::Needed, |group| group.rule.clone()),
        Shown::new("momentum", Worth::Setting, |group| group.momentum.to_string()),
        Shown::new("dampening", Worth::Setting, |group| group.dampening.to_string()),
        Shown::new("schedule", Worth::Setting, |group| group.schedule.clone()),
        Shown::new("delay", Worth::Needed, |group| group.delay.map_or(String::new(), |delay| delay.to_string())),
        Shown::new("batch", Worth::Setting, |group| group.batch.clone()),
        Shown::new(way, Worth::Setting, |group| group.way().unwrap_or_default()),
        Shown::new("lr", Worth::Setting, |group| significant(group.lr, 4)),
        Shown::new("lr_scaling", Worth::Evidence, |group| group.lr_scaling.clone()),
        Shown::new("lr_scaled", Worth::Result, |group| significant(group.lr_scaled, 4)),
        Shown::new("diverged", Worth::Result, |group| format!("{} of {}", group.diverged, group.runs)),
        Shown::new("untrained", Worth::Result, |group| match group.untrained {
            Some(runs) if runs > 0 => format!("{runs} of {}", group.runs),
            _ => String::new(),
        }),
        Shown::new("test_accuracy", Worth::Needed, test_accuracy),
        Shown::new("generalisation_gap", Worth::Evidence, |group| {
            percent(group.generalisation_gap, group.generalisation_gap_low.zip(group.generalisation_gap_high))
        }),
        Shown::new("lambda_max", Worth::Evidence, |group| number(group.lambda_max)),
        Shown::new("lambda_predicted", Worth::Evidence, |group| number(group.lambda_predicted)),
    ]
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
    let untrained: u64 = groups.iter().filter_map(|group| group.untrained).sum();
    let guessing = match untrained {
        0 => String::new(),
        1 => ", 1 is no better than guessing (column untrained)".to_owned(),
        more => format!(", {more} are no better than guessing (column untrained)"),
    };
    format!(
        "{} of {} finished in {seconds:.1} s, {diverged} diverged{guessing}{best}",
        runs - diverged,
        counted(runs, "run")
    )
}

/// What the longest delay does to a recipe, and what is best under it; none where the groups do not tell.
pub fn effect_of_delay(groups: &[SummaryRow]) -> Option<String> {
    let longest = groups.iter().filter_map(|group| group.delay).max().filter(|delay| *delay > 0)?;
    let at =
        |delay: u32| groups.iter().filter(move |group| group.delay == Some(delay) && group.test_accuracy.is_some());
    let recipe = |group: &SummaryRow| {
        let numbers = [group.momentum, group.dampening, group.lr_scaled, group.weight_decay].map(f64::to_bits);
        (group.rule.clone(), numbers, group.batch.clone(), group.schedule.clone(), group.way())
    };
    let same = |early: &SummaryRow| at(longest).find(|late| recipe(late) == recipe(early)).cloned();
    let (early, late) = at(0).find_map(|early| Some((early, same(early)?)))?;
    let named = |group: &SummaryRow| {
        let name = rule_name(&group.rule, group.momentum, group.dampening);
        format!("{name} with learning rate {}", significant(group.lr_scaled, 4))
    };
    let form = |group: &SummaryRow| (group.rule.clone(), group.momentum.to_bits(), group.dampening.to_bits());
    let is_kept = |group: &&SummaryRow| form(group) == form(&late) && group.lr_scaling == "preserve";
    let kept = at(longest).find(is_kept).filter(|kept| recipe(kept) != recipe(&late)).map_or(String::new(), |kept| {
        let lr = significant(kept.lr_scaled, 4);
        format!(", {} there with theory's learning rate {lr} (preserve)", test_accuracy(kept))
    });
    let best = at(longest).max_by(|a, b| a.test_accuracy.partial_cmp(&b.test_accuracy).unwrap_or(Ordering::Equal))?;
    let remedy = if groups.iter().all(|group| group.rule == early.rule) {
        format!("; --rules {},mixing sets a remedy beside it", early.rule)
    } else if best.rule == late.rule {
        String::new()
    } else {
        format!("; the best at delay {longest} is {}: {}", named(best), test_accuracy(best))
    };
    Some(format!(
        "{}: test accuracy {} at delay 0, {} at delay {longest}{kept}{remedy}",
        named(early),
        test_accuracy(early),
        test_accuracy(&late)
    ))
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
