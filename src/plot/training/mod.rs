//! The pictures of a training, from its tables alone: [`curves`] along the epochs, the [`gap`] between training and test, and
//! [`sharpness`] along the steps where it was tracked.
//!
//! Which rows belong to which group is decided in [`crate::table`]. Means at the end are those of summary.csv; their intervals, and both
//! along the epochs, are taken from the runs in the same way.

mod curves;
mod gap;
mod sharpness;

use super::Theme;
use super::look::{Look, Ruled, told_apart};
use super::multiples::Key;
use crate::table::{
    Metric, MetricRow, SummaryRow, TrainRow, TrainedGroup, TrainedRun, read_csv, trained_groups, training_setting,
};
use anyhow::{Context, Result};
use plotters::style::RGBColor;
use std::ops::Deref;
use std::path::Path;

/// A group with its colour and its mark.
struct DrawnGroup<'a> {
    group: TrainedGroup<'a>,
    color: RGBColor,
    look: Look,
}

/// The groups with the looks of their rules; groups of one rule differ in how light their colours are.
fn drawn(groups: Vec<TrainedGroup<'_>>) -> Vec<DrawnGroup<'_>> {
    let looks = told_apart(groups.iter().map(|group| group.summary.look()).collect());
    groups.into_iter().zip(looks).map(|(group, look)| DrawnGroup { group, color: look.color(), look }).collect()
}

fn keys<'a>(groups: &'a [DrawnGroup]) -> Vec<Key<'a>> {
    groups.iter().map(|group| Key { name: &group.name, look: group.look, color: group.color }).collect()
}

/// Places of groups by the panel that they are drawn in, of those for which `has` holds.
fn panels<'a>(groups: &'a [DrawnGroup], has: impl Fn(usize) -> bool) -> Vec<(&'a str, Vec<usize>)> {
    let kept: Vec<usize> = (0..groups.len()).filter(|place| has(*place)).collect();
    let families: Vec<&str> = kept.iter().map(|place| groups[*place].summary.family()).collect();
    let panels = super::look::panels(&families).into_iter();
    panels.map(|(name, places)| (name, places.into_iter().map(|place| kept[place]).collect())).collect()
}

impl<'a> Deref for DrawnGroup<'a> {
    type Target = TrainedGroup<'a>;

    fn deref(&self) -> &Self::Target {
        &self.group
    }
}

/// Draws the pictures of a training's folder from its runs.csv, summary.csv and metrics.csv, into it. The same tables give the
/// same bytes. Returns the names of the files.
///
/// # Errors
/// Where a table is missing, malformed or empty, or a file cannot be written.
pub fn training(folder: &Path, theme: Theme) -> Result<Vec<String>> {
    let runs: Vec<TrainRow> = read_csv(&folder.join("runs.csv"))?;
    let summaries: Vec<SummaryRow> = read_csv(&folder.join("summary.csv"))?;
    let metrics: Vec<MetricRow> = read_csv(&folder.join("metrics.csv"))?;
    let groups = trained_groups(&runs, &summaries, &metrics).context("there is nothing to draw")?;
    let groups = drawn(groups);
    let setting = training_setting(&runs);
    let mut pictures = vec![("curves", curves::picture(&groups, &setting)), ("gap", gap::picture(&groups, &setting))];
    // A value at the end alone is no curve.
    let is_tracked = |run: &TrainedRun| run.of(Metric::LambdaMax).nth(1).is_some();
    if groups.iter().any(|group| group.runs.iter().any(is_tracked)) {
        pictures.push(("sharpness", sharpness::picture(&groups, &setting)));
    }
    let files: Vec<Vec<String>> =
        pictures.iter().map(|(name, scene)| super::write(scene, folder, name, theme)).collect::<Result<_>>()?;
    Ok(files.concat())
}
