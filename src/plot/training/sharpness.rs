//! Sharpness along the steps: a line for every run in the colour of its group, and broken where the edge of stability is
//! expected, K* / lr; of more than eight groups, a panel for each rule.

use super::super::axis::{Axis, Scale};
use super::super::multiples::{self, Multiples};
use super::super::panel::{Name, Names, Panel, RADIUS};
use super::super::scene::{Dash, Point, Scene, Style};
use super::super::{FADED, LEFT, RIGHT, TOP, WIDTH, heading};
use super::{DrawnGroup, keys, panels};
use crate::table::{Metric, TrainedRun};
use crate::text::counted;
use plotters::style::Color;

const HEIGHT: u32 = 1000;
const BOTTOM: f64 = 860.0;
/// Height of a panel where there is one for each rule, and room for its lower axis.
const SMALL: f64 = 300.0;
const AXIS: f64 = 80.0;
/// A run ends above its edge where it does so by more than this fraction: along the edge, sharpness goes up and down.
const ABOVE: f64 = 0.05;

const TITLE: &str = "Sharpness along the training, and the edge of stability";

pub fn picture(groups: &[DrawnGroup], setting: &str) -> Scene {
    match &panels(groups, |place| is_tracked(&groups[place]))[..] {
        [_] => together(groups, setting),
        several => apart(groups, setting, several),
    }
}

fn together(groups: &[DrawnGroup], setting: &str) -> Scene {
    let named = groups.iter().filter_map(|group| {
        let end = group.shown().find_map(|run| points(run).last().copied())?;
        // Lines of runs are whole: only what is predicted is broken.
        Some(Name { text: &group.name, color: group.color, marker: group.look.marker, dash: Dash::Solid, end })
    });
    let names = Names::fit(named.collect(), BOTTOM - TOP);
    let panel = panel(groups, (LEFT, RIGHT - names.width), (TOP, BOTTOM));
    let mut scene = Scene::new(WIDTH, HEIGHT);
    heading(&mut scene, TITLE, setting);
    draw(&mut scene, &panel, groups, &(0..groups.len()).collect::<Vec<_>>());
    panel.frame(&mut scene, "largest Hessian eigenvalue");
    names.draw(&mut scene, &panel);
    let style = Style::new(17.0, FADED.to_rgba());
    scene.paragraph((40.0, f64::from(HEIGHT) - 44.0), &note(groups), style, RIGHT - 40.0);
    scene
}

fn apart(groups: &[DrawnGroup], setting: &str, panels: &[(&str, Vec<usize>)]) -> Scene {
    let keys = keys(groups);
    let multiples = Multiples::of(&keys, panels, TOP, SMALL + AXIS);
    let mut scene = Scene::new(WIDTH, (multiples.bottom + 50.0) as u32);
    heading(&mut scene, TITLE, setting);
    multiples.draw_keys(&mut scene, &keys);
    for cell in &multiples.cells {
        let panel = panel(groups, cell.left_right, (cell.begin, cell.begin + SMALL));
        draw(&mut scene, &panel, groups, &cell.places);
        multiples::frame(&mut scene, &panel, cell, "largest Hessian eigenvalue");
    }
    let style = Style::new(17.0, FADED.to_rgba());
    scene.paragraph((40.0, multiples.bottom + 26.0), &note(groups), style, RIGHT - 40.0);
    scene
}

/// A panel that covers all groups.
fn panel(groups: &[DrawnGroup], left_right: (f64, f64), (top, bottom): (f64, f64)) -> Panel {
    let all: Vec<(f64, f64)> = groups.iter().flat_map(|group| group.shown()).flat_map(points).collect();
    let steps = all.iter().map(|(step, _)| *step).chain([0.0, 1.0]);
    let x = Axis::covering(Scale::Linear, steps, 0.0, 0.02, left_right);
    let predicted = groups.iter().filter(|group| is_tracked(group)).filter_map(|group| group.summary.lambda_predicted);
    let values = all.iter().map(|(_, value)| *value).chain(predicted).chain(all.is_empty().then_some(1.0));
    Panel { x, y: Axis::covering(Scale::Log, values, 2f64.ln(), 0.05, (bottom, top)), radius: RADIUS }
}

fn draw(scene: &mut Scene, panel: &Panel, groups: &[DrawnGroup], places: &[usize]) {
    let ticks = panel.x.labelled_ticks();
    let ticked: Vec<f64> = ticks.iter().map(|(tick, _)| *tick).collect();
    panel.grid(scene, ticked.iter().copied());
    let tracked = || places.iter().map(|place| &groups[*place]).filter(|group| is_tracked(group));
    for group in tracked() {
        for run in group.shown() {
            let line: Vec<Point> =
                points(run).into_iter().map(|(step, value)| (panel.x.at(step), panel.y.at(value))).collect();
            scene.line(line, 1.6, group.color.mix(0.75));
        }
    }
    let (left, right) = panel.left_right();
    for (index, group) in tracked().enumerate() {
        if let Some(predicted) = group.summary.lambda_predicted {
            // Two that are expected at one height take turns.
            let (begin, y) = (left + 11.0 * index as f64 % 22.0, panel.y.at(predicted));
            scene.dashed([(begin, y), (right, y)], 2.4, group.color, Dash::Long);
        }
    }
    panel.lower_axis(scene, &ticked, &ticks, "step");
}

/// How to read the lines, and on which side of their edges the runs that are drawn end.
fn note(groups: &[DrawnGroup]) -> String {
    let runs = groups.iter().flat_map(|group| group.shown().map(move |run| (run, group.summary.lambda_predicted)));
    let ends: Vec<(f64, f64)> = runs.filter_map(|(run, predicted)| Some((points(run).last()?.1, predicted?))).collect();
    let above = ends.iter().filter(|(end, edge)| *end > (1.0 + ABOVE) * edge).count();
    let near = ends.iter().filter(|(end, edge)| (end / edge - 1.0).abs() <= ABOVE).count();
    let at = if ends.is_empty() {
        String::new()
    } else {
        format!(
            " At the end of training, of {}: {near} within {} % of it, {above} above, {} below.",
            counted(ends.len(), "run"),
            100.0 * ABOVE,
            ends.len() - near - above
        )
    };
    format!(
        "Lines: largest eigenvalue of the objective's Hessian, weight decay included, a line for every seed. Broken lines: K* / lr, the \
         largest curvature at which full-batch steps of this rule, learning rate and delay come back to a minimum after a small push; above \
         it a run may still train, but it cannot settle in a minimum.{at}"
    )
}

/// Step and value, where a logarithmic axis has a place for it.
fn points(run: &TrainedRun) -> Vec<(f64, f64)> {
    let positive = run.of(Metric::LambdaMax).filter(|row| row.value > 0.0);
    positive.map(|row| (row.step as f64, row.value)).collect()
}

fn is_tracked(group: &DrawnGroup) -> bool {
    group.shown().any(|run| !points(run).is_empty())
}
