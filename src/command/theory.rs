//! `tauscope theory`: closed-form stability thresholds as CSV or a table, and as a picture.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};

use super::shown::{self, Worth};
use crate::config::{Delays, Momenta, non_negative};
use crate::delay::ScheduleSpec;
use crate::files::write_whole;
use crate::outer::OuterLoop;
use crate::plot::{self, Theme};
use crate::rule::{self, Dampening, Rule, RuleSpec};
use crate::stages::{StageDelays, StageEnergies, rank_one};
use crate::streams::to_stderr;
use crate::table::{self, TheoryRow};
use crate::theory::outer::Round;
use crate::theory::{Criterion, DelayLaw, Equation, TheoryError, threshold};

/// Print closed-form stability thresholds: as CSV, on a terminal as a table. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "sgd,heavy-ball,shifted", help = rules_help())]
    pub rules: Vec<RuleSpec>,
    /// Delays, in updates: numbers, 0..10, 0..=10, logspace:FIRST:LAST:COUNT [default: 0,1,2,4,8,16,32]
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true)]
    pub delays: Vec<Delays>,
    /// Momenta of the rules that have one: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, default_value = "0.9")]
    pub momentum: Vec<Momenta>,
    /// Dampenings of the rules with momentum: numbers, or 'ema' (equal to the momentum)
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, default_value = "0")]
    pub dampening: Vec<Dampening>,
    /// Also thresholds in mean square, for gradient noise of these variances relative to the curvature squared
    #[arg(long, value_delimiter = ',', num_args = 1, allow_negative_numbers = true, value_parser = non_negative)]
    pub relative_variance: Vec<f64>,
    #[arg(long, value_delimiter = ',', num_args = 1, default_value = "round-robin", help = schedule_help())]
    pub schedule: Vec<ScheduleSpec>,
    /// Share F, from 0 to 1, of an applied gradient that is taken at the newest weights: F g(x_t) + (1-F) g(x_(t-delay)), F = 1/M for
    /// eager updates of M replicas
    #[arg(long, value_name = "F", value_delimiter = ',', num_args = 1, allow_negative_numbers = true, value_parser = share, default_value = "0")]
    pub fresh_share: Vec<f64>,
    /// Pipelines of so many stages, each with a delay of its own, instead of --delays: the estimate for a Hessian with one large
    /// eigenvalue
    #[arg(long, value_name = "STAGES", value_delimiter = ',', num_args = 1, conflicts_with_all = ["delays", "schedule", "local_steps", "fresh_share", "relative_variance", "svg"], value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub stages: Vec<u16>,
    /// How many updates late each stage is, counted from the first: pipedream (P-1-i), 2bw (1), spread:D (floor((P-1-i) D / (P-1))), or
    /// numbers as 3/2/1/0
    #[arg(
        long,
        value_name = "DELAYS",
        value_delimiter = ',',
        num_args = 1,
        requires = "stages",
        default_value = "pipedream"
    )]
    pub stage_delays: Vec<StageDelays>,
    /// Share of each stage in the square of the top eigenvector: equal, or numbers as .5/.3/.2, which sum to 1
    #[arg(long, value_name = "SHARES", requires = "stages", default_value = "equal")]
    pub stage_energies: StageEnergies,
    /// Local steps H (sync_every, inner steps) of a round: the rules are then outer rules, and delays count rounds
    #[arg(long, value_name = "STEPS", value_delimiter = ',', num_args = 1, requires = "local_gain", conflicts_with = "svg", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub local_steps: Vec<u64>,
    /// Local learning rates x curvature, between 0 and 2
    #[arg(long, value_name = "GAIN", value_delimiter = ',', num_args = 1, requires = "local_steps", allow_negative_numbers = true, value_parser = local_gain)]
    pub local_gain: Vec<f64>,
    /// Local steps V, fewer than --local-steps, that the result of a round comes late, at --delays 0
    #[arg(long, value_name = "STEPS", value_delimiter = ',', num_args = 1, requires = "local_steps")]
    pub overlap: Vec<u64>,
    /// Share A that the local weights keep of themselves when that result comes [default: 0]
    #[arg(long, value_name = "A", value_delimiter = ',', num_args = 1, requires = "overlap", allow_negative_numbers = true, value_parser = below_one)]
    pub overlap_weight: Vec<f64>,
    /// What decoupled weight decay (adamw, nadamw) takes off the weights at every update: learning rate x weight decay
    #[arg(long, value_name = "LR*DECAY", value_delimiter = ',', num_args = 1, conflicts_with_all = ["stages", "local_steps"], allow_negative_numbers = true, value_parser = below_one)]
    pub decoupled_decay: Vec<f64>,
    /// Also draw the thresholds against the delay and against the momentum into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Ground of that picture
    #[arg(long, value_name = "THEME", value_enum, default_value_t, requires = "svg")]
    pub theme: Theme,
    /// Columns to print, as `tauscope columns theory` lists them [default: all, of which a terminal shows those that fit]
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1)]
    pub columns: Vec<String>,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number.filter(|share: &f64| (0.0..=1.0).contains(share)).ok_or_else(|| "accepted: 0 to 1".to_owned())
}

fn below_one(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number.filter(|share: &f64| (0.0..1.0).contains(share)).ok_or_else(|| "accepted: 0 and more, below 1".to_owned())
}

fn local_gain(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok();
    number
        .filter(|gain: &f64| *gain > 0.0 && *gain < 2.0)
        .ok_or_else(|| "accepted: numbers between 0 and 2, beyond which the local steps themselves diverge".to_owned())
}

fn schedule_help() -> String {
    format!(
        "Delay processes, as in `tauscope sweep`, as far as the theory knows their delays\n{}",
        ScheduleSpec::help()
    )
}

fn rules_help() -> String {
    format!(
        "Update rules, those with a number as NAME or NAME:NUMBER: {}. Of adam, adamw, nadam and nadamw with a frozen second moment: \
         gains are learning rates x the largest eigenvalue of the preconditioned Hessian, the momentum is beta1",
        rule::names_with_equation().join(", ")
    )
}

/// Writes the table to stdout, and the picture where one is asked for.
///
/// # Errors
/// A combination of values that has no threshold, or a file that cannot be written.
pub fn run(args: &Args) -> Result<()> {
    shown::check(&columns(), &args.columns)?;
    let rows = thresholds(args)?;
    if let Some(path) = &args.svg {
        let text = plot::theory(&rows, args.theme).context("--svg")?;
        write_whole(path, text.as_bytes()).with_context(|| format!("--svg {}: cannot be written", path.display()))?;
    }
    if rules(args).iter().any(Rule::is_preconditioned) {
        to_stderr(FROZEN);
    }
    shown::print(&rows, columns(), &args.columns)
}

/// The columns of thresholds on a terminal.
fn columns() -> Vec<shown::Column<TheoryRow>> {
    shown::of_file(|name| match name {
        "rule" => Worth::Needed,
        "threshold_gain" | "effective_gain" | "threshold_outer_gain" | "threshold_lr" => Worth::Result,
        "coverage" | "crossing_angle" => Worth::Detail,
        _ => Worth::Setting,
    })
}

/// What thresholds of rules of Adam's kind assume.
const FROZEN: &str = "note: of rules of Adam's kind the gain is learning rate x preconditioned sharpness, as if the second moment stood still; a \
                      training's moves, and with it which learning rate is stable.";

/// Every combination, one row each: rules, then momenta, dampenings, delay processes and criteria.
fn thresholds(args: &Args) -> Result<Vec<TheoryRow>> {
    if !args.stages.is_empty() {
        return of_stages(args);
    }
    let laws = laws(args)?;
    let mut rows = vec![];
    let (rules, rounds) = (rules(args), rounds(args)?);
    if !args.decoupled_decay.is_empty() && !rules.iter().any(Rule::has_decoupled_decay) {
        return Err(anyhow!("--decoupled-decay: no rule has one; accepted: with --rules adamw or nadamw"));
    }
    for rule in &rules {
        let shrinks = if rule.has_decoupled_decay() && !args.decoupled_decay.is_empty() {
            args.decoupled_decay.iter().copied().map(Some).collect()
        } else {
            vec![None]
        };
        let shrinks = &shrinks;
        for ((schedule, delay, law), fresh_share, shrink) in laws.iter().flat_map(|law| {
            args.fresh_share.iter().flat_map(move |share| shrinks.iter().map(move |shrink| (law, *share, *shrink)))
        }) {
            let known = rule.known_equation(law).map_err(|error| blame(rule, &rules, error))?;
            let outer = OuterLoop { fresh_share, ..OuterLoop::default() };
            let equation = Equation { shrink: shrink.unwrap_or(0.0), ..known };
            let equation = outer.with_fresh_share(equation, law).ok_or_else(|| {
                let rule = rule.name();
                anyhow!(
                    "--fresh-share {fresh_share} with --rules {rule} and --schedule {schedule}: no theory is known; accepted: \
                     --schedule round-robin, and rules whose gradients are all as late as the delay"
                )
            })?;
            for criterion in criteria(args, law) {
                let found = threshold(&equation, criterion).and_then(|found| {
                    TheoryError::in_range(found.gain)?;
                    let effective = effective_factor(rule, &equation).map(|factor| found.gain * factor);
                    effective.map(TheoryError::in_range).transpose().map(|effective| (found, effective))
                });
                let (found, effective_gain) = found.map_err(|error| blame(rule, &rules, error))?;
                let row = TheoryRow {
                    rule: rule.name(),
                    momentum: rule.momentum,
                    dampening: rule.dampening,
                    delay: Some(*delay),
                    schedule: schedule.clone(),
                    criterion: criterion.name(),
                    relative_variance: match criterion {
                        Criterion::Mean => 0.0,
                        Criterion::MeanSquare { relative_variance } => relative_variance,
                    },
                    threshold_gain: found.gain,
                    effective_gain,
                    crossing_angle: found.angle,
                    fresh_share: Some(fresh_share).filter(|share| *share > 0.0),
                    stages: None,
                    stage_delays: None,
                    stage_energies: None,
                    local_steps: None,
                    local_gain: None,
                    overlap: None,
                    overlap_weight: None,
                    coverage: None,
                    threshold_outer_gain: None,
                    threshold_lr: None,
                    decoupled_decay: shrink,
                };
                if rounds.is_empty() {
                    rows.push(row.clone());
                }
                for (round, local_gain) in &rounds {
                    let limit = round.limit(&equation, criterion, *local_gain);
                    let limit = limit.map_err(|error| blame(rule, &rules, error))?;
                    let coverage = round.coverage(*local_gain)?;
                    let is_late = round.overlap > 0;
                    rows.push(TheoryRow {
                        local_steps: Some(round.steps),
                        local_gain: Some(*local_gain),
                        overlap: is_late.then_some(round.overlap),
                        overlap_weight: is_late.then_some(round.weight),
                        coverage: Some(coverage),
                        threshold_outer_gain: Some(limit * coverage),
                        threshold_lr: Some(limit),
                        ..row.clone()
                    });
                }
            }
        }
    }
    Ok(rows)
}

/// Every rule at every number of stages and every form of their delays.
fn of_stages(args: &Args) -> Result<Vec<TheoryRow>> {
    let rules = rules(args);
    let mut rows = Vec::new();
    for rule in &rules {
        rule.known_equation(&DelayLaw::Fixed(0)).map_err(|error| blame(rule, &rules, error))?;
        for stages in args.stages.iter().map(|stages| usize::from(*stages)) {
            let energies = args.stage_energies.of(stages).map_err(|why| anyhow!("--stage-energies {why}"))?;
            for form in &args.stage_delays {
                let delays = form.of(stages).map_err(|why| anyhow!("--stage-delays {why}"))?;
                let equation = rank_one(rule, &delays, &energies).ok_or_else(|| {
                    let others = others(rule, &rules);
                    let accepted = if others.is_empty() { "sgd,heavy-ball,nesterov" } else { &others };
                    anyhow!("--rules {} with --stages: no theory is known; accepted: {accepted}", rule.name())
                })?;
                let found = threshold(&equation, Criterion::Mean).map_err(|error| blame(rule, &rules, error))?;
                let effective = effective_factor(rule, &equation).map(|factor| found.gain * factor);
                rows.push(TheoryRow {
                    rule: rule.name(),
                    momentum: rule.momentum,
                    dampening: rule.dampening,
                    delay: None,
                    schedule: "round-robin".into(),
                    criterion: Criterion::Mean.name(),
                    relative_variance: 0.0,
                    threshold_gain: found.gain,
                    effective_gain: effective,
                    crossing_angle: found.angle,
                    fresh_share: None,
                    stages: Some(stages),
                    stage_delays: Some(form.to_string()),
                    stage_energies: Some(args.stage_energies.to_string()),
                    local_steps: None,
                    local_gain: None,
                    overlap: None,
                    overlap_weight: None,
                    coverage: None,
                    threshold_outer_gain: None,
                    threshold_lr: None,
                    decoupled_decay: None,
                });
            }
        }
    }
    Ok(rows)
}

/// How far a constant gradient moves the weights per unit of learning rate; with a frozen second moment, a preconditioned one.
fn effective_factor(rule: &Rule, equation: &Equation) -> Option<f64> {
    if rule.is_preconditioned() { Some(equation.effective_factor()) } else { rule.effective_factor(equation) }
}

/// Local steps with their gains; none where workers send gradients.
fn rounds(args: &Args) -> Result<Vec<(Round, f64)>> {
    let or = |values: &[f64]| if values.is_empty() { vec![0.0] } else { values.to_vec() };
    let overlaps = if args.overlap.is_empty() { vec![0] } else { args.overlap.clone() };
    let mut rounds = Vec::new();
    for steps in &args.local_steps {
        for gain in &args.local_gain {
            for overlap in &overlaps {
                if overlap >= steps && *overlap > 0 {
                    return Err(anyhow!(
                        "--overlap {overlap}: not before the {steps} local steps of a round are over; accepted: below --local-steps"
                    ));
                }
                for weight in or(&args.overlap_weight) {
                    let weight = if *overlap == 0 { 0.0 } else { weight };
                    let round = (Round { steps: *steps, overlap: *overlap, weight }, *gain);
                    if !rounds.contains(&round) {
                        rounds.push(round);
                    }
                }
            }
        }
    }
    Ok(rounds)
}

/// Names the flag behind a theory error; the flags' own parsers have caught the values that are wrong by themselves.
fn blame(rule: &Rule, rules: &[Rule], error: TheoryError) -> anyhow::Error {
    match error {
        TheoryError::NoGradient => anyhow!("--dampening {} with {}: {error}", rule.dampening, rule.name()),
        TheoryError::NoEquation(_) => {
            let known = rule::names_with_equation().join(", ");
            anyhow!("--rules {error}; accepted: {known}")
        }
        TheoryError::Unsupported(_) if !others(rule, rules).is_empty() => {
            anyhow!("--rules {}: {error}, or --rules without it: {}", rule.name(), others(rule, rules))
        }
        _ => anyhow!("--rules {}: {error}", rule.name()),
    }
}

/// The other rules, as they would be typed.
fn others(rule: &Rule, rules: &[Rule]) -> String {
    let names = rules.iter().filter(|other| other.kind != rule.kind).map(Rule::name);
    table::distinct(names).join(",")
}

fn rules(args: &Args) -> Vec<Rule> {
    let mut rules: Vec<Rule> = vec![];
    for spec in args.rules.iter().copied() {
        let has_momentum = spec.kind.definition().momentum.is_some();
        for momentum in args.momentum.iter().flat_map(|m| &m.0) {
            for dampening in &args.dampening {
                let rule = match has_momentum {
                    // Their velocity is an average whatever the dampening.
                    true if spec.with(0.0, 0.0).is_preconditioned() => spec.with(*momentum, *momentum),
                    true => spec.with(*momentum, dampening.beside(*momentum)),
                    false => spec.with(0.0, 0.0),
                };
                // Rules without momentum, and ema beside its own value, repeat themselves.
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

/// Every delay process at every delay, or once where it brings its own delays; with the delay that was asked for, or the mean.
///
/// # Errors
/// A delay that the process cannot have, or a process that the theory does not know.
fn laws(args: &Args) -> Result<Vec<(String, f64, DelayLaw)>> {
    if !args.delays.is_empty() && !args.schedule.iter().any(ScheduleSpec::takes_delay) {
        let names: Vec<String> = args.schedule.iter().map(ToString::to_string).collect();
        return Err(anyhow!(
            "--delays beside --schedule {}: it brings its own delays; accepted: without --delays",
            names.join(",")
        ));
    }
    let default = vec![Delays(vec![0, 1, 2, 4, 8, 16, 32])];
    let delays = if args.delays.is_empty() { &default } else { &args.delays };
    let mut laws = vec![];
    for schedule in &args.schedule {
        let mut push = |delay: Option<usize>| -> Result<()> {
            let law = schedule.law(delay)?;
            // A law with a tail is cut somewhere, and its mean falls short of what was asked for.
            laws.push((schedule.to_string(), delay.map_or_else(|| law.mean_delay(), |delay| delay as f64), law));
            Ok(())
        };
        if schedule.takes_delay() {
            delays.iter().flat_map(|delays| &delays.0).try_for_each(|delay| push(Some(*delay)))?;
        } else {
            push(None)?;
        }
    }
    Ok(laws)
}

/// The mean, and the mean square at each variance; a random delay is noise by itself, so it has a mean square without
/// any other.
fn criteria(args: &Args, law: &DelayLaw) -> Vec<Criterion> {
    let mut variances = args.relative_variance.clone();
    if !law.is_fixed() && variances.is_empty() {
        variances.push(0.0);
    }
    let squares = variances.into_iter().map(|relative_variance| Criterion::MeanSquare { relative_variance });
    std::iter::once(Criterion::Mean).chain(squares).collect()
}
