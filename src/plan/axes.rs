//! The axes that the grids of a sweep and of a training share: rules with their numbers, delay processes with their delays,
//! and which of them go together.
//!
//! Not here: what is minimised, nor what is measured of it.

use super::{PlanError, refuse};
use crate::config::{Batch, GridArgs, ModelSpec, Momenta};
use crate::delay::{LONGEST, Schedule, ScheduleError, ScheduleSpec};
use crate::outer::{Arrivals, OuterLoop, Overlap};
use crate::problem::Problem;
use crate::rule::{Dampening, Rule, RuleSpec};
use crate::stages::{StageMomentum, Stages};
use crate::text::counted;
use crate::theory::DAMPENINGS;
use serde::Serialize;
use std::collections::HashSet;

/// Entries of one grid at most, which is held in memory.
const MOST: usize = 10_000_000;

/// A delay process and the delay that it was asked for, or stages with delays of their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Delay process; that of the longest delay, where there are stages.
    pub schedule: Schedule,
    /// Updates; none for a process that brings its own delays, and for stages.
    pub delay: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
}

/// Expands rules x momenta x dampenings. Without momenta and dampenings each rule comes in the forms worth comparing.
///
/// # Errors
/// A list that says something twice, or a dampening out of range.
pub fn rules(specs: &[RuleSpec], momenta: &[Momenta], dampenings: &[Dampening]) -> Result<Vec<Rule>, PlanError> {
    let momenta: Vec<f64> = momenta.iter().flat_map(|momenta| momenta.0.clone()).collect();
    once("--rules", specs)?;
    once("--momentum", &momenta)?;
    if dampenings.iter().enumerate().any(|(i, one)| dampenings[..i].contains(one)) {
        refuse!("--dampening: a value is given twice; accepted: each once");
    }
    few(
        "--rules, --momentum, --dampening",
        specs.len() * momenta.len().max(1).saturating_mul(dampenings.len().max(1)),
    )?;
    let (mut rules, mut seen) = (Vec::new(), HashSet::new());
    for spec in specs.iter().copied() {
        let Some(usual) = spec.kind.definition().momentum else {
            rules.push(spec.with(0.0, 0.0));
            continue;
        };
        let usual_momentum = [usual.momentum];
        let momenta = if momenta.is_empty() { &usual_momentum[..] } else { &momenta };
        // A velocity that is an average whatever the dampening is shown as one.
        let has_choice = !dampenings.is_empty() && spec.has_dampening();
        let dampenings = if has_choice { dampenings } else { usual.dampenings };
        for momentum in momenta {
            for dampening in dampenings {
                let dampening = dampening.beside(*momentum);
                let rule = spec.with(*momentum, dampening);
                if !DAMPENINGS.contains(&dampening) {
                    refuse!("--dampening {dampening}: accepted: 0 or more and less than 1, or ema (the momentum)");
                }
                if rule.ignores_gradients() {
                    refuse!(
                        "--dampening {dampening} with --rules {}: it multiplies every gradient by 0, so that the rule never \
                         moves; accepted: 0 or more and less than 1, or ema (the momentum)",
                        rule.name()
                    );
                }
                // ema beside a momentum of 0 says the same as 0.
                if seen.insert((rule.name(), momentum.to_bits(), dampening.to_bits())) {
                    rules.push(rule);
                }
            }
        }
    }
    Ok(rules)
}

/// Puts every --eps, --extrapolate, --clip and --muon-adam-lr around every rule that has such a thing.
///
/// # Errors
/// A number out of range, one that no rule takes, and one beside a rule that has it in its name.
pub fn modified(grid: &GridArgs) -> Result<Vec<RuleSpec>, PlanError> {
    let mut specs = grid.rules.clone();
    let modifiers = [
        ("eps", "eps", &grid.eps),
        ("extrapolate", "extrapolate", &grid.extrapolate),
        ("clip", "clip", &grid.clip),
        ("muon-adam-lr", "adam-lr", &grid.muon_adam_lr),
    ];
    for (flag, name, numbers) in modifiers {
        once(&format!("--{flag}"), numbers)?;
        let takes = |spec: &RuleSpec| {
            let rule = Rule::new(spec.kind, 0.0, 0.0);
            (name != "eps" || rule.has_epsilon()) && (name != "adam-lr" || rule.companion().is_some())
        };
        if let Some(number) = numbers.first()
            && !specs.iter().any(takes)
        {
            let with = if name == "eps" { "adam, adamw, nadam, nadamw" } else { "muon" };
            refuse!("--{flag} {number}: none of the rules has one; accepted: with {with}");
        }
        few("--rules, --eps, --extrapolate, --clip, --muon-adam-lr", specs.len().saturating_mul(numbers.len().max(1)))?;
        let mut expanded = Vec::new();
        for spec in specs {
            if numbers.is_empty() || !takes(&spec) {
                expanded.push(spec);
                continue;
            }
            for number in numbers {
                let text = format!("{spec}+{name}={number}");
                let spec = text
                    .parse()
                    .map_err(|error| PlanError(format!("--{flag} {number} with --rules {spec}: {error}")))?;
                expanded.push(spec);
            }
        }
        specs = expanded;
    }
    Ok(specs)
}

/// Expands delay processes x delays, or stages.
///
/// # Errors
/// A list that says something twice, a delay that is too long, or one that a process cannot have; what does not suit the number
/// of stages.
pub fn settings(grid: &GridArgs) -> Result<Vec<Setting>, PlanError> {
    let GridArgs { delays, schedule: schedules, stage, .. } = grid;
    let all_stages = stage.all_stages()?;
    if !all_stages.is_empty() {
        let setting = |stages: Stages| {
            let schedule = Schedule::round_robin(stages.longest());
            Setting { schedule, delay: None, stages: Some(stages) }
        };
        return Ok(all_stages.into_iter().map(setting).collect());
    }
    let typed = delays.iter().flat_map(|delays| delays.0.iter().map(|delay| u32::try_from(*delay).unwrap_or(u32::MAX)));
    let delays: Vec<u32> = typed.collect();
    if let Some(delay) = delays.iter().find(|delay| **delay > LONGEST) {
        refuse!("--delays: {delay}; accepted: up to {LONGEST} updates (a run stores delay + 1 weight versions)");
    }
    once("--delays", &delays)?;
    few("--delays, --schedule", delays.len().saturating_mul(schedules.len()))?;
    let wrong = |error: ScheduleError| PlanError(error.to_string());
    let mut settings = Vec::new();
    for spec in schedules {
        if spec.takes_delay() {
            for delay in &delays {
                let schedule = spec.resolve(*delay).map_err(wrong)?;
                settings.push(Setting { schedule, delay: Some(*delay), stages: None });
            }
        } else {
            settings.push(Setting { schedule: spec.own().map_err(wrong)?, delay: None, stages: None });
        }
    }
    let names: Vec<String> = schedules.iter().map(ScheduleSpec::to_string).collect();
    once("--schedule", &names)?;
    Ok(settings)
}

/// Whether a rule has a meaning under a delay process.
///
/// # Errors
/// Where it has not.
pub fn suits(rule: &Rule, schedule: &Schedule) -> Result<(), PlanError> {
    let (name, process) = (rule.name(), schedule.name());
    if rule.definition().workers && schedule.workers().is_none() {
        refuse!(
            "--rules {name} with --schedule {process}: the rule keeps something for each worker, and this process has no \
             workers; accepted: --rules without {name}, as --rules sgd,heavy-ball, or --schedule round-robin, random, \
             normal, workers, hybrid"
        );
    }
    Ok(())
}

/// Whether a rule and a delay process have a meaning in an outer loop.
///
/// # Errors
/// Where they have not.
pub fn suits_outer(rule: &Rule, schedule: &Schedule, delay: Option<u32>, outer: &OuterLoop) -> Result<(), PlanError> {
    if outer.is_plain() {
        return Ok(());
    }
    let name = rule.name();
    if rule.wants_finish() {
        refuse!(
            "--rules {name}: it changes each gradient by itself, of which an update of an outer loop has several; accepted: \
             without {name}, or without --local-steps, --replicas, --fresh-share, --arrivals"
        );
    }
    if rule.companion().is_some() {
        refuse!(
            "--rules {name}: it moves matrices as wholes, which an outer loop's update does not; accepted: without {name}, or \
             without --local-steps, --replicas, --fresh-share, --arrivals, --overlap"
        );
    }
    if let Some(Overlap { steps, .. }) = outer.overlap {
        if delay != Some(0) || schedule.slots() != 1 {
            let process =
                delay.map_or_else(|| format!("--schedule {}", schedule.name()), |delay| format!("--delays {delay}"));
            refuse!("--overlap {steps} with {process}: the overlap is the delay; accepted: --delays 0");
        }
        if rule.reads_ahead() {
            refuse!(
                "--overlap {steps} with --rules {name}: it reads other weights than the server's, which a round that goes on \
                 does not; accepted: sgd, heavy-ball, nesterov"
            );
        }
    }
    if outer.arrivals != Arrivals::Mean && schedule.workers().is_none() {
        refuse!(
            "--arrivals {} with --schedule {}: this process has no workers; accepted: --schedule round-robin, random, normal, \
             workers, or --arrivals mean",
            outer.arrivals,
            schedule.name()
        );
    }
    Ok(())
}

/// Whether a rule and an outer loop have a meaning in a pipeline.
///
/// # Errors
/// Where they have not.
pub fn suits_stages(rule: &Rule, outer: &OuterLoop, stages: Option<&Stages>) -> Result<(), PlanError> {
    let Some(stages) = stages else { return Ok(()) };
    let (name, count) = (rule.name(), stages.count());
    if !outer.is_plain() {
        refuse!(
            "--stages {count}{}: a worker of an outer loop has all parameters; accepted: --stages without --local-steps, \
             --replicas, --fresh-share, --overlap, --arrivals",
            outer.name().replace(", ", " with ")
        );
    }
    if stages.momentum != StageMomentum::Same && rule.definition().momentum.is_none() {
        refuse!(
            "--stage-momentum {} with --rules {name}: it has no momentum; accepted: without {name}, or --stage-momentum none",
            stages.momentum
        );
    }
    if rule.companion().is_some() {
        refuse!(
            "--rules {name} with --stages {count}: it has updates of its own for each hidden matrix; accepted: without {name}"
        );
    }
    if rule.counts() {
        refuse!("--rules {name} with --stages {count}: it drops or collects gradients; accepted: without {name}");
    }
    Ok(())
}

/// Whether a rule has something to move in a problem.
///
/// # Errors
/// Where it moves hidden matrices and there are none.
pub fn suits_problem(rule: &Rule, model: &ModelSpec, problem: &Problem) -> Result<(), PlanError> {
    let name = rule.name();
    if rule.companion().is_some() && problem.hidden_matrices().is_empty() {
        refuse!(
            "--rules {name} with --model {model}: it has no hidden matrix, for the first and the last are AdamW's; accepted: \
             --rules adamw, or a model with three layers of weights or more, as mlp:16-16"
        );
    }
    Ok(())
}

/// Rows of an update's gradient, where they are not all.
pub fn rows(batch: Batch, schedule: &Schedule) -> Option<usize> {
    batch.size().map(|size| size.saturating_mul(schedule.group() as usize))
}

/// Whether an update's gradient can be taken of so many samples.
///
/// # Errors
/// Where it has more rows than that.
pub fn fits(batch: Batch, schedule: &Schedule, samples: usize) -> Result<(), PlanError> {
    if let Some((size, rows)) = batch.size().zip(rows(batch, schedule))
        && rows > samples
    {
        let of = if rows == size { String::new() } else { format!(" ({rows} in one update of {})", schedule.name()) };
        refuse!("--batch {size}{of}: more than the {}; accepted: 1 to {samples}, or full", counted(samples, "sample"));
    }
    Ok(())
}

/// Refuses a list that says something twice.
pub fn once<T: std::fmt::Display>(flag: &str, items: &[T]) -> Result<(), PlanError> {
    match first_repeated(items) {
        Some(item) => refuse!("{flag}: {item} is given twice; accepted: each once"),
        None => Ok(()),
    }
}

/// The first item whose text an earlier one has.
pub fn first_repeated<T: std::fmt::Display>(items: &[T]) -> Option<&T> {
    let mut seen = HashSet::new();
    items.iter().find(|item| !seen.insert(item.to_string()))
}

/// Refuses a product that is too large to expand.
pub fn few(flags: &str, entries: usize) -> Result<(), PlanError> {
    if entries > MOST {
        refuse!("{flags}: {entries} cells; accepted: up to {MOST}");
    }
    Ok(())
}
