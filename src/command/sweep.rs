//! `tauscope sweep`: plan, minimum, engine, measurement, results folder, table.

use super::to_stdout;
use crate::engine::cpu::Cpu;
use crate::engine::gpu::{AdapterChoice, Gpu};
use crate::engine::{Engine, EngineInfo};
use crate::flags::{EngineChoice, Precision, SweepArgs};
use crate::interrupt::{Interrupt, Interrupted};
use crate::minimum;
use crate::plan::{Cell, Plan};
use crate::problem::Problem;
use crate::record::{RunRow, Status, ThresholdRow, Verdict};
use crate::store::{self, Entry, Existing, Folder, Identity, RunFile};
use crate::sweep::{CellResult, Sweep, wave_spec};
use crate::threshold::Criterion;
use anyhow::{Context, Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine that will run, and why it was chosen.
struct Chosen {
    engine: Box<dyn Engine>,
    why: String,
}

/// Runs the sweep. Rows on stdout, progress on stderr.
///
/// # Errors
/// Bad flags, a minimum that is none, an engine that cannot be had, a device that fails, a folder that cannot be written.
pub fn run(args: &SweepArgs) -> Result<()> {
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let plan = Plan::resolve(args)?;
    if args.dry_run {
        return to_stdout(&format!("{}\n", serde_json::to_string_pretty(&plan)?));
    }
    let existing = match (args.force, args.resume) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Resume,
        _ => Existing::Keep,
    };
    let target =
        args.out.clone().unwrap_or_else(|| PathBuf::from(started.strftime("tauscope-%Y%m%d-%H%M%S").to_string()));
    let shard =
        args.shard.map(|flag| flag.resolve(&|name| std::env::var(name).ok())).transpose().map_err(Error::msg)?;
    store::check(&target, existing)?;
    let say = |line: &str| {
        if !args.quiet {
            eprintln!("{line}");
        }
    };
    let Chosen { engine, why } = choose(&plan)?;
    let info = engine.info().clone();
    say(&format!("engine   {} {} on {} ({why})", info.engine, info.precision, info.adapter));

    let problem = Arc::new(plan.problem.build()?);
    engine.capacity(&wave_spec(&plan, &problem, &plan.cells()))?;
    let tolerance = plan.problem.gradient_tolerance;
    let minimum = match &plan.problem.minimum {
        Some(path) => minimum::certify(&problem, minimum::load(&problem, path)?, tolerance)?,
        None => minimum::find(&problem, plan.problem.seed_init, tolerance)?,
    };
    say(&format!(
        "minimum  {} parameters, loss {:.6}, max|gradient| {:.1e}, lambda_max {:.6}, lambda_min {:.2e}",
        problem.dimension(),
        minimum.loss,
        minimum.gradient_max,
        minimum.largest.value,
        minimum.smallest.value
    ));

    let sweep = Sweep::new(plan, problem, minimum);
    let cells: Vec<(Cell, f64)> = sweep
        .plan
        .cells()
        .into_iter()
        .map(|cell| {
            let Cell { rule, delay, .. } = cell;
            let lr = sweep.lr_theory(&cell).with_context(|| format!("{} at delay {delay}", rule.kind))?;
            Ok((cell, lr))
        })
        .collect::<Result<_>>()?;
    let id = |index: usize| {
        let id = sweep.plan.cell_id(&cells.get(index)?.0);
        shard.is_none_or(|shard| shard.holds(&id)).then_some(id)
    };
    let mine: Vec<usize> = (0..cells.len()).filter(|index| id(*index).is_some()).collect();
    if let Some(shard) = shard {
        say(&format!("shard    {shard}: {} of {} cells", mine.len(), cells.len()));
    }
    // From here on there is something to lose.
    let interrupt = Interrupt::watch().context("cannot watch for signals")?;
    let identity = Identity::new(&sweep.plan, &info, shard);
    let mut folder = Folder::open(&target, existing, &identity, cells.len(), &id)?;
    folder.told.iter().for_each(|line| eprintln!("warning: {line}"));
    if existing == Existing::Resume {
        say(&format!("resume   {} of {} cells are in the journal", folder.finished(), mine.len()));
    }

    let bar = progress_bar(args, mine.len(), folder.finished());
    let rest: Vec<usize> = mine.iter().copied().filter(|index| !folder.holds(*index)).collect();
    let asked: Vec<(Cell, f64)> = rest.iter().map(|index| cells[*index]).collect();
    let mut mended: Vec<String> = Vec::new();
    sweep.measure(
        &*engine,
        &asked,
        &mut |index, result| {
            let index = rest[index];
            let (cell, lr_theory) = &cells[index];
            folder.append(&entry(&sweep, &info, index, cell, *lr_theory, &result))?;
            bar.inc(1);
            Ok(())
        },
        &mut |progress| {
            for line in &progress.mended[mended.len()..] {
                bar.suspend(|| eprintln!("warning: {line}"));
                mended.push(line.clone());
            }
            let rate = progress.config_steps as f64 / bar.elapsed().as_secs_f64().max(1e-9);
            bar.set_message(format!("{} runs, {:.0} config-steps/s", progress.lanes, rate));
            match interrupt.received() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    )?;
    bar.finish_and_clear();
    if folder.finished() < mine.len()
        && let Some(signal) = interrupt.received()
    {
        let (finished, all, journal) = (folder.finished(), mine.len(), folder.journal());
        let message = format!(
            "interrupted: {finished} of {all} cells are safe in {}; the same command with --resume and --out {} goes on",
            journal.display(),
            target.display()
        );
        return Err(Interrupted { signal, message }.into());
    }

    let begun_by_commit = folder.begun_by_another_commit();
    let thresholds = folder.finish(&sweep.problem, &sweep.minimum.weights, |totals| RunFile {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: env!("TAUSCOPE_COMMIT").into(),
        command: std::iter::once("tauscope".into()).chain(std::env::args().skip(1)).collect(),
        started: started.to_string(),
        finished: jiff::Timestamp::now().to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        plan_hash: sweep.plan.hash(),
        plan: sweep.plan.clone(),
        engine: info.clone(),
        engine_choice: why,
        parameters: sweep.problem.dimension(),
        minimum: (&sweep.minimum).into(),
        start_distance: sweep.start_distance,
        escape_radius: (sweep.plan.criterion == Criterion::Escape).then_some(sweep.escape_radius),
        totals,
        begun_by_commit,
        mended,
        shard,
        shards: Vec::new(),
    })?;
    if args.json {
        let lines: Vec<String> = thresholds.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        return to_stdout(&format!("{}\n", lines.join("\n")));
    }
    if args.quiet {
        return Ok(());
    }
    to_stdout(&format!(
        "{}\n{}\nwrote {}: thresholds.csv, runs.csv, run.json, minimum.safetensors, thresholds.svg, thresholds.png\n",
        table(&thresholds),
        verdict(&thresholds, clock.elapsed()),
        target.display()
    ))
}

/// Picks the engine as the plan says.
fn choose(plan: &Plan) -> Result<Chosen> {
    let cpu = |why: String| -> Chosen {
        let engine: Box<dyn Engine> = match plan.precision {
            Precision::F32 => Box::new(Cpu::<f32>::default()),
            Precision::F64 => Box::new(Cpu::<f64>::default()),
        };
        Chosen { engine, why }
    };
    match plan.engine {
        EngineChoice::Cpu => Ok(cpu("asked for".into())),
        EngineChoice::Auto if plan.precision == Precision::F64 => Ok(cpu("auto: f64 is the cpu engine's".into())),
        EngineChoice::Auto => match Gpu::open(&AdapterChoice::Hardware) {
            Ok(gpu) => Ok(Chosen { engine: Box::new(gpu), why: "auto: a hardware GPU is here".into() }),
            Err(error) => Ok(cpu(format!("auto: {error}"))),
        },
        EngineChoice::Gpu => {
            let choice = plan.adapter.clone().map_or(AdapterChoice::Any, AdapterChoice::Named);
            Ok(Chosen { engine: Box::new(Gpu::open(&choice)?), why: "asked for".into() })
        }
    }
}

fn progress_bar(args: &SweepArgs, cells: usize, done: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cells  {msg}  {elapsed} (about {eta} left)");
    let target = if args.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(cells as u64), target).with_position(done as u64);
    bar.with_style(style.expect("the template is well-formed"))
}

/// A finished cell as rows.
fn entry(sweep: &Sweep, info: &EngineInfo, index: usize, cell: &Cell, lr_theory: f64, result: &CellResult) -> Entry {
    let plan = &sweep.plan;
    let cell_id = plan.cell_id(cell);
    let runs: Vec<RunRow> = result
        .trials
        .iter()
        .enumerate()
        .map(|(place, trial)| {
            let finite = |value: f64| value.is_finite().then_some(value);
            RunRow {
                run_id: format!("{cell_id}-{place}"),
                cell_id: cell_id.clone(),
                lr: trial.lr,
                verdict: trial.verdict,
                growth_rate: trial.growth,
                steps: trial.steps,
                distance: finite(trial.last.distance_squared.sqrt()),
                projection: finite(trial.last.projection),
                loss: finite(trial.last.loss),
                reason: (trial.verdict == Verdict::Undecided)
                    .then(|| "the growth rate did not settle within the horizon".into()),
            }
        })
        .collect();
    let bracket = result.outcome.bracket;
    let problem = &plan.problem;
    let threshold = ThresholdRow {
        cell_id,
        data: problem.data.map(|data| data.to_string()),
        model: match problem.activation {
            Some(activation) => format!("{} {activation}", problem.model),
            None => problem.model.to_string(),
        },
        loss: problem.loss.map(|loss| loss.to_string()),
        samples: match &*sweep.problem {
            Problem::Network(network) => Some(network.data.samples() as u64),
            Problem::Quadratic(_) => None,
        },
        weight_decay: problem.weight_decay,
        rule: cell.rule.kind.to_string(),
        momentum: cell.rule.momentum,
        dampening: cell.rule.dampening,
        delay: cell.delay,
        schedule: cell.schedule.name().into(),
        workers: cell.schedule.slots(),
        batch: plan.batch.to_string(),
        seed_data: problem.seed_data,
        seed_order: plan.seed_order,
        seed_init: problem.seed_init,
        criterion: plan.criterion.to_string(),
        lambda_max: sweep.minimum.largest.value,
        lambda_residual: sweep.minimum.largest.residual,
        lr_theory,
        lr_stable: bracket.stable,
        lr_unstable: bracket.unstable,
        lr_threshold: bracket.threshold,
        ratio: bracket.threshold.map(|lr| lr / lr_theory),
        horizon_steps: sweep.horizon(cell),
        runs: runs.len() as u32,
        status: if result.outcome.measured { Status::Measured } else { Status::Undecided },
        engine: format!("{} {}", info.engine, info.precision),
        adapter: info.adapter.clone(),
    };
    Entry { cell: index, threshold, runs }
}

/// The thresholds as a person reads them.
fn table(rows: &[ThresholdRow]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "rule",
        "momentum",
        "dampening",
        "delay",
        "lr theory",
        "lr stable",
        "lr unstable",
        "lr threshold",
        "effective",
        "ratio",
        "status",
    ]);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.5}"));
    for row in rows {
        let effective = row.lr_threshold.map(|lr| lr * (1.0 - row.dampening) / (1.0 - row.momentum));
        table.add_row([
            row.rule.clone(),
            row.momentum.to_string(),
            row.dampening.to_string(),
            row.delay.to_string(),
            number(Some(row.lr_theory)),
            number(row.lr_stable),
            number(row.lr_unstable),
            number(row.lr_threshold),
            number(effective),
            row.ratio.map_or(String::new(), |ratio| format!("{ratio:.4}")),
            row.status.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(9) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    table
}

/// The answer in a sentence.
fn verdict(rows: &[ThresholdRow], elapsed: Duration) -> String {
    let measured = rows.iter().filter(|row| row.status == Status::Measured).count();
    let worst = rows.iter().filter_map(|row| row.ratio).map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max);
    format!(
        "{measured} of {} cells measured in {:.1} s; measured / theory differs from 1 by at most {worst:.4}",
        rows.len(),
        elapsed.as_secs_f64()
    )
}
