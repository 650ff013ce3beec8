//! Which rules have what a training is asked to follow or to keep: second moments that divide their steps, or steps of a known shape.
//!
//! Not here: how any of it is measured ([`crate::train`]).

use super::{PlanError, refuse};
use crate::curvature::generalised::Ball;
use crate::rule::Rule;

/// Checks that a second moment divides the steps of a rule, so that its preconditioned sharpness can be taken.
///
/// # Errors
/// Another rule.
pub(super) fn has_preconditioner(rule: &Rule) -> Result<(), PlanError> {
    if rule.is_preconditioned() {
        return Ok(());
    }
    let (name, other) = (rule.name(), if Ball::has_one(rule) { " --track generalised-sharpness, or" } else { "" });
    refuse!(
        "--track preconditioned-sharpness with --rules {name}: it divides its steps by no second moment; accepted:{other} --rules adam, \
         adamw, nadam, nadamw"
    )
}

/// Checks that the steps of a rule are those of a norm's ball, whose generalised sharpness can be taken.
///
/// # Errors
/// Another rule.
pub(super) fn has_ball(rule: &Rule) -> Result<(), PlanError> {
    if Ball::has_one(rule) {
        return Ok(());
    }
    let (why, other) = if rule.is_preconditioned() {
        ("divides its steps by a second moment", "preconditioned-sharpness")
    } else {
        ("takes no signs and moves no matrices as wholes", "sharpness")
    };
    let name = rule.name();
    refuse!(
        "--track generalised-sharpness with --rules {name}: it {why}; accepted: --track {other}, or --rules lion, signum, muon"
    )
}

/// Checks that a rule keeps one second moment of every parameter, by which its steps are divided.
///
/// # Errors
/// Another rule.
pub(super) fn has_state(rule: &Rule) -> Result<(), PlanError> {
    let why = if rule.is_preconditioned() {
        return Ok(());
    } else if rule.has_slot_second_moment() {
        "keeps a second moment for every worker, and none of the server's"
    } else if rule.companion().is_some() {
        "keeps no second moment of hidden matrices"
    } else if rule.has_second_moment() {
        "does not divide its steps by its second moment"
    } else {
        "keeps no second moment"
    };
    let name = rule.name();
    refuse!("--save-state with --rules {name}: it {why}; accepted: --rules adam, adamw, nadam, nadamw")
}
