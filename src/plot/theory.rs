//! The picture of a theory table: threshold gain against delay, and against momentum where the table has enough of it.
//!
//! Lines are closed forms, with as many marks as it takes to tell them apart; a threshold of random delays is a mark at
//! their mean. Colours tell rules apart, shades and marks what a rule varies; where there is only one rule, colours tell
//! its few series apart. Marks that no line joins and that would hide each other stand side by side.

use super::axis::{Axis, Scale, spaced, thinned};
use super::look::{COLORS, Styled, shade, styled};
use super::panel::{Name, Names, Panel, RADIUS, labelled_values, side_by_side};
use super::scene::{Point, Scene, Style};
use super::{DELAY_TITLE, FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use crate::table::{TheoryRow, distinct, grouped, rule_name};
use anyhow::{Result, bail};
use plotters::style::Color;

/// Most series that a panel has room for.
const MOST_SERIES: usize = 16;
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
pub fn theory(rows: &[TheoryRow]) -> Result<String> {
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
            .push(format!("{missing} of {} thresholds are not positive numbers and not drawn", rows.len()));
    }

    let height = if contents.len() == 1 { HEIGHTS.0 } else { HEIGHTS.1 };
    let names: Vec<Names> = contents.iter().map(|content| Names::fit(content.names(), height)).collect();
    let right = RIGHT - names.iter().map(|names| names.width).fold(0.0, f64::max);
    let below = |content: &Content| if content.notes.is_empty() { BELOW.0 } else { BELOW.1 };
    let total = TOP + contents.iter().map(|content| height + below(content)).sum::<f64>();
    let mut scene = Scene::new(WIDTH, total as u32);
    heading(&mut scene, "Largest stable gain when gradients arrive late", &setting(&shown));
    let mut top = TOP;
    for (content, names) in contents.iter().zip(&names) {
        let panel = content.panel(right, (top, top + height));
        content.draw(&mut scene, &panel);
        names.draw(&mut scene, &panel);
        top += height + below(content);
    }
    scene.svg()
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
    // Of a single rule, colours tell the series apart, while they last.
    if content.rules().len() > 1 || content.series.len() > COLORS.len() {
        content.color_by_rule(rows);
    }
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
    content.color_by_rule(rows);
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

    fn rules(&self) -> Vec<&'a str> {
        distinct(self.rows().map(|row| row.rule.as_str()))
    }

    /// One hue for each rule of the table, from dark to light.
    fn color_by_rule(&mut self, table: &[&TheoryRow]) {
        for (index, rule) in distinct(table.iter().map(|row| row.rule.as_str())).into_iter().enumerate() {
            let of_rule: Vec<&mut Styled<'a, TheoryRow>> =
                self.series.iter_mut().filter(|one| one.rows[0].rule == rule).collect();
            let count = of_rule.len();
            for (place, one) in of_rule.into_iter().enumerate() {
                one.color = shade(COLORS[index % COLORS.len()], place, count);
            }
        }
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
        named.map(|(one, end)| Name { text: &one.name, color: one.color, marker: one.marker, end }).collect()
    }

    fn panel(&self, right: f64, (top, bottom): (f64, f64)) -> Panel {
        let across = self.rows().map(|row| self.x.of(row));
        let x = match self.x {
            Abscissa::Delay => Axis::covering(Scale::LogPlusOne, across, 0.5, 0.03, (LEFT, right)),
            Abscissa::Momentum => Axis::covering(Scale::Linear, across, 0.0, 0.03, (LEFT, right)),
        };
        let gains = self.rows().map(|row| row.threshold_gain);
        Panel { x, y: Axis::covering(Scale::Log, gains, 4f64.ln(), 0.06, (bottom, top)), radius: RADIUS }
    }

    fn draw(&self, scene: &mut Scene, panel: &Panel) {
        let values = self.x.values(self.rows());
        let (labels, title) = match self.x {
            Abscissa::Delay => (labelled_values(&panel.x, &values), DELAY_TITLE),
            Abscissa::Momentum if can_be_labels(&values) => (labelled_values(&panel.x, &values), "momentum m"),
            Abscissa::Momentum => (panel.x.labelled_ticks(), "momentum m"),
        };
        panel.grid(scene, labels.iter().map(|(value, _)| *value));
        for one in self.series.iter().filter(|one| self.joins(one)) {
            scene.line(self.path(one, panel), 2.2, one.color.mix(0.75));
        }
        self.mark_lines(scene, panel, &marked(&values, &panel.x));
        self.mark_points(scene, panel, &values);
        panel.frame(scene, "threshold gain (learning rate × curvature)");
        let round: Vec<f64> = labels.iter().map(|(value, _)| *value).collect();
        let ticks = if round.iter().all(|value| values.contains(value)) { values } else { round };
        panel.lower_axis(scene, &ticks, &labels, title);
        if !self.notes.is_empty() {
            let style = Style::new(17.0, FADED.to_rgba());
            let place = (LEFT, panel.top_bottom().1 + 102.0);
            scene.text(place, style.fitted(&(self.notes.join(". ") + "."), RIGHT - LEFT), style);
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
    fn mark_lines(&self, scene: &mut Scene, panel: &Panel, marked: &[f64]) {
        for one in self.series.iter().filter(|one| self.joins(one) && one.rows.len() > 1) {
            for row in one.rows.iter().filter(|row| marked.contains(&self.x.of(row))) {
                scene.mark(one.marker, self.place(row, panel), ON_LINE, one.color, false);
            }
        }
    }

    /// Marks that no line joins; those that would hide each other stand side by side.
    fn mark_points(&self, scene: &mut Scene, panel: &Panel, values: &[f64]) {
        let alone: Vec<(&Styled<'_, TheoryRow>, &TheoryRow)> = self
            .series
            .iter()
            .filter(|one| !self.joins(one) || one.rows.len() == 1)
            .flat_map(|one| one.rows.iter().map(move |row| (one, *row)))
            .collect();
        let most = if values.len() == 1 { 100.0 } else { 2.5 * RADIUS };
        for &value in values {
            let here: Vec<_> = alone.iter().filter(|(_, row)| self.x.of(row) == value).collect();
            let heights: Vec<f64> = here.iter().map(|(_, row)| self.place(row, panel).1).collect();
            for ((one, row), shift) in here.into_iter().zip(side_by_side(&heights, RADIUS, most)) {
                let (x, y) = self.place(row, panel);
                scene.mark(one.marker, (x + shift, y), RADIUS, one.color, false);
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
