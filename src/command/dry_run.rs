//! `tauscope sweep --dry-run`: what a plan would measure, and what that would take. Writes nothing.

use super::sweep::{Chosen, choose};
use super::to_stdout;
use crate::cost;
use crate::engine::{Engine, EngineInfo, Footprint, Run, WaveSpec};
use crate::flags::Precision;
use crate::plan::{Cell, Plan};
use crate::problem::Problem;
use crate::progress::{bytes, duration};
use crate::sweep::wave_spec;
use anyhow::Result;
use indicatif::HumanCount;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cells that a person is shown.
const SHOWN: usize = 20;

/// How long the engine is timed.
const TIMED: Duration = Duration::from_millis(300);

/// A learning rate that takes nothing anywhere: the calibration wants time, not results.
const STILL: f64 = 1e-9;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan_hash: String,
    plan: &'a Plan,
    engine: &'a EngineInfo,
    engine_choice: &'a str,
    cells: usize,
    /// About.
    runs: f64,
    /// About.
    config_steps: f64,
    /// Runs that advance at once.
    lanes: usize,
    /// How often all lanes are filled, about.
    waves: f64,
    lane_bytes: u64,
    wave_bytes: u64,
    /// Share of them that the stored weight versions take.
    history_share: f64,
    free_bytes: Option<u64>,
    /// Measured now, on this machine.
    config_steps_per_second: f64,
    /// About, once the minimum is found.
    seconds: f64,
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
pub fn run(plan: &Plan, json: bool) -> Result<()> {
    let Chosen { engine, why } = choose(plan)?;
    let problem = Arc::new(plan.problem.build()?);
    let cells = plan.cells();
    let spec = wave_spec(plan, &problem, &cells);
    let lanes = engine.capacity(&spec)?;
    let Footprint { lane, free } = engine.footprint(&WaveSpec { lanes, ..spec.clone() })?;
    let rate = rate(&*engine, WaveSpec { lanes, ..spec.clone() }, plan, &cells)?;

    let word = if plan.precision == Precision::F64 { 8 } else { 4 };
    let history = (spec.slots * problem.dimension() * word) as u64;
    let runs: f64 = cells.iter().map(|_| cost::runs(plan.criterion)).sum();
    let steps: Vec<f64> = cells.iter().map(|cell| cost::steps_of_run(plan, cell)).collect();
    let config_steps = cells.iter().map(|cell| cost::of_cell(plan, cell)).sum();
    // The rounds of the longest cell follow each other, however many lanes there are. A GPU, unless it is a program on the
    // processor, takes as long for a step of few lanes as of many.
    let longest = cost::rounds(plan.criterion) * steps.iter().fold(0.0, |longest: f64, steps| longest.max(*steps));
    let EngineInfo { engine: name, device_type, .. } = engine.info();
    let together = if name == "gpu" && device_type != "Cpu" { lanes } else { 1 };
    let report = Report {
        plan_hash: plan.hash(),
        plan,
        engine: engine.info(),
        engine_choice: &why,
        cells: cells.len(),
        runs,
        config_steps,
        lanes,
        waves: (runs / lanes as f64).ceil(),
        lane_bytes: lane,
        wave_bytes: lane * lanes as u64,
        history_share: history as f64 / lane as f64,
        free_bytes: free,
        config_steps_per_second: rate,
        seconds: config_steps.max(longest * together as f64) / rate,
        table: cells
            .iter()
            .take(if json { usize::MAX } else { SHOWN })
            .map(|cell| Line { cell_id: plan.cell_id(cell), cell })
            .collect(),
    };
    if json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report, &problem, &cells)?)
}

/// Config-steps per second of a full wave, timed at the weights that training would start from. Its rings are those of
/// the shortest delay: a ring's length costs memory, hardly time.
fn rate(engine: &dyn Engine, spec: WaveSpec, plan: &Plan, cells: &[Cell]) -> Result<f64> {
    let start = Arc::new(match &*spec.problem {
        Problem::Quadratic(quadratic) => vec![0.0; quadratic.eigenvalues.len()],
        Problem::Network(network) => network.model.init(plan.problem.seed_init),
    });
    let Some(shortest) = cells.iter().min_by_key(|cell| cell.schedule.slots()) else { return Ok(f64::NAN) };
    let (lanes, block) = (spec.lanes, spec.block);
    let slots = shortest.schedule.slots() as usize;
    let mut wave =
        engine.open(WaveSpec { slots, minimum: Arc::clone(&start), direction: Arc::clone(&start), ..spec })?;
    for lane in 0..lanes {
        // Spread over the rules of the plan.
        let Cell { rule, .. } = cells[lane * cells.len() / lanes];
        let start = Arc::clone(&start);
        wave.start(lane, Run { rule, lr: STILL, schedule: shortest.schedule, seed_order: plan.seed_order, start })?;
    }
    wave.advance(1)?; // the first step makes what later ones reuse
    let clock = Instant::now();
    let (mut steps, mut portion) = (0, 1);
    while clock.elapsed() < TIMED {
        let before = clock.elapsed();
        wave.advance(portion)?;
        steps += portion;
        if clock.elapsed() - before < TIMED / 10 {
            portion = (2 * portion).min(block);
        }
    }
    Ok((steps * lanes) as f64 / clock.elapsed().as_secs_f64())
}

/// The report as a person reads it.
fn text(report: &Report, problem: &Problem, cells: &[Cell]) -> Result<String> {
    let Report { plan, engine, lanes, .. } = report;
    let count = |number: f64| HumanCount(number.round() as u64).to_string();
    let of = &plan.problem;
    let mut problem_line = format!("{} parameters of {}", problem.dimension(), of.model);
    if let (Some(data), Some(loss), Some(samples)) = (of.data, of.loss, problem.samples()) {
        write!(problem_line, " on {samples} samples of {data}, {loss}, weight decay {}", of.weight_decay)?;
    }
    let rules = distinct(cells, |cell| {
        let rule = cell.rule;
        format!("{} {} {}", rule.kind, rule.momentum, rule.dampening)
    });
    let delays: BTreeSet<u32> = cells.iter().map(|cell| cell.delay).collect();
    let free = report.free_bytes.map_or(String::new(), |free| format!(", {} are free", bytes(free)));
    let mut text = format!(
        "plan     {}\n\
         problem  {problem_line}\n\
         cells    {}: {} rules with their momenta, {} delays from {} to {}\n\
         runs     about {} ({} a cell), {} config-steps\n\
         engine   {} {} on {} ({})\n\
         wave     {lanes} lanes, filled about {} times\n\
         memory   {} a lane ({:.0} % of it the ring of weight versions), {} the wave{free}\n\
         time     about {} at {} config-steps/s, timed just now, and the search for the minimum before\n\n",
        report.plan_hash,
        count(report.cells as f64),
        rules,
        delays.len(),
        delays.first().copied().unwrap_or_default(),
        delays.last().copied().unwrap_or_default(),
        count(report.runs),
        count(cost::runs(plan.criterion)),
        count(report.config_steps),
        engine.engine,
        engine.precision,
        engine.adapter,
        report.engine_choice,
        count(report.waves),
        bytes(report.lane_bytes),
        100.0 * report.history_share,
        bytes(report.wave_bytes),
        duration(report.seconds),
        count(report.config_steps_per_second),
    );
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["cell", "rule", "momentum", "dampening", "delay", "schedule", "workers"]);
    for Line { cell_id, cell: Cell { rule, delay, schedule } } in &report.table {
        table.add_row([
            cell_id.clone(),
            rule.kind.to_string(),
            rule.momentum.to_string(),
            rule.dampening.to_string(),
            delay.to_string(),
            schedule.name().to_owned(),
            schedule.slots().to_string(),
        ]);
    }
    writeln!(text, "{table}")?;
    if cells.len() > report.table.len() {
        writeln!(text, "and {} more", count((cells.len() - report.table.len()) as f64))?;
    }
    Ok(text)
}

fn distinct(cells: &[Cell], name: impl Fn(&Cell) -> String) -> usize {
    cells.iter().map(name).collect::<BTreeSet<_>>().len()
}
