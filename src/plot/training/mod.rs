//! The pictures of a training, from its tables alone: [`curves`] along the epochs, the [`gap`] between training and test, and
//! [`sharpness`] along the steps where it was tracked.
//!
//! Here: which rows belong to which arm, what arms are called and how they look. Means and intervals at the end are those of
//! summary.csv; along the epochs they are taken here, in the same way.

mod curves;
mod gap;
mod sharpness;

use super::scene::Marker;
use super::series::{COLORS, rule_name, significant};
use crate::table::{Metric, MetricRow, SummaryRow, TrainRow, TrainStatus, read_csv, write_whole};
use anyhow::{Context, Result, bail};
use plotters::style::RGBColor;
use std::collections::HashMap;
use std::path::Path;

/// An arm with its runs.
struct Arm<'a> {
    name: String,
    color: RGBColor,
    marker: Marker,
    summary: &'a SummaryRow,
    runs: Vec<Run<'a>>,
}

/// A run with what was seen on its way, in the order of the steps.
struct Run<'a> {
    row: &'a TrainRow,
    metrics: Vec<&'a MetricRow>,
}

impl<'a> Run<'a> {
    fn of(&self, metric: Metric) -> impl Iterator<Item = &'a MetricRow> {
        self.metrics.iter().copied().filter(move |row| row.metric == metric)
    }
}

impl<'a> Arm<'a> {
    /// The runs that did not diverge; all, where there are none.
    fn shown(&self) -> impl Iterator<Item = &Run<'a>> {
        let finished = self.summary.diverged < self.summary.runs;
        self.runs.iter().filter(move |run| !finished || run.row.status == TrainStatus::Finished)
    }
}

/// Draws the pictures of a training's folder from its runs.csv, summary.csv and metrics.csv, into it. The same tables give the
/// same bytes. Returns the names of the files.
///
/// # Errors
/// Where a table is missing, malformed or empty, or a file cannot be written.
pub fn training(folder: &Path) -> Result<Vec<&'static str>> {
    let runs: Vec<TrainRow> = read_csv(&folder.join("runs.csv"))?;
    let summaries: Vec<SummaryRow> = read_csv(&folder.join("summary.csv"))?;
    let metrics: Vec<MetricRow> = read_csv(&folder.join("metrics.csv"))?;
    let arms = arms(&runs, &summaries, &metrics)?;
    let setting = setting(&runs);
    let mut pictures = vec![
        ("curves.svg", "curves.png", curves::picture(&arms, &setting)),
        ("gap.svg", "gap.png", gap::picture(&arms, &setting)),
    ];
    // A value at the end alone is no curve.
    let is_tracked = |run: &Run| run.of(Metric::LambdaMax).nth(1).is_some();
    if arms.iter().any(|arm| arm.runs.iter().any(is_tracked)) {
        pictures.push(("sharpness.svg", "sharpness.png", sharpness::picture(&arms, &setting)));
    }
    let mut names = Vec::new();
    for (svg, png, scene) in pictures {
        write(folder, svg, scene.svg()?.as_bytes())?;
        write(folder, png, &scene.png()?)?;
        names.extend([svg, png]);
    }
    Ok(names)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    write_whole(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Puts the rows of the tables together.
fn arms<'a>(runs: &'a [TrainRow], summaries: &'a [SummaryRow], metrics: &'a [MetricRow]) -> Result<Vec<Arm<'a>>> {
    if runs.is_empty() || summaries.is_empty() {
        bail!("the tables have no runs, so there is nothing to draw");
    }
    if let Some(row) = metrics.iter().find(|row| !row.value.is_finite()) {
        bail!("metrics.csv, run {}, {} at step {}: {}, expected a number", row.run_id, row.metric, row.step, row.value);
    }
    let mut by_run: HashMap<&str, Vec<&MetricRow>> = HashMap::new();
    metrics.iter().for_each(|row| by_run.entry(&row.run_id).or_default().push(row));
    let names = names(summaries);
    let arm = |(index, (summary, name)): (usize, (&'a SummaryRow, String))| {
        let own = runs.iter().filter(|row| row.arm_id == summary.arm_id);
        let run = |row: &'a TrainRow| Run { row, metrics: by_run.get(&row.run_id[..]).cloned().unwrap_or_default() };
        let (color, marker) = (COLORS[index % COLORS.len()], Marker::ALL[index % Marker::ALL.len()]);
        Arm { name, color, marker, summary, runs: own.map(run).collect() }
    };
    Ok(summaries.iter().zip(names).enumerate().map(arm).collect())
}

/// What tells each arm from the others.
fn names(summaries: &[SummaryRow]) -> Vec<String> {
    type Property = fn(&SummaryRow) -> Option<String>;
    let properties: [Property; 6] = [
        |arm| Some(rule_name(&arm.rule, arm.momentum, arm.dampening)),
        |arm| Some(arm.delay.map_or_else(|| arm.schedule.clone(), |delay| format!("delay {delay}"))),
        |arm| arm.delay.map(|_| arm.schedule.clone()),
        |arm| Some(if arm.batch == "full" { "full batch".into() } else { format!("batch {}", arm.batch) }),
        |arm| Some(format!("lr {}", significant(arm.lr, 4))),
        |arm| (arm.lr_scaling != "none").then(|| arm.lr_scaling.clone()),
    ];
    let varies = |property: &Property| summaries.windows(2).any(|pair| property(&pair[0]) != property(&pair[1]));
    let mut varying: Vec<Property> = properties.into_iter().filter(varies).collect();
    if varying.is_empty() {
        varying.push(properties[0]);
    }
    let name = |arm| varying.iter().filter_map(|property| property(arm)).collect::<Vec<_>>().join(", ");
    summaries.iter().map(name).collect()
}

/// What all runs share, as one line under the title.
fn setting(runs: &[TrainRow]) -> String {
    let seeds = super::distinct(runs.iter().map(|run| run.seed)).len();
    /// Whether there is anything to say, and what.
    type Property = (bool, fn(&TrainRow) -> String);
    let properties: [Property; 11] = [
        (true, |run| run.data.clone()),
        (true, |run| format!("{} samples", run.samples)),
        (true, |run| run.model.clone()),
        (true, |run| run.loss.clone()),
        (runs[0].weight_decay != 0.0, |run| format!("weight decay {}", run.weight_decay)),
        (true, |run| rule_name(&run.rule, run.momentum, run.dampening)),
        (true, |run| if run.batch == "full" { "full batch".into() } else { format!("batch {}", run.batch) }),
        (true, |run| run.schedule.clone()),
        (true, |run| format!("lr {}", significant(run.lr, 4))),
        (runs[0].lr_regime != "constant", |run| run.lr_regime.clone()),
        (true, |run| format!("{} ({})", run.engine, run.adapter)),
    ];
    let shared = properties
        .iter()
        .filter(|(told, property)| *told && runs.windows(2).all(|pair| property(&pair[0]) == property(&pair[1])));
    let mut parts: Vec<String> = shared.map(|(_, property)| property(&runs[0])).collect();
    parts.push(if seeds == 1 { "1 seed".into() } else { format!("{seeds} seeds") });
    parts.join(" · ")
}
