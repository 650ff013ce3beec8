//! `tauscope train`: plan, data, engine, training, results folder, table.

mod table;

use super::{dry_run, shown};
use crate::config::TrainArgs;
use crate::plan::TrainPlan;
use crate::plot;
use crate::session::{self, Session, SomeFailed, Tables, as_map};
use crate::streams::stdout_width;
use crate::table::SummaryRow;
use crate::train::{TrainJob, TrainTables, TrainTotals};
use anyhow::Result;
use serde_json::json;

/// What a training writes, as far as it is asked for.
const FILES: [&str; 13] = [
    "runs.csv",
    "metrics.csv",
    "summary.csv",
    "run.json",
    "curves.svg",
    "curves.png",
    "gap.svg",
    "gap.png",
    "sharpness.svg",
    "sharpness.png",
    "weights/",
    "state/",
    "traces/",
];

/// Trains every run of all these grids; how, the first of them says. A table on stdout, progress on stderr.
///
/// # Errors
/// Bad flags, data that cannot be had, an engine that cannot be had, a device that fails, a folder that cannot be written. A
/// run that diverges is a result, one that fails an error at the end.
///
/// # Panics
/// Where there is none.
pub fn run(trainings: &[TrainArgs]) -> Result<()> {
    let args = trainings.first().expect("a training");
    let plan = TrainPlan::resolve(trainings)?;
    shown::check(&table::columns(&[]), &args.job.columns)?;
    if args.job.dry_run {
        args.job.out.iter().try_for_each(|out| session::beside(out, "partial").map(drop))?;
        return dry_run::train::run(plan, &args.job);
    }
    let mut session = Session::begin(&plan.engine, &args.job)?;
    let job = TrainJob::prepare(plan, args.job.checkpoint_every.0, session.engine())?;
    session.say(&format!("problem  {}", job.describe_problem()));
    if let Some(mapping) = &job.training.weight_mapping {
        session.say(&format!("weights  {mapping}"));
    }
    if let Some(told) = job.training.plan.told_of_scaling() {
        session.say(&format!("scaling  {told}"));
    }
    let finished = session.run(&job, &|groups: &Vec<SummaryRow>, dir| {
        // A shard may have no runs.
        if groups.is_empty() { Ok(()) } else { plot::training(dir, plot::Theme::Light).map(drop) }
    })?;
    let (groups, TrainTotals { runs, diverged, failed, config_steps }) = (finished.summary, finished.totals);
    let shown = shown::table(&groups, table::columns(&groups), &args.job.columns, stdout_width(), "summary.csv");
    session.end(
        as_map(json!({"runs": runs, "diverged": diverged, "failed": failed, "config_steps": config_steps})),
        &format!(
            "{}{}{}",
            if groups.is_empty() { String::new() } else { shown + "\n" },
            table::effect_of_delay(&groups).map_or(String::new(), |told| told + "\n"),
            table::verdict(&groups, finished.seconds)
        ),
        &super::files_there(&session.target, &FILES),
    );
    match failed {
        0 => Ok(()),
        failed => {
            let folder = session.target.join(TrainTables::MAIN);
            Err(SomeFailed { failed, all: runs, units: "runs", folder }.into())
        }
    }
}
