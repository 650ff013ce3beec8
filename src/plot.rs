//! The picture of a results folder, drawn from its table alone: threshold learning rate against delay, theory beside
//! measurement, and below it their ratio.
//!
//! Nothing is computed here that the table does not say; the one liberty taken is that marks which would hide each
//! other stand side by side.

mod axis;
mod scene;
mod series;

use crate::record::{Status, ThresholdRow, write_whole};
use anyhow::{Context, Result, bail};
use axis::{Axis, Scale};
use plotters::style::{Color, RGBColor};
use scene::{Anchor, Point, Scene, Style};
use series::{Measurement, Series};
use std::path::Path;

/// Relative deviation from theory that the lower panel marks as agreement.
const AGREEMENT: f64 = 0.02;

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1200;
/// Left edge of both panels.
const LEFT: f64 = 140.0;
/// Right edge of everything.
const RIGHT: f64 = 1570.0;
/// Top and bottom of the panel of thresholds.
const UPPER: (f64, f64) = (136.0, 784.0);
/// Top and bottom of the panel of ratios.
const LOWER: (f64, f64) = (822.0, 1092.0);
/// Radius of a mark where there is room, and where delays are crowded.
const RADII: (f64, f64) = (8.0, 4.5);

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FADED: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe3, 0xe3, 0xe3);
const SHADE: RGBColor = RGBColor(0xf4, 0xf4, 0xf4);
const FRAME: RGBColor = RGBColor(0x99, 0x99, 0x99);
const BAND: RGBColor = RGBColor(0xd9, 0xea, 0xdf);

/// Draws `rows` into `folder` as `thresholds.svg` and `thresholds.png`. The same rows give the same bytes.
///
/// # Errors
/// Where there are no rows, where a learning rate is not a positive number (a logarithmic axis has no place for it), or
/// where a file cannot be written.
pub fn thresholds(rows: &[ThresholdRow], folder: &Path) -> Result<()> {
    check(rows)?;
    let scene = picture(rows);
    for (name, bytes) in [("thresholds.svg", scene.svg()?.into_bytes()), ("thresholds.png", scene.png()?)] {
        let path = folder.join(name);
        write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn check(rows: &[ThresholdRow]) -> Result<()> {
    if rows.is_empty() {
        bail!("the table has no cells, so there is nothing to draw");
    }
    for row in rows {
        let values = [
            ("lr_theory", Some(row.lr_theory)),
            ("lr_stable", row.lr_stable),
            ("lr_unstable", row.lr_unstable),
            ("lr_threshold", row.lr_threshold),
        ];
        for (column, value) in values {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                bail!("cell {}, column `{column}`: `{value}`, expected a positive number", row.cell_id);
            }
        }
    }
    Ok(())
}

/// Lays out the whole picture. `rows` must have passed [`check`].
fn picture(rows: &[ThresholdRow]) -> Scene {
    let series = series::series(rows);
    let delays = distinct_delays(rows);
    let names = Names::fit(&series);
    let right = RIGHT - names.width;
    let delay_axis = Axis::covering(Scale::LogPlusOne, delays.iter().map(|&d| f64::from(d)), 0.5, 0.06, (LEFT, right));
    let radius = radius(&delay_axis, &delays);
    let upper = Panel { x: delay_axis, y: learning_rate_axis(rows), radius };
    // Smaller, so that the marks leave the brackets visible.
    let lower = Panel { x: delay_axis, y: ratio_axis(rows), radius: 0.75 * radius };

    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, rows);
    upper.grid(&mut scene, &delays);
    draw_thresholds(&mut scene, &upper, &series, &delays);
    upper.frame(&mut scene, "threshold learning rate, per update");
    draw_ratios(&mut scene, &lower, &series, &delays);
    lower.frame(&mut scene, "measured / theory");
    delay_ticks(&mut scene, &delay_axis, &delays);
    names.draw(&mut scene, &upper, &series);
    summary(&mut scene, right, rows);
    scene
}

fn distinct_delays(rows: &[ThresholdRow]) -> Vec<u32> {
    let mut delays: Vec<u32> = rows.iter().map(|row| row.delay).collect();
    delays.sort_unstable();
    delays.dedup();
    delays
}

fn learning_rate_axis(rows: &[ThresholdRow]) -> Axis {
    let values = rows.iter().flat_map(|row| [Some(row.lr_theory), row.lr_stable, row.lr_unstable, row.lr_threshold]);
    Axis::covering(Scale::Log, values.flatten(), 4f64.ln(), 0.06, (UPPER.1, UPPER.0))
}

/// Covers what was measured, and what is undecided where nothing was; the rest is drawn at the edge.
fn ratio_axis(rows: &[ThresholdRow]) -> Axis {
    let measured = rows.iter().any(|row| row.status == Status::Measured);
    let shown = rows.iter().filter(|row| !measured || row.status == Status::Measured);
    let ratios = shown.flat_map(|row| {
        let values = [row.lr_stable, row.lr_unstable, row.lr_threshold];
        values.into_iter().flatten().map(|value| value / row.lr_theory)
    });
    let least = [1.0 - 1.5 * AGREEMENT, 1.0 + 1.5 * AGREEMENT];
    Axis::covering(Scale::Linear, ratios.chain(least), 0.0, 0.06, (LOWER.1, LOWER.0))
}

/// A rectangle with a delay axis below and another axis to its left.
struct Panel {
    x: Axis,
    y: Axis,
    /// Of its marks.
    radius: f64,
}

impl Panel {
    fn left_right(&self) -> (f64, f64) {
        self.x.pixels()
    }

    fn top_bottom(&self) -> (f64, f64) {
        let (bottom, top) = self.y.pixels();
        (top, bottom)
    }

    /// Lines behind the data: at every tick, and at those delays of the table that have a label.
    fn grid(&self, scene: &mut Scene, delays: &[u32]) {
        let (top, bottom) = self.top_bottom();
        for delay in labelled(&self.x, delays) {
            let x = self.x.at(f64::from(delay));
            scene.line([(x, top), (x, bottom)], 1.0, GRID);
        }
        self.tick_lines(scene);
    }

    fn tick_lines(&self, scene: &mut Scene) {
        let (left, right) = self.left_right();
        for tick in self.y.ticks() {
            scene.line([(left, self.y.at(tick)), (right, self.y.at(tick))], 1.0, GRID);
        }
    }

    /// The border, and the left axis with its labels.
    fn frame(&self, scene: &mut Scene, title: &str) {
        let ((left, right), (top, bottom)) = (self.left_right(), self.top_bottom());
        scene.line([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], 1.0, FRAME);
        let style = Style::new(20.0, INK.to_rgba()).anchor(Anchor::End);
        for (tick, label) in self.y.labelled_ticks() {
            let y = self.y.at(tick);
            scene.line([(left - 6.0, y), (left, y)], 1.0, FRAME);
            scene.text((left - 12.0, y + style.drop()), label, style);
        }
        let style = Style::new(21.0, INK.to_rgba()).anchor(Anchor::Middle).vertical();
        scene.text((46.0, 0.5 * (top + bottom)), title, style);
    }
}

fn heading(scene: &mut Scene, rows: &[ThresholdRow]) {
    let title = Style::new(32.0, INK.to_rgba()).bold();
    scene.text((LEFT, 62.0), "Largest stable learning rate when gradients arrive late", title);
    let subtitle = Style::new(20.0, FADED.to_rgba());
    scene.text((LEFT, 104.0), subtitle.fitted(&series::setting(rows), RIGHT - LEFT), subtitle);
}

/// The delays of the table that have room for a label.
fn labelled(axis: &Axis, delays: &[u32]) -> Vec<u32> {
    let style = delay_style();
    axis::thinned(delays, |delay| (axis.at(f64::from(delay)), 0.5 * style.width(&delay.to_string()) + 0.6 * style.size))
}

fn delay_style() -> Style {
    Style::new(20.0, INK.to_rgba()).anchor(Anchor::Middle)
}

fn delay_ticks(scene: &mut Scene, axis: &Axis, delays: &[u32]) {
    let bottom = LOWER.1;
    for &delay in delays {
        let x = axis.at(f64::from(delay));
        scene.line([(x, bottom), (x, bottom + 5.0)], 1.0, FRAME);
    }
    for delay in labelled(axis, delays) {
        scene.text((axis.at(f64::from(delay)), bottom + 28.0), delay.to_string(), delay_style());
    }
    let (left, right) = axis.pixels();
    let style = Style::new(21.0, INK.to_rgba()).anchor(Anchor::Middle);
    scene.text((0.5 * (left + right), bottom + 66.0), "delay τ (updates), on a logarithmic scale of τ + 1", style);
}

fn draw_thresholds(scene: &mut Scene, panel: &Panel, series: &[Series<'_>], delays: &[u32]) {
    for one in series {
        let place = |row: &&ThresholdRow| (panel.x.at(f64::from(row.delay)), panel.y.at(row.lr_theory));
        let mut line: Vec<Point> = one.rows.iter().map(place).collect();
        if let [(x, y)] = line[..] {
            line = vec![(x - 4.0 * panel.radius, y), (x + 4.0 * panel.radius, y)];
        }
        scene.line(line, 2.2, one.color.mix(0.75));
    }
    for &delay in delays {
        let x = panel.x.at(f64::from(delay));
        let here: Vec<_> = at_delay(series, delay).collect();
        let heights: Vec<f64> = here.iter().map(|(.., measurement)| panel.y.at(measurement.value)).collect();
        let shifts = side_by_side(&heights, panel.radius, 0.5 * room(&panel.x, delays, delay));
        for ((one, row, measurement), shift) in here.iter().zip(shifts) {
            draw_measurement(scene, panel, x + shift, measurement, 1.0, one, row.status);
        }
    }
}

fn draw_ratios(scene: &mut Scene, panel: &Panel, series: &[Series<'_>], delays: &[u32]) {
    let ((left, right), (top, bottom)) = (panel.left_right(), panel.top_bottom());
    let spacing = |delay| (room(&panel.x, delays, delay) / series.len() as f64).min(3.0 * panel.radius);
    for &delay in delays {
        let (x, half) = (panel.x.at(f64::from(delay)), 0.5 * spacing(delay) * series.len() as f64 + 4.0);
        scene.rectangle((x - half, top), (x + half, bottom), SHADE);
    }
    scene.rectangle((left, panel.y.at(1.0 + AGREEMENT)), (right, panel.y.at(1.0 - AGREEMENT)), BAND.mix(0.8));
    panel.tick_lines(scene);
    scene.line([(left, panel.y.at(1.0)), (right, panel.y.at(1.0))], 2.0, FRAME);
    for &delay in delays {
        let x = panel.x.at(f64::from(delay));
        for (one, row, measurement) in at_delay(series, delay) {
            let index = series.iter().position(|other| other.name == one.name).unwrap_or(0);
            let shift = (index as f64 - 0.5 * (series.len() - 1) as f64) * spacing(delay);
            draw_measurement(scene, panel, x + shift, &measurement, row.lr_theory, one, row.status);
        }
    }
}

/// What was measured at one delay.
fn at_delay<'a>(
    series: &'a [Series<'a>],
    delay: u32,
) -> impl Iterator<Item = (&'a Series<'a>, &'a ThresholdRow, Measurement)> {
    let of_series = move |one: &'a Series<'a>| {
        let here = one.rows.iter().filter(move |row| row.delay == delay);
        here.filter_map(move |row| series::measurement(row).map(|measurement| (one, *row, measurement)))
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
    series: &Series<'_>,
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
fn room(axis: &Axis, delays: &[u32], delay: u32) -> f64 {
    let at = |delay: u32| axis.at(f64::from(delay));
    let (left, right) = axis.pixels();
    let x = at(delay);
    let others = delays.iter().filter(|&&other| other != delay).map(|&other| (at(other) - x).abs());
    others.chain([2.0 * (x - left), 2.0 * (right - x)]).fold(f64::INFINITY, f64::min) * 0.84
}

/// The radius of marks, smaller where delays are so close that marks would run into each other.
fn radius(axis: &Axis, delays: &[u32]) -> f64 {
    let gaps = delays.windows(2).map(|pair| axis.at(f64::from(pair[1])) - axis.at(f64::from(pair[0])));
    let (roomy, crowded) = RADII;
    gaps.map(|gap| 0.5 * gap).fold(roomy, f64::min).max(crowded)
}

/// For marks at `heights`, in their order, the smallest sideways shifts of at most `most` pixels that let all be seen. A
/// mark for which there is no free place stays where it is.
fn side_by_side(heights: &[f64], radius: f64, most: f64) -> Vec<f64> {
    let step = 2.2 * radius;
    let mut placed: Vec<Point> = Vec::with_capacity(heights.len());
    for &y in heights {
        let free = |x: &f64| placed.iter().all(|(u, v)| (x - u).abs() >= 0.95 * step || (y - v).abs() >= 0.75 * step);
        let steps = (0..).map(|i| f64::from((i + 1) / 2) * if i % 2 == 1 { step } else { -step });
        let x = steps.take_while(|x| x.abs() <= most).find(free).unwrap_or(0.0);
        placed.push((x, y));
    }
    placed.into_iter().map(|(x, _)| x).collect()
}

/// The names of the series, each beside the end of its line.
struct Names {
    /// Of the column that holds them, pixels; the summary below stands in the same column.
    width: f64,
    /// Of the text, pixels.
    size: f64,
}

impl Names {
    const LEADER: f64 = 44.0;
    const MARK: f64 = 26.0;
    const LEAST: f64 = 290.0;
    const MOST: f64 = 460.0;

    fn fit(series: &[Series<'_>]) -> Self {
        let size = 20f64.min((UPPER.1 - UPPER.0) / series.len() as f64 / 1.2);
        let style = Style::new(size, INK.to_rgba());
        let widest = series.iter().map(|one| style.width(&one.name)).fold(0.0, f64::max);
        Self { width: (Self::LEADER + Self::MARK + widest + 4.0).clamp(Self::LEAST, Self::MOST), size }
    }

    fn draw(&self, scene: &mut Scene, panel: &Panel, series: &[Series<'_>]) {
        let style = Style::new(self.size, INK.to_rgba());
        let (_, right) = panel.left_right();
        let (top, bottom) = panel.top_bottom();
        let last_delay = series.iter().filter_map(|one| one.rows.last()).map(|row| row.delay).max();
        let mut ends: Vec<(f64, &Series<'_>, &ThresholdRow)> =
            series.iter().filter_map(|one| one.rows.last().map(|row| (panel.y.at(row.lr_theory), one, *row))).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let targets: Vec<f64> = ends.iter().map(|(y, ..)| *y).collect();
        let half = 0.6 * self.size;
        let places = axis::spread(
            &targets,
            1.5 * self.size.min((bottom - top) / targets.len() as f64 / 1.5),
            top + half,
            bottom - half,
        );
        let text = right + Self::LEADER + Self::MARK;
        for ((end, one, row), place) in ends.into_iter().zip(places) {
            if Some(row.delay) == last_delay {
                // Far from the edge, a leader would look like a line of the data.
                let from = panel.x.at(f64::from(row.delay));
                let from = if right - from < 100.0 { from } else { right };
                let bend = right + 0.7 * Self::LEADER;
                let leader = [(from, end), (right, end), (bend, place), (right + Self::LEADER, place)];
                scene.line(leader, 1.0, one.color.mix(0.6));
            }
            let radius = RADII.0.min(0.4 * self.size);
            scene.mark(one.marker, (right + Self::LEADER + 0.5 * Self::MARK - 2.0, place), radius, one.color, false);
            scene.text((text, place + style.drop()), style.fitted(&one.name, RIGHT - text), style);
        }
    }
}

/// Beside the lower panel: how to read the marks, and the table in three numbers.
fn summary(scene: &mut Scene, right: f64, rows: &[ThresholdRow]) {
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let measured: Vec<f64> = rows
        .iter()
        .filter(|row| row.status == Status::Measured)
        .filter_map(|row| row.lr_threshold.map(|threshold| (threshold / row.lr_theory - 1.0).abs()))
        .collect();
    let percent = |fraction: f64| format!("{} %", series::significant(100.0 * fraction, 2));
    let mut lines = vec![format!("{} of {} measured", count(Status::Measured), cells(rows.len()))];
    if !measured.is_empty() {
        let agreeing = measured.iter().filter(|deviation| **deviation <= AGREEMENT).count();
        lines.push(format!("{agreeing} within ±{} of theory", percent(AGREEMENT)));
        lines.push(format!("largest deviation {}", percent(measured.iter().copied().fold(0.0, f64::max))));
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
        "Lines: theory. Marks: measured.",
        "Bars: from the largest stable to the",
        "smallest unstable learning rate.",
        "Open marks: undecided.",
    ];
    for (index, line) in notes.into_iter().rev().enumerate() {
        scene.text((column, LOWER.1 - 4.0 - 22.0 * index as f64), line, note);
    }
}

/// So many cells, in words.
fn cells(count: usize) -> String {
    if count == 1 { "1 cell".into() } else { format!("{count} cells") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_aside_only_where_they_would_hide_each_other() {
        assert_eq!(side_by_side(&[0.0, 100.0, 200.0], 8.0, 60.0), [0.0, 0.0, 0.0]);
        assert_eq!(side_by_side(&[0.0, 1.0, 2.0], 5.0, 60.0), [0.0, 11.0, -11.0]);
        assert_eq!(side_by_side(&[0.0, 0.0, 0.0], 5.0, 8.0), [0.0, 0.0, 0.0], "no room");
        assert!(side_by_side(&[], 5.0, 60.0).is_empty());
    }
}
