//! What a cell is expected to cost, before anything has run: for estimates of time, and to weigh cells against each other
//! in a sweep's progress. Never part of a result.

use crate::plan::{Cell, SweepPlan};
use crate::threshold::Criterion;

/// Learning rates that a cell tries. In the mean: a survey of four and the two ends of the bracket. By escape there is no
/// growth rate to interpolate, and the bracket closes in about four rounds of four.
pub fn trials(criterion: Criterion) -> usize {
    match criterion {
        Criterion::Mean => 6,
        Criterion::MeanSquare | Criterion::AlmostSure => 8,
        Criterion::Escape => 16,
    }
}

/// Rounds of trials that must follow each other.
pub fn rounds(criterion: Criterion) -> usize {
    match criterion {
        Criterion::Mean => 2,
        Criterion::MeanSquare | Criterion::AlmostSure => 3,
        Criterion::Escape => 4,
    }
}

/// Runs of a cell.
pub fn runs(plan: &SweepPlan, cell: &Cell) -> usize {
    trials(cell.criterion) * plan.members(cell)
}

/// Looks of 32 and 64 times (delay + 1) steps must agree before a growth rate is believed.
const TWO_LOOKS: f64 = 64.0;

/// A momentum m forgets in 1 / (1-m) steps, and growth rates settle after that: at 0.9 four times as late as without.
const FORGETTING: f64 = 0.4;

/// Times (delay + 1) steps after which an ensemble is sure of the sign of its growth rate: 128 far from the threshold,
/// much longer at it.
const SURE: f64 = 512.0;

/// Share of the horizon that runs by escape take: those that stay all of it, those that leave a part.
const STAYED: f64 = 0.7;

/// Steps of one run of a cell.
pub fn steps_of_run(plan: &SweepPlan, cell: &Cell) -> f64 {
    let unit = cell.schedule.mean_delay() + 1.0;
    let horizon = plan.limits(cell.criterion).horizon as f64 * unit;
    match cell.criterion {
        Criterion::Mean => {
            let settling = (FORGETTING / (1.0 - cell.rule.momentum)).max(1.0);
            (TWO_LOOKS * settling * unit).min(horizon)
        }
        Criterion::MeanSquare | Criterion::AlmostSure => (SURE * unit).min(horizon),
        Criterion::Escape => STAYED * horizon,
    }
}

/// Config-steps of a cell.
pub fn of_cell(plan: &SweepPlan, cell: &Cell) -> f64 {
    runs(plan, cell) as f64 * steps_of_run(plan, cell)
}
