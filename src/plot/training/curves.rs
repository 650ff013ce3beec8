//! Training loss and test accuracy along the epochs: a line for every group, the mean over its seeds, in a band that is its
//! 95 % confidence interval; of more than eight groups, both for each rule.

use super::super::axis::{Axis, Scale};
use super::super::multiples::{self, Multiples};
use super::super::panel::{Name, Names, Panel, RADIUS};
use super::super::scene::{Point, Scene, Style};
use super::super::{FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use super::{DrawnGroup, keys, panels};
use crate::table::{Interval, Metric};
use crate::text::counted;
use plotters::style::Color;

const HEIGHT: u32 = 1200;
/// Top and bottom of the panel of losses, and of that of accuracies.
const UPPER: (f64, f64) = (TOP, 600.0);
const LOWER: (f64, f64) = (638.0, 1092.0);
/// Heights of the two panels where there is a pair of them for each rule, the room between them, and that for the lower axis.
const SMALL: (f64, f64) = (240.0, 240.0);
const BETWEEN: f64 = 18.0;
const AXIS: f64 = 80.0;

const TITLE: &str = "Training under delay: loss and test accuracy along the epochs";
const NOTES: [&str; 3] = [
    "Lines: mean over the seeds.",
    "Bands: its 95 % confidence interval, of losses by Student's t, of accuracies by Wilson's formula for the spread of the \
     seeds, which stays within 0 and 100 %.",
    "A band that reaches below the axis of losses is cut there.",
];

/// Mean over a group's seeds with its interval, by epoch.
type Curve = Vec<(f64, Interval)>;

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    let drawn = Drawn {
        losses: groups.iter().map(|group| group.curve(Metric::TrainLoss, 1.0)).collect(),
        accuracies: groups.iter().map(|group| group.curve(Metric::TestAccuracy, 100.0)).collect(),
        groups,
    };
    match &panels(groups, |_| true)[..] {
        [_] => drawn.together(setting),
        several => drawn.apart(setting, several),
    }
}

struct Drawn<'a> {
    groups: &'a [DrawnGroup<'a>],
    losses: Vec<Curve>,
    accuracies: Vec<Curve>,
}

impl Drawn<'_> {
    /// All groups in one pair of panels.
    fn together(&self, setting: &str) -> Scene {
        let named = self.groups.iter().zip(&self.losses).filter_map(|(group, curve)| {
            let (epoch, at) = curve.last().filter(|(_, at)| at.mean > 0.0)?;
            let end = (*epoch, at.mean);
            Some(Name { text: &group.name, color: group.color, marker: group.look.marker, dash: group.look.dash, end })
        });
        let names = Names::fit(named.collect(), UPPER.1 - UPPER.0);
        let right = RIGHT - names.width;
        let (upper, lower) = self.pair((LEFT, right), (UPPER, LOWER));
        let mut scene = Scene::new(WIDTH, HEIGHT);
        heading(&mut scene, TITLE, setting);
        self.draw(&mut scene, (&upper, &lower), &(0..self.groups.len()).collect::<Vec<_>>());
        upper.frame(&mut scene, "training loss");
        lower.frame(&mut scene, "test accuracy (%)");
        names.draw(&mut scene, &upper);
        let style = Style::new(16.0, FADED.to_rgba());
        let lines = self.notes().into_iter().flat_map(|note| style.wrapped(&note, RIGHT + 16.0 - right - 26.0));
        for (index, line) in lines.enumerate() {
            scene.text((right + 26.0, LOWER.0 + 18.0 + 22.0 * index as f64), line, style);
        }
        scene
    }

    /// A pair of panels for each rule.
    fn apart(&self, setting: &str, panels: &[(&str, Vec<usize>)]) -> Scene {
        let keys = keys(self.groups);
        let multiples = Multiples::of(&keys, panels, TOP, SMALL.0 + BETWEEN + SMALL.1 + AXIS);
        let mut scene = Scene::new(WIDTH, (multiples.bottom + 50.0) as u32);
        heading(&mut scene, TITLE, setting);
        multiples.draw_keys(&mut scene, &keys);
        for cell in &multiples.cells {
            let middle = cell.begin + SMALL.0 + BETWEEN;
            let heights = ((cell.begin, cell.begin + SMALL.0), (middle, middle + SMALL.1));
            let (upper, lower) = self.pair(cell.left_right, heights);
            self.draw(&mut scene, (&upper, &lower), &cell.places);
            multiples::frame(&mut scene, &upper, cell, "training loss");
            multiples::frame(&mut scene, &lower, cell, "test accuracy (%)");
        }
        let note = self.notes().join(" ") + " Faint lines: the groups of the other panels.";
        scene.paragraph((40.0, multiples.bottom + 26.0), &note, Style::new(17.0, FADED.to_rgba()), RIGHT - 40.0);
        scene
    }

    /// The panel of losses and that of accuracies, each covering all groups.
    fn pair(&self, left_right: (f64, f64), (above, below): ((f64, f64), (f64, f64))) -> (Panel, Panel) {
        // Where some groups came through, those that did not may leave the picture.
        let any = self.groups.iter().any(|group| group.came_through());
        let covered = |curves: &[Curve]| -> Vec<f64> {
            let shown = self.groups.iter().zip(curves).filter(|(group, _)| !any || group.came_through());
            shown.flat_map(|(_, curve)| curve.iter().map(|(_, at)| at.mean)).collect()
        };
        let epochs = self.losses.iter().flatten().map(|(epoch, _)| *epoch).chain([0.0, 1.0]);
        let x = Axis::covering(Scale::Linear, epochs, 0.0, 0.02, left_right);
        let positive: Vec<f64> = covered(&self.losses).into_iter().filter(|loss| *loss > 0.0).collect();
        let positive = if positive.is_empty() { vec![1.0] } else { positive };
        let losses = Axis::covering(Scale::Log, positive, 1.5f64.ln(), 0.05, (above.1, above.0));
        let accuracy = covered(&self.accuracies);
        let accuracy = if accuracy.is_empty() { vec![0.0, 100.0] } else { accuracy };
        let shares = Axis::covering(Scale::Linear, accuracy, 1.0, 0.05, (below.1, below.0)).limited(0.0, 100.0);
        (Panel { x, y: losses, radius: RADIUS }, Panel { x, y: shares, radius: RADIUS })
    }

    /// Draws the groups at `places`, the others faint behind them.
    fn draw(&self, scene: &mut Scene, (upper, lower): (&Panel, &Panel), places: &[usize]) {
        let ticks = lower.x.labelled_ticks();
        let values: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
        for (panel, curves) in [(upper, &self.losses), (lower, &self.accuracies)] {
            panel.grid(scene, values.iter().copied());
            let others = (0..curves.len()).filter(|place| !places.contains(place));
            multiples::background(scene, others.map(|place| line(panel, &curves[place])));
            let own = || places.iter().map(|place| (&self.groups[*place], &curves[*place]));
            // Lines above all bands; where no seed came through there is nothing to be confident of.
            own()
                .filter(|(group, _)| group.came_through())
                .for_each(|(group, curve)| draw_band(scene, panel, group, curve, std::ptr::eq(panel, lower)));
            own().for_each(|(group, curve)| draw_line(scene, panel, group, curve));
        }
        lower.lower_axis(scene, &values, &ticks, "epoch");
    }

    /// How to read the lines, and what is not in them.
    fn notes(&self) -> Vec<String> {
        let (runs, diverged) = self
            .groups
            .iter()
            .fold((0, 0), |(runs, lost), group| (runs + group.summary.runs, lost + group.summary.diverged));
        let mut notes = NOTES.map(str::to_owned).to_vec();
        if diverged > 0 {
            notes.push(format!(
                "{diverged} of {} diverged, drawn only where no other seed of the group came through.",
                counted(runs, "run")
            ));
        }
        notes
    }
}

/// A logarithmic axis has no place for what is not positive: it stands at the edge, as does what lies beyond it.
fn place(panel: &Panel, epoch: f64, value: f64) -> Point {
    let (_, bottom) = panel.top_bottom();
    let y = if panel.y.at(value).is_finite() { panel.y.clamped(value, 0.0) } else { bottom };
    (panel.x.at(epoch), y)
}

fn line(panel: &Panel, curve: &Curve) -> Vec<Point> {
    curve.iter().map(|(epoch, at)| place(panel, *epoch, at.mean)).collect()
}

fn draw_band(scene: &mut Scene, panel: &Panel, group: &DrawnGroup, curve: &Curve, is_of_shares: bool) {
    let ends = |at: &Interval| if is_of_shares { at.within(0.0, 100.0) } else { at.low().zip(at.high()) };
    let known: Vec<(f64, (f64, f64))> = curve.iter().filter_map(|(epoch, at)| Some((*epoch, ends(at)?))).collect();
    if known.len() > 1 {
        let upper = known.iter().map(|(epoch, (_, high))| place(panel, *epoch, *high));
        let lower = known.iter().rev().map(|(epoch, (low, _))| place(panel, *epoch, *low));
        scene.polygon(upper.chain(lower).collect::<Vec<_>>(), group.color.mix(0.15));
    }
}

fn draw_line(scene: &mut Scene, panel: &Panel, group: &DrawnGroup, curve: &Curve) {
    let line = line(panel, curve);
    if let [point] = line[..] {
        scene.mark(group.look.marker, point, panel.radius, group.color, false);
    }
    scene.dashed(line, 2.2, group.color, group.look.dash);
}
