//! `tauscope submit`: a sweep or a training as jobs of a scheduler, one per shard and one that merges them; and their state.

use super::to_stdout;
use crate::config::{JobArgs, SweepArgs, TrainArgs};
use crate::plan::file;
use crate::plan::{SweepPlan, TrainPlan};
use crate::session::{self, Existing};
use crate::submit::{State, Submission, slurm};
use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgMatches, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};

/// Who runs the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    Slurm,
}

/// Submit a sweep or a training as a job array with one task per shard, and a job that merges them.
///
/// `sweep` or `train` and its own flags follow after `--`. DIR.shards holds the shards, their logs and the scripts.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Scheduler that runs the jobs
    #[arg(long, value_enum, required_unless_present_any = ["status", "resubmit"])]
    pub scheduler: Option<Scheduler>,
    /// Number of shards, each a job
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          required_unless_present_any = ["status", "resubmit"])]
    pub shards: Option<u32>,
    /// Results folder of the whole job; must not exist
    #[arg(long, value_name = "DIR", required_unless_present_any = ["status", "resubmit"])]
    pub out: Option<PathBuf>,
    /// An option of sbatch for all jobs, as --sbatch=--partition=NAME; may be given several times
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, value_parser = option)]
    pub sbatch: Vec<String>,
    /// Seconds before the time limit at which Slurm warns a shard, which then writes a checkpoint and goes back into the queue;
    /// 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub signal: u32,
    /// Show the scripts and commands instead of submitting anything
    #[arg(long)]
    pub print: bool,
    /// Say where every shard of an earlier submission is
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scheduler", "shards", "out", "sbatch", "print", "resubmit", "job"])]
    pub status: Option<PathBuf>,
    /// Submit those shards of an earlier submission again that ended without being finished
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scheduler", "shards", "out", "sbatch", "print", "job"])]
    pub resubmit: Option<PathBuf>,
    /// sweep or train, and its flags
    #[arg(last = true, value_name = "sweep|train FLAGS")]
    pub job: Vec<String>,
}

fn option(text: &str) -> Result<String, String> {
    slurm::check_option(text).map(|()| text.into())
}

/// # Errors
/// Bad flags of the sweep, folders that are in the way, a scheduler that is not there or refuses.
pub fn run(args: &Args) -> Result<()> {
    if let Some(out) = &args.status {
        return status(out);
    }
    if let Some(out) = &args.resubmit {
        return resubmit(out);
    }
    let (Some(out), Some(shards)) = (&args.out, args.shards) else {
        bail!("--out and --shards: accepted: both, with --scheduler");
    };
    let units = check_job(&args.job)?;
    session::check(out, Existing::Keep)?;
    let mut submission = Submission {
        version: env!("CARGO_PKG_VERSION").into(),
        program: std::env::current_exe().context("cannot tell where this program is")?,
        directory: std::env::current_dir().context("cannot tell the working directory")?,
        out: std::path::absolute(out).with_context(|| format!("--out {}", out.display()))?,
        shards,
        options: args.sbatch.clone(),
        signal: args.signal,
        job: args.job.clone(),
        jobs: Vec::new(),
        merges: Vec::new(),
    };
    for path in [&submission.program, &submission.directory, &submission.out] {
        slurm::check_path(path)?;
    }
    let (shard, merge) = (slurm::shard_script(&submission), slurm::merge_script(&submission));
    let indices: Vec<u32> = submission.all().collect();
    if args.print {
        let commands =
            [slurm::array_arguments(&submission, &indices), slurm::merge_arguments(&submission, Some("JOB"), &[])];
        let commands = commands.map(|arguments| slurm::shown("sbatch", &arguments)).join("\n");
        let folder = submission.folder();
        let script = |name: &str, text: &str| format!("==> {} <==\n{text}\n", folder.join(name).display());
        let scripts = [script(slurm::SHARD_SCRIPT, &shard), script(slurm::MERGE_SCRIPT, &merge)].concat();
        return to_stdout(&format!("{scripts}==> commands <==\n{commands}\n"));
    }
    let folder = submission.folder();
    fs::create_dir(&folder).with_context(|| {
        format!(
            "cannot make {}; where it was made by an earlier submission, accepted: --status or --resubmit {}, or another \
             --out",
            folder.display(),
            out.display()
        )
    })?;
    let log = folder.join("log");
    fs::create_dir(&log).with_context(|| format!("cannot make {}", log.display()))?;
    submission.write(slurm::SHARD_SCRIPT, &shard)?;
    submission.write(slurm::MERGE_SCRIPT, &merge)?;
    submission.save()?;
    let job = slurm::submit_shards(&mut submission, &indices)?;
    let merge = slurm::submit_merge(&mut submission, Some(&job), &[])?;
    to_stdout(&format!(
        "submitted {units} in {shards} shards as job {job}, and their merge as job {merge}\n\
         {} says how they are\n",
        own_command("--status", out)
    ))
}

fn own_command(flag: &str, out: &Path) -> String {
    slurm::shown("tauscope", &["submit".into(), flag.into(), out.display().to_string()])
}

/// Checks the job's own flags before they wait in a queue. Returns how much it is: `12 cells`.
fn check_job(job: &[String]) -> Result<String> {
    match job.split_first() {
        Some((name, flags)) if name == "sweep" => check_sweep(flags),
        Some((name, flags)) if name == "train" => check_train(flags),
        Some((name, _)) => bail!("after --: '{name}'; accepted: sweep or train, and its flags"),
        None => bail!("after --: nothing; accepted: sweep or train, and its flags"),
    }
}

/// Parses the flags of a subcommand.
fn parse<T: clap::Args>(name: &'static str, flags: &[String]) -> Result<(T, ArgMatches)> {
    let command = T::augment_args(clap::Command::new(name).no_binary_name(true));
    let parsed = command
        .try_get_matches_from(flags)
        .and_then(|matches| T::from_arg_matches(&matches).map(|args| (args, matches)));
    parsed.map_err(|error| {
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default();
        anyhow!("after --, the flags of {name}: {}", first.strip_prefix("error: ").unwrap_or(first))
    })
}

fn check_sweep(flags: &[String]) -> Result<String> {
    let (sweep, matches) = parse::<SweepArgs>("tauscope sweep", flags)?;
    check_own(&sweep.job)?;
    let sweeps = file::complete(sweep, &matches)?;
    Ok(format!("{} cells", SweepPlan::resolve(&sweeps)?.cells().len()))
}

fn check_train(flags: &[String]) -> Result<String> {
    let (train, matches) = parse::<TrainArgs>("tauscope train", flags)?;
    check_own(&train.job)?;
    let plan = TrainPlan::resolve(&file::complete(train, &matches)?)?;
    Ok(format!("{} runs", plan.groups.len() * plan.seeds.len()))
}

/// Refuses the flags that the submission itself gives every shard.
fn check_own(job: &JobArgs) -> Result<()> {
    let own = [
        ("--out", job.out.is_some()),
        ("--shard", job.shard.is_some()),
        ("--resume", job.resume),
        ("--force", job.force),
        ("--dry-run", job.dry_run),
    ];
    match own.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!("{flag}: every shard is given its own; accepted: before --, or not at all"),
        None => Ok(()),
    }
}

/// Every shard's state.
fn status(out: &Path) -> Result<()> {
    let submission = Submission::read(out)?;
    let queue = slurm::queue()?;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["shard", "state", "finished so far", "log"]);
    let (mut finished, mut failed) = (0, Vec::new());
    for index in submission.all() {
        let (state, finished_units) = match slurm::state(&submission, &queue, index) {
            State::Finished => {
                finished += 1;
                ("finished".to_owned(), "all".to_owned())
            }
            State::Active(state) => (state, submission.finished_so_far(index).to_string()),
            State::Ended(state) => {
                failed.push(index);
                (state, submission.finished_so_far(index).to_string())
            }
        };
        let shard = format!("{index}/{}", submission.shards);
        table.add_row([shard, state, finished_units, submission.log(index).display().to_string()]);
    }
    let merge = if submission.out.exists() {
        format!("merged into {}", submission.out.display())
    } else {
        match submission.merges.iter().rev().find(|id| slurm::is_active(&queue, id)) {
            Some(id) => format!("to be merged by job {id}"),
            None => "no merge is waiting".into(),
        }
    };
    let advice = match (failed.is_empty(), submission.out.exists() || merge.starts_with("to be")) {
        (true, true) => String::new(),
        _ => format!("; {} sees to the rest", own_command("--resubmit", out)),
    };
    to_stdout(&format!("{table}\n{finished} of {} shards are finished, {merge}{advice}\n", submission.shards))
}

/// Submits what ended without being finished, and a merge that waits for it.
fn resubmit(out: &Path) -> Result<()> {
    let mut submission = Submission::read(out)?;
    if submission.out.exists() {
        return to_stdout(&format!("{} is merged; nothing to submit\n", submission.out.display()));
    }
    let queue = slurm::queue()?;
    let ended = |index: &u32| matches!(slurm::state(&submission, &queue, *index), State::Ended(_));
    let failed: Vec<u32> = submission.all().filter(ended).collect();
    let active =
        |ids: Vec<String>| -> Vec<String> { ids.into_iter().filter(|id| slurm::is_active(&queue, id)).collect() };
    let running = active(submission.jobs.iter().map(|job| job.id.clone()).collect());
    let merging = active(submission.merges.clone());
    if failed.is_empty() && !merging.is_empty() {
        return to_stdout("every shard is finished or on its way, and a merge waits for them; nothing to submit\n");
    }
    // The old merge waits for what cannot end well any more.
    slurm::cancel(&merging)?;
    let job = match failed.is_empty() {
        true => None,
        false => Some(slurm::submit_shards(&mut submission, &failed)?),
    };
    let merge = slurm::submit_merge(&mut submission, job.as_deref(), &running)?;
    let shards: Vec<String> = failed.iter().map(u32::to_string).collect();
    to_stdout(&match job {
        Some(job) => format!("submitted shards {} as job {job}, and the merge as job {merge}\n", shards.join(", ")),
        None => format!("every shard is finished or on its way; submitted their merge as job {merge}\n"),
    })
}
