//! `tauscope sweep`: plan, minimum, engine, measurement, results folder, table.

use super::dry_run;
use crate::config::SweepArgs;
use crate::plan::SweepPlan;
use crate::plot;
use crate::session::{self, Session, SomeFailed, Tables, as_map};
use crate::sweep::{SweepJob, SweepTables, SweepTotals};
use crate::table::number::{aligned, significant};
use crate::table::{Status, ThresholdRow};
use anyhow::{Result, bail};
use serde_json::json;
use std::time::Duration;

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
        if rows.is_empty() { Ok(()) } else { plot::thresholds(rows, dir) }
    })?;
    let (rows, SweepTotals { cells, runs, config_steps }) = (finished.summary, finished.totals);
    let measured = rows.iter().filter(|row| row.status == Status::Measured).count();
    let failed = rows.iter().filter(|row| row.status == Status::Failed).count();
    let counts =
        json!({"cells": cells, "measured": measured, "failed": failed, "runs": runs, "config_steps": config_steps});
    let mut answer = vec![table(&rows).to_string()];
    answer.extend(reasons(&rows));
    answer.extend(again(&rows, &session.engine().info().precision));
    answer.push(verdict(&rows, Duration::from_secs_f64(finished.seconds)));
    let answer = answer.join("\n");
    let traces = if args.job.trace_runs { ", traces/" } else { "" };
    session.end(
        as_map(counts),
        &answer,
        &format!("thresholds.csv, runs.csv, run.json, minimum.safetensors, thresholds.svg, thresholds.png{traces}"),
    );
    match failed {
        0 => Ok(()),
        failed => {
            let folder = session.target.join(SweepTables::MAIN);
            Err(SomeFailed { failed, all: rows.len(), units: "cells", folder }.into())
        }
    }
}

/// Columns of the table before that of outer loops.
const BEFORE_OUTER: usize = 6;

/// The thresholds as a person reads them.
fn table(rows: &[ThresholdRow]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    // Where no cell has an outer loop or stages, nothing is said of them.
    let title = rows.iter().find_map(ThresholdRow::way_title);
    let outer = title.is_some();
    let with = |mut cells: Vec<String>, cell: Option<String>| {
        if outer {
            cells.insert(BEFORE_OUTER, cell.unwrap_or_default());
        }
        cells
    };
    let header = [
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
    ];
    table.set_header(with(header.map(str::to_owned).to_vec(), title.map(str::to_owned)));
    let number = |value: Option<f64>| value.map_or(String::new(), |value| aligned(value, 5));
    for row in rows {
        let cells = [
            row.rule.clone(),
            row.momentum.to_string(),
            row.dampening.to_string(),
            match row.delay {
                Some(delay) => delay.to_string(),
                // Those of stages have a column of their own.
                None if row.stages.is_some() => String::new(),
                None => row.delay_mean.map_or(String::new(), |mean| significant(mean, 4)),
            },
            row.schedule.clone(),
            row.batch.clone(),
            row.criterion.clone(),
            number(row.lr_theory),
            number(row.lr_stable),
            number(row.lr_unstable),
            number(row.lr_threshold),
            number(row.lr_effective),
            row.ratio.map_or(String::new(), |ratio| aligned(ratio, 5)),
            row.status.to_string(),
        ];
        table.add_row(with(cells.to_vec(), row.way()));
    }
    for column in table.column_iter_mut().skip(1).take(12 + usize::from(outer)) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    table
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
    counts.into_iter().map(|(status, reason, count)| format!("{} {status}: {reason}", cells(count))).collect()
}

/// How many cells f64 has decided, where the engine's numbers are f32.
fn again(rows: &[ThresholdRow], precision: &str) -> Option<String> {
    let count = rows.iter().filter(|row| row.precision.as_deref() == Some("f64")).count();
    let note = || {
        format!("{} measured in f64 on the processor, for f32 does not decide them (column precision)", cells(count))
    };
    (precision == "f32" && count > 0).then(note)
}

fn cells(count: usize) -> String {
    if count == 1 { "1 cell".to_owned() } else { format!("{count} cells") }
}

/// The answer in a sentence.
fn verdict(rows: &[ThresholdRow], elapsed: Duration) -> String {
    let measured: Vec<&ThresholdRow> = rows.iter().filter(|row| row.status == Status::Measured).collect();
    let seconds = elapsed.as_secs_f64();
    format!("{} of {} cells measured in {seconds:.1} s; {}", measured.len(), rows.len(), beside_theory(&measured))
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
                format!("{differ} in {}; {} without a theory", cells(with), cells(without))
            }
        }
    }
}
