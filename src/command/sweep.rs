//! `tauscope sweep`: plan, minimum, engine, measurement, results folder, table.

use super::{dry_run, to_stdout};
use crate::config::{EngineArgs, EngineChoice, Precision, Shard, SweepArgs};
use crate::cost;
use crate::engine::Engine;
use crate::engine::cpu::Cpu;
use crate::engine::gpu::{AdapterChoice, Gpu};
use crate::minimum;
use crate::plan::{Cell, SweepPlan};
use crate::problem::weights;
use crate::session::progress::{Event, Progress, Tracker};
use crate::session::signals::{Interrupt, Interrupted};
use crate::session::{self, CellRow, Existing, Folder, Identity, RunFile, Totals};
use crate::sweep::rows::entry;
use crate::sweep::{Sweep, paths, waves};
use crate::table::{Status, ThresholdRow};
use crate::threshold::Criterion;
use anyhow::{Context, Error, Result};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine that will run, and why it was chosen.
pub(super) struct Chosen {
    pub engine: Box<dyn Engine>,
    pub why: String,
}

/// Runs the sweep of all these grids; how, the first of them says. Rows on stdout, progress on stderr.
///
/// # Errors
/// Bad flags, a minimum that is none, an engine that cannot be had, a device that fails, a folder that cannot be written.
///
/// # Panics
/// Where there is none.
pub fn run(sweeps: &[SweepArgs]) -> Result<()> {
    let args = sweeps.first().expect("a sweep");
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let plan = SweepPlan::resolve(sweeps)?;
    if args.job.dry_run {
        return dry_run::run(&plan, args.job.json);
    }
    if args.job.resume && args.job.out.is_none() {
        anyhow::bail!("--resume: accepted: with --out, which names the unfinished sweep");
    }
    let existing = match (args.job.force, args.job.resume) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Resume,
        _ => Existing::Keep,
    };
    let target =
        args.job.out.clone().unwrap_or_else(|| PathBuf::from(started.strftime("tauscope-%Y%m%d-%H%M%S").to_string()));
    let shard =
        args.job.shard.map(|flag| flag.resolve(&|name| std::env::var(name).ok())).transpose().map_err(Error::msg)?;
    session::check(&target, existing)?;
    let say = |line: &str| {
        if !args.job.quiet {
            eprintln!("{line}");
        }
    };
    let Chosen { engine, why } = choose(&plan.engine)?;
    let info = engine.info().clone();
    say(&format!("engine   {} {} on {} ({why})", info.engine, info.precision, info.adapter));

    let problem = Arc::new(plan.build()?);
    let paths = paths(&waves(&plan, &problem, &*engine)?, &*engine)?;
    let tolerance = plan.problem.gradient_tolerance;
    let minimum = match &plan.problem.minimum {
        Some(path) => {
            let weights = weights::load(&problem, path).map_err(|error| anyhow::anyhow!("--minimum {error}"))?;
            minimum::certify(&problem, weights, tolerance)?
        }
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
            let guess = sweep.guess(&cell).with_context(|| {
                let Cell { rule, schedule, .. } = &cell;
                format!("--rules {} with --schedule {}", rule.name(), schedule.name())
            })?;
            Ok((cell, guess))
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
    let identity = Identity::new(&sweep.plan, &info, shard)?;
    let mut folder = Folder::open(&target, existing, &identity, cells.len(), &id)?;
    folder.told.iter().for_each(|line| eprintln!("warning: {line}"));
    if existing == Existing::Resume {
        say(&format!("resume   {} of {} cells are in the journal", folder.finished(), mine.len()));
    }

    let tell =
        |event: &Event| if args.job.json { to_stdout(&format!("{}\n", serde_json::to_string(event)?)) } else { Ok(()) };
    let plan_hash = sweep.plan.hash();
    let done = folder.finished();
    tell(&Event::Start { plan_hash: &plan_hash, cells: mine.len(), cells_done: done, engine: &info })?;
    if args.job.json {
        folder.entries().try_for_each(|entry| tell(&Event::Cell(&entry?.threshold)))?;
    }
    let rest: Vec<usize> = mine.iter().copied().filter(|index| !folder.holds(*index)).collect();
    let asked: Vec<(Cell, f64)> = rest.iter().map(|index| cells[*index].clone()).collect();
    let cost = |(cell, _): &(Cell, f64)| cost::of_cell(&sweep.plan, cell);
    let progress = Progress::new(Tracker::new(asked.iter().map(cost), done), args.job.quiet, args.job.json);
    // Both of the sweep's callbacks report to it.
    let progress = RefCell::new(progress);
    let measuring = Instant::now();
    let mut mended: Vec<String> = Vec::new();
    sweep.measure(
        &*engine,
        &asked,
        &mut |index, result| {
            let entry = entry(&sweep, &info, rest[index], &asked[index].0, &result)?;
            let steps = result.trials.iter().map(|trial| trial.steps * trial.members as u64).sum();
            folder.append(&entry)?;
            progress.borrow_mut().cell(cost(&asked[index]), steps);
            tell(&Event::Cell(&entry.threshold))
        },
        &mut |now| {
            for line in &now.mended[mended.len()..] {
                progress.borrow().warn(line);
                mended.push(line.clone());
            }
            let due = progress.borrow_mut().advance(measuring.elapsed(), now.lanes, now.config_steps);
            // Where stdout cannot be written, the next cell says so.
            let _ = due.map_or(Ok(()), |event| tell(&event));
            match interrupt.received() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    )?;
    tell(&Event::Progress(progress.into_inner().finish()))?;
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

    // Whoever merges shards learns from each what all of them should hold.
    let all = shard.map(|shard| {
        let row = |(cell, _): &(Cell, f64)| {
            let (cell_id, name) = (sweep.plan.cell_id(cell), cell.name());
            CellRow { shard: Shard::place(&cell_id, shard.of), cell_id, name }
        };
        cells.iter().map(row).collect::<Vec<_>>()
    });
    let begun_by_commit = folder.begun_by_another_commit();
    let (thresholds, Totals { runs, config_steps, .. }) =
        folder.finish(&sweep.problem, &sweep.minimum.weights, all.as_deref(), |totals| {
            Ok(RunFile {
                version: env!("CARGO_PKG_VERSION").into(),
                commit: env!("TAUSCOPE_COMMIT").into(),
                command: std::iter::once("tauscope".into()).chain(std::env::args().skip(1)).collect(),
                started: started.to_string(),
                finished: jiff::Timestamp::now().to_string(),
                seconds: clock.elapsed().as_secs_f64(),
                plan_hash,
                plan: serde_json::to_value(&sweep.plan)?,
                engine: info.clone(),
                engine_choice: why,
                paths,
                parameters: sweep.problem.dimension(),
                minimum: (&sweep.minimum).into(),
                start_distance: sweep.start_distance,
                escape_radius: sweep.plan.limits.contains_key(&Criterion::Escape).then_some(sweep.escape_radius),
                totals,
                begun_by_commit,
                mended,
                shard,
                shards: Vec::new(),
            })
        })?;
    if args.job.json {
        let measured = thresholds.iter().filter(|row| row.status == Status::Measured).count();
        let (cells, seconds, folder) = (thresholds.len(), clock.elapsed().as_secs_f64(), &target.display().to_string());
        return tell(&Event::End { cells, measured, runs, config_steps, seconds, folder });
    }
    if args.job.quiet {
        return Ok(());
    }
    to_stdout(&format!(
        "{}\n{}\nwrote {}: thresholds.csv, runs.csv, run.json, minimum.safetensors, thresholds.svg, thresholds.png\n",
        table(&thresholds),
        verdict(&thresholds, clock.elapsed()),
        target.display()
    ))
}

/// Picks the engine as the flags say.
pub(super) fn choose(EngineArgs { choice, adapter, precision }: &EngineArgs) -> Result<Chosen> {
    let cpu = |why: String| -> Chosen {
        let engine: Box<dyn Engine> = match precision {
            Precision::F32 => Box::new(Cpu::<f32>::default()),
            Precision::F64 => Box::new(Cpu::<f64>::default()),
        };
        Chosen { engine, why }
    };
    match choice {
        EngineChoice::Cpu => Ok(cpu("asked for".into())),
        EngineChoice::Auto if *precision == Precision::F64 => Ok(cpu("auto: f64 is the cpu engine's".into())),
        EngineChoice::Auto => match Gpu::open(&AdapterChoice::Hardware) {
            Ok(gpu) => Ok(Chosen { engine: Box::new(gpu), why: "auto: a hardware GPU is here".into() }),
            Err(error) => Ok(cpu(format!("auto: {error}"))),
        },
        EngineChoice::Gpu => {
            let choice = adapter.as_ref().map_or(AdapterChoice::Any, |name| AdapterChoice::Named(name.clone()));
            Ok(Chosen { engine: Box::new(Gpu::open(&choice)?), why: "asked for".into() })
        }
    }
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
        "schedule",
        "batch",
        "criterion",
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
            row.delay.map_or_else(|| number(row.delay_mean), |delay| delay.to_string()),
            row.schedule.clone(),
            row.batch.clone(),
            row.criterion.clone(),
            number(row.lr_theory),
            number(row.lr_stable),
            number(row.lr_unstable),
            number(row.lr_threshold),
            number(effective),
            row.ratio.map_or(String::new(), |ratio| format!("{ratio:.4}")),
            row.status.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(12) {
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
