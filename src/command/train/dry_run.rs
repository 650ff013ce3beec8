//! `tauscope train --dry-run`: what a plan would train, and what that would take. Writes nothing.

use crate::command::sweep::{Chosen, choose};
use crate::command::to_stdout;
use crate::engine::{EngineInfo, Footprint};
use crate::plot::significant;
use crate::session::progress::bytes;
use crate::train::{Arm, Plan, Training};
use anyhow::Result;
use comfy_table::{Table, presets};
use indicatif::HumanCount;
use serde::Serialize;
use std::fmt::Write;

/// Arms that a person is shown.
const SHOWN: usize = 20;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan_hash: String,
    plan: &'a Plan,
    engine: &'a EngineInfo,
    engine_choice: &'a str,
    parameters: usize,
    samples: usize,
    test_samples: usize,
    arms: usize,
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
    arm_id: String,
    #[serde(flatten)]
    arm: &'a Arm,
}

/// Prints a plan and what it would take.
///
/// # Errors
/// An engine that cannot be had, data that cannot be loaded, a plan that does not fit the device.
pub fn run(plan: Plan, json: bool) -> Result<()> {
    let training = Training::new(plan)?;
    let plan = &training.plan;
    let Chosen { engine, why } = choose(plan.engine, plan.adapter.as_deref(), plan.precision)?;
    let (mut waves, mut free_bytes) = (Vec::new(), None);
    for (spec, runs) in training.groups(&*engine)? {
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
        arms: plan.arms.len(),
        runs: training.runs.len(),
        config_steps: training.config_steps(),
        free_bytes,
        waves,
        table: plan.arms.iter().take(shown).map(|arm| Line { arm_id: plan.arm_id(arm), arm }).collect(),
    };
    if json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report)?)
}

/// The report as a person reads it.
fn text(report: &Report) -> Result<String> {
    let Report { plan, engine, parameters, samples, test_samples, arms, runs, .. } = report;
    let (task, course) = (&plan.task, &plan.course);
    let mut text = format!(
        "plan     {}\nproblem  {parameters} parameters of {} on {samples} samples of {}, {test_samples} test samples, {}, \
         weight decay {}\n",
        report.plan_hash, task.model, task.data, task.loss, task.weight_decay
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
    let (seeds, epochs, steps) = (plan.seeds.len(), course.epochs, HumanCount(report.config_steps));
    writeln!(text, "runs     {runs} of {arms} arms and {seeds} seeds, {epochs} epochs each, {steps} steps in all\n")?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "arm",
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
    for Line { arm_id, arm } in &report.table {
        table.add_row([
            arm_id.clone(),
            arm.rule.name(),
            arm.rule.momentum.to_string(),
            arm.rule.dampening.to_string(),
            arm.delay.map_or(String::new(), |delay| delay.to_string()),
            arm.schedule.name(),
            arm.batch.to_string(),
            arm.lr.to_string(),
            arm.scaling.to_string(),
            significant(arm.lr_scaled, 4),
        ]);
    }
    writeln!(text, "{table}")?;
    if *arms > report.table.len() {
        writeln!(text, "and {} more", HumanCount((arms - report.table.len()) as u64))?;
    }
    Ok(text)
}
