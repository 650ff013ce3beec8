//! What every arm came to: the generalisation gap and the test accuracy at the end, with the 95 % confidence intervals of the
//! means and a faint dot for every seed.

use super::super::axis::{Axis, Scale};
use super::super::scene::{Anchor, Scene, Style};
use super::super::{FADED, FRAME, GRID, INK, LEFT, RIGHT, SHADE, WIDTH, heading};
use super::Arm;
use crate::table::{SummaryRow, TrainRow, TrainStatus};
use plotters::style::Color;

/// Most arms that a picture has room for.
const MOST: usize = 40;
/// Height of an arm's row, where there are few and many.
const ROW: (f64, f64) = (64.0, 30.0);
/// Top of the panels, and what is below them.
const TOP: f64 = 170.0;
const BELOW: f64 = 130.0;
/// Between the panels.
const GAP: f64 = 60.0;
/// Widest name of an arm.
const MOST_NAME: f64 = 600.0;

/// A mean and the ends of its interval, as far as they are known.
type Interval = [Option<f64>; 3];

/// What a panel shows.
struct Figure {
    title: &'static str,
    of_run: fn(&TrainRow) -> Option<f64>,
    of_arm: fn(&SummaryRow) -> Interval,
}

const FIGURES: [Figure; 2] = [
    Figure {
        title: "generalisation gap (training - test accuracy, %)",
        of_run: |run| run.generalisation_gap,
        of_arm: |arm| [arm.generalisation_gap, arm.generalisation_gap_low, arm.generalisation_gap_high],
    },
    Figure {
        title: "test accuracy (%)",
        of_run: |run| run.test_accuracy,
        of_arm: |arm| [arm.test_accuracy, arm.test_accuracy_low, arm.test_accuracy_high],
    },
];

pub fn picture(arms: &[Arm], setting: &str) -> Scene {
    let shown = &arms[..arms.len().min(MOST)];
    let row = (560.0 / shown.len() as f64).clamp(ROW.1, ROW.0);
    let bottom = TOP + row * shown.len() as f64;
    let style = Style::new(19.0, INK.to_rgba()).anchor(Anchor::End);
    let label = |arm: &Arm| {
        let lost = match arm.summary {
            SummaryRow { diverged: 0, .. } => String::new(),
            SummaryRow { diverged, runs, .. } => format!(" ({diverged} of {runs} diverged)"),
        };
        format!("{}{lost}", style.fitted(&arm.name, MOST_NAME - style.width(&lost)))
    };
    let widest = shown.iter().map(|arm| style.width(&label(arm))).fold(0.0, f64::max);
    let left = (widest.min(MOST_NAME) + 50.0).max(LEFT);
    let width = 0.5 * (RIGHT - left - GAP);

    let mut scene = Scene::new(WIDTH, (bottom + BELOW) as u32);
    heading(&mut scene, "Generalisation under delay", setting);
    for (index, figure) in FIGURES.iter().enumerate() {
        let start = left + index as f64 * (width + GAP);
        draw(&mut scene, figure, shown, (start, start + width), (TOP, row));
    }
    for (index, arm) in shown.iter().enumerate() {
        let y = TOP + row * (index as f64 + 0.5) + style.drop();
        scene.text((left - 16.0, y), label(arm), style);
    }
    let mut note =
        "Marks: mean over the seeds, with its 95 % confidence interval by Student's t. Faint dots: the seeds that did \
                    not diverge."
            .to_owned();
    if shown.len() < arms.len() {
        note += &format!(" For want of room, the first {MOST} of {} arms; summary.csv has all.", arms.len());
    }
    let style = Style::new(17.0, FADED.to_rgba());
    scene.text((40.0, bottom + BELOW - 22.0), style.fitted(&note, RIGHT - 40.0), style);
    scene
}

fn draw(scene: &mut Scene, figure: &Figure, arms: &[Arm], pixels: (f64, f64), (top, row): (f64, f64)) {
    let bottom = top + row * arms.len() as f64;
    let seeds = |arm: &Arm| -> Vec<f64> {
        let finished = arm.runs.iter().filter(|run| run.row.status == TrainStatus::Finished);
        finished.filter_map(|run| (figure.of_run)(run.row)).collect()
    };
    let values =
        arms.iter().flat_map(|arm| seeds(arm).into_iter().chain((figure.of_arm)(arm.summary).into_iter().flatten()));
    let percent: Vec<f64> = values.map(|value| 100.0 * value).collect();
    let percent = if percent.is_empty() { vec![0.0, 100.0] } else { percent };
    let axis = Axis::covering(Scale::Linear, percent, 1.0, 0.06, pixels);
    let x = |value: f64| axis.at(100.0 * value);
    for index in (0..arms.len()).step_by(2) {
        let y = top + row * index as f64;
        scene.rectangle((pixels.0, y), (pixels.1, y + row), SHADE);
    }
    let style = Style::new(20.0, INK.to_rgba()).anchor(Anchor::Middle);
    for (tick, label) in axis.labelled_ticks() {
        scene.line([(axis.at(tick), top), (axis.at(tick), bottom)], 1.0, GRID);
        scene.line([(axis.at(tick), bottom), (axis.at(tick), bottom + 5.0)], 1.0, FRAME);
        scene.text((axis.at(tick), bottom + 28.0), label, style);
    }
    let corners = [(pixels.0, top), (pixels.1, top), (pixels.1, bottom), (pixels.0, bottom), (pixels.0, top)];
    scene.line(corners, 1.0, FRAME);
    scene.text((0.5 * (pixels.0 + pixels.1), bottom + 66.0), figure.title, style);
    let radius = (0.16 * row).clamp(4.5, 8.0);
    for (index, arm) in arms.iter().enumerate() {
        let y = top + row * (index as f64 + 0.5);
        for seed in seeds(arm) {
            scene.mark(super::Marker::Circle, (x(seed), y), 0.55 * radius, arm.color.mix(0.3), false);
        }
        let [Some(mean), low, high] = (figure.of_arm)(arm.summary) else { continue };
        if let Some((low, high)) = low.zip(high) {
            scene.line([(x(low), y), (x(high), y)], 2.4, arm.color);
            for end in [low, high] {
                scene.line([(x(end), y - 0.6 * radius), (x(end), y + 0.6 * radius)], 2.0, arm.color);
            }
        }
        scene.mark(arm.marker, (x(mean), y), radius, arm.color, false);
    }
}
