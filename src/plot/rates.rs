//! The picture of a folder of rates: updates per e-fold against the learning rate, one panel for each delay and what else the table varies.
//!
//! Marks are measured, with their errors; thin lines are theory; where a bound on all rules is known it is drawn across. Not here: which rows
//! belong together ([`crate::table`]).

use super::axis::{Axis, Scale};
use super::look::{Look, Ruled, panels, told_apart};
use super::multiples::{self, Cell, Key, Multiples};
use super::panel::{Name, Names, Panel, RADIUS};
use super::scene::{Point, Scene, Style};
use super::{FADED, INK, LEFT, RIGHT, TOP, Theme, WIDTH, heading};
use crate::table::number::significant;
use crate::table::{RateRow, Series, Status, rate_panels, rate_setting};
use anyhow::{Result, bail};
use plotters::style::Color;
use std::path::Path;

const HEIGHT: f64 = 520.0;
/// Height of a panel where there is one for each rule, and room for its lower axis.
const SMALL: (f64, f64) = (300.0, 84.0);
/// Room below a panel for its axis and its note, and above it for its name.
const BELOW: f64 = 140.0;
const ABOVE: f64 = 44.0;
/// Most circumstances of a picture.
const MOST_PANELS: usize = 40;

/// Draws rates.svg and rates.png into `folder`, or their dark twins, and returns the names of the files.
///
/// # Errors
/// No cell that shrinks, or a file that cannot be written.
pub fn draw_rates(rows: &[RateRow], folder: &Path, theme: Theme) -> Result<Vec<String>> {
    super::write(&picture(rows)?, folder, "rates", theme)
}

/// The picture of `rows` as an SVG document.
///
/// # Errors
/// No cell that shrinks.
pub fn rates(rows: &[RateRow], theme: Theme) -> Result<String> {
    super::theme::themed(picture(rows)?, theme).svg()
}

fn picture(rows: &[RateRow]) -> Result<Scene> {
    let mut panels = rate_panels(rows);
    let shrinks =
        |rules: &[Series<RateRow>]| rules.iter().flat_map(|rule| &rule.rows).any(|row| updates(row).is_some());
    panels.retain(|(_, rules)| shrinks(rules));
    if panels.is_empty() {
        bail!("no cell has a rate at which it shrinks, so there is nothing to draw");
    }
    let all = panels.len();
    panels.truncate(MOST_PANELS);
    let mut scene = Scene::new(WIDTH, TOP as u32);
    heading(&mut scene, "Updates per e-fold of the slowest direction, measured", &rate_setting(rows));
    for (place, (name, rules)) in panels.iter().enumerate() {
        let is_last = place + 1 == panels.len() && panels.len() < all;
        let further =
            is_last.then(|| format!("{MOST_PANELS} of {all} circumstances are drawn; every cell is in rates.csv"));
        Drawn::new(name, rules, further).draw(&mut scene);
    }
    Ok(scene)
}

fn updates(row: &RateRow) -> Option<f64> {
    row.updates_per_efold.filter(|updates| *updates > 0.0)
}

struct Curve<'a> {
    name: &'a str,
    look: Look,
    rows: Vec<&'a RateRow>,
}

/// The rules under one of the circumstances.
struct Drawn<'a> {
    name: &'a str,
    curves: Vec<Curve<'a>>,
    note: String,
}

impl<'a> Drawn<'a> {
    fn new(name: &'a str, rules: &'a [Series<'a, RateRow>], further: Option<String>) -> Self {
        let shrinking = rules.iter().filter(|rule| rule.rows.iter().any(|row| updates(row).is_some()));
        let curve = |rule: &'a Series<'a, RateRow>| Curve {
            name: &rule.name,
            look: rule.rows[0].look(),
            rows: rule.rows.clone(),
        };
        let mut curves: Vec<Curve> = shrinking.map(curve).collect();
        let looks = told_apart(curves.iter().map(|curve| curve.look).collect());
        curves.iter_mut().zip(looks).for_each(|(curve, look)| curve.look = look);
        let mut notes = vec![
            "Marks: measured, with their errors; hollow where not to the tolerance. Thin lines: theory".to_owned(),
        ];
        let missing = rules.iter().flat_map(|rule| &rule.rows).filter(|row| updates(row).is_none()).count();
        if missing > 0 {
            notes.push(match missing {
                1 => "1 cell does not shrink and has no mark".to_owned(),
                _ => format!("{missing} cells do not shrink and have no mark"),
            });
        }
        notes.extend(further);
        Self { name, curves, note: notes.join(". ") + "." }
    }

    fn cells(&self) -> impl Iterator<Item = &'a RateRow> {
        self.curves.iter().flat_map(|curve| curve.rows.iter().copied())
    }

    fn bound(&self) -> Option<f64> {
        self.cells().find_map(RateRow::bound)
    }

    fn draw(&self, scene: &mut Scene) {
        let title = Style::new(22.0, INK.to_rgba()).bold();
        let style = Style::new(17.0, FADED.to_rgba());
        let top = TOP + ABOVE;
        let families: Vec<&str> = self.curves.iter().map(|curve| curve.rows[0].family()).collect();
        let parts = panels(&families);
        if let [_] = parts[..] {
            let height = ABOVE + HEIGHT + BELOW;
            scene.grow(height);
            scene.text((LEFT, top - 14.0), self.name, title);
            let names = Names::fit(self.names(), HEIGHT);
            let panel = self.panel((LEFT, RIGHT - names.width), (top, top + HEIGHT));
            self.draw_into(scene, &panel, &(0..self.curves.len()).collect::<Vec<_>>(), None);
            names.draw(scene, &panel);
            scene.paragraph((LEFT, top + HEIGHT + 102.0), &self.note, style, RIGHT - LEFT);
            return scene.shift(height);
        }
        let key = |curve: &Curve<'a>| Key { name: curve.name, look: curve.look, color: curve.look.color() };
        let keys: Vec<Key> = self.curves.iter().map(key).collect();
        let multiples = Multiples::of(&keys, &parts, top, SMALL.0 + SMALL.1);
        let height = multiples.bottom - TOP + 70.0;
        scene.grow(height);
        scene.text((LEFT, top - 14.0), self.name, title);
        multiples.draw_keys(scene, &keys);
        for cell in &multiples.cells {
            let panel = self.panel(cell.left_right, (cell.begin, cell.begin + SMALL.0));
            self.draw_into(scene, &panel, &cell.places, Some(cell));
        }
        let note = format!("{} Faint lines: the rules of the other panels.", self.note);
        scene.paragraph((LEFT, multiples.bottom + 26.0), &note, style, RIGHT - LEFT);
        scene.shift(height);
    }

    fn names(&self) -> Vec<Name<'a>> {
        let name = |curve: &Curve<'a>| {
            let end = curve.rows.iter().rev().find_map(|row| Some((row.lr, updates(row)?)))?;
            let Look { marker, dash, .. } = curve.look;
            Some(Name { text: curve.name, color: curve.look.color(), marker, dash, end })
        };
        self.curves.iter().filter_map(name).collect()
    }

    fn panel(&self, left_right: (f64, f64), (top, bottom): (f64, f64)) -> Panel {
        let heights = self.cells().filter_map(updates).chain(self.cells().filter_map(|row| row.updates_theory));
        Panel {
            x: Axis::covering(Scale::Log, self.cells().map(|row| row.lr), 2f64.ln(), 0.04, left_right),
            y: Axis::covering(Scale::Log, heights.chain(self.bound()), 4f64.ln(), 0.08, (bottom, top)),
            radius: RADIUS,
        }
    }

    /// Draws the rules at `places` into a panel; into one of several, `cell`, the others faint behind them.
    fn draw_into(&self, scene: &mut Scene, panel: &Panel, places: &[usize], cell: Option<&Cell>) {
        let labels = panel.x.labelled_ticks();
        panel.grid(scene, labels.iter().map(|(value, _)| *value));
        let (left, right) = panel.left_right();
        if let Some(bound) = self.bound() {
            let y = panel.y.at(bound);
            scene.line([(left, y), (right, y)], 2.5, INK.mix(0.55));
            let text = match cell {
                None => format!("no stationary linear rule gets below {}", significant(bound, 3)),
                Some(_) => format!("bound {}", significant(bound, 3)),
            };
            scene.text((left + 10.0, y - 8.0), text, Style::new(17.0, FADED.to_rgba()));
        }
        let place = |lr: f64, updates: f64| -> Point { (panel.x.at(lr), panel.y.at(updates)) };
        let others = self.curves.iter().enumerate().filter(|(nth, _)| !places.contains(nth));
        let measured = |curve: &Curve| curve.rows.iter().filter_map(|row| Some(place(row.lr, updates(row)?))).collect();
        multiples::background(scene, others.map(|(_, curve)| measured(curve)));
        for curve in places.iter().map(|nth| &self.curves[*nth]) {
            let color = curve.look.color();
            let theory: Vec<Point> =
                curve.rows.iter().filter_map(|row| Some(place(row.lr, row.updates_theory?))).collect();
            scene.dashed(theory, 1.6, color.mix(0.75), curve.look.dash);
            for row in &curve.rows {
                let Some(value) = updates(row) else { continue };
                let (x, y) = place(row.lr, value);
                if let Some(error) = row.updates_error.filter(|error| *error > 0.0) {
                    let ends = [value + error, (value - error).max(0.1 * value)].map(|end| panel.y.clamped(end, 0.0));
                    scene.line([(x, ends[0]), (x, ends[1])], 2.0, color.mix(0.75));
                }
                scene.mark(curve.look.marker, (x, y), 0.75 * RADIUS, color, row.status != Status::Measured);
            }
        }
        match cell {
            None => panel.frame(scene, "updates per e-fold"),
            Some(cell) => multiples::frame(scene, panel, cell, "updates per e-fold"),
        }
        let ticks: Vec<f64> = labels.iter().map(|(value, _)| *value).collect();
        panel.lower_axis(scene, &ticks, &labels, "learning rate");
    }
}
