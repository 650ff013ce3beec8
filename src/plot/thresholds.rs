//! The picture of a results folder, drawn from its table alone: threshold learning rate against delay, theory beside
//! measurement, and below it their ratio.
//!
//! Nothing is computed here that the table does not say; the one liberty taken is that marks which would hide each
//! other stand side by side.

use super::axis::{Axis, Scale};
use super::look::{Styled, styled};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values, side_by_side};
use super::scene::{Point, Scene, Style};
use super::{BAND, DELAY_TITLE, FADED, FRAME, INK, LEFT, RIGHT, SHADE, TOP, WIDTH, heading};
use crate::table::number::percent;
use crate::table::{self, Measurement, Status, ThresholdRow};
use anyhow::{Result, bail};
use plotters::style::{Color, RGBColor};
use std::path::Path;

/// Relative deviation from theory that the lower panel marks as agreement.
const AGREEMENT: f64 = 0.02;

const HEIGHT: u32 = 1200;
/// Top and bottom of the panel of thresholds.
const UPPER: (f64, f64) = (TOP, 784.0);
/// Top and bottom of the panel of ratios.
const LOWER: (f64, f64) = (822.0, 1092.0);
/// Radius of a mark where delays are crowded.
const CROWDED: f64 = 4.5;

/// Draws `rows` into `folder` as `thresholds.svg` and `thresholds.png`. The same rows give the same bytes.
///
/// # Errors
/// Where there are no rows, or a file cannot be written.
pub fn thresholds(rows: &[ThresholdRow], folder: &Path) -> Result<()> {
    if rows.is_empty() {
        bail!("the table has no cells, so there is nothing to draw");
    }
    super::write(&picture(rows), folder, "thresholds")
}

/// Lays out the whole picture of at least one row.
fn picture(rows: &[ThresholdRow]) -> Scene {
    let series = styled(table::series(rows));
    let delays = distinct_delays(rows);
    let names = Names::fit(series.iter().filter_map(name).collect(), UPPER.1 - UPPER.0);
    let right = RIGHT - names.width;
    let delay_axis = Axis::covering(Scale::LogPlusOne, delays.iter().copied(), 0.5, 0.06, (LEFT, right));
    let radius = radius(&delay_axis, &delays);
    let upper = Panel { x: delay_axis, y: learning_rate_axis(rows), radius };
    // Smaller, so that the marks leave the brackets visible.
    let lower = Panel { x: delay_axis, y: ratio_axis(rows), radius: 0.75 * radius };
    let labels = labelled_values(&delay_axis, &delays);

    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, "Largest stable learning rate when gradients arrive late", &table::setting(rows));
    upper.grid(&mut scene, labels.iter().map(|(delay, _)| *delay));
    draw_thresholds(&mut scene, &upper, &series, &delays);
    upper.frame(&mut scene, "threshold learning rate, per update");
    draw_ratios(&mut scene, &lower, &series, &delays);
    lower.frame(&mut scene, "measured / theory");
    lower.lower_axis(&mut scene, &delays, &labels, DELAY_TITLE);
    names.draw(&mut scene, &upper);
    summary(&mut scene, right, rows);
    scene
}

/// What stands beside the line of a series.
fn name<'a>(series: &'a Styled<'_, ThresholdRow>) -> Option<Name<'a>> {
    let Styled { name, color, marker, rows } = series;
    let end = rows.iter().rev().find_map(|row| Some((delay_of(row), line_value(row)?)))?;
    Some(Name { text: name, color: *color, marker: *marker, end })
}

/// Where the line of a series passes: theory, or what was measured where there is none.
fn line_value(row: &ThresholdRow) -> Option<f64> {
    row.lr_theory.or_else(|| row.measurement().map(|measurement| measurement.value))
}

/// Where a row stands: at its delay, or at 0 where none is known.
fn delay_of(row: &ThresholdRow) -> f64 {
    row.known_delay().unwrap_or(0.0)
}

fn distinct_delays(rows: &[ThresholdRow]) -> Vec<f64> {
    let mut delays: Vec<f64> = rows.iter().map(delay_of).collect();
    delays.sort_by(f64::total_cmp);
    delays.dedup();
    delays
}

fn learning_rate_axis(rows: &[ThresholdRow]) -> Axis {
    let values = rows.iter().flat_map(|row| [row.lr_theory, row.lr_stable, row.lr_unstable, row.lr_threshold]);
    Axis::covering(Scale::Log, values.flatten(), 4f64.ln(), 0.06, (UPPER.1, UPPER.0))
}

/// Covers what was measured, and what is undecided where nothing was; the rest is drawn at the edge.
fn ratio_axis(rows: &[ThresholdRow]) -> Axis {
    let measured = rows.iter().any(|row| row.status == Status::Measured);
    let shown = rows.iter().filter(|row| !measured || row.status == Status::Measured);
    let ratios = shown.flat_map(|row| {
        let values = [row.lr_stable, row.lr_unstable, row.lr_threshold];
        let theory = row.lr_theory;
        values.into_iter().flatten().filter_map(move |value| Some(value / theory?))
    });
    let least = [1.0 - 1.5 * AGREEMENT, 1.0 + 1.5 * AGREEMENT];
    Axis::covering(Scale::Linear, ratios.chain(least), 0.0, 0.06, (LOWER.1, LOWER.0))
}

fn draw_thresholds(scene: &mut Scene, panel: &Panel, series: &[Styled<'_, ThresholdRow>], delays: &[f64]) {
    for one in series {
        let place = |row: &&ThresholdRow| Some((panel.x.at(delay_of(row)), panel.y.at(line_value(row)?)));
        let mut line: Vec<Point> = one.rows.iter().filter_map(place).collect();
        if let [(x, y)] = line[..] {
            line = vec![(x - 4.0 * panel.radius, y), (x + 4.0 * panel.radius, y)];
        }
        let known = one.rows.iter().all(|row| row.lr_theory.is_some());
        scene.line(line, if known { 2.2 } else { 1.0 }, one.color.mix(0.75));
    }
    for &delay in delays {
        let x = panel.x.at(delay);
        let here: Vec<_> = at_delay(series, delay).collect();
        let heights: Vec<f64> = here.iter().map(|(.., measurement)| panel.y.at(measurement.value)).collect();
        let shifts = side_by_side(&heights, panel.radius, 0.5 * room(&panel.x, delays, delay));
        for ((one, row, measurement), shift) in here.iter().zip(shifts) {
            draw_measurement(scene, panel, x + shift, measurement, 1.0, one, row.status);
        }
    }
}

fn draw_ratios(scene: &mut Scene, panel: &Panel, series: &[Styled<'_, ThresholdRow>], delays: &[f64]) {
    let ((left, right), (top, bottom)) = (panel.left_right(), panel.top_bottom());
    let spacing = |delay| (room(&panel.x, delays, delay) / series.len() as f64).min(3.0 * panel.radius);
    for &delay in delays {
        let (x, half) = (panel.x.at(delay), 0.5 * spacing(delay) * series.len() as f64 + 4.0);
        scene.rectangle((x - half, top), (x + half, bottom), SHADE);
    }
    scene.rectangle((left, panel.y.at(1.0 + AGREEMENT)), (right, panel.y.at(1.0 - AGREEMENT)), BAND.mix(0.8));
    panel.tick_lines(scene);
    scene.line([(left, panel.y.at(1.0)), (right, panel.y.at(1.0))], 2.0, FRAME);
    for &delay in delays {
        let x = panel.x.at(delay);
        for (one, row, measurement) in at_delay(series, delay) {
            let index = series.iter().position(|other| other.name == one.name).unwrap_or(0);
            let shift = (index as f64 - 0.5 * (series.len() - 1) as f64) * spacing(delay);
            if let Some(theory) = row.lr_theory {
                draw_measurement(scene, panel, x + shift, &measurement, theory, one, row.status);
            }
        }
    }
}

/// What was measured at one delay.
fn at_delay<'a>(
    series: &'a [Styled<'a, ThresholdRow>],
    delay: f64,
) -> impl Iterator<Item = (&'a Styled<'a, ThresholdRow>, &'a ThresholdRow, Measurement)> {
    let of_series = move |one: &'a Styled<'a, ThresholdRow>| {
        let here = one.rows.iter().filter(move |row| delay_of(row) == delay);
        here.filter_map(move |row| row.measurement().map(|measurement| (one, *row, measurement)))
    };
    series.iter().flat_map(of_series)
}

/// A bracket as a bar and its estimate as a mark, in units of `unit`. A bracket with one end unknown is an arrow that
/// points there. What lies beyond the axis is drawn at its edge.
fn draw_measurement(
    scene: &mut Scene,
    panel: &Panel,
    x: f64,
    measurement: &Measurement,
    unit: f64,
    series: &Styled<'_, ThresholdRow>,
    status: Status,
) {
    let (axis, radius) = (&panel.y, panel.radius);
    let y = axis.clamped(measurement.value / unit, radius + 3.0);
    let end = |value: f64| axis.clamped(value / unit, 0.0);
    let (top, bottom) = panel.top_bottom();
    let stem = 3.2 * radius;
    match (measurement.stable, measurement.unstable) {
        (Some(stable), Some(unstable)) => {
            for end in [end(stable), end(unstable)] {
                scene.line([(x - 0.6 * radius, end), (x + 0.6 * radius, end)], 2.0, series.color);
            }
            scene.line([(x, end(stable)), (x, end(unstable))], 2.4, series.color);
        }
        (Some(_), None) => arrow(scene, (x, y), (y - stem).max(top), series.color),
        (None, Some(_)) => arrow(scene, (x, y), (y + stem).min(bottom), series.color),
        (None, None) => {}
    }
    scene.mark(series.marker, (x, y), radius, series.color, status != Status::Measured);
}

/// From `from` straight up or down to height `tip`.
fn arrow(scene: &mut Scene, (x, y): Point, tip: f64, color: RGBColor) {
    let back = 8.0 * (y - tip).signum();
    scene.line([(x, y), (x, tip + back)], 2.4, color);
    scene.polygon([(x, tip), (x - 5.0, tip + back), (x + 5.0, tip + back)], color);
}

/// Width in pixels that marks of one delay may take up without reaching those of its neighbours.
fn room(axis: &Axis, delays: &[f64], delay: f64) -> f64 {
    let at = |delay| axis.at(delay);
    let (left, right) = axis.pixels();
    let x = at(delay);
    let others = delays.iter().filter(|&&other| other != delay).map(|&other| (at(other) - x).abs());
    others.chain([2.0 * (x - left), 2.0 * (right - x)]).fold(f64::INFINITY, f64::min) * 0.84
}

/// The radius of marks, smaller where delays are so close that marks would run into each other.
fn radius(axis: &Axis, delays: &[f64]) -> f64 {
    let gaps = delays.windows(2).map(|pair| axis.at(pair[1]) - axis.at(pair[0]));
    gaps.map(|gap| 0.5 * gap).fold(RADIUS, f64::min).max(CROWDED)
}

/// Beside the lower panel: how to read the marks, and the table in three numbers.
fn summary(scene: &mut Scene, right: f64, rows: &[ThresholdRow]) {
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let measured: Vec<f64> = rows
        .iter()
        .filter(|row| row.status == Status::Measured)
        .filter_map(|row| Some((row.lr_threshold? / row.lr_theory? - 1.0).abs()))
        .collect();
    let mut lines = vec![format!("{} of {} measured", count(Status::Measured), cells(rows.len()))];
    if !measured.is_empty() {
        let agreeing = measured.iter().filter(|deviation| **deviation <= AGREEMENT).count();
        lines.push(format!("{agreeing} of {} within ±{} of theory", measured.len(), percent(AGREEMENT, 2)));
        lines.push(format!("largest deviation {}", percent(measured.iter().copied().fold(0.0, f64::max), 2)));
    }
    for status in [Status::Undecided, Status::Failed] {
        if count(status) > 0 {
            lines.push(format!("{} {status}", cells(count(status))));
        }
    }
    let column = right + 26.0;
    let style = Style::new(19.0, INK.to_rgba());
    for (index, line) in lines.into_iter().enumerate() {
        scene.text((column, LOWER.0 + 18.0 + 28.0 * index as f64), line, style);
    }
    let note = Style::new(16.0, FADED.to_rgba());
    let notes = [
        "Marks: measured. Lines: theory",
        "(thin: none is known, through",
        "the marks).",
        "Bars: from the largest stable to the",
        "smallest unstable learning rate.",
        "Open marks: undecided.",
    ];
    for (index, line) in notes.into_iter().rev().enumerate() {
        scene.text((column, LOWER.1 - 4.0 - 22.0 * index as f64), line, note);
    }
}

/// A number of cells, in words.
fn cells(count: usize) -> String {
    if count == 1 { "1 cell".into() } else { format!("{count} cells") }
}
