//! What goes together with `--preconditioner`: cells that are linear while second moments stand still.
//!
//! Not here: the second moments ([`crate::sweep`]).

use super::cell::Cell;
use super::{PlanError, SweepProblem, refuse};
use crate::config::Batch;
use crate::theory::DelayLaw;
use crate::threshold::Criterion;

/// Whether all rules divide by the same P: its curvature is measured once.
///
/// # Errors
/// Rules of several epsilons.
pub(super) fn check_all(cells: &[Cell]) -> Result<(), PlanError> {
    let scales = cells.iter().filter_map(|cell| cell.rule.second_moment_scale(1));
    let mut epsilons: Vec<f64> = scales.map(|scale| scale.epsilon).collect();
    epsilons.dedup();
    if let [one, other, ..] = epsilons[..] {
        refuse!(
            "--preconditioner with rules of epsilons {one:e} and {other:e}: each makes a P^-1 H of its own; accepted: one epsilon, and a sweep \
             for each"
        );
    }
    Ok(())
}

/// Whether thresholds of a cell with second moments that stand still can be measured beside theory.
///
/// # Errors
/// The part of the cell that does not go with them.
pub(super) fn check(problem: &SweepProblem, cell: &Cell) -> Result<(), PlanError> {
    let (rule, name) = (&cell.rule, cell.rule.name());
    if rule.frozen_equation(&DelayLaw::Fixed(0), 0.0).is_none() {
        refuse!(
            "--preconditioner with --rules {name}: it has no second moment that could stand still beside constant coefficients; accepted: \
             --rules adam, adamw, nadam, nadamw"
        );
    }
    if rule.has_decoupled_decay() && problem.weight_decay > 0.0 {
        refuse!(
            "--preconditioner with --rules {name} and --weight-decay {}: its decay is no part of the gradient, so that it does not rest at \
             the minimum of the objective; accepted: --weight-decay 0, or adam, nadam",
            problem.weight_decay
        );
    }
    if cell.batch != Batch::Full {
        refuse!("--preconditioner with --batch {}: accepted: full", cell.batch);
    }
    if cell.schedule.is_random() || !cell.schedule.theory().is_some_and(|law| law.is_fixed()) {
        refuse!("--preconditioner with --schedule {}: accepted: a fixed delay, round-robin", cell.schedule.name());
    }
    if cell.stages.is_some() || !cell.outer.is_plain() {
        refuse!("--preconditioner with stages or outer loops: accepted: without them");
    }
    if cell.criterion != Criterion::Mean {
        refuse!("--preconditioner with --criterion {}: accepted: mean", cell.criterion);
    }
    Ok(())
}
