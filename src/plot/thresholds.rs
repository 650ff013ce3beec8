//! The picture of a results folder, drawn from its table alone: threshold learning rate against delay, theory beside
//! measurement, and below it their ratio; of more than eight series, both for each rule.
//!
//! Nothing is computed here that the table does not say; the one liberty taken is that series stand side by side at each
//! delay, by the same distance in both panels.

use super::axis::{Axis, Scale};
use super::look::{Ruled, Styled, panels, styled};
use super::multiples::{self, Cell, Key, Multiples};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values};
use super::scene::{Point, Scene, Style};
use super::{BAND, DELAY_TITLE, FADED, FRAME, INK, LEFT, RIGHT, SHADE, TOP, Theme, WIDTH, heading};
use crate::table::number::percent;
use crate::table::{self, Measurement, Status, ThresholdRow};
use crate::text::counted;
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
/// Heights of the two panels where there is a pair of them for each rule, the room between them, and that for the lower axis.
const SMALL: (f64, f64) = (300.0, 150.0);
const BETWEEN: f64 = 16.0;
const AXIS: f64 = 80.0;
/// Radius of a mark where delays are crowded.
const CROWDED: f64 = 4.5;

const TITLE: &str = "Largest stable learning rate when gradients arrive late";
const UPPER_TITLE: &str = "threshold learning rate, per update";
const LOWER_TITLE: &str = "measured / theory";
/// The same for small panels, whose note says the rest.
const SMALL_TITLES: (&str, &str) = ("learning rate", "ratio");

/// Draws `rows` into `folder` as `thresholds.svg` and `thresholds.png`, or their dark twins, and returns the names of the files. The
/// same rows give the same bytes.
///
/// # Errors
/// Where there are no rows, or a file cannot be written.
pub fn thresholds(rows: &[ThresholdRow], folder: &Path, theme: Theme) -> Result<Vec<String>> {
    if rows.is_empty() {
        bail!("the table has no cells, so there is nothing to draw");
    }
    super::write(&picture(rows), folder, "thresholds", theme)
}

/// Lays out the whole picture of at least one row.
fn picture(rows: &[ThresholdRow]) -> Scene {
    let series = styled(table::series(rows));
    let families: Vec<&str> = series.iter().map(|one| one.rows[0].family()).collect();
    match &panels(&families)[..] {
        [_] => together(rows, &series),
        several => apart(rows, &series, several),
    }
}

/// All series in one pair of panels.
fn together(rows: &[ThresholdRow], series: &[Styled<'_, ThresholdRow>]) -> Scene {
    let delays = distinct_delays(rows);
    let names = Names::fit(series.iter().filter_map(name).collect(), UPPER.1 - UPPER.0);
    let right = RIGHT - names.width;
    let delay_axis = Axis::covering(Scale::LogPlusOne, delays.iter().copied(), 0.5, 0.06, (LEFT, right));
    let pair = Pair::new(rows, series, &delays, delay_axis, (UPPER, LOWER));
    let labels = labelled_values(&delay_axis, &delays);

    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, TITLE, &table::setting(rows));
    pair.draw(&mut scene, &(0..series.len()).collect::<Vec<_>>(), &labels);
    pair.upper.frame(&mut scene, UPPER_TITLE);
    pair.lower.frame(&mut scene, LOWER_TITLE);
    pair.lower.lower_axis(&mut scene, &delays, &labels, DELAY_TITLE);
    names.draw(&mut scene, &pair.upper);
    summary(&mut scene, right, rows);
    scene
}

/// A pair of panels for each rule.
fn apart(rows: &[ThresholdRow], series: &[Styled<'_, ThresholdRow>], panels: &[(&str, Vec<usize>)]) -> Scene {
    let delays = distinct_delays(rows);
    let keys: Vec<Key> = series.iter().map(Key::from).collect();
    let multiples = Multiples::of(&keys, panels, TOP, SMALL.0 + BETWEEN + SMALL.1 + AXIS);
    let mut scene = Scene::new(WIDTH, (multiples.bottom + 50.0) as u32);
    heading(&mut scene, TITLE, &table::setting(rows));
    multiples.draw_keys(&mut scene, &keys);
    for cell in &multiples.cells {
        let Cell { begin, left_right, .. } = *cell;
        let axis = Axis::covering(Scale::LogPlusOne, delays.iter().copied(), 0.5, 0.06, left_right);
        let middle = begin + SMALL.0 + BETWEEN;
        let heights = ((begin, begin + SMALL.0), (middle, middle + SMALL.1));
        let pair = Pair::new(rows, series, &delays, axis, heights);
        let labels = labelled_values(&axis, &delays);
        pair.draw(&mut scene, &cell.places, &labels);
        multiples::frame(&mut scene, &pair.upper, cell, SMALL_TITLES.0);
        multiples::frame(&mut scene, &pair.lower, cell, SMALL_TITLES.1);
        pair.lower.lower_axis(&mut scene, &delays, &labels, "delay τ (updates)");
    }
    let note = format!(
        "{}. Above the threshold learning rate, per update; below its ratio to theory. {} Faint lines: the series of the other panels. Delays on a logarithmic scale of τ + 1.",
        counts(rows).join(", "),
        NOTES.join(" ")
    );
    scene.paragraph((40.0, multiples.bottom + 26.0), &note, Style::new(17.0, FADED.to_rgba()), RIGHT - 40.0);
    scene
}

/// The panel of thresholds and that of ratios, with one axis of delays.
struct Pair<'a> {
    upper: Panel,
    lower: Panel,
    series: &'a [Styled<'a, ThresholdRow>],
    delays: &'a [f64],
}

impl<'a> Pair<'a> {
    fn new(
        rows: &[ThresholdRow],
        series: &'a [Styled<'a, ThresholdRow>],
        delays: &'a [f64],
        x: Axis,
        (upper, lower): ((f64, f64), (f64, f64)),
    ) -> Self {
        let small = if x.pixels().1 - x.pixels().0 < 700.0 { 0.8 } else { 1.0 };
        let radius = small * radius(&x, delays);
        let upper = Panel { x, y: learning_rate_axis(rows, upper), radius };
        // Smaller, so that the marks leave the brackets visible.
        let lower = Panel { x, y: ratio_axis(rows, lower), radius: 0.75 * radius };
        Self { upper, lower, series, delays }
    }

    /// Half the width that `count` series take up at a delay, and what the one at `place` stands aside there, pixels.
    fn aside(&self, delay: f64, place: usize, count: usize) -> (f64, f64) {
        let spacing = (room(&self.upper.x, self.delays, delay) / count as f64).min(2.3 * self.lower.radius);
        (0.5 * spacing * count as f64, (place as f64 - 0.5 * (count - 1) as f64) * spacing)
    }

    /// Draws the series at `places`, the others faint behind them.
    fn draw(&self, scene: &mut Scene, places: &[usize], labels: &[(f64, String)]) {
        let Self { upper, lower, .. } = self;
        let ((left, right), (top, bottom)) = (lower.left_right(), lower.top_bottom());
        for &delay in self.delays {
            let (x, half) = (upper.x.at(delay), self.aside(delay, 0, places.len()).0 + 4.0);
            for (top, bottom) in [upper.top_bottom(), (top, bottom)] {
                scene.rectangle((x - half, top), (x + half, bottom), SHADE);
            }
        }
        upper.grid(scene, labels.iter().map(|(delay, _)| *delay));
        scene.rectangle((left, lower.y.at(1.0 + AGREEMENT)), (right, lower.y.at(1.0 - AGREEMENT)), BAND.mix(0.8));
        lower.tick_lines(scene);
        scene.line([(left, lower.y.at(1.0)), (right, lower.y.at(1.0))], 2.0, FRAME);

        let others = (0..self.series.len()).filter(|place| !places.contains(place));
        multiples::background(scene, others.map(|place| self.line(place, |_| 0.0)));
        for (nth, &place) in places.iter().enumerate() {
            let one = &self.series[place];
            let mut line = self.line(place, |delay| self.aside(delay, nth, places.len()).1);
            if let [(x, y)] = line[..] {
                line = vec![(x - 4.0 * upper.radius, y), (x + 4.0 * upper.radius, y)];
            }
            let known = one.rows.iter().all(|row| row.lr_theory.is_some());
            scene.dashed(line, if known { 2.2 } else { 1.0 }, one.color.mix(0.75), one.look.dash);
        }
        for (nth, &place) in places.iter().enumerate() {
            let one = &self.series[place];
            for row in &one.rows {
                let Some(measurement) = row.measurement() else { continue };
                let x = upper.x.at(delay_of(row)) + self.aside(delay_of(row), nth, places.len()).1;
                draw_measurement(scene, upper, x, &measurement, 1.0, one, row.status);
                if let Some(theory) = row.lr_theory {
                    draw_measurement(scene, lower, x, &measurement, theory, one, row.status);
                }
            }
        }
    }

    /// The line of a series, each point so much aside.
    fn line(&self, place: usize, aside: impl Fn(f64) -> f64) -> Vec<Point> {
        let point = |row: &&ThresholdRow| {
            let delay = delay_of(row);
            Some((self.upper.x.at(delay) + aside(delay), self.upper.y.at(line_value(row)?)))
        };
        self.series[place].rows.iter().filter_map(point).collect()
    }
}

/// What stands beside the line of a series.
fn name<'a>(series: &'a Styled<'_, ThresholdRow>) -> Option<Name<'a>> {
    let Styled { name, color, look, rows } = series;
    let end = rows.iter().rev().find_map(|row| Some((delay_of(row), line_value(row)?)))?;
    Some(Name { text: name, color: *color, marker: look.marker, dash: look.dash, end })
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

fn learning_rate_axis(rows: &[ThresholdRow], (top, bottom): (f64, f64)) -> Axis {
    let values = rows.iter().flat_map(|row| [row.lr_theory, row.lr_stable, row.lr_unstable, row.lr_threshold]);
    Axis::covering(Scale::Log, values.flatten(), 4f64.ln(), 0.06, (bottom, top))
}

/// Covers what was measured, and what is undecided where nothing was; the rest is drawn at the edge.
fn ratio_axis(rows: &[ThresholdRow], (top, bottom): (f64, f64)) -> Axis {
    let measured = rows.iter().any(|row| row.status == Status::Measured);
    let shown = rows.iter().filter(|row| !measured || row.status == Status::Measured);
    let ratios = shown.flat_map(|row| {
        let values = [row.lr_stable, row.lr_unstable, row.lr_threshold];
        let theory = row.lr_theory;
        values.into_iter().flatten().filter_map(move |value| Some(value / theory?))
    });
    let least = [1.0 - 1.5 * AGREEMENT, 1.0 + 1.5 * AGREEMENT];
    Axis::covering(Scale::Linear, ratios.chain(least), 0.0, 0.06, (bottom, top))
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
    scene.mark(series.look.marker, (x, y), radius, series.color, status != Status::Measured);
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

/// How to read the marks.
const NOTES: [&str; 4] = [
    "Marks: measured. Lines: theory (thin: none is known, through the marks).",
    "Bars: from the largest stable to the smallest unstable learning rate.",
    "Open marks: undecided.",
    "Series stand side by side at each delay, alike in both panels.",
];

/// The table in a few numbers.
fn counts(rows: &[ThresholdRow]) -> Vec<String> {
    let count = |status| rows.iter().filter(|row| row.status == status).count();
    let measured: Vec<f64> = rows
        .iter()
        .filter(|row| row.status == Status::Measured)
        .filter_map(|row| Some((row.lr_threshold? / row.lr_theory? - 1.0).abs()))
        .collect();
    let mut lines = vec![format!("{} of {} measured", count(Status::Measured), counted(rows.len(), "cell"))];
    if !measured.is_empty() {
        let agreeing = measured.iter().filter(|deviation| **deviation <= AGREEMENT).count();
        lines.push(format!("{agreeing} of {} within ±{} of theory", measured.len(), percent(AGREEMENT, 2)));
        lines.push(format!("largest deviation {}", percent(measured.iter().copied().fold(0.0, f64::max), 2)));
    }
    for status in [Status::Undecided, Status::Failed] {
        if count(status) > 0 {
            lines.push(format!("{} {status}", counted(count(status), "cell")));
        }
    }
    lines
}

/// Beside the lower panel: the table in a few numbers, and how to read the marks.
fn summary(scene: &mut Scene, right: f64, rows: &[ThresholdRow]) {
    let column = right + 26.0;
    let style = Style::new(19.0, INK.to_rgba());
    for (index, line) in counts(rows).into_iter().enumerate() {
        scene.text((column, LOWER.0 + 18.0 + 28.0 * index as f64), line, style);
    }
    let note = Style::new(15.0, FADED.to_rgba());
    let lines: Vec<String> = NOTES.iter().flat_map(|line| note.wrapped(line, RIGHT + 16.0 - column)).collect();
    for (index, line) in lines.into_iter().rev().enumerate() {
        scene.text((column, LOWER.1 + 26.0 - 19.0 * index as f64), line, note);
    }
}
