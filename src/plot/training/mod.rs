//! The pictures of a training, from its tables alone: [`curves`] along the epochs, the [`gap`] between training and test, and
//! [`sharpness`] along the steps where it was tracked.
//!
//! Which rows belong to which group is decided in [`crate::table`]. Means and intervals at the end are those of summary.csv;
//! along the epochs they are taken from metrics.csv, in the same way.

mod curves;
mod gap;
mod sharpness;

use super::look::look;
use super::scene::Marker;
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
    marker: Marker,
}

impl<'a> DrawnGroup<'a> {
    fn new((place, group): (usize, TrainedGroup<'a>)) -> Self {
        let (color, marker) = look(place);
        Self { group, color, marker }
    }
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
pub fn training(folder: &Path) -> Result<Vec<String>> {
    let runs: Vec<TrainRow> = read_csv(&folder.join("runs.csv"))?;
    let summaries: Vec<SummaryRow> = read_csv(&folder.join("summary.csv"))?;
    let metrics: Vec<MetricRow> = read_csv(&folder.join("metrics.csv"))?;
    let groups = trained_groups(&runs, &summaries, &metrics).context("there is nothing to draw")?;
    let groups: Vec<DrawnGroup> = groups.into_iter().enumerate().map(DrawnGroup::new).collect();
    let setting = training_setting(&runs);
    let mut pictures = vec![("curves", curves::picture(&groups, &setting)), ("gap", gap::picture(&groups, &setting))];
    // A value at the end alone is no curve.
    let is_tracked = |run: &TrainedRun| run.of(Metric::LambdaMax).nth(1).is_some();
    if groups.iter().any(|group| group.runs.iter().any(is_tracked)) {
        pictures.push(("sharpness", sharpness::picture(&groups, &setting)));
    }
    pictures.iter().try_for_each(|(name, scene)| super::write(scene, folder, name))?;
    Ok(pictures.into_iter().flat_map(|(name, _)| [format!("{name}.svg"), format!("{name}.png")]).collect())
}
