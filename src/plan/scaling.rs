//! Factors that scale a learning rate for a delay: none, in inverse proportion to it, or so that the same minima stay accessible.
//!
//! `--lr` is always that of synchronous training. A minimum of curvature lambda is accessible iff lr lambda < K*, the
//! threshold gain of rule and delay, so the accessible ones stay the same iff lr1 / lr0 = K1* / K0* (see [`crate::theory`]).

use super::{PlanError, refuse};
use crate::config::{Reference, Scaling};
use crate::delay::Schedule;
use crate::outer::OuterLoop;
use crate::rule::Rule;
use crate::theory::{Criterion, TheoryError, threshold};
use std::collections::BTreeSet;

/// The factor of a learning rate; `noise` is the relative variance of the curvature that minibatches see, where thresholds are
/// to be those under it.
///
/// # Errors
/// Where theory knows no threshold of the rule under the process, or of the reference.
pub fn factor(
    scaling: Scaling,
    rule: &Rule,
    schedule: &Schedule,
    outer: &OuterLoop,
    reference: Reference,
    noise: Option<f64>,
) -> Result<f64, PlanError> {
    match scaling {
        Scaling::None => Ok(1.0),
        Scaling::InverseDelay => Ok(1.0 / (schedule.mean_delay() + 1.0)),
        Scaling::Preserve => {
            let synchronous = match reference {
                Reference::Same => rule,
                Reference::Sgd => &Rule::SGD,
            };
            let known = |rule: &Rule, schedule: &Schedule| match gain_under(rule, schedule, outer, noise) {
                Ok(gain) => Ok(gain),
                Err(why) => refuse!("--lr-scaling preserve: {why}; accepted: none, inverse-delay"),
            };
            Ok(known(rule, schedule)? / known(synchronous, &Schedule::round_robin(0))?)
        }
    }
}

/// Threshold gain K* of a rule in an outer loop under a delay process, of what workers send: in the mean where the delay is always the same, else in mean square,
/// without gradient noise in either.
///
/// # Errors
/// Where theory knows none, and why.
pub fn gain(rule: &Rule, schedule: &Schedule, outer: &OuterLoop) -> Result<f64, String> {
    gain_under(rule, schedule, outer, None)
}

/// The same in mean square where there is gradient noise of a relative variance.
fn gain_under(rule: &Rule, schedule: &Schedule, outer: &OuterLoop, noise: Option<f64>) -> Result<f64, String> {
    let unknown = |why: &str| {
        let (rule, process) = (rule.name(), schedule.name());
        Err(format!("no threshold is known of {rule} under {process} delays{why}"))
    };
    let Some(equation) = schedule.theory().and_then(|law| outer.equation(rule, &law)) else { return unknown("") };
    let criterion = match noise {
        None if equation.law.is_fixed() => Criterion::Mean,
        noise => Criterion::MeanSquare { relative_variance: noise.unwrap_or(0.0) },
    };
    match threshold(&equation, criterion) {
        Ok(threshold) => Ok(threshold.gain / outer.weight(schedule.workers().unwrap_or(schedule.slots()))),
        Err(TheoryError::LongPmf(_)) => unknown(" that reach so far"),
        Err(TheoryError::Unsupported(_)) => unknown(""),
        Err(error) => unknown(&format!(": {error}")),
    }
}

/// What is said of rules under delay processes, by name, for which the usual scalings leave `preserve` out; none where there are none.
pub(super) fn told_of_unscaled(names: &BTreeSet<String>) -> Option<String> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "none (--lr as it is) alone for {}: theory knows no threshold that --lr-scaling preserve would keep; another: inverse-delay",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::ScheduleSpec;
    use crate::rule::RuleKind;
    use std::f64::consts::PI;

    #[test]
    fn scalings_by_their_closed_forms() {
        let round_robin = Schedule::round_robin;
        for delay in [0, 1, 4, 31] {
            let tau = f64::from(delay);
            let factor = |scaling: Scaling| {
                super::factor(scaling, &Rule::SGD, &round_robin(delay), &OuterLoop::default(), Reference::Same, None)
                    .unwrap()
            };
            let sgd = 2.0 * (PI / (2.0 * (2.0 * tau + 1.0))).sin() / 2.0;
            assert!((factor(Scaling::Preserve) / sgd - 1.0).abs() < 1e-9, "delay {delay}");
            assert_eq!((factor(Scaling::None), factor(Scaling::InverseDelay)), (1.0, 1.0 / (tau + 1.0)));
        }
        // Heavy-ball with momentum m: 2 (1+m) at delay 0, 1 - m at delay 1; plain SGD has 2 at delay 0.
        let heavy_ball = Rule::new(RuleKind::HeavyBall, 0.9, 0.0);
        let factor = |reference| {
            super::factor(Scaling::Preserve, &heavy_ball, &round_robin(1), &OuterLoop::default(), reference, None)
                .unwrap()
        };
        assert!((factor(Reference::Same) - 0.1 / 3.8).abs() < 1e-9);
        assert!((factor(Reference::Sgd) - 0.1 / 2.0).abs() < 1e-9);
        assert_eq!(
            super::factor(
                Scaling::Preserve,
                &heavy_ball,
                &round_robin(0),
                &OuterLoop::default(),
                Reference::Same,
                None
            )
            .unwrap(),
            1.0
        );
        // Two randomly reporting workers, in mean square without noise: 2 K^2 - K - 2 = 0.
        let random = Schedule::random(2);
        let edge = (1.0 + 17f64.sqrt()) / 4.0;
        assert!((gain(&Rule::SGD, &random, &OuterLoop::default()).unwrap() / edge - 1.0).abs() < 1e-6);
        // With noise of r = 1, where 4 K^2 - 2 = 0, beside 2 / (1 + r) = 1 without delay.
        let noisy =
            super::factor(Scaling::Preserve, &Rule::SGD, &random, &OuterLoop::default(), Reference::Same, Some(1.0))
                .unwrap();
        assert!((noisy / 0.5f64.sqrt() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_theory_does_not_know_is_refused() {
        let normal = "normal".parse::<ScheduleSpec>().unwrap().resolve(3).unwrap();
        let error = super::factor(Scaling::Preserve, &Rule::SGD, &normal, &OuterLoop::default(), Reference::Same, None)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "--lr-scaling preserve: no threshold is known of sgd under normal delays; accepted: none, inverse-delay"
        );
        let adam = Rule::new(RuleKind::Adam, 0.9, 0.0);
        let error = super::factor(
            Scaling::Preserve,
            &adam,
            &Schedule::round_robin(3),
            &OuterLoop::default(),
            Reference::Same,
            None,
        )
        .unwrap_err();
        assert!(error.to_string().contains("of adam:0.999 under round-robin"), "{error}");
    }
}
