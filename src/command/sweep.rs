//! `tauscope sweep`: plan, minimum, engine, measurement, results folder, table.

use super::dry_run;
use super::shown::{self, Column, Worth};
use crate::config::SweepArgs;
use crate::plan::SweepPlan;
use crate::plot;
use crate::session::{self, Session, SomeFailed, Tables, as_map};
use crate::streams::stdout_width;
use crate::sweep::{SweepJob, SweepTables, SweepTotals};
use crate::table::number::{aligned, ratio, rounded, significant};
use crate::table::{Status, ThresholdRow};
use crate::text::counted;
use anyhow::{Result, bail};
use serde_json::json;
use std::time::Duration;

/// Most digits of a learning rate.
const MOST_DIGITS: usize = 9;
/// What a person looks for in the folder, as far as it is there.
const FILES: [&str; 7] =
    ["thresholds.csv", "runs.csv", "run.json", "minimum.safetensors", "thresholds.svg", "thresholds.png", "traces/"];

/// Runs the sweep of all these grids; how, the first of them says. Rows on stdout, progress on stderr.
///
/// # Errors
/// Bad flags, a minimum that is none, an engine that cannot be had, a device that fails, a folder that cannot be written; at the
/// end, where a cell failed.
///
/// # Panics
/// Where there is none.
pub fn run(sweeps: &[SweepArgs]) -> Result<()> {
    let args = sweeps.first().expect("a sweep");
    let plan = SweepPlan::resolve(sweeps)?;
    if let (Some(dir), Some(out)) = (&args.extend, &args.job.out)
        && let (Ok(one), Ok(other)) = (dir.canonicalize(), out.canonicalize())
        && one == other
    {
        bail!("--out {}: it is the folder of --extend, which stays as it is; accepted: another folder", out.display());
    }
    if plan.rates.is_empty() {
        shown::check(&columns(&[]), &args.job.columns)?;
    } else {
        shown::check(&super::rates::columns(), &args.job.columns)?;
    }
    if args.job.dry_run {
        args.job.out.iter().try_for_each(|out| session::beside(out, "partial").map(drop))?;
        return dry_run::sweep::run(&plan, &args.job);
    }
    if !plan.rates.is_empty() {
        return super::rates::run(plan, args);
    }
    let mut session = Session::begin(&plan.engine, &args.job)?;
    let mut job = SweepJob::prepare(plan, Some(args.job.checkpoint_every.0), session.engine())?;
    session.say(&format!("problem  {}", job.describe_problem()));
    if let Some(mapping) = &job.weight_mapping {
        session.say(&format!("weights  {mapping}"));
    }
    if let Some(dir) = &args.extend {
        let told = job.extend(dir)?;
        session.say(&format!("extends  {told}"));
    }
    let finished = session.run(&job, &|rows: &Vec<ThresholdRow>, dir| {
        // A shard may have no cells.
        if rows.is_empty() { Ok(()) } else { plot::thresholds(rows, dir, plot::Theme::Light).map(drop) }
    })?;
    let (rows, SweepTotals { cells, runs, config_steps }) = (finished.summary, finished.totals);
    let measured = rows.iter().filter(|row| row.status == Status::Measured).count();
    let failed = rows.iter().filter(|row| row.status == Status::Failed).count();
    let counts =
        json!({"cells": cells, "measured": measured, "failed": failed, "runs": runs, "config_steps": config_steps});
    let mut answer = Vec::new();
    // A shard may have no cells.
    if !rows.is_empty() {
        answer.push(shown::table(&rows, columns(&rows), &args.job.columns, stdout_width(), SweepTables::MAIN));
    }
    answer.extend(reasons(&rows));
    answer.extend(again(&rows, &session.engine().info().precision));
    answer.push(verdict(&rows, Duration::from_secs_f64(finished.seconds)));
    let answer = answer.join("\n");
    session.end(as_map(counts), &answer, &super::files_there(&session.target, &FILES));
    match failed {
        0 => Ok(()),
        failed => {
            let folder = session.target.join(SweepTables::MAIN);
            Err(SomeFailed { failed, all: rows.len(), units: "cells", folder }.into())
        }
    }
}

type Shown = Column<ThresholdRow>;

/// The columns of thresholds, as a person reads them.
fn columns(rows: &[ThresholdRow]) -> Vec<Shown> {
    let digits = digits(rows);
    let number = move |value: Option<f64>| value.map_or(String::new(), |value| aligned(value, digits));
    let way = rows.iter().find_map(ThresholdRow::way_title).unwrap_or("outer loop");
    vec![
        Shown::new("rule", Worth::Needed, |row| row.rule.clone()),
        Shown::new("momentum", Worth::Setting, |row| row.momentum.to_string()),
        Shown::new("dampening", Worth::Setting, |row| row.dampening.to_string()),
        Shown::new("delay", Worth::Needed, |row| match row.delay {
            Some(delay) => delay.to_string(),
            // Those of stages have a column of their own.
            None if row.stages.is_some() => String::new(),
            None => row.delay_mean.map_or(String::new(), |mean| significant(mean, 4)),
        }),
        Shown::new("schedule", Worth::Setting, |row| row.schedule.clone()),
        Shown::new("batch", Worth::Setting, |row| row.batch.clone()),
        Shown::new(way, Worth::Setting, |row| row.way().unwrap_or_default()),
        Shown::new("criterion", Worth::Setting, |row| row.criterion.clone()),
        Shown::new("lr_stable", Worth::Detail, move |row| number(row.lr_stable)).part_of("bracket"),
        Shown::new("lr_unstable", Worth::Detail, move |row| number(row.lr_unstable)).part_of("bracket"),
        Shown::new("lr_threshold", Worth::Needed, move |row| number(row.lr_threshold)),
        Shown::new("lr_theory", Worth::Evidence, move |row| number(row.lr_theory)),
        Shown::new("ratio", Worth::Result, |row| row.ratio.map_or(String::new(), |value| ratio(value, 4))),
        Shown::new("lr_effective", Worth::Detail, move |row| number(row.lr_effective)),
        Shown::new("status", Worth::Setting, |row| row.status.to_string()),
    ]
}

/// Digits of learning rates: as few as tell the ends of every bracket from each other.
fn digits(rows: &[ThresholdRow]) -> usize {
    let told_apart = |row: &ThresholdRow, digits| match (row.lr_stable, row.lr_unstable) {
        (Some(stable), Some(unstable)) => rounded(stable, digits) != rounded(unstable, digits),
        _ => true,
    };
    (4..MOST_DIGITS).find(|digits| rows.iter().all(|row| told_apart(row, *digits))).unwrap_or(MOST_DIGITS)
}

/// Why cells have no threshold, each reason once.
fn reasons(rows: &[ThresholdRow]) -> Vec<String> {
    let mut counts: Vec<(Status, &str, usize)> = Vec::new();
    for row in rows.iter().filter(|row| row.status != Status::Measured) {
        let reason = row.reason.as_deref().unwrap_or("no reason is known");
        match counts.iter_mut().find(|(status, known, _)| (*status, *known) == (row.status, reason)) {
            Some((.., count)) => *count += 1,
            None => counts.push((row.status, reason, 1)),
        }
    }
    counts.into_iter().map(|(status, reason, count)| format!("{} {status}: {reason}", counted(count, "cell"))).collect()
}

/// How many cells f64 has decided, where the engine's numbers are f32.
fn again(rows: &[ThresholdRow], precision: &str) -> Option<String> {
    let count = rows.iter().filter(|row| row.precision.as_deref() == Some("f64")).count();
    let note = || {
        format!(
            "{} measured in f64 on the processor, for f32 does not decide them (column precision)",
            counted(count, "cell")
        )
    };
    (precision == "f32" && count > 0).then(note)
}

/// The answer in a sentence.
fn verdict(rows: &[ThresholdRow], elapsed: Duration) -> String {
    let measured: Vec<&ThresholdRow> = rows.iter().filter(|row| row.status == Status::Measured).collect();
    let seconds = elapsed.as_secs_f64();
    format!(
        "{} of {} measured in {seconds:.1} s; {}",
        measured.len(),
        counted(rows.len(), "cell"),
        beside_theory(&measured)
    )
}

/// How far measured cells are from theory, of those that have one.
fn beside_theory(measured: &[&ThresholdRow]) -> String {
    let ratios: Vec<f64> = measured.iter().filter_map(|row| row.ratio).collect();
    let worst = ratios.iter().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max);
    let without = measured.len() - ratios.len();
    match (ratios.len(), without) {
        (0, 0) => "none to set beside theory".to_owned(),
        (0, _) => "none of them has a theory to be set beside".to_owned(),
        (with, without) => {
            let differ = format!("measured / theory differs from 1 by at most {}", significant(worst, 2));
            if without == 0 {
                differ
            } else {
                format!("{differ} in {}; {} without a theory", counted(with, "cell"), counted(without, "cell"))
            }
        }
    }
}
