//! Test accuracy and loss of a training's groups, each beside a baseline group, paired by seed.
//!
//! Runs with one seed share their start, the order of their minibatches and their delays, so that the difference within a
//! pair varies less than either run. A pair of which one run diverged has no difference; such pairs are counted, not filled.

use crate::table::{
    Interval, PairingStatus, SummaryRow, TrainComparisonRow, TrainRow, TrainedGroup, TrainedRun, distinct, synchronous,
};
use anyhow::{Result, bail};
use std::collections::HashSet;

/// What `--to` means where the baseline is the same training without delay.
pub const SYNCHRONOUS: &str = "synchronous";

/// A group and the one that it is compared with, if the table has it.
#[derive(Clone, Debug)]
pub struct GroupComparison<'a> {
    pub group: &'a TrainedGroup<'a>,
    pub baseline: Option<&'a TrainedGroup<'a>>,
    /// Differences of test accuracies, one for each seed that came through in both.
    pub accuracy: Vec<f64>,
    /// The same of test losses.
    pub loss: Vec<f64>,
}

/// The baseline that is meant where none is given: sgd, or the synchronous training where there is only one rule, or no sgd.
pub fn usual(groups: &[TrainedGroup]) -> &'static str {
    let rules = distinct(groups.iter().map(|group| group.summary.rule_name()));
    let has_sgd = groups.iter().any(|group| group.summary.rule == "sgd");
    if rules.len() == 1 || !has_sgd { SYNCHRONOUS } else { "sgd" }
}

/// Puts every group beside its baseline: with `to` = [`SYNCHRONOUS`] the same training at delay 0, else that of the rule
/// called `to` (a series as pictures name it, or a rule that has only one series) under the same circumstances. Where the
/// learning rate or its scaling differs, the baseline is the only group of that rule there, or none.
///
/// # Errors
/// Where no rule or more than one is meant, two groups are one of its, or a group has a seed twice.
pub fn compare<'a>(groups: &'a [TrainedGroup<'a>], to: &str) -> Result<Vec<GroupComparison<'a>>> {
    groups.iter().try_for_each(check_seeds)?;
    let baselines: Vec<Option<usize>> = if to.trim() == SYNCHRONOUS {
        let summaries: Vec<SummaryRow> = groups.iter().map(|group| group.summary.clone()).collect();
        summaries.iter().map(|group| synchronous(&summaries, group)).collect()
    } else {
        // Stages with remedies stand beside those without.
        let plain = groups.iter().filter(|group| !group.summary.has_remedies());
        let names = plain.map(|group| (group.summary.rule_name(), group.summary.rule.as_str()));
        let to = super::meant(names, to, &[SYNCHRONOUS])?;
        groups.iter().map(|group| of_rule(groups, &to, group.summary)).collect::<Result<_>>()?
    };
    let comparison = |(group, baseline): (&'a TrainedGroup<'a>, Option<usize>)| match baseline {
        Some(place) => beside(group, &groups[place]),
        None => GroupComparison { group, baseline: None, accuracy: vec![], loss: vec![] },
    };
    Ok(groups.iter().zip(baselines).map(comparison).collect())
}

/// A group beside another one, whatever these have in common.
pub fn beside<'a>(group: &'a TrainedGroup<'a>, baseline: &'a TrainedGroup<'a>) -> GroupComparison<'a> {
    GroupComparison {
        group,
        baseline: Some(baseline),
        accuracy: differences(group, baseline, |run| run.test_accuracy),
        loss: differences(group, baseline, |run| run.test_loss),
    }
}

fn check_seeds(group: &TrainedGroup) -> Result<()> {
    let mut seeds = HashSet::new();
    if let Some(run) = group.runs.iter().find(|run| !seeds.insert(run.row.seed)) {
        bail!(
            "runs.csv: group {} has seed {} twice, expected each once, as runs are paired by it",
            group.summary.group_id,
            run.row.seed
        );
    }
    Ok(())
}

/// The place of the group of the rule called `to` that shares the circumstances of `group`.
fn of_rule(groups: &[TrainedGroup], to: &str, group: &SummaryRow) -> Result<Option<usize>> {
    let here: Vec<usize> = (0..groups.len())
        .filter(|place| {
            let other = groups[*place].summary;
            other.rule_name() == to && circumstances(other) == circumstances(group)
        })
        .collect();
    let scaled: Vec<usize> =
        here.iter().copied().filter(|place| groups[*place].summary.lr_scaling == group.lr_scaling).collect();
    let same: Vec<usize> = scaled.iter().copied().filter(|place| groups[*place].summary.lr == group.lr).collect();
    if let [one, other, ..] = same[..] {
        let (one, other) = (&groups[one].summary.group_id, &groups[other].summary.group_id);
        bail!("summary.csv: groups {one} and {other} are both of the baseline `{to}` under the same circumstances");
    }
    let only = [same, scaled, here].into_iter().find(|places| !places.is_empty());
    Ok(only.and_then(|places| if let [place] = places[..] { Some(place) } else { None }))
}

/// All that a group shares with its baseline besides the learning rate and its scaling.
fn circumstances(group: &SummaryRow) -> impl Eq + '_ {
    let SummaryRow { data, model, loss, samples, test_samples, weight_decay, .. } = group;
    let SummaryRow { delay, schedule, lr_regime, batch, epochs, engine, adapter, .. } = group;
    let problem = (data, model, loss, samples, test_samples, weight_decay.to_bits());
    (problem, (delay, schedule), (lr_regime, batch, epochs), (group.outer_key(), group.stage_key()), (engine, adapter))
}

/// Differences of a figure between runs with the same seed that both came through.
fn differences(group: &TrainedGroup, baseline: &TrainedGroup, figure: fn(&TrainRow) -> Option<f64>) -> Vec<f64> {
    let finished = |run: &&TrainedRun| run.is_finished();
    let difference = |run: &TrainedRun| {
        let other = baseline.runs.iter().filter(finished).find(|other| other.row.seed == run.row.seed)?;
        Some(figure(run.row)? - figure(other.row)?)
    };
    group.runs.iter().filter(finished).filter_map(difference).collect()
}

impl GroupComparison<'_> {
    /// Whether the group is its own baseline.
    pub fn is_baseline(&self) -> bool {
        self.baseline.is_some_and(|baseline| std::ptr::eq(self.group, baseline))
    }

    pub fn status(&self) -> PairingStatus {
        match (self.baseline, self.accuracy.len()) {
            (None, _) => PairingStatus::NoBaseline,
            (Some(_), 0) => PairingStatus::Diverged,
            (Some(_), 1) => PairingStatus::Single,
            (Some(_), _) => PairingStatus::Paired,
        }
    }

    /// As compare.csv has it.
    pub fn record(&self) -> TrainComparisonRow {
        let (group, baseline) = (self.group.summary, self.baseline.map(|baseline| baseline.summary));
        let (accuracy, loss) = (Interval::of(&self.accuracy), Interval::of(&self.loss));
        TrainComparisonRow {
            group_id: group.group_id.clone(),
            rule: group.rule.clone(),
            momentum: group.momentum,
            dampening: group.dampening,
            delay: group.delay,
            schedule: group.schedule.clone(),
            lr_scaling: group.lr_scaling.clone(),
            lr: group.lr,
            lr_scaled: group.lr_scaled,
            batch: group.batch.clone(),
            runs: group.runs,
            diverged: group.diverged,
            test_accuracy: group.test_accuracy,
            test_loss: group.test_loss,
            baseline: self.baseline.map(|baseline| baseline.name.clone()),
            baseline_id: baseline.map(|baseline| baseline.group_id.clone()),
            baseline_lr: baseline.map(|baseline| baseline.lr),
            baseline_diverged: baseline.map(|baseline| baseline.diverged),
            pairs: self.accuracy.len() as u64,
            accuracy_difference: accuracy.map(|at| at.mean),
            accuracy_difference_low: accuracy.and_then(|at| at.low()),
            accuracy_difference_high: accuracy.and_then(|at| at.high()),
            loss_difference: loss.map(|at| at.mean),
            loss_difference_low: loss.and_then(|at| at.low()),
            loss_difference_high: loss.and_then(|at| at.high()),
            status: self.status(),
        }
    }
}

/// By the mean difference of test accuracies, the largest first; those without one last, in the order of the table.
pub fn ranked<'a, 'b>(comparisons: &'b [GroupComparison<'a>]) -> Vec<&'b GroupComparison<'a>> {
    let mut all: Vec<_> = comparisons.iter().collect();
    let key = |one: &GroupComparison| Interval::of(&one.accuracy).map_or(f64::NEG_INFINITY, |at| at.mean);
    all.sort_by(|a, b| key(b).total_cmp(&key(a)));
    all
}
