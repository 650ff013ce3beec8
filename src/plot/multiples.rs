//! Small panels side by side, for pictures of more series than one panel holds: a panel for each rule, its own series in colour and
//! all others faint behind them, on axes that all panels share. Not here: which series go into which panel ([`super::look::panels`]).

use super::look::{Look, Styled};
use super::panel::Panel;
use super::scene::{Point, Scene, Style};
use super::{FRAME, INK, LEFT, RIGHT};
use plotters::style::{Color, RGBAColor, RGBColor};

/// Between panels that stand side by side, and below a row of them, pixels.
const GAP: f64 = 34.0;
const BETWEEN: f64 = 26.0;
/// Height of a panel's title, of a line of its key, and room below the key.
const TITLE: f64 = 30.0;
const LINE: f64 = 23.0;
const UNDER: f64 = 12.0;
/// Smallest text of a key; a name that is longer still is cut.
const SMALLEST: f64 = 10.0;
/// The line and the mark before a name in a key.
const SAMPLE: f64 = 46.0;

/// What a series is called and how it looks.
pub struct Key<'a> {
    pub name: &'a str,
    pub look: Look,
    pub color: RGBColor,
}

impl<'a, R> From<&'a Styled<'_, R>> for Key<'a> {
    fn from(one: &'a Styled<'_, R>) -> Self {
        Self { name: &one.name, look: one.look, color: one.color }
    }
}

/// Where one panel, or several below each other, stand.
pub struct Cell {
    pub title: String,
    /// Places of its series.
    pub places: Vec<usize>,
    pub left_right: (f64, f64),
    /// Top of its title, and below its key.
    top: f64,
    pub begin: f64,
    /// Whether it is the first of its row, which has the labels of the left axis.
    pub is_first: bool,
}

/// The panels of a picture.
pub struct Multiples {
    pub cells: Vec<Cell>,
    /// Below all of them.
    pub bottom: f64,
}

impl Multiples {
    /// Lays out panels from `top` on, what is drawn in each being `height` pixels high, axes included.
    pub fn of(keys: &[Key], panels: &[(&str, Vec<usize>)], top: f64, height: f64) -> Self {
        let columns = if panels.len() <= 4 { 2 } else { 3 };
        let width = (RIGHT - LEFT - GAP * (columns - 1) as f64) / columns as f64;
        let mut cells = vec![];
        let mut y = top;
        for row in panels.chunks(columns) {
            let lines = row.iter().map(|(_, places)| key_lines(keys, places, width).len()).max().unwrap_or(0);
            let begin = y + TITLE + LINE * lines as f64 + UNDER;
            for (column, (title, places)) in row.iter().enumerate() {
                let left = LEFT + column as f64 * (width + GAP);
                cells.push(Cell {
                    title: (*title).to_owned(),
                    places: places.clone(),
                    left_right: (left, left + width),
                    top: y,
                    begin,
                    is_first: column == 0,
                });
            }
            y = begin + height + BETWEEN;
        }
        Self { cells, bottom: y - BETWEEN }
    }

    /// The title and the key of every panel.
    pub fn draw_keys(&self, scene: &mut Scene, keys: &[Key]) {
        for cell in &self.cells {
            let (left, right) = cell.left_right;
            scene.text((left, cell.top + 20.0), &cell.title, Style::new(20.0, INK.to_rgba()).bold());
            for (index, line) in key_lines(keys, &cell.places, right - left).iter().enumerate() {
                let y = cell.top + TITLE + LINE * (index as f64 + 0.5);
                for (x, place) in line {
                    let Key { name, look, color } = &keys[*place];
                    let style = key_style(keys, right - left);
                    let x = left + x;
                    scene.dashed([(x, y), (x + 36.0, y)], 2.0, *color, look.dash);
                    scene.mark(look.marker, (x + 18.0, y), 6.0, *color, false);
                    let room = right - x - SAMPLE;
                    scene.text((x + SAMPLE, y + style.drop()), style.fitted(name, room), style);
                }
            }
        }
    }
}

/// As large as the longest name allows.
fn key_style(keys: &[Key], width: f64) -> Style {
    let style = Style::new(16.0, INK.to_rgba());
    let widest = keys.iter().map(|key| style.width(key.name)).fold(1.0, f64::max);
    Style { size: (0.99 * style.size * (width - SAMPLE) / widest).clamp(SMALLEST, style.size), ..style }
}

/// The lines of a key, each with places of series and how far from the left they begin.
fn key_lines(keys: &[Key], places: &[usize], width: f64) -> Vec<Vec<(f64, usize)>> {
    let style = key_style(keys, width);
    let mut lines: Vec<Vec<(f64, usize)>> = vec![];
    let mut used = f64::INFINITY;
    for &place in places {
        let wide = SAMPLE + style.width(keys[place].name) + 22.0;
        if used + wide - 22.0 > width {
            lines.push(vec![]);
            used = 0.0;
        }
        lines.last_mut().expect("the first name begins a line").push((used, place));
        used += wide;
    }
    lines
}

/// The colour of series that belong to other panels.
pub fn faint() -> RGBAColor {
    FRAME.mix(0.3)
}

/// The lines of the series that belong to other panels, behind those of this one.
pub fn background(scene: &mut Scene, lines: impl IntoIterator<Item = Vec<Point>>) {
    lines.into_iter().for_each(|line| scene.line(line, 1.4, faint()));
}

/// The border of a panel, and, where it is the first of its row, the left axis.
pub fn frame(scene: &mut Scene, panel: &Panel, cell: &Cell, title: &str) {
    if cell.is_first { panel.frame(scene, title) } else { panel.border(scene) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::look::panels;

    #[test]
    fn every_series_stands_in_one_key_and_nothing_leaves_the_picture() {
        let names: Vec<String> = (0..64).map(|i| format!("heavy-ball m=0.{i:02}, some long circumstances")).collect();
        let look = Look::of("heavy-ball", 0.9, 0.0);
        let keys: Vec<Key> = names.iter().map(|name| Key { name, look, color: look.color() }).collect();
        let multiples = Multiples::of(&keys, &panels(&["heavy-ball"; 64]), 136.0, 400.0);
        let drawn: usize = multiples.cells.iter().map(|cell| cell.places.len()).sum();
        assert_eq!((multiples.cells.len(), drawn), (8, 64));
        for cell in &multiples.cells {
            let width = cell.left_right.1 - cell.left_right.0;
            assert!(cell.left_right.0 >= LEFT && cell.left_right.1 <= RIGHT + 1e-9);
            for (x, place) in key_lines(&keys, &cell.places, width).into_iter().flatten() {
                assert!(x + SAMPLE + key_style(&keys, width).width(keys[place].name) <= width, "{place} is cut");
            }
            assert!(cell.begin + 400.0 <= multiples.bottom + 1e-9);
        }
    }
}
