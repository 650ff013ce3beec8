//! The picture of a theory table: threshold gain against delay, and against momentum where the table has enough of it.
//!
//! Lines are closed forms, with as many marks as it takes to tell them apart; a threshold of random delays is a mark at
//! their mean. Colours and marks tell rules apart, shades and lines what a rule varies. More than eight series have a panel for each rule. Marks that
//! no line joins and that would hide each other stand side by side.

use super::axis::{Axis, Scale, spaced, thinned};
use super::look::{Ruled, Styled, panels, styled};
use super::multiples::{self, Cell, Key, Multiples};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values, side_by_side};
use super::scene::{Point, Scene, Style};
use super::theme::{Theme, themed};
use super::{DELAY_TITLE, FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use crate::table::{TheoryRow, distinct, grouped, rule_name};
use crate::text::counted;
use anyhow::{Result, bail};
use plotters::style::Color;

/// Most series of a picture.
const MOST_SERIES: usize = 96;
/// Height of a panel where there is one for each rule, and room for its lower axis.
const SMALL: (f64, f64) = (330.0, 84.0);
/// Most delays of one schedule that are drawn against the momentum.
const MOST_DELAYS: usize = 4;
/// Fewest momenta that make a line worth drawing.
const LEAST_MOMENTA: usize = 3;

/// Height of a panel that is alone, and of one of two.
const HEIGHTS: (f64, f64) = (660.0, 580.0);
/// Room below a panel for its axis, and for its axis and its notes.
const BELOW: (f64, f64) = (106.0, 140.0);
/// Radius of the marks on lines.
const ON_LINE: f64 = 6.0;

/// What one panel shows.
struct Content<'a> {
    series: Vec<Styled<'a, TheoryRow>>,
    x: Abscissa,
    /// What is not drawn, and how to read what is.
    notes: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Abscissa {
    Delay,
    Momentum,
}

impl Abscissa {
    fn of(self, row: &TheoryRow) -> f64 {
        match self {
            Self::Delay => delay(row),
            Self::Momentum => row.momentum,
        }
    }

    /// The values of these rows, sorted and distinct.
    fn values<'a>(self, rows: impl IntoIterator<Item = &'a TheoryRow>) -> Vec<f64> {
        let mut values: Vec<f64> = rows.into_iter().map(|row| self.of(row)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    }
}

/// Every row of a picture has one: stages are not drawn.
fn delay(row: &TheoryRow) -> f64 {
    row.delay.unwrap_or(f64::NAN)
}

/// The picture of `rows` as an SVG document.
///
/// # Errors
/// Where no threshold is a positive number, as a logarithmic axis has no place for any other.
pub fn theory(rows: &[TheoryRow], theme: Theme) -> Result<String> {
    let shown: Vec<&TheoryRow> =
        rows.iter().filter(|row| row.threshold_gain > 0.0 && row.threshold_gain.is_finite()).collect();
    if shown.is_empty() {
        bail!("no threshold of the table is a positive number, so there is nothing to draw");
    }
    let momentum = against_momentum(&shown);
    let one_delay = Abscissa::Delay.values(shown.iter().copied()).len() == 1;
    let delay = (momentum.is_none() || !one_delay).then(|| against_delay(&shown));
    let mut contents: Vec<Content> = delay.into_iter().chain(momentum).collect();
    let missing = rows.len() - shown.len();
    if missing > 0 {
        contents[0]
            .notes
            .push(format!("{missing} of {} not drawn: no positive number", counted(rows.len(), "threshold")));
    }

    let height = if contents.len() == 1 { HEIGHTS.0 } else { HEIGHTS.1 };
    let together = |content: &Content| content.panels().len() == 1;
    let names = |content: &Content| Names::fit(content.names(), height).width;
    let right = RIGHT - contents.iter().filter(|content| together(content)).map(names).fold(0.0, f64::max);
    let mut scene = Scene::new(WIDTH, TOP as u32);
    heading(&mut scene, "Largest stable gain when gradients arrive late", &setting(&shown));
    for content in &contents {
        if together(content) {
            let below = if content.notes.is_empty() { BELOW.0 } else { BELOW.1 };
            scene.grow(height + below);
            let panel = content.panel((LEFT, right), (TOP, TOP + height));
            Names::fit(content.names(), height).draw(&mut scene, &panel);
            content.draw(&mut scene, &panel, &content.all(), None);
            scene.shift(height + below);
        } else {
            content.draw_apart(&mut scene);
        }
    }
    themed(scene, theme).svg()
}

/// The line under the title: what the left axis means, and which kind of stability.
fn setting(rows: &[&TheoryRow]) -> String {
    let mean = rows.iter().any(|row| row.criterion == "mean");
    let square = rows.iter().any(|row| row.criterion != "mean");
    let stability = match (mean, square) {
        (true, false) => "stable in the mean",
        (false, _) => "stable in mean square, under gradient noise of relative variance r",
        (true, true) => {
            "stable in the mean; where r is given, in mean square under gradient noise of relative variance r"
        }
    };
    format!("Thresholds in closed form · {stability}")
}

/// One series for each rule with its numbers, schedule and criterion.
fn against_delay<'a>(rows: &[&'a TheoryRow]) -> Content<'a> {
    let name = |row: &TheoryRow, momentum: f64| {
        let schedule = match row.schedule.as_str() {
            "round-robin" => String::new(),
            "random" => ", random workers".into(),
            process => format!(", {process}"),
        };
        let dampening = if row.dampening == row.momentum { momentum } else { row.dampening };
        rule_name(&row.rule, momentum, dampening) + &schedule + &noise(row)
    };
    let keyed = rows.iter().map(|row| (name(row, row.momentum), *row));
    let series = styled(grouped(keyed, |_, row| name(row, short(row.momentum)), delay));
    let mut content = Content { series, x: Abscissa::Delay, notes: vec![] };
    content.limit();
    if content.series.iter().any(|one| !content.joins(one)) {
        content.notes.push("Random delays: marks at their mean delay".into());
    }
    content
}

/// One series for each rule, form of dampening, delay and criterion, where some rule has enough momenta.
fn against_momentum<'a>(rows: &[&'a TheoryRow]) -> Option<Content<'a>> {
    let momenta =
        |keep: &dyn Fn(&TheoryRow) -> bool| Abscissa::Momentum.values(rows.iter().copied().filter(|row| keep(row)));
    let rules = distinct(rows.iter().map(|row| row.rule.as_str()));
    if rules.iter().all(|rule| momenta(&|row| row.rule == *rule).len() < LEAST_MOMENTA) {
        return None;
    }
    // A dampening that equals the momentum may be a value of both forms; a form is a line if it has two momenta.
    let dampenings = distinct(rows.iter().map(|row| row.dampening));
    let mut forms: Vec<(&str, Option<f64>)> = vec![];
    for &rule in &rules {
        for form in dampenings.iter().copied().map(Some).chain([None]) {
            if momenta(&|row| row.rule == rule && has_form(row, form)).len() > 1 {
                forms.push((rule, form));
            }
        }
    }
    let (delays, notes) = chosen_delays(rows);
    let named = rows.iter().filter(|row| delays.contains(&(row.schedule.as_str(), delay(row)))).flat_map(|row| {
        let forms = forms.iter().filter(|(rule, form)| *rule == row.rule && has_form(row, *form));
        forms.map(|(_, form)| (momentum_name(row, *form), *row))
    });
    let series = styled(grouped(named, |name, _| name.to_owned(), |row| row.momentum));
    let mut content = Content { series, x: Abscissa::Momentum, notes };
    content.limit();
    Some(content)
}

/// Whether a row has this dampening, or none given, the EMA form.
fn has_form(row: &TheoryRow, dampening: Option<f64>) -> bool {
    row.dampening == dampening.unwrap_or(row.momentum)
}

fn momentum_name(row: &TheoryRow, dampening: Option<f64>) -> String {
    let form = match dampening {
        None => " ema".into(),
        Some(0.0) => String::new(),
        Some(dampening) => format!(" d={dampening}"),
    };
    let schedule = match row.schedule.as_str() {
        "round-robin" => format!(", τ={}", delay(row)),
        "random" => format!(", {} random workers", delay(row) + 1.0),
        process => format!(", {process}, mean τ={}", delay(row)),
    };
    row.rule.clone() + &form + &schedule + &noise(row)
}

/// A momentum with few digits, but enough of those that tell it from 1.
fn short(momentum: f64) -> f64 {
    let decimals = 3 + (-(1.0 - momentum).log10()).ceil().max(0.0) as usize;
    format!("{momentum:.decimals$}").parse().expect("a formatted number")
}

fn noise(row: &TheoryRow) -> String {
    let fresh = row.fresh_share.map_or(String::new(), |share| format!(", fresh share {share}"));
    let noise = if row.criterion == "mean" { String::new() } else { format!(", r={}", row.relative_variance) };
    noise + &fresh
}

/// The schedules and delays to draw, and a note for each schedule of which some are left out.
fn chosen_delays<'a>(rows: &[&'a TheoryRow]) -> (Vec<(&'a str, f64)>, Vec<String>) {
    let (mut chosen, mut notes) = (vec![], vec![]);
    for schedule in distinct(rows.iter().map(|row| row.schedule.as_str())) {
        let all = Abscissa::Delay.values(rows.iter().copied().filter(|row| row.schedule == schedule));
        let some = spaced(&all, MOST_DELAYS);
        if some.len() < all.len() {
            let list: Vec<String> = some.iter().map(f64::to_string).collect();
            let random = if schedule == "round-robin" { "" } else { "mean " };
            notes.push(format!("Drawn at {} of {} {random}delays: {}", some.len(), all.len(), list.join(", ")));
        }
        chosen.extend(some.into_iter().map(|delay| (schedule, delay)));
    }
    (chosen, notes)
}

impl<'a> Content<'a> {
    /// Keeps as many series as there is room for, evenly over all, and says so.
    fn limit(&mut self) {
        let all = self.series.len();
        if all > MOST_SERIES {
            let mut index = 0;
            self.series.retain(|_| {
                let kept = index * MOST_SERIES / all != (index + 1) * MOST_SERIES / all;
                index += 1;
                kept
            });
            self.notes
                .insert(0, format!("{MOST_SERIES} of {all} series drawn, evenly over all; every one is in the CSV"));
        }
    }

    fn panels(&self) -> Vec<(&'a str, Vec<usize>)> {
        panels(&self.series.iter().map(|one| one.rows[0].family()).collect::<Vec<_>>())
    }

    fn all(&self) -> Vec<usize> {
        (0..self.series.len()).collect()
    }

    /// A panel for each rule.
    fn draw_apart(&self, scene: &mut Scene) {
        let keys: Vec<Key> = self.series.iter().map(Key::from).collect();
        let multiples = Multiples::of(&keys, &self.panels(), TOP, SMALL.0 + SMALL.1);
        let height = multiples.bottom - TOP + 60.0;
        scene.grow(height);
        multiples.draw_keys(scene, &keys);
        for cell in &multiples.cells {
            let panel = self.panel(cell.left_right, (cell.begin, cell.begin + SMALL.0));
            self.draw(scene, &panel, &cell.places, Some(cell));
        }
        let note = self.notes.iter().map(|note| format!("{note}. ")).collect::<String>();
        let style = Style::new(17.0, FADED.to_rgba());
        scene.paragraph(
            (LEFT, multiples.bottom + 26.0),
            &(note + "Faint lines: the series of the other panels."),
            style,
            RIGHT - LEFT,
        );
        scene.shift(height);
    }

    fn rows(&self) -> impl Iterator<Item = &'a TheoryRow> {
        self.series.iter().flat_map(|one| one.rows.iter().copied())
    }

    /// Whether a line joins the rows: delays drawn at random have thresholds of their own, not on a line of delays.
    fn joins(&self, series: &Styled<'_, TheoryRow>) -> bool {
        self.x == Abscissa::Momentum || series.rows[0].schedule == "round-robin"
    }

    fn names(&self) -> Vec<Name<'_>> {
        let end = |one: &Styled<'a, TheoryRow>| one.rows.last().map(|row| (self.x.of(row), row.threshold_gain));
        let named = self.series.iter().filter_map(|one| end(one).map(|end| (one, end)));
        named
            .map(|(one, end)| Name {
                text: &one.name,
                color: one.color,
                marker: one.look.marker,
                dash: one.look.dash,
                end,
            })
            .collect()
    }

    fn panel(&self, left_right: (f64, f64), (top, bottom): (f64, f64)) -> Panel {
        let across = self.rows().map(|row| self.x.of(row));
        let x = match self.x {
            Abscissa::Delay => Axis::covering(Scale::LogPlusOne, across, 0.5, 0.03, left_right),
            Abscissa::Momentum => Axis::covering(Scale::Linear, across, 0.0, 0.03, left_right),
        };
        let gains = self.rows().map(|row| row.threshold_gain);
        Panel { x, y: Axis::covering(Scale::Log, gains, 4f64.ln(), 0.06, (bottom, top)), radius: RADIUS }
    }

    /// Draws the series at `places` into a panel; into one of several, `cell`, the others faint behind them.
    fn draw(&self, scene: &mut Scene, panel: &Panel, places: &[usize], cell: Option<&Cell>) {
        let values = self.x.values(self.rows());
        let (labels, title) = match self.x {
            Abscissa::Delay if cell.is_some() => (labelled_values(&panel.x, &values), "delay τ (updates)"),
            Abscissa::Delay => (labelled_values(&panel.x, &values), DELAY_TITLE),
            Abscissa::Momentum if can_be_labels(&values) => (labelled_values(&panel.x, &values), "momentum m"),
            Abscissa::Momentum => (panel.x.labelled_ticks(), "momentum m"),
        };
        panel.grid(scene, labels.iter().map(|(value, _)| *value));
        let others = self.series.iter().enumerate().filter(|(place, one)| !places.contains(place) && self.joins(one));
        multiples::background(scene, others.map(|(_, one)| self.path(one, panel)));
        let own: Vec<&Styled<'_, TheoryRow>> = places.iter().map(|place| &self.series[*place]).collect();
        for one in own.iter().filter(|one| self.joins(one)) {
            scene.dashed(self.path(one, panel), 2.2, one.color.mix(0.75), one.look.dash);
        }
        self.mark_lines(scene, panel, &own, &marked(&values, &panel.x));
        self.mark_points(scene, panel, &own, &values);
        match cell {
            None => panel.frame(scene, "threshold gain (learning rate × curvature)"),
            Some(cell) => multiples::frame(scene, panel, cell, "threshold gain"),
        }
        let round: Vec<f64> = labels.iter().map(|(value, _)| *value).collect();
        let ticks = if round.iter().all(|value| values.contains(value)) { values } else { round };
        panel.lower_axis(scene, &ticks, &labels, title);
        if cell.is_none() && !self.notes.is_empty() {
            let place = (LEFT, panel.top_bottom().1 + 102.0);
            let style = Style::new(17.0, FADED.to_rgba());
            scene.paragraph(place, &(self.notes.join(". ") + "."), style, RIGHT - LEFT);
        }
    }

    fn place(&self, row: &TheoryRow, panel: &Panel) -> Point {
        (panel.x.at(self.x.of(row)), panel.y.at(row.threshold_gain))
    }

    /// The line of a series, from left to right, without the points that are too close to be told apart.
    fn path(&self, series: &Styled<'_, TheoryRow>, panel: &Panel) -> Vec<Point> {
        let mut path: Vec<Point> = vec![];
        for (x, y) in series.rows.iter().map(|row| self.place(row, panel)) {
            if path.last().is_none_or(|last| x - last.0 >= 0.75) {
                path.push((x, y));
            }
        }
        path
    }

    /// Marks on the lines, at these values of the lower axis.
    fn mark_lines(&self, scene: &mut Scene, panel: &Panel, own: &[&Styled<'_, TheoryRow>], marked: &[f64]) {
        for one in own.iter().filter(|one| self.joins(one) && one.rows.len() > 1) {
            for row in one.rows.iter().filter(|row| marked.contains(&self.x.of(row))) {
                scene.mark(one.look.marker, self.place(row, panel), ON_LINE, one.color, false);
            }
        }
    }

    /// Marks that no line joins; those that would hide each other stand side by side.
    fn mark_points(&self, scene: &mut Scene, panel: &Panel, own: &[&Styled<'_, TheoryRow>], values: &[f64]) {
        let alone: Vec<(&Styled<'_, TheoryRow>, &TheoryRow)> = own
            .iter()
            .copied()
            .filter(|one| !self.joins(one) || one.rows.len() == 1)
            .flat_map(|one| one.rows.iter().map(move |row| (one, *row)))
            .collect();
        let most = if values.len() == 1 { 100.0 } else { 2.5 * RADIUS };
        for &value in values {
            let here: Vec<_> = alone.iter().filter(|(_, row)| self.x.of(row) == value).collect();
            let heights: Vec<f64> = here.iter().map(|(_, row)| self.place(row, panel).1).collect();
            for ((one, row), shift) in here.into_iter().zip(side_by_side(&heights, RADIUS, most)) {
                let (x, y) = self.place(row, panel);
                scene.mark(one.look.marker, (x + shift, y), RADIUS, one.color, false);
            }
        }
    }
}

/// Whether values are few and short, as those are that somebody typed, so that an axis may name them.
fn can_be_labels(values: &[f64]) -> bool {
    values.len() <= 12 && values.iter().all(|value| value.to_string().len() <= 5)
}

/// Which of the sorted `values` get a mark on every line: all where they are few, else enough to tell lines apart.
fn marked(values: &[f64], axis: &Axis) -> Vec<f64> {
    let half = if values.len() <= 12 { 1.2 * ON_LINE } else { 34.0 };
    thinned(values, |value| (axis.at(value), half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momenta_are_shortened_to_what_tells_them_apart() {
        assert_eq!([0.0, 0.9, 0.020204081632653, 0.989797979].map(short), [0.0, 0.9, 0.0202, 0.9898]);
        assert_eq!(short(0.999_999_999), 0.999_999_999);
    }
}
