//! `tauscope train --dry-run`: what a plan would train, and what that would take. Writes nothing.

use super::{BatchReport, Kind, TIMED, batch_lines, engine_line, is_hardware, label_line, sorted};
use crate::command::shown::{Column, Worth, fitted};
use crate::command::to_stdout;
use crate::config::{JobArgs, Shard};
use crate::engine::{Engine, EngineInfo, Needs, WaveSpec};
use crate::plan::{Group, TrainPlan};
use crate::session::progress::duration;
use crate::session::{ChosenEngine, choose};
use crate::streams::stdout_width;
use crate::table::number::significant;
use crate::text::{counted, grouped_digits};
use crate::train::Training;
use anyhow::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

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
    let shown = if job.json { usize::MAX } else { SHOWN };
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
    to_stdout(&text(&report, stdout_width()))
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
fn text(report: &Report, width: Option<usize>) -> String {
    let Report { plan, engine, parameters, samples, test_samples, groups, runs, .. } = report;
    let (problem, options) = (&plan.problem, &plan.options);
    let mut text = String::new();
    let mut line = |label: &str, told: &str| text += &label_line(label, told, width);
    line("plan", &report.plan_hash);
    let told = format!(
        "{} of {} on {} of {}, {}, {}, weight decay {}, {}",
        counted(*parameters, "parameter"),
        problem.model,
        counted(*samples, "sample"),
        problem.data,
        counted(*test_samples, "test sample"),
        problem.loss,
        problem.weight_decay,
        report.axes
    );
    line("problem", &told);
    line("engine", &engine_line(engine, report.engine_choice));
    if let Some(told) = plan.told_of_scaling() {
        line("scaling", &told);
    }
    text += &batch_lines(&report.batches, width);
    let mut line = |label: &str, told: &str| text += &label_line(label, told, width);
    let of_plan = grouped_digits(report.runs_of_plan);
    let part = report.shard.map_or(String::new(), |shard| format!(" of {of_plan}, shard {shard}"));
    let told = format!(
        "{}{part}: {} and {} in the plan, {} each, {} in all",
        grouped_digits(*runs),
        counted(*groups, "group"),
        counted(plan.seeds.len(), "seed"),
        counted(options.epochs, "epoch"),
        counted(report.config_steps, "step")
    );
    line("runs", &told);
    let time = duration(report.seconds);
    let told = format!("about {time}, an estimate from the speed just now; what --track measures comes on top of it\n");
    line("time", &told);

    let table = fitted(&report.table, columns(&plan.groups), width, "--json has all");
    let more = match groups - report.table.len() {
        0 => String::new(),
        more => format!("and {}\n", counted(more, "more group")),
    };
    format!("{text}{table}\n{more}")
}

/// What is shown of a group. What is the same in all of them, also those beyond the first ones, is said once.
fn columns<'a>(groups: &[Group]) -> Vec<Column<Line<'a>>> {
    let column = |name: &str, value: fn(&Group) -> String| {
        let is_same = groups.iter().all(|group| value(group) == value(&groups[0]));
        let worth = if is_same { Worth::Setting } else { Worth::Result };
        Column::new(name, worth, move |line: &Line| value(line.group))
    };
    vec![
        Column::new("rule", Worth::Needed, |line: &Line| line.group.rule.name()),
        column("momentum", |group| group.rule.momentum.to_string()),
        column("dampening", |group| group.rule.dampening.to_string()),
        column("delay", |group| group.delay.map_or(String::new(), |delay| delay.to_string())),
        column("lr", |group| significant(group.lr, 4)),
        column("lr_scaling", |group| group.scaling.to_string()),
        column("lr_scaled", |group| significant(group.lr_scaled, 4)),
        column("schedule", |group| group.schedule.name()),
        column("batch", |group| group.batch.to_string()),
        column("outer loop", |group| group.outer.name().trim_start_matches(", ").to_owned()),
        column("stages", |group| {
            group.stages.as_ref().map_or(String::new(), |stages| stages.name().trim_start_matches(", ").to_owned())
        }),
        Column::new("group_id", Worth::Detail, |line: &Line| line.group_id.clone()),
    ]
}
