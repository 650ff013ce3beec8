//! Means with their intervals and the values that they are of, side by side: a row for each entry, a panel for each figure.

use super::axis::{Axis, Scale, thinned};
use super::scene::{Anchor, Marker, Scene, Style};
use super::{FADED, FRAME, GRID, INK, LEFT, RIGHT, SHADE, WIDTH, heading};
use plotters::style::{Color, RGBColor};

/// Most entries that a picture has room for.
pub const MOST: usize = 150;
/// Height of an entry's row, where there are few and many.
const ROW: (f64, f64) = (64.0, 30.0);
/// Top of the panels, and what is below them.
const TOP: f64 = 170.0;
const BELOW: f64 = 130.0;
/// Between the panels.
const GAP: f64 = 60.0;
/// Widest name of an entry.
const MOST_NAME: f64 = 600.0;

/// What a panel shows.
pub struct Figure {
    /// Title of its axis.
    pub title: &'static str,
    /// Least width of its axis, in the units of its values.
    pub least_span: f64,
    /// A value that is marked by a line, and always on the axis.
    pub line: Option<f64>,
    /// Least and largest value that is possible; shares of 0 to 100 stand on a logistic axis where they are far apart.
    pub range: Option<(f64, f64)>,
}

/// One row of the picture.
pub struct Entry<'a> {
    pub name: &'a str,
    /// What stands behind the name, and is never cut.
    pub note: String,
    pub color: RGBColor,
    pub marker: Marker,
    /// One for each panel.
    pub values: [Values; 2],
}

/// What an entry has in one panel.
pub struct Values {
    /// Faint dots.
    pub single: Vec<f64>,
    pub mean: Option<f64>,
    /// Ends of the mean's interval.
    pub ends: Option<(f64, f64)>,
}

/// Draws the first [`MOST`] entries. `note` stands below.
pub fn picture(title: &str, setting: &str, panels: &[Figure; 2], entries: &[Entry], note: &str) -> Scene {
    let shown = &entries[..entries.len().min(MOST)];
    let row = (560.0 / shown.len() as f64).clamp(ROW.1, ROW.0);
    let bottom = TOP + row * shown.len() as f64;
    let style = Style::new(19.0, INK.to_rgba()).anchor(Anchor::End);
    let label =
        |entry: &Entry| format!("{}{}", style.fitted(entry.name, MOST_NAME - style.width(&entry.note)), entry.note);
    let widest = shown.iter().map(|entry| style.width(&label(entry))).fold(0.0, f64::max);
    let left = (widest.min(MOST_NAME) + 50.0).max(LEFT);
    let width = 0.5 * (RIGHT - left - GAP);

    let mut scene = Scene::new(WIDTH, (bottom + BELOW) as u32);
    heading(&mut scene, title, setting);
    for (index, panel) in panels.iter().enumerate() {
        let start = left + index as f64 * (width + GAP);
        draw(&mut scene, panel, index, shown, (start, start + width), row);
    }
    for (index, entry) in shown.iter().enumerate() {
        let y = TOP + row * (index as f64 + 0.5) + style.drop();
        scene.text((left - 16.0, y), label(entry), style);
    }
    scene.paragraph((40.0, bottom + BELOW - 22.0), note, Style::new(17.0, FADED.to_rgba()), RIGHT - 40.0);
    scene
}

fn draw(scene: &mut Scene, panel: &Figure, index: usize, entries: &[Entry], pixels: (f64, f64), row: f64) {
    let bottom = TOP + row * entries.len() as f64;
    let of_entry = |entry: &Entry| {
        let Values { single, mean, ends } = &entry.values[index];
        let ends = ends.iter().flat_map(|(low, high)| [*low, *high]);
        single.iter().copied().chain(*mean).chain(ends).collect::<Vec<_>>()
    };
    let values: Vec<f64> = entries.iter().flat_map(of_entry).chain(panel.line).collect();
    let values = if values.is_empty() { vec![0.0, 100.0] } else { values };
    let (axis, scale) = axis(panel, &values, pixels);
    for index in (0..entries.len()).step_by(2) {
        let y = TOP + row * index as f64;
        scene.rectangle((pixels.0, y), (pixels.1, y + row), SHADE);
    }
    let style = Style::new(20.0, INK.to_rgba()).anchor(Anchor::Middle);
    for (tick, label) in apart(&axis, style) {
        scene.line([(axis.at(tick), TOP), (axis.at(tick), bottom)], 1.0, GRID);
        scene.line([(axis.at(tick), bottom), (axis.at(tick), bottom + 5.0)], 1.0, FRAME);
        scene.text((axis.at(tick), bottom + 28.0), label, style);
    }
    if let Some(line) = panel.line {
        scene.line([(axis.at(line), TOP), (axis.at(line), bottom)], 2.6, INK);
    }
    let corners = [(pixels.0, TOP), (pixels.1, TOP), (pixels.1, bottom), (pixels.0, bottom), (pixels.0, TOP)];
    scene.line(corners, 1.0, FRAME);
    scene.text((0.5 * (pixels.0 + pixels.1), bottom + 66.0), format!("{}{scale}", panel.title), style);
    let radius = (0.16 * row).clamp(4.5, 8.0);
    for (place, entry) in entries.iter().enumerate() {
        let y = TOP + row * (place as f64 + 0.5);
        let Values { single, mean, ends } = &entry.values[index];
        for value in single {
            scene.mark(Marker::Circle, (axis.clamped(*value, 0.0), y), 0.55 * radius, entry.color.mix(0.3), false);
        }
        let Some(mean) = mean else { continue };
        if let Some((low, high)) = *ends {
            let [low, high] = [low, high].map(|end| axis.clamped(end, 0.0));
            scene.line([(low, y), (high, y)], 2.4, entry.color);
            for end in [low, high] {
                scene.line([(end, y - 0.6 * radius), (end, y + 0.6 * radius)], 2.0, entry.color);
            }
        }
        scene.mark(entry.marker, (axis.clamped(*mean, 0.0), y), radius, entry.color, false);
    }
}

/// Shares that reach over more than this stand on a logistic axis, percentage points.
const FAR_APART: f64 = 40.0;

/// The axis of a panel, and what its title says of it.
fn axis(panel: &Figure, values: &[f64], pixels: (f64, f64)) -> (Axis, &'static str) {
    let linear = Axis::covering(Scale::Linear, values.iter().copied(), panel.least_span, 0.06, pixels);
    let Some((least, most)) = panel.range else { return (linear, "") };
    let (low, high) = values.iter().fold((most, least), |(low, high), value| (low.min(*value), high.max(*value)));
    if (least, most) == (0.0, 100.0) && high - low > FAR_APART {
        return (Axis::covering(Scale::Logit, values.iter().copied(), 0.5, 0.06, pixels), ", logistic scale");
    }
    (linear.limited(least, most), "")
}

/// The ticks whose labels have room beside each other.
fn apart(axis: &Axis, style: Style) -> Vec<(f64, String)> {
    let mut ticks = axis.labelled_ticks();
    let values: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
    let label = |tick: f64| ticks.iter().find(|(other, _)| *other == tick).map_or("", |(_, label)| label);
    let kept = thinned(&values, |tick| (axis.at(tick), 0.5 * style.width(label(tick)) + 5.0));
    ticks.retain(|(tick, _)| kept.contains(tick));
    ticks
}
