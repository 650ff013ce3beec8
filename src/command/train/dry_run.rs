//! `tauscope train --dry-run`: what a plan would train, and what that would take. Writes nothing.

use crate::command::to_stdout;
use crate::engine::{EngineInfo, Footprint};
use crate::plan::{Group, TrainPlan};
use crate::session::progress::bytes;
use crate::session::{ChosenEngine, choose};
use crate::table::number::significant;
use crate::train::Training;
use anyhow::Result;
use comfy_table::{Table, presets};
use indicatif::HumanCount;
use serde::Serialize;
use std::fmt::Write;

/// Groups that a person is shown.
const SHOWN: usize = 20;

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
    groups: usize,
    runs: usize,
    /// If none diverges.
    config_steps: u64,
    free_bytes: Option<u64>,
    waves: Vec<WaveReport>,
    table: Vec<Line<'a>>,
}

/// Runs that can share a wave.
#[derive(Debug, Serialize)]
struct WaveReport {
    /// Rows of a gradient; none where they are all.
    rows: Option<usize>,
    /// How the engine makes its steps.
    path: String,
    runs: usize,
    /// Of the history ring of each.
    slots: usize,
    steps_of_epoch: u64,
    /// Runs that advance at once.
    lanes: usize,
    lane_bytes: u64,
    /// What threads compute in, or what lanes share on a device.
    shared_bytes: u64,
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
pub fn run(plan: TrainPlan, json: bool) -> Result<()> {
    let training = Training::new(plan)?;
    let plan = &training.plan;
    let ChosenEngine { engine, why } = choose(&plan.engine)?;
    let (mut waves, mut free_bytes) = (Vec::new(), None);
    for (spec, runs) in training.groups(&*engine, &training.all())? {
        let Footprint { lane, shared, free } = engine.footprint(&spec)?;
        free_bytes = free;
        waves.push(WaveReport {
            rows: spec.batch,
            path: engine.path(&spec)?,
            runs: runs.len(),
            slots: spec.needs.slots,
            steps_of_epoch: training.steps_of_epoch(spec.batch),
            lanes: engine.capacity(&spec)?,
            lane_bytes: lane,
            shared_bytes: shared,
        });
    }
    let shown = if json { usize::MAX } else { SHOWN };
    let network = training.network();
    let report = Report {
        plan_hash: plan.hash(),
        plan,
        engine: engine.info(),
        engine_choice: &why,
        parameters: network.dimension(),
        samples: network.data.samples(),
        test_samples: network.test.as_ref().map_or(0, |test| test.samples()),
        groups: plan.groups.len(),
        runs: training.runs.len(),
        config_steps: training.config_steps(&training.all()),
        free_bytes,
        waves,
        table: plan.groups.iter().take(shown).map(|group| Line { group_id: plan.group_id(group), group }).collect(),
    };
    if json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report)?)
}

/// The report as a person reads it.
fn text(report: &Report) -> Result<String> {
    let Report { plan, engine, parameters, samples, test_samples, groups, runs, .. } = report;
    let (problem, options) = (&plan.problem, &plan.options);
    let mut text = format!(
        "plan     {}\nproblem  {parameters} parameters of {} on {samples} samples of {}, {test_samples} test samples, {}, \
         weight decay {}\n",
        report.plan_hash, problem.model, problem.data, problem.loss, problem.weight_decay
    );
    writeln!(text, "engine   {} {} on {} ({})", engine.engine, engine.precision, engine.adapter, report.engine_choice)?;
    let free = report.free_bytes.map_or(String::new(), |free| format!(" of {} free", bytes(free)));
    for WaveReport { rows, path, runs, slots, steps_of_epoch, lanes, lane_bytes, shared_bytes } in &report.waves {
        let rows = rows.map_or("all samples".into(), |rows| format!("{rows} samples"));
        let (lane, all) = (bytes(*lane_bytes), bytes(shared_bytes + lane_bytes * *lanes as u64));
        writeln!(
            text,
            "wave     {lanes} of {runs} runs at once, {rows} a gradient, {steps_of_epoch} steps an epoch, {path}; {slots} slots, \
             {lane} a lane, {all} in all{free}"
        )?;
    }
    let (seeds, epochs, steps) = (plan.seeds.len(), options.epochs, HumanCount(report.config_steps));
    writeln!(
        text,
        "runs     {runs} of {groups} groups and {seeds} seeds, {epochs} epochs each, {steps} steps in all\n"
    )?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "group",
        "rule",
        "momentum",
        "dampening",
        "delay",
        "schedule",
        "batch",
        "lr",
        "scaling",
        "lr scaled",
    ]);
    for Line { group_id, group } in &report.table {
        table.add_row([
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
        ]);
    }
    writeln!(text, "{table}")?;
    if *groups > report.table.len() {
        writeln!(text, "and {} more", HumanCount((groups - report.table.len()) as u64))?;
    }
    Ok(text)
}
