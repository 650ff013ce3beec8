//! `tauscope train`: plan, data, engine, training, results folder, table.

mod dry_run;
mod table;

use super::sweep::{Chosen, choose};
use super::to_stdout;
use crate::config::TrainArgs;
use crate::engine::{Engine, EngineError};
use crate::plan::TrainPlan;
use crate::session::progress::training::{Event, Progress};
use crate::session::signals::{Interrupt, Interrupted};
use crate::session::{self, Existing, TrainFile, TrainFolder};
use crate::table::{TrainRow, TrainStatus};
use crate::train::{DIVERGENCE, LAMBDA_MAX, Outcome, Training, rows};
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// Trains every run of the grid. A table on stdout, progress on stderr.
///
/// # Errors
/// Bad flags, data that cannot be had, an engine that cannot be had, a device that fails, a folder that cannot be written. A
/// run that diverges is none.
pub fn run(args: &TrainArgs) -> Result<()> {
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let plan = TrainPlan::resolve(args)?;
    if args.job.dry_run {
        return dry_run::run(plan, args.job.json);
    }
    let existing = if args.job.force { Existing::Replace } else { Existing::Keep };
    let target =
        args.job.out.clone().unwrap_or_else(|| PathBuf::from(started.strftime("tauscope-%Y%m%d-%H%M%S").to_string()));
    session::check(&target, existing)?;
    let say = |line: &str| {
        if !args.job.quiet {
            eprintln!("{line}");
        }
    };
    let training = Training::new(plan)?;
    let plan = &training.plan;
    let Chosen { engine, why } = choose(&plan.engine)?;
    let info = engine.info().clone();
    say(&format!("engine   {} {} on {} ({why})", info.engine, info.precision, info.adapter));
    let paths = paths(&training, &*engine)?;
    let network = training.network();
    let (samples, test_samples) = (network.data.samples(), network.test.as_ref().map_or(0, |test| test.samples()));
    let parameters = network.dimension();
    let (model, data) = (&plan.problem.model, &plan.problem.data);
    say(&format!(
        "problem  {parameters} parameters of {model} on {samples} samples of {data}, {test_samples} test samples"
    ));
    let interrupt = Interrupt::watch().context("cannot watch for signals")?;
    let folder = TrainFolder::open(&target, existing, plan.save_weights)?;
    let tell =
        |event: &Event| if args.job.json { to_stdout(&format!("{}\n", serde_json::to_string(event)?)) } else { Ok(()) };
    let (plan_hash, all) = (plan.hash(), training.runs.len());
    tell(&Event::Start { plan_hash: &plan_hash, runs: all, groups: plan.groups.len(), engine: &info })?;
    let progress = Progress::new(all, plan.options.epochs, training.config_steps(), args.job.quiet, args.job.json);
    // Both of the training's callbacks report to it.
    let progress = RefCell::new(progress);
    let training_since = Instant::now();
    let mut mended: Vec<String> = Vec::new();
    let mut ended: Vec<Option<(TrainRow, Outcome)>> = vec![None; all];
    let done = training.train(
        &*engine,
        &mut |run, mut outcome| {
            let row = rows::run(&training, &info, run, &outcome);
            if let Some(last) = outcome.last.take().filter(|_| plan.save_weights) {
                folder.keep(&training.problem, &row.run_id, &last)?;
            }
            progress.borrow_mut().run();
            tell(&Event::Run(Box::new(row.clone())))?;
            ended[run] = Some((row, outcome));
            Ok(())
        },
        &mut |now| {
            for line in &now.mended[mended.len()..] {
                progress.borrow().warn(line);
                mended.push(line.clone());
            }
            let due = progress.borrow_mut().advance(training_since.elapsed(), &now);
            // Where stdout cannot be written, the next run says so.
            let _ = due.map_or(Ok(()), |event| tell(&event));
            match interrupt.received() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    );
    if let Err(error) = done {
        folder.discard()?;
        return Err(error);
    }
    tell(&Event::Progress(progress.into_inner().finish()))?;
    let (runs, outcomes): (Vec<TrainRow>, Vec<Outcome>) = ended.into_iter().flatten().unzip();
    if runs.len() < all
        && let Some(signal) = interrupt.received()
    {
        folder.discard()?;
        let message = format!("interrupted when {} of {all} runs had ended; nothing was written", runs.len());
        return Err(Interrupted { signal, message }.into());
    }
    let diverged = runs.iter().filter(|run| run.status == TrainStatus::Diverged).count();
    let config_steps = runs.iter().map(|run| run.steps).sum();
    let file = TrainFile {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: env!("TAUSCOPE_COMMIT").into(),
        command: std::iter::once("tauscope".into()).chain(std::env::args().skip(1)).collect(),
        started: started.to_string(),
        finished: jiff::Timestamp::now().to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        plan_hash,
        plan: serde_json::to_value(plan)?,
        engine: info.clone(),
        engine_choice: why,
        paths,
        parameters,
        samples,
        test_samples,
        runs: runs.len(),
        diverged,
        config_steps,
        divergence: DIVERGENCE.into(),
        lambda_max: plan.options.sharpness.map(|_| LAMBDA_MAX.into()),
        mended,
    };
    let summaries = folder.finish(&training, &runs, &outcomes, &file)?;
    let seconds = clock.elapsed().as_secs_f64();
    if args.job.json {
        let folder = &target.display().to_string();
        return tell(&Event::End { runs: runs.len(), diverged, config_steps, seconds, folder });
    }
    if args.job.quiet {
        return Ok(());
    }
    let sharpness = if outcomes.iter().any(|outcome| outcome.sharpness.len() > 1) { ", sharpness.svg/png" } else { "" };
    let weights = if plan.save_weights { ", weights/" } else { "" };
    to_stdout(&format!(
        "{}\n{}\nwrote {}: runs.csv, metrics.csv, summary.csv, run.json, curves.svg/png, gap.svg/png{sharpness}{weights}\n",
        table::table(&summaries),
        table::verdict(&summaries, seconds),
        target.display()
    ))
}

/// How `engine` makes the steps of a training's waves, each way named once.
fn paths(training: &Training, engine: &dyn Engine) -> Result<Vec<String>, EngineError> {
    let groups = training.groups(engine)?;
    let mut paths: Vec<String> = groups.iter().map(|(spec, _)| engine.path(spec)).collect::<Result<_, _>>()?;
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}
