//! Sharpness along the steps: a line for every run in the colour of its group, and dashed where the edge of stability is
//! expected, K* / lr.

use super::super::axis::{Axis, Scale};
use super::super::panel::{Name, Names, Panel, RADIUS};
use super::super::scene::{Point, Scene, Style};
use super::super::{FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use super::DrawnGroup;
use crate::table::{Metric, TrainedRun};
use plotters::style::Color;

const HEIGHT: u32 = 1000;
const BOTTOM: f64 = 860.0;
/// Length of a dash, and of a dash with the gap behind it.
const DASH: (f64, f64) = (12.0, 24.0);

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    let named = groups.iter().filter_map(|group| {
        let end = group.shown().find_map(|run| points(run).last().copied())?;
        Some(Name { text: &group.name, color: group.color, marker: group.marker, end })
    });
    let names = Names::fit(named.collect(), BOTTOM - TOP);
    let right = RIGHT - names.width;
    let all: Vec<(f64, f64)> = groups.iter().flat_map(|group| group.shown()).flat_map(points).collect();
    let steps = all.iter().map(|(step, _)| *step).chain([0.0, 1.0]);
    let x = Axis::covering(Scale::Linear, steps, 0.0, 0.02, (LEFT, right));
    let values = all.iter().map(|(_, value)| *value);
    let values = values
        .chain(groups.iter().filter(|group| is_tracked(group)).filter_map(|group| group.summary.lambda_predicted));
    let y = Axis::covering(Scale::Log, values.chain(all.is_empty().then_some(1.0)), 2f64.ln(), 0.05, (BOTTOM, TOP));
    let panel = Panel { x, y, radius: RADIUS };

    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, "Sharpness along the training, and the edge of stability", setting);
    let ticks = x.labelled_ticks();
    let ticked: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
    panel.grid(&mut scene, ticked.iter().copied());
    for (index, group) in groups.iter().enumerate().filter(|(_, group)| is_tracked(group)) {
        for run in group.shown() {
            let line: Vec<Point> =
                points(run).into_iter().map(|(step, value)| (panel.x.at(step), panel.y.at(value))).collect();
            scene.line(line, 1.6, group.color.mix(0.75));
        }
        if let Some(predicted) = group.summary.lambda_predicted {
            // Two that are expected at one place take turns.
            let first = LEFT + index as f64 * 0.5 * DASH.1 % DASH.1;
            dashed(&mut scene, (first, right), panel.y.at(predicted), group);
        }
    }
    panel.frame(&mut scene, "largest Hessian eigenvalue");
    panel.lower_axis(&mut scene, &ticked, &ticks, "step");
    names.draw(&mut scene, &panel);
    let style = Style::new(17.0, FADED.to_rgba());
    let note = "Lines: lambda_max of the objective, weight decay included, a line for every seed. Dashed: K* / lr, above which no \
                minimum is stable.";
    scene.text((40.0, f64::from(HEIGHT) - 22.0), style.fitted(note, RIGHT - 40.0), style);
    scene
}

/// Step and value, where a logarithmic axis has a place for it.
fn points(run: &TrainedRun) -> Vec<(f64, f64)> {
    let positive = run.of(Metric::LambdaMax).filter(|row| row.value > 0.0);
    positive.map(|row| (row.step as f64, row.value)).collect()
}

fn is_tracked(group: &DrawnGroup) -> bool {
    group.shown().any(|run| !points(run).is_empty())
}

fn dashed(scene: &mut Scene, (left, right): (f64, f64), y: f64, group: &DrawnGroup) {
    let mut x = left;
    while x < right {
        scene.line([(x, y), ((x + DASH.0).min(right), y)], 2.4, group.color);
        x += DASH.1;
    }
}
