//! Training loss and test accuracy along the epochs: a line for every group, the mean over its seeds, in a band that is its
//! 95 % confidence interval.

use super::super::axis::{Axis, Scale};
use super::super::panel::{Name, Names, Panel, RADIUS};
use super::super::scene::{Point, Scene, Style};
use super::super::{FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use super::DrawnGroup;
use crate::table::{Interval, Metric};
use plotters::style::Color;

const HEIGHT: u32 = 1200;
/// Top and bottom of the panel of losses, and of that of accuracies.
const UPPER: (f64, f64) = (TOP, 600.0);
const LOWER: (f64, f64) = (638.0, 1092.0);

/// Mean over a group's seeds with its interval, by epoch.
type Curve = Vec<(f64, Interval)>;

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    let losses: Vec<Curve> = groups.iter().map(|group| group.curve(Metric::TrainLoss, 1.0)).collect();
    let accuracies: Vec<Curve> = groups.iter().map(|group| group.curve(Metric::TestAccuracy, 100.0)).collect();
    let named = groups.iter().zip(&losses).filter_map(|(group, curve)| {
        let (epoch, at) = curve.last().filter(|(_, at)| at.mean > 0.0)?;
        Some(Name { text: &group.name, color: group.color, marker: group.marker, end: (*epoch, at.mean) })
    });
    let names = Names::fit(named.collect(), UPPER.1 - UPPER.0);
    let right = RIGHT - names.width;
    // Where some groups came through, those that did not may leave the picture.
    let any = groups.iter().any(|group| group.came_through());
    let covered = |curves: &[Curve]| -> Vec<f64> {
        let shown = groups.iter().zip(curves).filter(|(group, _)| !any || group.came_through());
        shown.flat_map(|(_, curve)| curve.iter().map(|(_, at)| at.mean)).collect()
    };
    let epochs = losses.iter().flatten().map(|(epoch, _)| *epoch).chain([0.0, 1.0]);
    let x = Axis::covering(Scale::Linear, epochs, 0.0, 0.02, (LEFT, right));
    let positive: Vec<f64> = covered(&losses).into_iter().filter(|loss| *loss > 0.0).collect();
    let positive = if positive.is_empty() { vec![1.0] } else { positive };
    let upper =
        Panel { x, y: Axis::covering(Scale::Log, positive, 1.5f64.ln(), 0.05, (UPPER.1, UPPER.0)), radius: RADIUS };
    let accuracy = covered(&accuracies);
    let accuracy = if accuracy.is_empty() { vec![0.0, 100.0] } else { accuracy };
    let y = Axis::covering(Scale::Linear, accuracy, 1.0, 0.05, (LOWER.1, LOWER.0));
    let lower = Panel { x, y, radius: RADIUS };

    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, "Training under delay: loss and test accuracy along the epochs", setting);
    let ticks = x.labelled_ticks();
    let values: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
    for (panel, curves, title) in [(&upper, &losses, "training loss"), (&lower, &accuracies, "test accuracy (%)")] {
        panel.grid(&mut scene, values.iter().copied());
        // Lines above all bands; where no seed came through there is nothing to be confident of.
        let all = || groups.iter().zip(curves);
        all()
            .filter(|(group, _)| group.came_through())
            .for_each(|(group, curve)| draw_band(&mut scene, panel, group, curve));
        all().for_each(|(group, curve)| draw_line(&mut scene, panel, group, curve));
        panel.frame(&mut scene, title);
    }
    lower.lower_axis(&mut scene, &values, &ticks, "epoch");
    names.draw(&mut scene, &upper);
    notes(&mut scene, right, groups);
    scene
}

/// A logarithmic axis has no place for what is not positive: it stands at the edge, as does what lies beyond it.
fn place(panel: &Panel, epoch: f64, value: f64) -> Point {
    let (_, bottom) = panel.top_bottom();
    let y = if panel.y.at(value).is_finite() { panel.y.clamped(value, 0.0) } else { bottom };
    (panel.x.at(epoch), y)
}

fn draw_band(scene: &mut Scene, panel: &Panel, group: &DrawnGroup, curve: &Curve) {
    let edge = |sign: f64| -> Vec<Point> {
        let known = curve.iter().filter_map(|(epoch, at)| Some((*epoch, at.mean + sign * at.half_width?)));
        known.map(|(epoch, value)| place(panel, epoch, value)).collect()
    };
    let (upper, lower) = (edge(1.0), edge(-1.0));
    if upper.len() > 1 {
        scene.polygon(upper.into_iter().chain(lower.into_iter().rev()).collect::<Vec<_>>(), group.color.mix(0.15));
    }
}

fn draw_line(scene: &mut Scene, panel: &Panel, group: &DrawnGroup, curve: &Curve) {
    let line: Vec<Point> = curve.iter().map(|(epoch, at)| place(panel, *epoch, at.mean)).collect();
    if let [point] = line[..] {
        scene.mark(group.marker, point, panel.radius, group.color, false);
    }
    scene.line(line, 2.2, group.color);
}

/// Beside the lower panel: how to read the lines, and what is not in them.
fn notes(scene: &mut Scene, right: f64, groups: &[DrawnGroup]) {
    let style = Style::new(16.0, FADED.to_rgba());
    let (runs, diverged) =
        groups.iter().fold((0, 0), |(runs, lost), group| (runs + group.summary.runs, lost + group.summary.diverged));
    let mut lines = vec![
        "Lines: mean over the seeds.".to_owned(),
        "Bands: its 95 % confidence".to_owned(),
        "interval by Student's t.".to_owned(),
    ];
    if diverged > 0 {
        lines.push(format!("{diverged} of {runs} runs diverged; they are"));
        lines.push("drawn only where no other".to_owned());
        lines.push("seed of their group came through.".to_owned());
    }
    for (index, line) in lines.into_iter().enumerate() {
        scene.text((right + 26.0, LOWER.0 + 18.0 + 22.0 * index as f64), line, style);
    }
}
