//! The picture of a tuning: how far every rule is from the bound on all rules at each delay, and what its speed costs in noise.
//!
//! Colours and marks tell rules apart; of several condition numbers shades do. More than eight lines have a panel for each rule. What a formula
//! gives is in the CSV alone.

use super::axis::{Axis, Scale};
use super::look::{Look, MOST_TOGETHER, Ruled, told_apart};
use super::multiples::{self, Key, Multiples};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values};
use super::scene::{Point, Scene, Style};
use super::theme::{Theme, themed};
use super::{DELAY_TITLE, FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use crate::table::number::{exact, significant};
use crate::table::{TuneRow, distinct};
use anyhow::{Result, bail};
use plotters::style::Color;

const HEIGHT: f64 = 560.0;
/// Room below a panel for its axis and its note.
const BELOW: f64 = 140.0;
/// Height of a panel where there is one for each rule, and room for its lower axis.
const SMALL: (f64, f64) = (300.0, 84.0);

/// One line with its name.
struct Curve {
    name: String,
    /// Its rule without numbers.
    family: String,
    look: Look,
    points: Vec<(f64, f64)>,
}

/// The picture of `rows`, and of `front`, the rows of every rule at one delay and one condition number whose gains go down from the
/// fastest, as an SVG document.
///
/// # Errors
/// No optimised row with a rate.
pub fn tuning(rows: &[TuneRow], front: &[TuneRow], theme: Theme) -> Result<String> {
    let optimised: Vec<&TuneRow> =
        rows.iter().filter(|row| row.source == "optimised" && row.factor.is_some()).collect();
    let Some(at) = front.first().filter(|_| !optimised.is_empty()) else {
        bail!("no rule has a rate, so there is nothing to draw");
    };
    let rules = distinct(optimised.iter().map(|row| row.rule.as_str()));
    let conditions = distinct(optimised.iter().map(|row| row.condition));
    let (mut factors, mut paid) = (vec![], vec![]);
    for rule in &rules {
        let rows = || optimised.iter().filter(|row| row.rule == *rule);
        let Some(first) = rows().next() else { continue };
        // What is tuned has momenta of its own at every point: the line is that of the rule.
        let look = Look::of(rule, 0.0, 0.0);
        let family = first.family().to_owned();
        for (condition, look) in conditions.iter().zip(told_apart(vec![look; conditions.len()])) {
            let here = rows().filter(|row| row.condition == *condition);
            let mut points: Vec<(f64, f64)> = here.filter_map(|row| Some((row.mean_delay, row.factor?))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points.dedup();
            let name =
                if conditions.len() > 1 { format!("{rule}, k = {}", exact(*condition)) } else { (*rule).to_owned() };
            factors.push(Curve { name, family: family.clone(), look, points });
        }
        let of_rule = front.iter().filter(|row| row.rule == *rule);
        let mut points: Vec<(f64, f64)> =
            of_rule.filter_map(|row| Some((row.updates_per_efold?, row.noise_floor?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        paid.push(Curve { name: (*rule).to_owned(), family, look, points });
    }
    // Rules that differ in their numbers alone look alike otherwise.
    for curves in [&mut factors, &mut paid] {
        let looks = told_apart(curves.iter().map(|curve| curve.look).collect());
        curves.iter_mut().zip(looks).for_each(|(curve, look)| curve.look = look);
    }
    let conditions: Vec<String> = conditions.iter().map(|condition| exact(*condition)).collect();
    let mut scene = Scene::new(WIDTH, TOP as u32);
    let subtitle = format!("Linear theory, best parameters of every rule · condition number {}", conditions.join(", "));
    heading(&mut scene, "How fast a rule can be when gradients arrive late, and what it pays in noise", &subtitle);

    let mut delays: Vec<f64> = optimised.iter().map(|row| row.mean_delay).collect();
    delays.sort_by(f64::total_cmp);
    delays.dedup();
    let upper = Drawn {
        curves: factors,
        across: Scale::LogPlusOne,
        delays: Some(delays),
        titles: (DELAY_TITLE, "updates per e-fold / bound"),
        note: "Updates per e-fold of the slowest direction over the fewest that any stationary linear rule needs"
            .to_owned(),
    };
    upper.draw(&mut scene);
    let note = format!(
        "At delay {} and condition number {}: each line from the fastest gain down, the other parameters best for it. The bound is {} \
         updates",
        exact(at.mean_delay),
        exact(at.condition),
        significant(at.bound, 3)
    );
    let titles = ("updates per e-fold", "noise floor of the server's weights");
    Drawn { curves: paid, across: Scale::Log, delays: None, titles, note }.draw(&mut scene);
    themed(scene, theme).svg()
}

/// What one panel shows, or a panel for each rule.
struct Drawn {
    curves: Vec<Curve>,
    across: Scale,
    /// Where the lower axis has its ticks, if it is one of delays.
    delays: Option<Vec<f64>>,
    /// Titles of the lower axis and of the left one.
    titles: (&'static str, &'static str),
    note: String,
}

impl Drawn {
    fn draw(mut self, scene: &mut Scene) {
        self.curves.retain(|curve| !curve.points.is_empty());
        let style = Style::new(17.0, FADED.to_rgba());
        if self.curves.len() <= MOST_TOGETHER {
            scene.grow(HEIGHT + BELOW);
            let names = Names::fit(names(&self.curves), HEIGHT);
            let panel = self.panel((LEFT, RIGHT - names.width), (TOP, TOP + HEIGHT));
            self.draw_into(scene, &panel, &(0..self.curves.len()).collect::<Vec<_>>());
            panel.frame(scene, self.titles.1);
            names.draw(scene, &panel);
            scene.paragraph((LEFT, TOP + HEIGHT + 102.0), &format!("{}.", self.note), style, RIGHT - LEFT);
            return scene.shift(HEIGHT + BELOW);
        }
        let curves = self.curves.iter();
        let keys: Vec<Key> =
            curves.map(|curve| Key { name: &curve.name, look: curve.look, color: curve.look.color() }).collect();
        let families: Vec<&str> = self.curves.iter().map(|curve| curve.family.as_str()).collect();
        let multiples = Multiples::of(&keys, &super::look::panels(&families), TOP, SMALL.0 + SMALL.1);
        let height = multiples.bottom - TOP + 70.0;
        scene.grow(height);
        multiples.draw_keys(scene, &keys);
        for cell in &multiples.cells {
            let panel = self.panel(cell.left_right, (cell.begin, cell.begin + SMALL.0));
            let others = self.curves.iter().enumerate().filter(|(place, _)| !cell.places.contains(place));
            multiples::background(scene, others.map(|(_, curve)| path(curve, &panel)));
            self.draw_into(scene, &panel, &cell.places);
            multiples::frame(scene, &panel, cell, self.titles.1);
        }
        let note = format!("{}. Faint lines: the lines of the other panels.", self.note);
        scene.paragraph((LEFT, multiples.bottom + 26.0), &note, style, RIGHT - LEFT);
        scene.shift(height);
    }

    fn panel(&self, left_right: (f64, f64), (top, bottom): (f64, f64)) -> Panel {
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        Panel {
            x: Axis::covering(self.across, points().map(|(x, _)| x), 0.5, 0.03, left_right),
            y: Axis::covering(Scale::Log, points().map(|(_, y)| y), 4f64.ln(), 0.06, (bottom, top)),
            radius: RADIUS,
        }
    }

    fn draw_into(&self, scene: &mut Scene, panel: &Panel, places: &[usize]) {
        let labels = match &self.delays {
            Some(delays) => labelled_values(&panel.x, delays),
            None => panel.x.labelled_ticks(),
        };
        let ticks: Vec<f64> = self.delays.clone().unwrap_or_else(|| labels.iter().map(|(value, _)| *value).collect());
        panel.grid(scene, labels.iter().map(|(value, _)| *value));
        for curve in places.iter().map(|place| &self.curves[*place]) {
            let path = path(curve, panel);
            scene.dashed(path.clone(), 2.2, curve.look.color().mix(0.75), curve.look.dash);
            for place in path {
                scene.mark(curve.look.marker, place, 0.75 * RADIUS, curve.look.color(), false);
            }
        }
        panel.lower_axis(scene, &ticks, &labels, self.titles.0);
    }
}

fn path(curve: &Curve, panel: &Panel) -> Vec<Point> {
    curve.points.iter().map(|(x, y)| (panel.x.at(*x), panel.y.at(*y))).collect()
}

fn names(curves: &[Curve]) -> Vec<Name<'_>> {
    let named = curves.iter().filter_map(|curve| Some((curve, *curve.points.last()?)));
    named
        .map(|(Curve { name, look, .. }, end)| Name {
            text: name,
            color: look.color(),
            marker: look.marker,
            dash: look.dash,
            end,
        })
        .collect()
}
