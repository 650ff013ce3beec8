//! `tauscope train --dry-run`: what a plan would train, and what that would take. Writes nothing.

use super::{BatchReport, Kind, TIMED, is_hardware, sorted};
use crate::command::to_stdout;
use crate::config::{JobArgs, Shard};
use crate::engine::{Engine, EngineInfo, Needs, WaveSpec};
use crate::plan::{Group, TrainPlan};
use crate::session::progress::duration;
use crate::session::{ChosenEngine, choose};
use crate::stages::Stages;
use crate::table::number::significant;
use crate::train::Training;
use anyhow::{Error, Result};
use comfy_table::{Table, presets};
use indicatif::HumanCount;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Groups, and batches of runs, that a person is shown.
const SHOWN: (usize, usize) = (20, 5);

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan_hash: String,
    plan: &'a TrainPlan,
    engine: &'a EngineInfo,
    engine_choice: &'a str,
    parameters: usize,
    samples: usize,
    test_samples: usize,
    /// The axes of the samples.
    #[serde(skip)]
    axes: String,
    groups: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
    /// Those in the shard alone, where there is one.
    runs: usize,
    runs_of_plan: usize,
    /// If none diverges.
    config_steps: u64,
    /// Without lambda_max.
    seconds: f64,
    batches: Vec<BatchReport>,
    table: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    group_id: String,
    #[serde(flatten)]
    group: &'a Group,
}

/// Prints a plan and what it would take.
///
/// # Errors
/// An engine that cannot be had, data that cannot be loaded, a plan that does not fit the device.
pub fn run(plan: TrainPlan, job: &JobArgs) -> Result<()> {
    let shard = job.shard().map_err(Error::msg)?;
    let training = Training::new(plan)?;
    let plan = &training.plan;
    let ChosenEngine { engine, why } = choose(&plan.engine)?;
    let mut mine = training.all();
    mine.retain(|run| shard.is_none_or(|shard| shard.holds(&training.run_id(*run))));
    let kinds = training.groups(&*engine, &mine)?;
    let time = TIMED / kinds.len().max(1) as u32;
    let mut batches = Vec::new();
    for (spec, runs) in kinds {
        let kind = kind(&training, &*engine, spec, &runs)?;
        batches.push(BatchReport::measure(&*engine, plan.engine.precision, kind, time)?);
    }
    let shown = if job.json { usize::MAX } else { SHOWN.0 };
    let network = training.network();
    let report = Report {
        plan_hash: plan.hash(),
        plan,
        engine: engine.info(),
        engine_choice: &why,
        parameters: network.dimension(),
        samples: network.data.samples(),
        test_samples: network.test.as_ref().map_or(0, |test| test.samples()),
        axes: network.data.describe(),
        groups: plan.groups.len(),
        shard,
        runs: mine.len(),
        runs_of_plan: training.runs.len(),
        config_steps: training.config_steps(&mine),
        seconds: batches.iter().map(|batch| batch.seconds).sum(),
        batches,
        table: plan.groups.iter().take(shown).map(|group| Line { group_id: plan.group_id(group), group }).collect(),
    };
    if job.json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report)?)
}

/// Runs that can share a batch. Those timed are one of each rule, with the fewest slots: a ring's length costs memory, hardly
/// time.
fn kind(training: &Training, engine: &dyn Engine, spec: WaveSpec, runs: &[usize]) -> Result<Kind> {
    let mut shortest: BTreeMap<String, usize> = BTreeMap::new();
    let slots = |run: usize| training.group(run).schedule.slots();
    for run in runs {
        let known = shortest.entry(training.group(*run).rule.name()).or_insert(*run);
        if slots(*run) < slots(*known) {
            *known = *run;
        }
    }
    let (epochs, every) = (training.plan.options.epochs, training.plan.options.evaluate_every);
    let pace = training.pace(spec.batch, spec.needs.work);
    let steps = (pace.updates(epochs) * spec.needs.work.gradients as u64) as f64;
    let lanes = engine.capacity(&spec)?;
    Ok(Kind {
        runs: runs.len(),
        needs: sorted(runs.iter().map(|run| training.needs(*run)).collect()),
        timed: (
            shortest.values().map(|run| training.run(*run)).collect(),
            shortest.values().map(|run| training.needs(*run)).fold(Needs::default(), Needs::and),
        ),
        config_steps: runs.len() as f64 * steps,
        // An adapter that is not full takes as long as one that is.
        longest: if is_hardware(engine.info()) { (runs.len().div_ceil(lanes) * lanes) as f64 * steps } else { 0.0 },
        evaluations: runs.len() as f64 * (1 + epochs.div_ceil(every)) as f64,
        has_checkpoints: true,
        spec: WaveSpec { lanes, ..spec },
    })
}

/// The report as a person reads it.
fn text(report: &Report) -> Result<String> {
    let Report { plan, engine, parameters, samples, test_samples, groups, runs, .. } = report;
    let (problem, options) = (&plan.problem, &plan.options);
    let mut text = format!(
        "plan     {}\nproblem  {parameters} parameters of {} on {samples} samples of {}, {test_samples} test samples, {}, \
         weight decay {}, {}\n",
        report.plan_hash, problem.model, problem.data, problem.loss, problem.weight_decay, report.axes
    );
    writeln!(text, "engine   {} {} on {} ({})", engine.engine, engine.precision, engine.adapter, report.engine_choice)?;
    if let Some(told) = plan.told_of_scaling() {
        writeln!(text, "scaling  {told}")?;
    }
    report.batches.iter().take(SHOWN.1).for_each(|batch| text += &batch.text());
    if report.batches.len() > SHOWN.1 {
        writeln!(text, "         and {} more kinds of batches", report.batches.len() - SHOWN.1)?;
    }
    let part = report.shard.map_or(String::new(), |shard| format!(" of {}, shard {shard},", report.runs_of_plan));
    let (seeds, epochs, steps) = (plan.seeds.len(), options.epochs, HumanCount(report.config_steps));
    writeln!(
        text,
        "runs     {runs}{part} of {groups} groups and {seeds} seeds, {epochs} epochs each, {steps} steps in all\n\
         time     about {}, an estimate from the speed just now; lambda_max, where asked for, comes on top\n",
        duration(report.seconds)
    )?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    let outer = report.table.iter().any(|line| !line.group.outer.is_plain());
    let stages = report.table.iter().any(|line| line.group.stages.is_some());
    let mut header =
        vec!["group", "rule", "momentum", "dampening", "delay", "schedule", "batch", "lr", "scaling", "lr scaled"];
    header.extend(outer.then_some("outer loop"));
    header.extend(stages.then_some("stages"));
    table.set_header(header);
    for Line { group_id, group } in &report.table {
        let mut cells = vec![
            group_id.clone(),
            group.rule.name(),
            group.rule.momentum.to_string(),
            group.rule.dampening.to_string(),
            group.delay.map_or(String::new(), |delay| delay.to_string()),
            group.schedule.name(),
            group.batch.to_string(),
            group.lr.to_string(),
            group.scaling.to_string(),
            significant(group.lr_scaled, 4),
        ];
        cells.extend(outer.then(|| group.outer.name().trim_start_matches(", ").to_owned()));
        let own = group.stages.as_ref().map_or(String::new(), Stages::name);
        cells.extend(stages.then(|| own.trim_start_matches(", ").to_owned()));
        table.add_row(cells);
    }
    writeln!(text, "{table}")?;
    if *groups > report.table.len() {
        writeln!(text, "and {} more", HumanCount((groups - report.table.len()) as u64))?;
    }
    Ok(text)
}
