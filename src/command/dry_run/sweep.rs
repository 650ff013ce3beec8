//! `tauscope sweep --dry-run`: what a plan would measure, and what that would take. Writes nothing.

use super::{BatchReport, Kind, TIMED, is_hardware, sorted};
use crate::command::to_stdout;
use crate::config::{JobArgs, Shard};
use crate::cost;
use crate::engine::{EngineInfo, Needs, Run, WaveSpec};
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::session::progress::duration;
use crate::session::{ChosenEngine, choose};
use crate::stages::Stages;
use crate::sweep::waves;
use anyhow::{Error, Result};
use indicatif::HumanCount;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

/// Cells, and batches of runs, that a person is shown.
const SHOWN: (usize, usize) = (20, 5);

/// What is printed. Runs, steps and times are estimates.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan_hash: String,
    plan: &'a SweepPlan,
    engine: &'a EngineInfo,
    engine_choice: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
    /// Those in the shard alone, where there is one.
    cells: usize,
    cells_of_plan: usize,
    runs: usize,
    config_steps: f64,
    /// Once the minimum is found.
    seconds: f64,
    batches: Vec<BatchReport>,
    table: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    cell_id: String,
    #[serde(flatten)]
    cell: &'a Cell,
}

/// Prints a plan and what it would take.
///
/// # Errors
/// An engine that cannot be had, data that cannot be loaded, a plan that does not fit the device.
pub fn run(plan: &SweepPlan, job: &JobArgs) -> Result<()> {
    let shard = job.shard().map_err(Error::msg)?;
    let ChosenEngine { engine, why } = choose(&plan.engine)?;
    let problem = Arc::new(plan.build()?);
    let mut cells = plan.cells();
    let all = cells.len();
    cells.retain(|cell| shard.is_none_or(|shard| shard.holds(&plan.cell_id(cell))));
    let specs = waves(plan, &problem, &*engine)?;
    let time = TIMED / specs.len().max(1) as u32;
    let mut batches = Vec::new();
    for spec in specs {
        let members: Vec<&Cell> = cells.iter().filter(|cell| plan.rows(cell) == spec.batch).collect();
        if members.is_empty() {
            continue;
        }
        let kind = kind(plan, engine.info(), spec, &members);
        batches.push(BatchReport::measure(&*engine, plan.engine.precision, kind, time)?);
    }
    let shown = if job.json { usize::MAX } else { SHOWN.0 };
    let report = Report {
        plan_hash: plan.hash(),
        plan,
        engine: engine.info(),
        engine_choice: &why,
        shard,
        cells: cells.len(),
        cells_of_plan: all,
        runs: batches.iter().map(|batch| batch.runs).sum(),
        config_steps: batches.iter().map(|batch| batch.config_steps).sum(),
        seconds: batches.iter().map(|batch| batch.seconds).sum(),
        batches,
        table: cells.iter().take(shown).map(|cell| Line { cell_id: plan.cell_id(cell), cell }).collect(),
    };
    if job.json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report, &problem, &cells)?)
}

/// The runs of cells that can share a batch. Those timed are one of each rule, with the fewest slots: a ring's length costs
/// memory, hardly time. They start where training would.
fn kind(plan: &SweepPlan, info: &EngineInfo, spec: WaveSpec, cells: &[&Cell]) -> Kind {
    let start = Arc::new(match &*spec.problem {
        Problem::Quadratic(_) | Problem::Dense(_) => vec![0.0; spec.problem.dimension()],
        Problem::Network(network) => network.model.init(plan.problem.seed_init),
    });
    let mut shortest: BTreeMap<String, &Cell> = BTreeMap::new();
    for cell in cells {
        let known = shortest.entry(cell.rule.name()).or_insert(cell);
        if cell.schedule.slots() < known.schedule.slots() {
            *known = cell;
        }
    }
    let centred = |cell: &Cell| cell.criterion.is_statistical() && cell.batch.size().is_some();
    let needs = |cell: &Cell| Needs::of(&cell.rule, &cell.schedule, centred(cell)).with(cell.work_shape());
    let run = |cell: &&Cell| Run {
        rule: cell.rule,
        lr: 0.0.into(),
        schedule: cell.schedule.clone(),
        seed: plan.seed_order,
        start: Arc::clone(&start),
        centred: centred(cell),
        undamped_start: false,
        second_moment: None,
        statistics: None,
        outer: cell.outer,
        stages: match &cell.stages {
            None => [].into(),
            Some(stages) => {
                let blocks = stages.blocks(&spec.problem.layers(), spec.problem.dimension());
                stages.of_run(&cell.rule, &blocks.expect("the plan has checked its stages"))
            }
        },
    };
    let lanes = spec.lanes;
    let runs = cells.iter().map(|cell| cost::runs(plan, cell)).sum::<usize>();
    // The rounds of a cell follow each other, however many runs advance at once.
    let alone = |cell: &&Cell| {
        let together = if is_hardware(info) { lanes } else { plan.members(cell) };
        let rounds = if plan.rates.is_empty() { cost::rounds(cell.criterion) } else { 1 };
        rounds as f64 * cost::steps_of_run(plan, cell) * (together * cell.work().pieces.len()) as f64
    };
    // Cells try a few learning rates at once, as long as there is room.
    let held = cells.iter().flat_map(|cell| vec![needs(cell); cost::runs(plan, cell).min(lanes)]);
    Kind {
        runs,
        needs: sorted(held.collect()),
        timed: (
            shortest.values().map(run).collect(),
            shortest.values().map(|cell| needs(cell)).fold(Needs::default(), Needs::and),
        ),
        config_steps: cells.iter().map(|cell| cost::of_cell(plan, cell)).sum(),
        longest: cells.iter().map(alone).fold(0.0, f64::max),
        evaluations: 0.0,
        has_checkpoints: false,
        spec: WaveSpec { minimum: Arc::clone(&start), direction: start, ..spec },
    }
}

/// The report as a person reads it.
fn text(report: &Report, problem: &Problem, cells: &[Cell]) -> Result<String> {
    let Report { plan, engine, .. } = report;
    let count = |number: usize| HumanCount(number as u64).to_string();
    let of = &plan.problem;
    let mut text =
        format!("plan     {}\nproblem  {} parameters of {}", report.plan_hash, problem.dimension(), of.model);
    if let (Some(data), Some(loss), Some(samples)) = (&of.data, of.loss, problem.samples()) {
        write!(text, " on {samples} samples of {data}, {loss}, weight decay {}", of.weight_decay)?;
        if let Problem::Network(network) = problem {
            write!(text, ", {}", network.data.describe())?;
        }
    } else if let Some(samples) = problem.samples() {
        write!(text, ", {samples} samples")?;
    }
    let part = report
        .shard
        .map_or(String::new(), |shard| format!(" of {}, shard {shard} of the plan", count(report.cells_of_plan)));
    writeln!(text, "\ncells    {}{part}{}", count(report.cells), axes(cells))?;
    if !plan.rates.is_empty() {
        let shown: Vec<String> = plan.rates.iter().map(ToString::to_string).collect();
        writeln!(text, "rates    at the learning rates {} in each cell, no thresholds", shown.join(", "))?;
    }
    writeln!(text, "engine   {} {} on {} ({})", engine.engine, engine.precision, engine.adapter, report.engine_choice)?;
    report.batches.iter().take(SHOWN.1).for_each(|batch| text += &batch.text());
    if report.batches.len() > SHOWN.1 {
        writeln!(text, "         and {} more kinds of batches", report.batches.len() - SHOWN.1)?;
    }
    writeln!(text, "runs     about {} of {} steps in all", count(report.runs), count(report.config_steps as usize))?;
    let time = duration(report.seconds);
    writeln!(
        text,
        "time     about {time}, an estimate from the speed just now; the search for the minimum comes before\n"
    )?;

    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    let outer = report.table.iter().any(|line| !line.cell.outer.is_plain());
    let stages = report.table.iter().any(|line| line.cell.stages.is_some());
    let mut header = vec!["cell", "rule", "momentum", "dampening", "delay", "schedule", "batch", "criterion"];
    header.extend(outer.then_some("outer loop"));
    header.extend(stages.then_some("stages"));
    table.set_header(header);
    for Line { cell_id, cell: Cell { rule, schedule, delay, batch, criterion, outer: own, stages: own_stages } } in
        &report.table
    {
        let mut cells = vec![
            cell_id.clone(),
            rule.name(),
            rule.momentum.to_string(),
            rule.dampening.to_string(),
            delay.map_or(String::new(), |delay| delay.to_string()),
            schedule.name(),
            batch.to_string(),
            criterion.to_string(),
        ];
        cells.extend(outer.then(|| own.name().trim_start_matches(", ").to_owned()));
        let own = own_stages.as_ref().map_or(String::new(), Stages::name);
        cells.extend(stages.then(|| own.trim_start_matches(", ").to_owned()));
        table.add_row(cells);
    }
    writeln!(text, "{table}")?;
    if cells.len() > report.table.len() {
        writeln!(text, "and {} more", count(cells.len() - report.table.len()))?;
    }
    Ok(text)
}

/// How many values the cells have on each axis that has several.
fn axes(cells: &[Cell]) -> String {
    let rule = |cell: &Cell| format!("{} {} {}", cell.rule.name(), cell.rule.momentum, cell.rule.dampening);
    let axes = [
        ("rules with their momenta", distinct(cells, rule)),
        ("delays", distinct(cells, |cell| cell.delay)),
        ("schedules", distinct(cells, |cell| cell.schedule.name())),
        ("batches", distinct(cells, |cell| cell.batch.to_string())),
        ("outer loops", distinct(cells, |cell| cell.outer.name())),
        ("stages", distinct(cells, |cell| cell.stages.as_ref().map(Stages::name))),
        ("criteria", distinct(cells, |cell| cell.criterion)),
    ];
    let several: Vec<String> =
        axes.iter().filter(|(_, count)| *count > 1).map(|(name, count)| format!("{count} {name}")).collect();
    if several.is_empty() { String::new() } else { format!(": {}", several.join(", ")) }
}

fn distinct<T: Ord>(cells: &[Cell], value: impl Fn(&Cell) -> T) -> usize {
    cells.iter().map(value).collect::<BTreeSet<T>>().len()
}
