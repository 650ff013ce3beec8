//! `tauscope sweep --dry-run`: what a plan would measure, and what that would take. Writes nothing.

use super::{BatchReport, Kind, TIMED, batch_lines, engine_line, is_hardware, label_line, sorted};
use crate::command::shown::{Column, Worth, fitted};
use crate::command::to_stdout;
use crate::config::{JobArgs, Shard};
use crate::cost;
use crate::engine::{EngineInfo, Needs, Run, WaveSpec};
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::session::progress::duration;
use crate::session::{ChosenEngine, choose};
use crate::stages::Stages;
use crate::streams::stdout_width;
use crate::sweep::waves;
use crate::text::{counted, grouped_digits};
use crate::threshold::Criterion;
use anyhow::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Cells that a person is shown.
const SHOWN: usize = 20;

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
    let shown = if job.json { usize::MAX } else { SHOWN };
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
    to_stdout(&text(&report, &problem, &cells, stdout_width()))
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
fn text(report: &Report, problem: &Problem, cells: &[Cell], width: Option<usize>) -> String {
    let Report { plan, engine, .. } = report;
    let of = &plan.problem;
    let mut text = String::new();
    let mut line = |label: &str, told: &str| text += &label_line(label, told, width);
    line("plan", &report.plan_hash);
    let mut told = format!("{} of {}", counted(problem.dimension(), "parameter"), of.model);
    if let (Some(data), Some(loss), Some(samples)) = (&of.data, of.loss, problem.samples()) {
        told += &format!(" on {} of {data}, {loss}, weight decay {}", counted(samples, "sample"), of.weight_decay);
        if let Problem::Network(network) = problem {
            told += &format!(", {}", network.data.describe());
        }
    } else if let Some(samples) = problem.samples() {
        told += &format!(", {}", counted(samples, "sample"));
    }
    line("problem", &told);
    let of_plan = grouped_digits(report.cells_of_plan);
    let part = report.shard.map_or(String::new(), |shard| format!(" of {of_plan}, shard {shard} of the plan"));
    line("cells", &format!("{}{part}{}", grouped_digits(report.cells), axes(cells)));
    if !plan.rates.is_empty() {
        let shown: Vec<String> = plan.rates.iter().map(ToString::to_string).collect();
        line("rates", &format!("at the learning rates {} in each cell, no thresholds", shown.join(", ")));
    }
    line("engine", &engine_line(engine, report.engine_choice));
    text += &batch_lines(&report.batches, width);
    let mut line = |label: &str, told: &str| text += &label_line(label, told, width);
    let steps = counted(report.config_steps as usize, "step");
    let time = duration(report.seconds);
    let told = if plan.rates.is_empty() {
        line("runs", &format!("about {}, with {steps} in all", grouped_digits(report.runs)));
        format!("about {time}, an estimate from the speed just now; the search for the minimum comes before it\n")
    } else {
        // How slow the slowest direction is, the minimum tells.
        line(
            "runs",
            &format!("{}, with {steps} in all where curvatures span a factor of 100", grouped_digits(report.runs)),
        );
        let horizon = grouped_digits(plan.limits(Criterion::Mean).horizon as usize);
        format!(
            "about {time} for those, and in proportion to what curvatures span: a run lasts until its slowest direction has shrunk some \
             75 times by a factor of e, at most {horizon} steps times (delay + 1); the search for the minimum comes before it\n"
        )
    };
    line("time", &told);

    let table = fitted(&report.table, columns(cells), width, "--json has all");
    let more = match cells.len() - report.table.len() {
        0 => String::new(),
        more => format!("and {}\n", counted(more, "more cell")),
    };
    format!("{text}{table}\n{more}")
}

/// What is shown of a cell. What is the same in all of them, also those beyond the first ones, is said once.
fn columns<'a>(cells: &[Cell]) -> Vec<Column<Line<'a>>> {
    let column = |name: &str, value: fn(&Cell) -> String| {
        let worth = if distinct(cells, value) == 1 { Worth::Setting } else { Worth::Result };
        Column::new(name, worth, move |line: &Line| value(line.cell))
    };
    vec![
        Column::new("rule", Worth::Needed, |line: &Line| line.cell.rule.name()),
        column("momentum", |cell| cell.rule.momentum.to_string()),
        column("dampening", |cell| cell.rule.dampening.to_string()),
        column("delay", |cell| cell.delay.map_or(String::new(), |delay| delay.to_string())),
        column("schedule", |cell| cell.schedule.name()),
        column("batch", |cell| cell.batch.to_string()),
        column("criterion", |cell| cell.criterion.to_string()),
        column("outer loop", |cell| cell.outer.name().trim_start_matches(", ").to_owned()),
        column("stages", |cell| {
            cell.stages.as_ref().map_or(String::new(), |stages| stages.name().trim_start_matches(", ").to_owned())
        }),
        Column::new("cell_id", Worth::Detail, |line: &Line| line.cell_id.clone()),
    ]
}

/// How many values the cells have on each axis that has several.
fn axes(cells: &[Cell]) -> String {
    let rule = |cell: &Cell| format!("{} {} {}", cell.rule.name(), cell.rule.momentum, cell.rule.dampening);
    let axes = [
        ("rules or momenta", distinct(cells, rule)),
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
