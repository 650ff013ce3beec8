//! What every panel has: axes with ticks, a frame, marks that make room for each other, and names beside its lines.

use super::axis::{self, Axis};
use super::scene::{Anchor, Dash, Marker, Point, Scene, Style};
use super::{FRAME, GRID, INK, RIGHT};
use crate::table::number::significant;
use plotters::style::{Color, RGBColor};

/// Radius of a mark where there is room.
pub const RADIUS: f64 = 8.0;

/// A rectangle with an axis below and another to its left.
pub struct Panel {
    pub x: Axis,
    pub y: Axis,
    /// Radius of its marks.
    pub radius: f64,
}

impl Panel {
    pub fn left_right(&self) -> (f64, f64) {
        self.x.pixels()
    }

    pub fn top_bottom(&self) -> (f64, f64) {
        let (bottom, top) = self.y.pixels();
        (top, bottom)
    }

    /// Lines behind the data: at these values of the lower axis, and at every tick of the left one.
    pub fn grid(&self, scene: &mut Scene, values: impl IntoIterator<Item = f64>) {
        let (top, bottom) = self.top_bottom();
        for value in values {
            let x = self.x.at(value);
            scene.line([(x, top), (x, bottom)], 1.0, GRID);
        }
        self.tick_lines(scene);
    }

    /// Lines behind the data, at every tick of the left axis.
    pub fn tick_lines(&self, scene: &mut Scene) {
        let (left, right) = self.left_right();
        for tick in self.y.ticks() {
            scene.line([(left, self.y.at(tick)), (right, self.y.at(tick))], 1.0, GRID);
        }
    }

    pub fn border(&self, scene: &mut Scene) {
        let ((left, right), (top, bottom)) = (self.left_right(), self.top_bottom());
        scene.line([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], 1.0, FRAME);
    }

    /// The border, and the left axis with its labels.
    pub fn frame(&self, scene: &mut Scene, title: &str) {
        self.border(scene);
        let (left, (top, bottom)) = (self.left_right().0, self.top_bottom());
        let style = Style::new(20.0, INK.to_rgba()).anchor(Anchor::End);
        for (tick, label) in self.y.labelled_ticks() {
            let y = self.y.at(tick);
            scene.line([(left - 6.0, y), (left, y)], 1.0, FRAME);
            scene.text((left - 12.0, y + style.drop()), label, style);
        }
        let style = Style::new(21.0, INK.to_rgba()).anchor(Anchor::Middle).vertical();
        scene.text((46.0, 0.5 * (top + bottom)), title, style);
    }

    /// The lower axis: a tick at each of the sorted `values` that has room, the labels, and the title.
    pub fn lower_axis(&self, scene: &mut Scene, values: &[f64], labels: &[(f64, String)], title: &str) {
        let (_, bottom) = self.top_bottom();
        let mut last = f64::NEG_INFINITY;
        for x in values.iter().map(|&value| self.x.at(value)) {
            if x - last >= 3.0 {
                scene.line([(x, bottom), (x, bottom + 5.0)], 1.0, FRAME);
                last = x;
            }
        }
        for (value, label) in labels {
            scene.text((self.x.at(*value), bottom + 28.0), label, label_style());
        }
        let (left, right) = self.left_right();
        let style = Style::new(21.0, INK.to_rgba()).anchor(Anchor::Middle);
        scene.text((0.5 * (left + right), bottom + 66.0), title, style);
    }
}

fn label_style() -> Style {
    Style::new(20.0, INK.to_rgba()).anchor(Anchor::Middle)
}

/// The `values` (sorted, distinct) that have room for a label, and their labels. A mean delay may have many digits.
pub fn labelled_values(axis: &Axis, values: &[f64]) -> Vec<(f64, String)> {
    let style = label_style();
    let text = |value: f64| {
        let text = value.to_string();
        if value.fract() == 0.0 || text.len() <= 5 { text } else { significant(value, 3) }
    };
    let kept = axis::thinned(values, |value| (axis.at(value), 0.5 * style.width(&text(value)) + 0.6 * style.size));
    kept.into_iter().map(|value| (value, text(value))).collect()
}

/// For marks at `heights`, in their order, the smallest sideways shifts of at most `most` pixels that let all be seen. A
/// mark for which there is no free place stays where it is.
pub fn side_by_side(heights: &[f64], radius: f64, most: f64) -> Vec<f64> {
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

/// The name of a series and where it belongs.
pub struct Name<'a> {
    pub text: &'a str,
    pub color: RGBColor,
    pub marker: Marker,
    pub dash: Dash,
    /// Last point of the series, in the units of the axes.
    pub end: (f64, f64),
}

/// The names of the series, each beside the end of its line.
pub struct Names<'a> {
    names: Vec<Name<'a>>,
    /// Width of the column that holds them, pixels.
    pub width: f64,
    /// Size of the text, pixels.
    size: f64,
}

impl<'a> Names<'a> {
    const LEADER: f64 = 44.0;
    const MARK: f64 = 26.0;
    const LEAST: f64 = 290.0;
    const MOST: f64 = 540.0;
    /// Smallest text that long names are set in; what is longer still is cut.
    const SMALL: f64 = 13.0;

    /// Sets the names beside a panel of this height.
    pub fn fit(names: Vec<Name<'a>>, height: f64) -> Self {
        let gap = Self::LEADER + Self::MARK + 4.0;
        let widest = |size| {
            let style = Style::new(size, INK.to_rgba());
            names.iter().map(|name| style.width(name.text)).fold(0.0, f64::max)
        };
        let narrow = (20.0 * (Self::MOST - gap) / widest(20.0).max(1.0)).clamp(Self::SMALL, 20.0);
        let size = narrow.min(height / names.len() as f64 / 1.2);
        let width = (gap + widest(size)).clamp(Self::LEAST, Self::MOST);
        Self { names, width, size }
    }

    pub fn draw(&self, scene: &mut Scene, panel: &Panel) {
        let style = Style::new(self.size, INK.to_rgba());
        let (_, right) = panel.left_right();
        let (top, bottom) = panel.top_bottom();
        let last = self.names.iter().map(|name| name.end.0).fold(f64::NEG_INFINITY, f64::max);
        let mut ends: Vec<(f64, &Name)> = self.names.iter().map(|name| (panel.y.at(name.end.1), name)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let targets: Vec<f64> = ends.iter().map(|(y, _)| *y).collect();
        let half = 0.6 * self.size;
        let places = axis::spread(
            &targets,
            1.5 * self.size.min((bottom - top) / targets.len() as f64 / 1.5),
            top + half,
            bottom - half,
        );
        let text = right + Self::LEADER + Self::MARK;
        for ((end, name), place) in ends.into_iter().zip(places) {
            if name.end.0 == last {
                // Far from the edge, a leader would look like a line of the data.
                let from = panel.x.at(name.end.0);
                let from = if right - from < 100.0 { from } else { right };
                let bend = right + 0.7 * Self::LEADER;
                let leader = [(from, end), (right, end), (bend, place), (right + Self::LEADER, place)];
                scene.dashed(leader, 1.4, name.color.mix(0.7), name.dash);
            }
            let radius = RADIUS.min(0.4 * self.size);
            scene.mark(name.marker, (right + Self::LEADER + 0.5 * Self::MARK - 2.0, place), radius, name.color, false);
            scene.text((text, place + style.drop()), style.fitted(name.text, RIGHT - text), style);
        }
    }
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
