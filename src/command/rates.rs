//! `tauscope sweep --rates`: rates of approach at given learning rates, in the place of thresholds.
//!
//! Not here: the plan and what comes before ([`super::sweep`]).

use crate::config::SweepArgs;
use crate::plan::SweepPlan;
use crate::rates::{RatesJob, RatesTables, RatesTotals};
use crate::session::{Session, SomeFailed, Tables, as_map};
use crate::table::number::{aligned, significant};
use crate::table::{RateRow, Status};
use anyhow::Result;
use serde_json::json;

/// Measures the rates of a plan.
///
/// # Errors
/// As a sweep of thresholds.
pub(super) fn run(plan: SweepPlan, args: &SweepArgs) -> Result<()> {
    let mut session = Session::begin(&plan.engine, &args.job)?;
    let mut job = RatesJob::prepare(plan, args.job.checkpoint_every.0, session.engine())?;
    session.say(&format!("problem  {}", job.sweep.describe_problem()));
    if let Some(mapping) = &job.sweep.weight_mapping {
        session.say(&format!("weights  {mapping}"));
    }
    if let Some(dir) = &args.extend {
        let told = job.extend(dir)?;
        session.say(&format!("extends  {told}"));
    }
    let finished = session.run(&job, &|_, _| Ok(()))?;
    let (rows, RatesTotals { rates, measured, config_steps }) = (finished.summary, finished.totals);
    let failed = rows.iter().filter(|row| row.status == Status::Failed).count();
    let counts = json!({"rates": rates, "measured": measured, "failed": failed, "config_steps": config_steps});
    let reasons = rows.iter().filter_map(|row| Some(format!("{}: {}", row.rate_id, row.reason.as_ref()?)));
    let last = format!("{measured} of {rates} rates measured in {:.1} s; {}", finished.seconds, beside_theory(&rows));
    let lines: Vec<String> = std::iter::once(table(&rows).to_string()).chain(reasons).chain([last]).collect();
    session.end(as_map(counts), &lines.join("\n"), "rates.csv, run.json, minimum.safetensors");
    match failed {
        0 => Ok(()),
        failed => {
            let folder = session.target.join(RatesTables::MAIN);
            Err(SomeFailed { failed, all: rows.len(), units: "rates", folder }.into())
        }
    }
}

fn table(rows: &[RateRow]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "rule",
        "momentum",
        "delay",
        "schedule",
        "criterion",
        "lr",
        "updates per e-fold",
        "+-",
        "theory",
        "ratio",
        "status",
    ]);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| aligned(value, 5));
    for row in rows {
        table.add_row([
            row.rule.clone(),
            row.momentum.to_string(),
            row.delay.map_or(String::new(), |delay| delay.to_string()),
            row.schedule.clone(),
            row.criterion.clone(),
            row.lr.to_string(),
            match row.rate {
                Some(rate) if rate <= 0.0 => "does not shrink".to_owned(),
                _ => number(row.updates_per_efold),
            },
            row.updates_error.map_or(String::new(), |error| significant(error, 2)),
            number(row.updates_theory),
            row.ratio.map_or(String::new(), |ratio| aligned(ratio, 5)),
            row.status.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(5).take(5) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    table
}

/// How far measured rates are from theory, of those that have one.
fn beside_theory(rows: &[RateRow]) -> String {
    let measured = rows.iter().filter(|row| row.status == Status::Measured);
    let ratios: Vec<f64> = measured.filter_map(|row| row.ratio).collect();
    match ratios.iter().map(|ratio| (ratio - 1.0).abs()).reduce(f64::max) {
        Some(worst) => {
            let of = ratios.len();
            format!("measured / theory differs from 1 by at most {} in {of} of them", significant(worst, 2))
        }
        None => "none to set beside theory".to_owned(),
    }
}
