//! The picture of a folder of rates: updates per e-fold against the learning rate, one panel for each delay and what else the table varies.
//!
//! Marks are measured, with their errors; thin lines are theory; where a bound on all rules is known it is drawn across. Not here: which rows
//! belong together ([`crate::table`]).

use super::axis::{Axis, Scale};
use super::look::look;
use super::panel::{Name, Names, Panel, RADIUS};
use super::scene::{Marker, Point, Scene, Style};
use super::{FADED, INK, LEFT, RIGHT, TOP, WIDTH, heading};
use crate::table::number::significant;
use crate::table::{RateRow, Series, Status, distinct, rate_panels, rate_setting};
use anyhow::{Result, bail};
use plotters::style::{Color, RGBColor};
use std::path::Path;

const HEIGHT: f64 = 520.0;
/// Room below a panel for its axis and its note, and above it for its name.
const BELOW: f64 = 140.0;
const ABOVE: f64 = 44.0;
/// Most panels, and most rules in one.
const MOST_PANELS: usize = 6;
const MOST_SERIES: usize = 20;

/// Draws rates.svg and rates.png into `folder`.
///
/// # Errors
/// No cell that shrinks, or a file that cannot be written.
pub fn draw_rates(rows: &[RateRow], folder: &Path) -> Result<()> {
    super::write(&picture(rows)?, folder, "rates")
}

/// The picture of `rows` as an SVG document.
///
/// # Errors
/// No cell that shrinks.
pub fn rates(rows: &[RateRow]) -> Result<String> {
    picture(rows)?.svg()
}

fn picture(rows: &[RateRow]) -> Result<Scene> {
    let mut panels = rate_panels(rows);
    let shrinks =
        |rules: &[Series<RateRow>]| rules.iter().flat_map(|rule| &rule.rows).any(|row| updates(row).is_some());
    panels.retain(|(_, rules)| shrinks(rules));
    if panels.is_empty() {
        bail!("no cell has a rate at which it shrinks, so there is nothing to draw");
    }
    // A rule looks alike in every panel.
    let looks = distinct(panels.iter().flat_map(|(_, rules)| rules.iter().map(|rule| rule.name.clone())));
    let all = panels.len();
    panels.truncate(MOST_PANELS);
    let total = TOP + panels.len() as f64 * (HEIGHT + BELOW + ABOVE);
    let mut scene = Scene::new(WIDTH, total as u32);
    heading(&mut scene, "Updates per e-fold of the slowest direction, measured", &rate_setting(rows));
    for (place, (name, rules)) in panels.iter().enumerate() {
        let top = TOP + ABOVE + place as f64 * (HEIGHT + BELOW + ABOVE);
        let note = if place + 1 == panels.len() && panels.len() < all {
            Some(format!("{MOST_PANELS} of {all} panels are drawn; every cell is in rates.csv"))
        } else {
            None
        };
        panel(&mut scene, (name, rules), &looks, (top, note));
    }
    Ok(scene)
}

fn updates(row: &RateRow) -> Option<f64> {
    row.updates_per_efold.filter(|updates| *updates > 0.0)
}

struct Curve<'a> {
    name: &'a str,
    color: RGBColor,
    marker: Marker,
    rows: Vec<&'a RateRow>,
}

fn panel(
    scene: &mut Scene,
    (name, rules): (&str, &[Series<RateRow>]),
    looks: &[String],
    (top, further): (f64, Option<String>),
) {
    let mut curves: Vec<Curve> = rules
        .iter()
        .filter(|rule| rule.rows.iter().any(|row| updates(row).is_some()))
        .map(|rule| {
            let (color, marker) = look(looks.iter().position(|name| *name == rule.name).unwrap_or_default());
            Curve { name: &rule.name, color, marker, rows: rule.rows.clone() }
        })
        .collect();
    let mut notes =
        vec!["Marks: measured, with their errors; hollow where not to the tolerance. Thin lines: theory".to_owned()];
    if curves.len() > MOST_SERIES {
        notes.push(format!("{MOST_SERIES} of {} rules drawn", curves.len()));
        curves.truncate(MOST_SERIES);
    }
    let cells = || curves.iter().flat_map(|curve| curve.rows.iter().copied());
    let missing = rules.iter().flat_map(|rule| &rule.rows).filter(|row| updates(row).is_none()).count();
    if missing > 0 {
        notes.push(match missing {
            1 => "1 cell does not shrink and has no mark".to_owned(),
            _ => format!("{missing} cells do not shrink and have no mark"),
        });
    }
    notes.extend(further);
    let bound = cells().find_map(RateRow::bound);
    let end = |curve: &Curve| {
        let last = curve.rows.iter().rev().find_map(|row| Some((row.lr, updates(row)?)));
        last.expect("curves without a rate are left out")
    };
    let named = |curve: &Curve| (curve.color, curve.marker, end(curve));
    let names = |curves: &[Curve]| -> Vec<(RGBColor, Marker, (f64, f64))> { curves.iter().map(named).collect() };
    let beside: Vec<Name> = curves
        .iter()
        .zip(names(&curves))
        .map(|(curve, (color, marker, end))| Name { text: curve.name, color, marker, end })
        .collect();
    let names = Names::fit(beside, HEIGHT);
    let heights = cells().filter_map(updates).chain(cells().filter_map(|row| row.updates_theory)).chain(bound);
    let panel = Panel {
        x: Axis::covering(Scale::Log, cells().map(|row| row.lr), 2f64.ln(), 0.04, (LEFT, RIGHT - names.width)),
        y: Axis::covering(Scale::Log, heights, 4f64.ln(), 0.08, (top + HEIGHT, top)),
        radius: RADIUS,
    };
    scene.text((LEFT, top - 14.0), name, Style::new(22.0, INK.to_rgba()).bold());
    let labels = panel.x.labelled_ticks();
    panel.grid(scene, labels.iter().map(|(value, _)| *value));
    let (left, right) = panel.left_right();
    if let Some(bound) = bound {
        let y = panel.y.at(bound);
        scene.line([(left, y), (right, y)], 2.5, INK.mix(0.55));
        let text = format!("no stationary linear rule gets below {}", significant(bound, 3));
        scene.text((left + 10.0, y - 8.0), text, Style::new(17.0, FADED.to_rgba()));
    }
    for curve in &curves {
        let place = |lr: f64, updates: f64| -> Point { (panel.x.at(lr), panel.y.at(updates)) };
        let theory: Vec<Point> = curve.rows.iter().filter_map(|row| Some(place(row.lr, row.updates_theory?))).collect();
        scene.line(theory, 1.6, curve.color.mix(0.75));
        for row in &curve.rows {
            let Some(value) = updates(row) else { continue };
            let (x, y) = place(row.lr, value);
            if let Some(error) = row.updates_error.filter(|error| *error > 0.0) {
                let ends = [value + error, (value - error).max(0.1 * value)].map(|end| panel.y.clamped(end, 0.0));
                scene.line([(x, ends[0]), (x, ends[1])], 2.0, curve.color.mix(0.75));
            }
            scene.mark(curve.marker, (x, y), 0.75 * RADIUS, curve.color, row.status != Status::Measured);
        }
    }
    panel.frame(scene, "updates per e-fold");
    let ticks: Vec<f64> = labels.iter().map(|(value, _)| *value).collect();
    panel.lower_axis(scene, &ticks, &labels, "learning rate");
    let style = Style::new(17.0, FADED.to_rgba());
    let note = notes.join(". ") + ".";
    scene.text((LEFT, top + HEIGHT + 102.0), style.fitted(&note, RIGHT - LEFT), style);
    names.draw(scene, &panel);
}
