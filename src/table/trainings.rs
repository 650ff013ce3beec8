//! What the tables of a training say: its groups with their runs, what tells these apart, what all runs share, and which
//! groups differ in their delay alone.

use super::number::{exact, significant};
use super::series::{Property, distinct, is_constant, rule_name};
use super::statistics::Interval;
use super::training::{Metric, MetricRow, SummaryRow, TrainRow, TrainStatus};
use crate::text::counted;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, HashMap};

/// What may tell groups apart.
const OF_GROUP: [Property<SummaryRow>; 7] = [
    |group| Some(group.rule_name()),
    |group| Some(group.delay.map_or_else(|| group.schedule.clone(), |delay| format!("delay {delay}"))),
    |group| group.delay.map(|_| group.schedule.clone()),
    |group| Some(batch(&group.batch)),
    SummaryRow::outer_name,
    |group| Some(format!("lr {}", significant(group.lr, 4))),
    |group| (group.lr_scaling != "none").then(|| group.lr_scaling.clone()),
];

/// What runs may share, and how it is told.
const OF_RUN: [Property<TrainRow>; 12] = [
    |run| Some(run.data.clone()),
    |run| Some(counted(run.samples, "sample")),
    |run| Some(run.model.clone()),
    |run| Some(run.loss.clone()),
    |run| (run.weight_decay != 0.0).then(|| format!("weight decay {}", exact(run.weight_decay))),
    |run| Some(rule_name(&run.rule, run.momentum, run.dampening) + &run.remedies()),
    |run| Some(batch(&run.batch)),
    TrainRow::outer_name,
    |run| Some(run.schedule.clone()),
    |run| Some(format!("lr {}", significant(run.lr, 4))),
    |run| (run.lr_regime != "constant").then(|| run.lr_regime.clone()),
    |run| Some(format!("{} ({})", run.engine, run.adapter)),
];

/// The name of every group: what tells it from the others.
fn group_names(groups: &[SummaryRow]) -> Vec<String> {
    let mut varying: Vec<_> = OF_GROUP.into_iter().filter(|property| !is_constant(groups, *property)).collect();
    if varying.is_empty() {
        varying.push(OF_GROUP[0]);
    }
    let name = |group| varying.iter().filter_map(|property| property(group)).collect::<Vec<_>>().join(", ");
    groups.iter().map(name).collect()
}

/// What all runs share, as one line.
pub fn training_setting(runs: &[TrainRow]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let shared = OF_RUN.into_iter().filter(|property| is_constant(runs, *property));
    let mut parts: Vec<String> = shared.filter_map(|property| property(first)).collect();
    let seeds = distinct(runs.iter().map(|run| run.seed)).len();
    parts.push(counted(seeds, "seed"));
    parts.join(" · ")
}

fn batch(batch: &str) -> String {
    if batch == "full" { "full batch".into() } else { format!("batch {batch}") }
}

impl SummaryRow {
    /// The rule with its numbers, those of stages included, as pictures name it.
    pub fn rule_name(&self) -> String {
        rule_name(&self.rule, self.momentum, self.dampening) + &self.remedies()
    }
}

/// Runs that differ in their seed alone, with their row of summary.csv.
#[derive(Clone, Debug)]
pub struct TrainedGroup<'a> {
    /// What tells it from the other groups.
    pub name: String,
    pub summary: &'a SummaryRow,
    pub runs: Vec<TrainedRun<'a>>,
}

/// A run with what was measured along it, in the order of the steps.
#[derive(Clone, Debug)]
pub struct TrainedRun<'a> {
    pub row: &'a TrainRow,
    metrics: Vec<&'a MetricRow>,
}

impl<'a> TrainedRun<'a> {
    /// One quantity along the run.
    pub fn of(&self, metric: Metric) -> impl Iterator<Item = &'a MetricRow> {
        self.metrics.iter().copied().filter(move |row| row.metric == metric)
    }

    /// Whether it did not diverge.
    pub fn is_finished(&self) -> bool {
        self.row.status == TrainStatus::Finished
    }
}

impl<'a> TrainedGroup<'a> {
    /// Whether at least one run did not diverge.
    pub fn came_through(&self) -> bool {
        self.summary.diverged < self.summary.runs
    }

    /// The runs that did not diverge; all, where there are none.
    pub fn shown(&self) -> impl Iterator<Item = &TrainedRun<'a>> {
        let some = self.came_through();
        self.runs.iter().filter(move |run| !some || run.is_finished())
    }

    /// Mean of `unit` times a quantity over the shown runs, with its confidence interval, by epoch.
    pub fn curve(&self, metric: Metric, unit: f64) -> Vec<(f64, Interval)> {
        let mut by_step: BTreeMap<u64, (f64, Vec<f64>)> = BTreeMap::new();
        for row in self.shown().flat_map(|run| run.of(metric)) {
            by_step.entry(row.step).or_insert((row.epoch, Vec::new())).1.push(unit * row.value);
        }
        by_step.into_values().filter_map(|(epoch, values)| Some((epoch, Interval::of(&values)?))).collect()
    }
}

/// The groups of a training, in the order of summary.csv.
///
/// # Errors
/// Where there are no runs.
pub fn trained_groups<'a>(
    runs: &'a [TrainRow],
    summaries: &'a [SummaryRow],
    metrics: &'a [MetricRow],
) -> Result<Vec<TrainedGroup<'a>>> {
    if runs.is_empty() || summaries.is_empty() {
        bail!("the tables have no runs");
    }
    let mut by_run: HashMap<&str, Vec<&MetricRow>> = HashMap::new();
    metrics.iter().for_each(|row| by_run.entry(&row.run_id).or_default().push(row));
    let group = |(summary, name): (&'a SummaryRow, String)| {
        let own = runs.iter().filter(|row| row.group_id == summary.group_id);
        let run = |row: &'a TrainRow| TrainedRun {
            row,
            metrics: by_run.get(row.run_id.as_str()).cloned().unwrap_or_default(),
        };
        TrainedGroup { name, summary, runs: own.map(run).collect() }
    };
    Ok(summaries.iter().zip(group_names(summaries)).map(group).collect())
}

/// All that a group shares with the same training without delay. There, the scaling of learning rates changes nothing, and
/// every process of workers is the same.
fn apart_from_delay(group: &SummaryRow) -> impl Eq + '_ {
    let problem =
        (&group.data, &group.model, &group.loss, group.samples, group.test_samples, group.weight_decay.to_bits());
    let rule = (&group.rule, group.momentum.to_bits(), group.dampening.to_bits(), group.lr.to_bits());
    let training = (&group.lr_regime, &group.batch, group.epochs, group.outer_key());
    (problem, rule, training, (&group.engine, &group.adapter))
}

/// Whether nothing is late, stages included.
fn is_synchronous(group: &SummaryRow) -> bool {
    let of_stages = group.stage_delays.as_ref().is_some_and(|delays| delays.split('/').all(|delay| delay == "0"));
    group.delay == Some(0) || of_stages
}

/// The place of the same training at delay 0, where the table has it; that of the group itself at delay 0.
pub fn synchronous(groups: &[SummaryRow], group: &SummaryRow) -> Option<usize> {
    let at_zero = |other: &&SummaryRow| is_synchronous(other) && apart_from_delay(other) == apart_from_delay(group);
    let own = groups.iter().position(|other| at_zero(&other) && other.group_id == group.group_id);
    let same_schedule = || groups.iter().position(|other| at_zero(&other) && other.schedule == group.schedule);
    own.or_else(same_schedule).or_else(|| groups.iter().position(|other| at_zero(&other)))
}

/// Lines of groups that differ in their delay alone, as places in `groups`, sorted by delay. The training without delay
/// stands in every line that it belongs to. Groups whose process brings delays of its own are left out.
pub fn delay_lines(groups: &[SummaryRow]) -> Vec<Vec<usize>> {
    let late = |place: &usize| groups[*place].delay.is_some_and(|delay| delay > 0);
    let same = |a: &SummaryRow, b: &SummaryRow| {
        apart_from_delay(a) == apart_from_delay(b) && a.schedule == b.schedule && a.lr_scaling == b.lr_scaling
    };
    let mut lines: Vec<Vec<usize>> = vec![];
    for place in (0..groups.len()).filter(late) {
        match lines.iter_mut().find(|line| same(&groups[line[0]], &groups[place])) {
            Some(line) => line.push(place),
            None => lines.push(vec![place]),
        }
    }
    for line in &mut lines {
        line.extend(synchronous(groups, &groups[line[0]]));
        line.sort_by_key(|place| groups[*place].delay);
    }
    let is_alone = |place: &usize| groups[*place].delay == Some(0) && lines.iter().all(|line| !line.contains(place));
    let alone: Vec<Vec<usize>> = (0..groups.len()).filter(is_alone).map(|place| vec![place]).collect();
    lines.extend(alone);
    lines.sort_by_key(|line| line[0]);
    lines
}

/// The name of each line: what tells it from the others.
pub fn line_names(groups: &[SummaryRow], lines: &[Vec<usize>]) -> Vec<String> {
    let last: Vec<SummaryRow> = lines
        .iter()
        .filter_map(|line| line.last())
        .map(|place| SummaryRow { delay: None, ..groups[*place].clone() })
        .collect();
    let named = SummaryRow::rule_name;
    let properties: [Property<SummaryRow>; 5] = [OF_GROUP[1], OF_GROUP[3], OF_GROUP[4], OF_GROUP[5], OF_GROUP[6]];
    let varying: Vec<_> = properties.into_iter().filter(|property| !is_constant(&last, *property)).collect();
    let name = |group: &SummaryRow| {
        let others = varying.iter().filter_map(|property| property(group));
        std::iter::once(named(group)).chain(others).collect::<Vec<_>>().join(", ")
    };
    last.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::read_csv_from;
    use super::*;

    /// Groups with these columns rule, delay, schedule, lr, lr_scaling.
    fn groups(rows: &str) -> Vec<SummaryRow> {
        let header = "group_id,data,model,loss,samples,test_samples,weight_decay,momentum,dampening,lr_scaled,effective_lr,\
                      lr_regime,batch,epochs,runs,diverged,engine,adapter,rule,delay,schedule,lr,lr_scaling\n";
        let row =
            |(place, row)| format!("g{place},digits,mlp:8,ce,100,100,0,0,0,1,1,constant,8,2,3,0,cpu f32,x,{row}\n");
        let text = header.to_owned() + &rows.lines().enumerate().map(row).collect::<String>();
        read_csv_from("summary.csv", text.as_bytes()).unwrap()
    }

    #[test]
    fn the_training_without_delay_stands_in_every_line_that_it_belongs_to() {
        let groups = groups(
            "sgd,4,round-robin,0.1,none\nsgd,0,round-robin,0.1,none\nsgd,4,round-robin,0.1,preserve\n\
             sgd,4,random,0.1,none\nsgd,2,round-robin,0.1,none\nlion,0,round-robin,0.1,none\nsgd,,trace:a.csv,0.1,none\n\
             sgd,4,round-robin,0.2,none",
        );
        let lines = delay_lines(&groups);
        assert_eq!(lines, [vec![1, 4, 0], vec![1, 2], vec![1, 3], vec![5], vec![7]]);
        let names = line_names(&groups, &lines);
        let expected = [
            "sgd, round-robin, lr 0.1",
            "sgd, round-robin, lr 0.1, preserve",
            "sgd, random, lr 0.1",
            "lion m=0, round-robin, lr 0.1",
            "sgd, round-robin, lr 0.2",
        ];
        assert_eq!(names, expected);
        let synchronous: Vec<Option<usize>> = groups.iter().map(|group| synchronous(&groups, group)).collect();
        assert_eq!(synchronous, [Some(1), Some(1), Some(1), Some(1), Some(1), Some(5), Some(1), None]);
    }
}
