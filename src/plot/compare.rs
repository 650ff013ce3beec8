//! The picture of a comparison: a dot for every rule and delay, at its effective learning rate relative to the baseline's.
//!
//! Rules are rows in their colours and marks, the best on top, with a lane for every delay, the smallest on top and darkest; circumstances are
//! panels, three side by side, with one scale. A bar is the range that both thresholds allow, an arrow one without an end.

use super::axis::{Axis, Scale, spaced, thinned_by};
use super::look::{HUES, Ruled, shade};
use super::panel::Panel;
use super::scene::{Anchor, Marker, Point, Scene, Style};
use super::{FADED, FRAME, GRID, INK, LEFT, RIGHT, SHADE, Theme, WIDTH, heading};
use crate::compare::thresholds::{Comparison, Quantity, Ranked, ranked};
use crate::table::number::exact;
use crate::table::{self, ComparisonStatus, ThresholdRow, distinct};
use crate::text::counted;
use anyhow::{Result, bail};
use plotters::style::{Color, RGBColor};
use std::path::Path;

/// Most panels and delays that a picture has room for, and how many rules it always has.
const MOST_PANELS: usize = 12;
const LEAST_RULES: usize = 30;
const MOST_DELAYS: usize = 24;
/// Largest height of all panels, pixels: rules beyond the least number are left out where they would make it larger.
const ALL_HEIGHT: f64 = 10_000.0;
/// Smallest height of a lane, and what a row has around its lanes.
const LANE: f64 = 4.5;
const AROUND: f64 = 12.0;

/// Most panels side by side.
const COLUMNS: usize = 3;
/// Room between them, pixels.
const GAP: f64 = 30.0;
/// Largest height of all panels together, unless delays would be crowded.
const MOST_HEIGHT: f64 = 1800.0;
/// Widest name of a rule.
const MOST_NAME: f64 = 400.0;
/// Middle of the legend's line, and where what stands below it begins.
const LEGEND: f64 = 146.0;
const FIRST: f64 = 176.0;
/// Above a panel that has a title, and below one: tick labels, and these with the axis title.
const TITLE: f64 = 38.0;
const BELOW: (f64, f64) = (52.0, 96.0);
/// Smallest text that a long title is set in; what is longer still is cut.
const SMALL: f64 = 14.0;
/// What the lanes of a rule are.
const LANES: &str = "delay τ (updates), a rule's marks from top to bottom, dark to light";
/// From one line of the notes to the next.
const NOTE: f64 = 25.0;

/// A picture of a comparison.
pub struct Drawing {
    pub(super) scene: Scene,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

impl Drawing {
    /// Writes it into `folder` as `compare.svg` and `compare.png`, on a dark ground as `compare-dark.svg` and `compare-dark.png`.
    ///
    /// # Errors
    /// Where a file cannot be written; the message names it.
    pub fn write(&self, folder: &Path, theme: Theme) -> Result<()> {
        super::write(&self.scene, folder, "compare", theme).map(drop)
    }
}

/// Lays out the picture of `comparisons`. The same ones give the same bytes.
///
/// # Errors
/// Where none of them has a ratio or a bound of one.
pub fn compare(comparisons: &[Comparison]) -> Result<Drawing> {
    let shown: Vec<Comparison> = comparisons.iter().filter(|one| value(one).is_some()).copied().collect();
    let Some(baseline) = shown.iter().find_map(|one| one.baseline).map(ThresholdRow::rule_name) else {
        bail!("no row has a threshold to be compared, nor a bound of one");
    };
    let mut left_out = vec![];
    let layout = Layout::of(&shown, &mut left_out);
    let scene = layout.draw(&baseline, &missing(comparisons, &baseline), &left_out);
    Ok(Drawing { scene, left_out })
}

/// Where the mark goes: the ratio, else the (geometric) middle of its bounds, else the only known one.
fn value(one: &Comparison) -> Option<f64> {
    let (low, high) = one.bounds();
    let middle = low.zip(high).map(|(low, high)| (low * high).sqrt());
    Some(one.ratio().or(middle).or(low).or(high)? * one.shown_factor()?)
}

/// What has no mark for want of a value, by the reason: how many rows, and of which rules.
fn missing(comparisons: &[Comparison], baseline: &str) -> Vec<String> {
    let reason = |one: &Comparison| match value(one) {
        Some(_) => None,
        None if one.baseline.is_none() => Some(0),
        None if one.ratio().is_none() && one.bounds() == (None, None) => Some(1),
        None => Some(2),
    };
    let told = [
        format!("no cell of {baseline} in the same setting and by the same criterion to stand beside"),
        "no threshold, or none at their baseline".to_owned(),
        "no effective learning rate, but a ratio of plain ones in the column `ratio`".to_owned(),
    ];
    let of_reason = |(place, told): (usize, String)| {
        let rows: Vec<&Comparison> = comparisons.iter().filter(|one| reason(one) == Some(place)).collect();
        let rules = distinct(rows.iter().map(|one| one.row.rule_name())).join(", ");
        (!rows.is_empty())
            .then(|| format!("{} of {} with {told}: {rules}", rows.len(), counted(comparisons.len(), "row")))
    };
    told.into_iter().enumerate().filter_map(of_reason).collect()
}

/// What is drawn, and where.
struct Layout<'a> {
    rules: Vec<Ranked<'a>>,
    /// Sorted.
    delays: Vec<f64>,
    /// What each panel shows, by index.
    panels: Vec<Vec<Comparison<'a>>>,
    titles: Vec<String>,
    /// What all rows share.
    setting: String,
    /// Left edge of the first panel, and the width of each.
    left: f64,
    width: f64,
    /// Height of a row, and of the lane of a delay in it.
    row: f64,
    lane: f64,
}

impl<'a> Layout<'a> {
    fn of(shown: &[Comparison<'a>], left_out: &mut Vec<String>) -> Self {
        let rows: Vec<&ThresholdRow> = shown.iter().map(|one| one.row).collect();
        let title = table::circumstances(&rows);
        let mut titles = distinct(rows.iter().map(|row| title(row)));
        if titles.len() > MOST_PANELS {
            left_out.push(format!("the first {MOST_PANELS} of {} panels are drawn", titles.len()));
            titles.truncate(MOST_PANELS);
        }
        let mut all_delays: Vec<f64> = shown.iter().map(Comparison::delay).collect();
        all_delays.sort_by(f64::total_cmp);
        all_delays.dedup();
        let delays = spaced(&all_delays, MOST_DELAYS);
        if delays.len() < all_delays.len() {
            let list: Vec<String> = delays.iter().map(f64::to_string).collect();
            left_out.push(format!("{} of {} delays are drawn: {}", delays.len(), all_delays.len(), list.join(", ")));
        }
        let kept = |one: &&Comparison| titles.contains(&title(one.row)) && delays.contains(&one.delay());
        let kept: Vec<Comparison<'a>> = shown.iter().filter(kept).copied().collect();
        let mut rules = ranked(&kept);
        let lines = titles.len().div_ceil(Self::columns_of(titles.len())) as f64;
        let least_row = (delays.len() as f64 * LANE + AROUND).max(30.0);
        let most = ((ALL_HEIGHT / lines / least_row) as usize).max(LEAST_RULES);
        if rules.len() > most {
            left_out.push(format!("the {most} best of {} rules are drawn", rules.len()));
            rules.truncate(most);
        }
        let in_panel = |of: &String| kept.iter().filter(|one| title(one.row) == *of).copied().collect();
        let panels: Vec<Vec<Comparison<'a>>> = titles.iter().map(in_panel).collect();

        let style = label_style();
        let widest = rules.iter().map(|rule| style.width(&rule.name)).fold(0.0, f64::max);
        let left = (widest.min(MOST_NAME) + 40.0).max(LEFT);
        let columns = Self::columns_of(panels.len()) as f64;
        let width = (RIGHT - left - GAP * (columns - 1.0)) / columns;
        let lanes = delays.len() as f64;
        // Few rules get more room each, very many less.
        let lane = |height: f64| (height / rules.len() as f64 - AROUND) / lanes;
        let lane = lane(260.0).clamp(11.0, 16.0).min(lane(MOST_HEIGHT / lines).max(LANE));
        let row = (lanes * lane + AROUND).max(30.0);
        let setting = table::setting(&rows);
        Self { rules, delays, panels, titles, setting, left, width, row, lane }
    }

    /// Panels side by side.
    fn columns_of(panels: usize) -> usize {
        if panels == 4 { 2 } else { panels.min(COLUMNS) }
    }

    fn drawn(&self) -> impl Iterator<Item = &Comparison<'a>> {
        self.panels.iter().flatten()
    }

    fn draw(&self, baseline: &str, missing: &[String], left_out: &[String]) -> Scene {
        let columns = Self::columns_of(self.panels.len());
        let lines = self.panels.len().div_ceil(columns);
        let title = if self.titles.iter().all(String::is_empty) { 10.0 } else { TITLE };
        let height = self.row * self.rules.len() as f64;
        let pitch = title + height + BELOW.0;
        let bottom = FIRST + pitch * lines as f64 - BELOW.0 + BELOW.1;
        let notes = self.notes(baseline, missing, left_out);
        let mut scene = Scene::new(WIDTH, (bottom + 16.0) as u32);
        heading(
            &mut scene,
            &format!("How large a learning rate each rule tolerates, beside {baseline}"),
            &self.setting,
        );
        self.legend(&mut scene);
        let title_style = self.title_style();
        for (index, (panel, heading)) in self.panels.iter().zip(&self.titles).enumerate() {
            let (line, column) = (index / columns, index % columns);
            let left = self.left + column as f64 * (self.width + GAP);
            let top = FIRST + pitch * line as f64 + title;
            let right = left + self.width;
            let axis = self.axis((left, right));
            let rows = Axis::covering(Scale::Linear, [0.0, self.rules.len() as f64], 0.0, 0.0, (top, top + height));
            self.draw_panel(&mut scene, &Panel { x: axis, y: rows, radius: self.radius() }, panel);
            scene.text((left, top - 13.0), title_style.fitted(heading, self.width), title_style);
            if column == 0 {
                self.names(&mut scene, top);
            }
        }
        let style = Style::new(21.0, INK.to_rgba()).anchor(Anchor::Middle);
        let axis_title = format!("{} at the threshold / that of {baseline}", self.quantity().name());
        scene.text((0.5 * (self.left + RIGHT), bottom - BELOW.1 + 68.0), axis_title, style);
        let style = Style::new(17.0, FADED.to_rgba());
        for note in &notes {
            scene.paragraph((40.0, bottom + 0.6 * NOTE), note, style, RIGHT - 40.0);
            scene.lower(NOTE);
        }
        scene
    }

    /// Covers all measured ranges and all marks; what is undecided may reach beyond. The baseline has its place.
    fn axis(&self, pixels: (f64, f64)) -> Axis {
        let covered = self.drawn().flat_map(|one| {
            let (low, high) = if one.status() == ComparisonStatus::Measured { one.bounds() } else { (None, None) };
            let shown = |bound: Option<f64>| Some(bound? * one.shown_factor()?);
            [value(one), shown(low), shown(high)]
        });
        Axis::covering(Scale::Log, covered.flatten().chain([1.0]), 4.2f64.ln(), 0.04, pixels)
    }

    fn quantity(&self) -> Quantity {
        self.drawn().next().map_or(Quantity::Effective, |one| one.quantity)
    }

    fn radius(&self) -> f64 {
        (0.5 * self.lane).clamp(3.5, 7.0)
    }

    /// The lane of a delay, and how light a colour is there: from 35 % black to 45 % white, alone as it is.
    fn lane_of(&self, delay: f64) -> (usize, f64) {
        let place = self.delays.iter().position(|other| *other == delay).unwrap_or(0);
        let spread = -0.35 + 0.8 * place as f64 / (self.delays.len().max(2) - 1) as f64;
        (place, if self.delays.len() > 1 { spread } else { 0.0 })
    }

    fn draw_panel(&self, scene: &mut Scene, panel: &Panel, comparisons: &[Comparison]) {
        let ((left, right), (first, last)) = (panel.x.pixels(), panel.y.pixels());
        for index in (0..self.rules.len()).step_by(2) {
            let top = panel.y.at(index as f64);
            scene.rectangle((left, top), (right, top + self.row), SHADE);
        }
        let ticks = ticks(&panel.x);
        for (tick, _) in &ticks {
            scene.line([(panel.x.at(*tick), first), (panel.x.at(*tick), last)], 1.0, GRID);
        }
        scene.line([(panel.x.at(1.0), first), (panel.x.at(1.0), last)], 2.6, INK);
        for (index, rule) in self.rules.iter().enumerate() {
            for one in comparisons.iter().filter(|one| one.row.rule_name() == rule.name) {
                self.draw_one(scene, panel, panel.y.at(index as f64 + 0.5), one);
            }
        }
        scene.line([(left, first), (right, first), (right, last), (left, last), (left, first)], 1.0, FRAME);
        let style = Style::new(20.0, INK.to_rgba()).anchor(Anchor::Middle);
        for (tick, label) in ticks {
            let x = panel.x.at(tick);
            scene.line([(x, last), (x, last + 5.0)], 1.0, FRAME);
            scene.text((x, last + 28.0), label, style);
        }
    }

    /// The range as a bar and the ratio as a mark, in the lane of its delay.
    fn draw_one(&self, scene: &mut Scene, panel: &Panel, middle: f64, one: &Comparison) {
        let Some((value, factor)) = value(one).zip(one.shown_factor()) else { return };
        let (place, lightness) = self.lane_of(one.delay());
        let look = one.row.look();
        let color = shade(HUES[look.hue].0, lightness);
        let y = middle + (place as f64 - 0.5 * (self.delays.len() - 1) as f64) * self.lane;
        let x = panel.x.at(value);
        let end = |bound: f64| panel.x.clamped(bound * factor, 0.0);
        let (left, right) = panel.x.pixels();
        let stem = 4.5 * panel.radius;
        match one.bounds() {
            (Some(low), Some(high)) => scene.line([(end(low), y), (end(high), y)], 2.4, color),
            (Some(_), None) => arrow(scene, (x, y), (x + stem).min(right), color),
            (None, Some(_)) => arrow(scene, (x, y), (x - stem).max(left), color),
            (None, None) => {}
        }
        scene.mark(look.marker, (x, y), panel.radius, color, one.status() != ComparisonStatus::Measured);
    }

    /// Small enough for all titles of panels, if that can be read.
    fn title_style(&self) -> Style {
        let style = Style::new(20.0, INK.to_rgba()).bold();
        let widest = self.titles.iter().map(|title| style.width(title)).fold(1.0, f64::max);
        Style { size: (0.995 * style.size * self.width / widest).clamp(SMALL, style.size), ..style }
    }

    /// The rules, beside a panel that begins at `top`.
    fn names(&self, scene: &mut Scene, top: f64) {
        let style = label_style().anchor(Anchor::End);
        for (index, rule) in self.rules.iter().enumerate() {
            let y = top + self.row * (index as f64 + 0.5) + style.drop();
            scene.text((self.left - 14.0, y), style.fitted(&rule.name, MOST_NAME), style);
        }
    }

    /// What the marks are, in a line.
    fn legend(&self, scene: &mut Scene) {
        let style = Style::new(20.0, INK.to_rgba());
        let mut x = LEFT;
        let baseline = LEGEND + style.drop();
        scene.text((x, baseline), LANES, style);
        x += style.width(LANES) + 28.0;
        for &delay in &self.delays {
            let label = exact(delay);
            scene.mark(Marker::Circle, (x, LEGEND), 7.5, shade(FRAME, self.lane_of(delay).1), false);
            scene.text((x + 14.0, baseline), &label, style);
            x += style.width(&label) + 42.0;
        }
        if self.drawn().any(|one| one.status() != ComparisonStatus::Measured) {
            scene.mark(Marker::Circle, (x + 20.0, LEGEND), 7.5, FRAME, true);
            scene.text((x + 36.0, baseline), "open: undecided", style);
        }
    }

    /// How to read the picture, and what is not in it.
    fn notes(&self, baseline: &str, missing: &[String], left_out: &[String]) -> Vec<String> {
        let mut notes = vec![
            format!(
                "Right of the line a rule tolerates a larger {} than {baseline} in the same setting. Rules are in the order of \
                 their medians.",
                self.quantity().name()
            ),
            "Bars: the range that both brackets, or 95 % intervals, allow (arrows: one end is unknown).".into(),
            match self.quantity() {
                Quantity::Effective => {
                    "Effective learning rate: how far a constant gradient moves the weights for each gradient that arrives. \
                     It is no speed of a training."
                }
                Quantity::Plain => {
                    "Learning rates as the rules take them: how far a gradient moves the weights depends on its size."
                }
            }
            .into(),
        ];
        notes.extend(missing.iter().map(|note| format!("Not drawn: {note}.")));
        notes.extend(left_out.iter().map(|note| format!("For want of room, {note}; compare.csv has all.")));
        notes
    }
}

fn label_style() -> Style {
    Style::new(19.0, INK.to_rgba())
}

/// The ticks that have room for their labels: 1 first, then powers of ten, then the ends.
fn ticks(axis: &Axis) -> Vec<(f64, String)> {
    let mut ticks = axis.labelled_ticks();
    let values: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
    let rank = |tick: f64| match tick {
        1.0 => 0,
        tick if tick.log10().fract() == 0.0 => 1,
        _ => 2,
    };
    let style = Style::new(20.0, INK.to_rgba());
    let extent = |tick: f64| (axis.at(tick), 0.5 * style.width(&exact(tick)) + 7.0);
    let kept = thinned_by(&values, rank, extent);
    ticks.retain(|(tick, _)| kept.contains(tick));
    ticks
}

/// From `from` straight left or right to `tip`.
fn arrow(scene: &mut Scene, (x, y): Point, tip: f64, color: RGBColor) {
    let back = 8.0 * (x - tip).signum();
    scene.line([(x, y), (tip + back, y)], 2.4, color);
    scene.polygon([(tip, y), (tip + back, y - 5.0), (tip + back, y + 5.0)], color);
}
