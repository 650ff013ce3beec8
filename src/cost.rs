//! What a cell is expected to cost, before and while it runs: for estimates of time. Never part of a result.

use crate::plan::{Cell, SweepPlan};
use crate::threshold::Criterion;

/// Runs or ensembles of a search's first round.
pub const FIRST: f64 = 4.0;

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

/// Learning rates that a search still asks for when it is in its round number `round`: about a half of those by ensembles,
/// and a sixth of the others, are not done after their second round.
pub fn trials_to_come(criterion: Criterion, round: u32) -> f64 {
    match (criterion, round) {
        (Criterion::Mean, 0..=1) => 2.5,
        (Criterion::Mean, _) => 0.5,
        (Criterion::MeanSquare | Criterion::AlmostSure, 0..=1) => 4.0,
        (Criterion::MeanSquare | Criterion::AlmostSure, _) => 2.0,
        (Criterion::Escape, round) => 4.0 * f64::from(4u32.saturating_sub(round)).max(0.5),
    }
}

/// Times (delay + 1) steps of a run whose rate is measured, about: 75 e-folds where curvatures span a factor of a hundred.
const RATE: f64 = 4096.0;

/// Runs of a cell.
pub fn runs(plan: &SweepPlan, cell: &Cell) -> usize {
    let trials = if plan.rates.is_empty() { trials(cell.criterion) } else { plan.rates.len() };
    trials * plan.members(cell)
}

/// Looks of 32 and 64 times (delay + 1) steps must agree before a growth rate is believed.
const TWO_LOOKS: f64 = 64.0;

/// A momentum m forgets in 1 / (1-m) steps, and growth rates settle after that: at 0.9 four times as late as without.
const FORGETTING: f64 = 0.4;

/// Times (delay + 1) steps of an ensemble: in the first round, until it is sure of the sign of its growth rate, and in the later
/// ones, as long as the noise of the first asks for.
const SURE: [f64; 2] = [192.0, 768.0];

/// Share of the horizon that runs by escape take: those that stay all of it, those that leave a part.
const STAYED: f64 = 0.7;

/// Steps of one run of a cell, in the first round of its search or a later one.
pub fn steps_of_trial(plan: &SweepPlan, cell: &Cell, first: bool) -> f64 {
    let unit = cell.schedule.mean_delay() + 1.0;
    let horizon = plan.limits(cell.criterion).horizon as f64 * unit;
    match cell.criterion {
        Criterion::Mean => {
            let settling = (FORGETTING / (1.0 - cell.rule.momentum)).max(1.0);
            (TWO_LOOKS * settling * unit).min(horizon)
        }
        Criterion::MeanSquare | Criterion::AlmostSure => (SURE[usize::from(!first)] * unit).min(horizon),
        Criterion::Escape => STAYED * horizon,
    }
}

/// Steps of one run of a cell, on average over its rounds.
pub fn steps_of_run(plan: &SweepPlan, cell: &Cell) -> f64 {
    if !plan.rates.is_empty() {
        return RATE * (cell.schedule.mean_delay() + 1.0);
    }
    0.5 * (steps_of_trial(plan, cell, true) + steps_of_trial(plan, cell, false))
}

/// Config-steps of a cell, one for each gradient.
pub fn of_cell(plan: &SweepPlan, cell: &Cell) -> f64 {
    if !plan.rates.is_empty() {
        return runs(plan, cell) as f64 * steps_of_run(plan, cell);
    }
    let first = FIRST * steps_of_trial(plan, cell, true);
    let later = trials_to_come(cell.criterion, 1) * steps_of_trial(plan, cell, false);
    (plan.members(cell) * cell.work().pieces.len()) as f64 * (first + later)
}
