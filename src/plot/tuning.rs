//! The picture of a tuning: how far every rule is from the bound on all rules at each delay, and what its speed costs in noise.
//!
//! Colours and marks tell rules apart; of several condition numbers shades do. What a formula gives is in the CSV alone.

use super::axis::{Axis, Scale};
use super::look::{look, shade};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values};
use super::scene::{Marker, Point, Scene, Style};
use super::{DELAY_TITLE, FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use crate::table::number::{exact, significant};
use crate::table::{TuneRow, distinct};
use anyhow::{Result, bail};
use plotters::style::{Color, RGBColor};

const HEIGHT: f64 = 560.0;
/// Room below a panel for its axis and its note.
const BELOW: f64 = 140.0;
/// Most series that a panel has room for.
const MOST_SERIES: usize = 20;

/// One line with its name.
struct Curve {
    name: String,
    color: RGBColor,
    marker: Marker,
    points: Vec<(f64, f64)>,
}

/// The picture of `rows`, and of `front`, the rows of every rule at one delay and one condition number whose gains go down from the
/// fastest, as an SVG document.
///
/// # Errors
/// No optimised row with a rate.
pub fn tuning(rows: &[TuneRow], front: &[TuneRow]) -> Result<String> {
    let optimised: Vec<&TuneRow> =
        rows.iter().filter(|row| row.source == "optimised" && row.factor.is_some()).collect();
    let Some(at) = front.first().filter(|_| !optimised.is_empty()) else {
        bail!("no rule has a rate, so there is nothing to draw");
    };
    let rules = distinct(optimised.iter().map(|row| row.rule.as_str()));
    let conditions = distinct(optimised.iter().map(|row| row.condition));
    let (mut factors, mut paid) = (vec![], vec![]);
    for (place, rule) in rules.iter().enumerate() {
        let (color, marker) = look(place);
        for (nth, condition) in conditions.iter().enumerate() {
            let here = optimised.iter().filter(|row| row.rule == *rule && row.condition == *condition);
            let mut points: Vec<(f64, f64)> = here.filter_map(|row| Some((row.mean_delay, row.factor?))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points.dedup();
            let name =
                if conditions.len() > 1 { format!("{rule}, k = {}", exact(*condition)) } else { (*rule).to_owned() };
            factors.push(Curve { name, color: shade(color, nth, conditions.len()), marker, points });
        }
        let of_rule = front.iter().filter(|row| row.rule == *rule);
        let mut points: Vec<(f64, f64)> =
            of_rule.filter_map(|row| Some((row.updates_per_efold?, row.noise_floor?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        paid.push(Curve { name: (*rule).to_owned(), color, marker, points });
    }
    let conditions: Vec<String> = conditions.iter().map(|condition| exact(*condition)).collect();
    let total = TOP + 2.0 * (HEIGHT + BELOW);
    let mut scene = Scene::new(WIDTH, total as u32);
    let subtitle = format!("Linear theory, best parameters of every rule · condition number {}", conditions.join(", "));
    heading(&mut scene, "How fast a rule can be when gradients arrive late, and what it pays in noise", &subtitle);

    let note = "Updates per e-fold of the slowest direction over the fewest that any stationary linear rule needs";
    let upper = Drawn::new(factors, Scale::LogPlusOne, (TOP, TOP + HEIGHT), note.to_owned());
    let mut delays: Vec<f64> = optimised.iter().map(|row| row.mean_delay).collect();
    delays.sort_by(f64::total_cmp);
    delays.dedup();
    let labels = labelled_values(&upper.panel.x, &delays);
    upper.draw(&mut scene, (&delays, &labels, DELAY_TITLE), "updates per e-fold / bound");

    let top = TOP + HEIGHT + BELOW;
    let note = format!(
        "At delay {} and condition number {}: each line from the fastest gain down, the other parameters best for it. The bound is {} \
         updates",
        exact(at.mean_delay),
        exact(at.condition),
        significant(at.bound, 3)
    );
    let lower = Drawn::new(paid, Scale::Log, (top, top + HEIGHT), note);
    let labels = lower.panel.x.labelled_ticks();
    let ticks: Vec<f64> = labels.iter().map(|(value, _)| *value).collect();
    lower.draw(&mut scene, (&ticks, &labels, "updates per e-fold"), "noise floor of the server's weights");
    scene.svg()
}

/// A panel with its curves.
struct Drawn {
    panel: Panel,
    curves: Vec<Curve>,
    notes: Vec<String>,
}

impl Drawn {
    fn new(mut curves: Vec<Curve>, across: Scale, (top, bottom): (f64, f64), note: String) -> Self {
        let mut notes = vec![note];
        if curves.len() > MOST_SERIES {
            notes.push(format!("{MOST_SERIES} of {} lines drawn; every one is in the CSV", curves.len()));
            curves.truncate(MOST_SERIES);
        }
        curves.retain(|curve| !curve.points.is_empty());
        let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
        let right = RIGHT - Names::fit(names(&curves), bottom - top).width;
        let panel = Panel {
            x: Axis::covering(across, points().map(|(x, _)| x), 0.5, 0.03, (LEFT, right)),
            y: Axis::covering(Scale::Log, points().map(|(_, y)| y), 4f64.ln(), 0.06, (bottom, top)),
            radius: RADIUS,
        };
        Self { panel, curves, notes }
    }

    fn draw(&self, scene: &mut Scene, (ticks, labels, below): (&[f64], &[(f64, String)], &str), left: &str) {
        let Self { panel, curves, notes } = self;
        panel.grid(scene, labels.iter().map(|(value, _)| *value));
        for curve in curves {
            let path: Vec<Point> = curve.points.iter().map(|(x, y)| (panel.x.at(*x), panel.y.at(*y))).collect();
            scene.line(path.clone(), 2.2, curve.color.mix(0.75));
            for place in path {
                scene.mark(curve.marker, place, 0.75 * RADIUS, curve.color, false);
            }
        }
        panel.frame(scene, left);
        panel.lower_axis(scene, ticks, labels, below);
        let style = Style::new(17.0, FADED.to_rgba());
        let place = (LEFT, panel.top_bottom().1 + 102.0);
        scene.text(place, style.fitted(&(notes.join(". ") + "."), RIGHT - LEFT), style);
        let (top, bottom) = panel.top_bottom();
        Names::fit(names(curves), bottom - top).draw(scene, panel);
    }
}

fn names(curves: &[Curve]) -> Vec<Name<'_>> {
    let end = |curve: &Curve| *curve.points.last().expect("a curve has points");
    curves
        .iter()
        .filter(|curve| !curve.points.is_empty())
        .map(|curve| Name { text: &curve.name, color: curve.color, marker: curve.marker, end: end(curve) })
        .collect()
}
