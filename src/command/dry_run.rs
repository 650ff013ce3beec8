//! `tauscope sweep --dry-run`: what a plan would measure, and what that would take. Writes nothing.

use super::to_stdout;
use crate::config::Precision;
use crate::cost;
use crate::engine::{Engine, EngineInfo, Footprint, Needs, Run, WaveSpec};
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::session::progress::{bytes, duration};
use crate::session::{ChosenEngine, choose};
use crate::sweep::waves;
use anyhow::Result;
use indicatif::HumanCount;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cells, and kinds of waves, that a person is shown.
const SHOWN: (usize, usize) = (20, 5);

/// How long the engine is timed, all kinds of waves together.
const TIMED: Duration = Duration::from_millis(300);

/// A learning rate that takes nothing anywhere: the calibration wants time, not results.
const STILL: f64 = 1e-9;

/// What is printed. Runs, steps and times are estimates.
#[derive(Debug, Serialize)]
struct Report<'a> {
    plan_hash: String,
    plan: &'a SweepPlan,
    engine: &'a EngineInfo,
    engine_choice: &'a str,
    cells: usize,
    runs: usize,
    config_steps: f64,
    free_bytes: Option<u64>,
    /// Once the minimum is found.
    seconds: f64,
    waves: Vec<WaveReport>,
    table: Vec<Line<'a>>,
}

/// What cells that can share a wave take.
#[derive(Debug, Serialize)]
struct WaveReport {
    /// Rows of a gradient; none where they are all.
    rows: Option<usize>,
    /// How the engine makes its steps.
    path: String,
    cells: usize,
    runs: usize,
    config_steps: f64,
    /// Runs that advance at once.
    lanes: usize,
    /// How often all lanes are filled.
    fills: usize,
    lane_bytes: u64,
    wave_bytes: u64,
    /// Share of them that the stored weight versions take.
    history_share: f64,
    /// Measured now, on this machine.
    config_steps_per_second: f64,
    seconds: f64,
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
pub fn run(plan: &SweepPlan, json: bool) -> Result<()> {
    let ChosenEngine { engine, why } = choose(&plan.engine)?;
    let problem = Arc::new(plan.build()?);
    let cells = plan.cells();
    let specs = waves(plan, &problem, &*engine)?;
    let time = TIMED / specs.len().max(1) as u32;
    let (mut waves, mut free_bytes) = (Vec::new(), None);
    for spec in specs {
        let members: Vec<&Cell> = cells.iter().filter(|cell| plan.rows(cell) == spec.batch).collect();
        let Footprint { lane, free, .. } = engine.footprint(&spec)?;
        free_bytes = free;
        waves.push(wave(plan, &*engine, spec, &members, lane, time)?);
    }
    let shown = if json { usize::MAX } else { SHOWN.0 };
    let report = Report {
        plan_hash: plan.hash(),
        plan,
        engine: engine.info(),
        engine_choice: &why,
        cells: cells.len(),
        runs: waves.iter().map(|wave| wave.runs).sum(),
        config_steps: waves.iter().map(|wave| wave.config_steps).sum(),
        free_bytes,
        seconds: waves.iter().map(|wave| wave.seconds).sum(),
        waves,
        table: cells.iter().take(shown).map(|cell| Line { cell_id: plan.cell_id(cell), cell }).collect(),
    };
    if json {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&report)?));
    }
    to_stdout(&text(&report, &problem, &cells)?)
}

fn wave(
    plan: &SweepPlan,
    engine: &dyn Engine,
    spec: WaveSpec,
    cells: &[&Cell],
    lane_bytes: u64,
    time: Duration,
) -> Result<WaveReport> {
    let (lanes, rows) = (spec.lanes, spec.batch);
    let word = if plan.engine.precision == Precision::F64 { 8 } else { 4 };
    let history = (spec.needs.slots * spec.problem.dimension() * word) as f64;
    let path = engine.path(&spec)?;
    let rate = rate(engine, spec, plan, cells, time)?;
    let runs = cells.iter().map(|cell| cost::runs(plan, cell)).sum::<usize>();
    let config_steps = cells.iter().map(|cell| cost::of_cell(plan, cell)).sum::<f64>();
    // The rounds of a cell follow each other, however many lanes there are. A GPU, unless it is a program on the
    // processor, takes as long for a step of few lanes as of many.
    let EngineInfo { engine: name, device_type, .. } = engine.info();
    let is_hardware = name == "gpu" && device_type != "Cpu";
    let alone = |cell: &&Cell| {
        let together = if is_hardware { lanes } else { plan.members(cell) };
        cost::rounds(cell.criterion) as f64 * cost::steps_of_run(plan, cell) * together as f64
    };
    let longest = cells.iter().map(alone).fold(0.0, f64::max);
    Ok(WaveReport {
        rows,
        path,
        cells: cells.len(),
        runs,
        config_steps,
        lanes,
        fills: runs.div_ceil(lanes),
        lane_bytes,
        wave_bytes: lane_bytes * lanes as u64,
        history_share: history / lane_bytes as f64,
        config_steps_per_second: rate,
        seconds: config_steps.max(longest) / rate,
    })
}

/// Config-steps per second of a full wave, timed at the weights that training would start from. Its runs are those of
/// each rule with the fewest slots: a ring's length costs memory, hardly time.
fn rate(engine: &dyn Engine, spec: WaveSpec, plan: &SweepPlan, cells: &[&Cell], time: Duration) -> Result<f64> {
    let start = Arc::new(match &*spec.problem {
        Problem::Quadratic(quadratic) => vec![0.0; quadratic.eigenvalues.len()],
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
    let needs = |cell: &&Cell| Needs::of(&cell.rule, &cell.schedule, centred(cell));
    let needs = shortest.values().map(needs).fold(Needs::default(), Needs::and);
    let (lanes, block) = (spec.lanes, spec.block);
    let (minimum, direction) = (Arc::clone(&start), Arc::clone(&start));
    let mut wave = engine.open(WaveSpec { needs, minimum, direction, ..spec })?;
    for (lane, cell) in (0..lanes).zip(shortest.values().cycle()) {
        let run = Run {
            rule: cell.rule,
            lr: STILL.into(),
            schedule: cell.schedule.clone(),
            seed: plan.seed_order,
            start: Arc::clone(&start),
            centred: centred(cell),
            statistics: None,
        };
        wave.start(lane, run)?;
    }
    wave.advance(1)?; // the first step makes what later ones reuse
    let clock = Instant::now();
    let (mut steps, mut portion) = (0, 1);
    while clock.elapsed() < time {
        let before = clock.elapsed();
        wave.advance(portion)?;
        steps += portion;
        if clock.elapsed() - before < time / 10 {
            portion = (2 * portion).min(block);
        }
    }
    Ok((steps * lanes) as f64 / clock.elapsed().as_secs_f64())
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
    }
    writeln!(text, "\ncells    {}{}", count(report.cells), axes(cells))?;
    writeln!(text, "engine   {} {} on {} ({})", engine.engine, engine.precision, engine.adapter, report.engine_choice)?;
    let free = report.free_bytes.map_or(String::new(), |free| format!(" of {} free", bytes(free)));
    for wave in report.waves.iter().take(SHOWN.1) {
        let rows = wave.rows.map_or(String::new(), |rows| format!(" of {rows} samples a gradient"));
        writeln!(
            text,
            "wave     {} lanes{rows}, {}, filled about {} times; {} a lane ({:.0} % of it the ring of weight versions), {} in \
             all{free}; {} config-steps/s",
            wave.lanes,
            wave.path,
            count(wave.fills),
            bytes(wave.lane_bytes),
            100.0 * wave.history_share,
            bytes(wave.wave_bytes),
            count(wave.config_steps_per_second as usize),
        )?;
    }
    if report.waves.len() > SHOWN.1 {
        writeln!(text, "         and {} more kinds of waves", report.waves.len() - SHOWN.1)?;
    }
    writeln!(text, "runs     about {} of {} steps in all", count(report.runs), count(report.config_steps as usize))?;
    let time = duration(report.seconds);
    writeln!(
        text,
        "time     about {time}, an estimate from the speed just now; the search for the minimum comes before\n"
    )?;

    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["cell", "rule", "momentum", "dampening", "delay", "schedule", "batch", "criterion"]);
    for Line { cell_id, cell: Cell { rule, schedule, delay, batch, criterion } } in &report.table {
        table.add_row([
            cell_id.clone(),
            rule.name(),
            rule.momentum.to_string(),
            rule.dampening.to_string(),
            delay.map_or(String::new(), |delay| delay.to_string()),
            schedule.name(),
            batch.to_string(),
            criterion.to_string(),
        ]);
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
        ("criteria", distinct(cells, |cell| cell.criterion)),
    ];
    let several: Vec<String> =
        axes.iter().filter(|(_, count)| *count > 1).map(|(name, count)| format!("{count} {name}")).collect();
    if several.is_empty() { String::new() } else { format!(": {}", several.join(", ")) }
}

fn distinct<T: Ord>(cells: &[Cell], value: impl Fn(&Cell) -> T) -> usize {
    cells.iter().map(value).collect::<BTreeSet<T>>().len()
}
