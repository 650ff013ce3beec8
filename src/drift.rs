//! The effective learning rate: how far a constant gradient moves the weights for each gradient that arrives, in units of
//! that gradient.
//!
//! *What it is:* `N(1) / D'(1)` of the rule's characteristic equation where it has one under the delays, the same from its
//! coefficients where they are always the same, and else the drift of the update itself under a gradient that is always 1. Sgd has 1 per unit of learning rate, heavy-ball `(1-d)/(1-m)`,
//! nesterov `(1-d)/(1-m) + d`. Rules whose drift depends on the size of the gradient have none. *What it is not:* a measure of
//! how fast a training is, nor where it is stable ([`crate::theory`]).

use crate::delay::{Process, Schedule};
use crate::kernels::step::{self, Landmarks, State};
use crate::rule::Rule;
use crate::rule::steps::StepSource;
use crate::stages::Stages;

/// Steps that a drift is averaged over at least: where delays are always the same or recorded, and where they are drawn.
const PERIODIC_STEPS: u64 = 1 << 15;
const DRAWN_STEPS: u64 = 1 << 18;

/// Steps before those at least, in which averages with the longest memory (0.999) forget how they began.
const WARM_UP: u64 = 1 << 15;

/// Steps before those at most, for long memories of momentum; velocities begin near where they end.
const MOST_WARM_UP: u64 = 1 << 22;

/// Effective learning rate per unit of learning rate. None where the drift depends on the size of the gradient. Where there
/// is no equation and delays are drawn, it is a mean over the draws of `seed`, good to about half a percent.
pub fn effective_factor(rule: &Rule, schedule: &Schedule, seed: u64) -> Option<f64> {
    if !rule.is_homogeneous() {
        return None;
    }
    let by_equation = || Some(rule.equation(&schedule.theory()?)?.effective_factor());
    let known = rule.constant_factor().or_else(by_equation);
    let factor = known.unwrap_or_else(|| simulated_factor(rule, schedule, seed));
    (factor.is_normal() && factor > 0.0).then_some(factor)
}

/// The same in a pipeline: the mean over its stages.
pub fn factor_of_stages(rule: &Rule, stages: &Stages) -> Option<f64> {
    let of_stage = |stage: usize| {
        let schedule = Schedule::round_robin(stages.delays[stage]);
        Some(effective_factor(&stages.rule(rule, stage), &schedule, 0)? * stages.lr_factor(stage))
    };
    let factors: Option<Vec<f64>> = (0..stages.count()).map(of_stage).collect();
    Some(factors?.iter().sum::<f64>() / stages.count() as f64)
}

/// The drift of the update's own arithmetic, in f64, under a gradient of 1 and a learning rate of 1. A constant gradient has
/// no curvature, so that [`crate::kernels::finish`] has nothing to add for a rule that is homogeneous.
pub fn simulated_factor(rule: &Rule, schedule: &Schedule, seed: u64) -> f64 {
    let slots = schedule.slots() as usize;
    let velocities = if rule.definition().slot_velocity { slots } else { 1 };
    let seconds = if rule.has_slot_second_moment() { slots } else { usize::from(rule.has_second_moment()) };
    let mut state = State::at_rest(&[0.0], slots, velocities, seconds);
    // Where a velocity of heavy-ball ends, so that long memories need no long warm-up.
    let (momentum, dampening) = (rule.momentum, rule.dampening);
    if momentum > 0.0 {
        state.velocity.iter_mut().for_each(|v| *v = (1.0 - dampening) / (1.0 - momentum));
    }
    let landmarks = Landmarks { minimum: &[0.0], direction: &[1.0], curvature: &[] };
    let mut source = StepSource::new(*rule, 1.0.into(), schedule, seed, 0.0, false);
    let mut moved = || {
        let step = source.advance();
        let before = state.server[0];
        step::cpu(&step.coefficients, step.slots, 0..1, &[1.0], landmarks, &mut state);
        before - state.server[0]
    };
    let slots = slots as u64;
    let memory = (40.0 * slots as f64 / (1.0 - momentum)) as u64;
    for _ in 0..memory.clamp(WARM_UP, MOST_WARM_UP).max(4 * slots) {
        moved();
    }
    let recorded = match schedule.process() {
        Process::Trace(trace) => trace.delays().len() as u64,
        _ => 0,
    };
    let least = if schedule.is_random() { DRAWN_STEPS } else { PERIODIC_STEPS };
    let steps = least.max(8 * slots).max(4 * recorded);
    // A window that rises and falls smoothly averages over a period without having to know it.
    let (mut sum, mut weights) = (0.0, 0.0);
    for at in 0..steps {
        let weight = (std::f64::consts::PI * (at as f64 + 0.5) / steps as f64).sin().powi(2);
        sum += weight * moved();
        weights += weight;
    }
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::ScheduleSpec;
    use crate::rule::RuleKind;
    use strum::IntoEnumIterator;

    fn schedule(text: &str, delay: u32) -> Schedule {
        let spec: ScheduleSpec = text.parse().unwrap();
        if spec.takes_delay() { spec.resolve(delay).unwrap() } else { spec.own().unwrap() }
    }

    /// Rules with an effective learning rate, with and without momentum and dampening where they have them.
    fn rules() -> Vec<Rule> {
        let forms = [(0.0, 0.0), (0.9, 0.0), (0.9, 0.9), (0.6, 0.3)];
        let all = RuleKind::iter().flat_map(|kind| {
            let momentum = kind.definition().momentum.is_some();
            forms.into_iter().take(if momentum { 4 } else { 1 }).map(move |(m, d)| Rule::new(kind, m, d))
        });
        all.filter(Rule::is_homogeneous).collect()
    }

    #[test]
    fn every_equation_has_the_drift_of_its_update_at_fixed_delays() {
        let mut with_equation = 0;
        for rule in rules() {
            for delay in [0, 3, 8] {
                let schedule = schedule("round-robin", delay);
                let Some(equation) = rule.equation(&schedule.theory().unwrap()) else { continue };
                let (by_equation, drift) = (equation.effective_factor(), simulated_factor(&rule, &schedule, 0));
                let constant = rule.constant_factor().unwrap_or(by_equation);
                for factor in [by_equation, constant] {
                    assert!((factor / drift - 1.0).abs() < 1e-8, "{rule:?} at {delay}: {factor}, drift {drift}");
                }
                with_equation += 1;
            }
        }
        assert!(with_equation > 60, "{with_equation}");
    }

    #[test]
    fn every_equation_has_the_drift_of_its_update_at_random_delays() {
        for process in ["random", "iid:geometric", "iid:uniform:1..=5"] {
            let schedule = schedule(process, 3);
            for rule in rules().into_iter().filter(|rule| rule.momentum == 0.0) {
                let Some(equation) = rule.equation(&schedule.theory().unwrap()) else { continue };
                let (by_equation, drift) = (equation.effective_factor(), simulated_factor(&rule, &schedule, 1));
                assert!((by_equation / drift - 1.0).abs() < 0.01, "{rule:?}, {process}: {by_equation}, drift {drift}");
            }
        }
    }

    #[test]
    fn rules_without_an_equation_drift_as_worked_by_hand() {
        let factor = |rule: Rule, delay: u32| effective_factor(&rule, &schedule("round-robin", delay), 0).unwrap();
        let close = |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 1e-8, "{value}, {expected}");
        for delay in [0, 3, 8] {
            let tau = f64::from(delay);
            // A step s makes the weights move by tau s while a gradient is on its way: s (1 + tau s) = 1.
            let gap_aware = if delay == 0 { 1.0 } else { ((1.0 + 4.0 * tau).sqrt() - 1.0) / (2.0 * tau) };
            close(factor(Rule::new(RuleKind::GapAware, 0.0, 0.0), delay), gap_aware);
            // Every gradient counts as in heavy-ball, whenever it comes.
            close(factor(Rule::new(RuleKind::OrMo, 0.9, 0.0), delay), 10.0);
            close(factor(Rule::new(RuleKind::OrMo, 0.6, 0.3), delay), 0.7 / 0.4);
            // What compensates for curvature has nothing to do where there is none.
            close(factor(Rule { number: Some(0.5), ..Rule::new(RuleKind::DcAsgdExact, 0.9, 0.9) }, delay), 1.0);
        }
        close(factor(Rule::new(RuleKind::Nesterov, 0.9, 0.0), 3), 10.0);
        close(factor(Rule::new(RuleKind::Nesterov, 0.9, 0.9), 3), 1.9);
        // Nine workers in turn and R = 4: the ages of four are below 4 in every round that has four updates.
        let dropping = factor(Rule::new(RuleKind::Ringmaster, 0.0, 0.0), 8);
        close(dropping, 4.0 / 9.0);
    }

    #[test]
    fn rules_whose_drift_depends_on_the_gradient_have_no_effective_learning_rate() {
        let none: Vec<&str> = RuleKind::iter()
            .filter(|kind| effective_factor(&Rule::new(*kind, 0.0, 0.0), &schedule("round-robin", 3), 0).is_none())
            .map(|kind| kind.definition().name)
            .collect();
        assert_eq!(
            none,
            [
                "mixing-adam",
                "mixing-adamw",
                "dc-asgd",
                "dc-asgd-adaptive",
                "clipped",
                "adam",
                "adamw",
                "nadam",
                "nadamw",
                "lion",
                "signum",
                "muon"
            ]
        );
        let uncompensated = Rule { number: Some(0.0), ..Rule::new(RuleKind::DcAsgd, 0.9, 0.0) };
        assert_eq!(effective_factor(&uncompensated, &schedule("round-robin", 3), 0).map(f64::round), Some(10.0));
    }
}
