//! `tauscope sweep --rates`: rates of approach at given learning rates, in the place of thresholds.
//!
//! Not here: the plan and what comes before ([`super::sweep`]).

use super::shown::{self, Column, Worth};
use crate::config::SweepArgs;
use crate::plan::SweepPlan;
use crate::rates::{RatesJob, RatesTables, RatesTotals};
use crate::session::{Session, SomeFailed, Tables, as_map};
use crate::streams::stdout_width;
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
    // A shard may have no rates.
    let told = (!rows.is_empty())
        .then(|| shown::table(&rows, columns(), &args.job.columns, stdout_width(), RatesTables::MAIN));
    let lines: Vec<String> = told.into_iter().chain(reasons).chain([last]).collect();
    let files = super::files_there(&session.target, &["rates.csv", "run.json", "minimum.safetensors"]);
    session.end(as_map(counts), &lines.join("\n"), &files);
    match failed {
        0 => Ok(()),
        failed => {
            let folder = session.target.join(RatesTables::MAIN);
            Err(SomeFailed { failed, all: rows.len(), units: "rates", folder }.into())
        }
    }
}

/// Digits of a learning rate, which was typed.
const MOST_DIGITS: usize = 9;

type Shown = Column<RateRow>;

/// The columns of rates, as a person reads them.
pub(super) fn columns() -> Vec<Shown> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| aligned(value, 5));
    vec![
        Shown::new("rule", Worth::Needed, |row| row.rule.clone()),
        Shown::new("momentum", Worth::Setting, |row| row.momentum.to_string()),
        Shown::new("dampening", Worth::Setting, |row| row.dampening.to_string()),
        Shown::new("delay", Worth::Needed, |row| row.delay.map_or(String::new(), |delay| delay.to_string())),
        Shown::new("schedule", Worth::Setting, |row| row.schedule.clone()),
        Shown::new("criterion", Worth::Setting, |row| row.criterion.clone()),
        Shown::new("lr", Worth::Needed, |row| significant(row.lr, MOST_DIGITS)),
        Shown::new("updates_per_efold", Worth::Needed, move |row| match row.rate {
            Some(rate) if rate <= 0.0 => "does not shrink".to_owned(),
            _ => number(row.updates_per_efold),
        }),
        Shown::new("updates_error", Worth::Evidence, |row| {
            row.updates_error.map_or(String::new(), |error| significant(error, 2))
        }),
        Shown::new("updates_theory", Worth::Evidence, move |row| number(row.updates_theory)),
        Shown::new("ratio", Worth::Result, |row| row.ratio.map_or(String::new(), |ratio| aligned(ratio, 5))),
        Shown::new("status", Worth::Setting, |row| row.status.to_string()),
    ]
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
