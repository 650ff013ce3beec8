//! `tauscope submit`: a sweep or a training as jobs of a scheduler, one per shard and one that merges them; and their state.

use super::to_stdout;
use crate::config::{JobArgs, SweepArgs, TrainArgs};
use crate::host::Host;
use crate::plan::file;
use crate::plan::{SweepPlan, TrainPlan};
use crate::session;
use crate::submit::{State, Submission, script, slurm};
use crate::text::counted;
use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgMatches, ValueEnum};
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
    /// An option of sbatch for all jobs, as --sbatch=--partition=NAME; may be given several times. Those that ask for GPUs do
    /// not go to the job that merges
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, value_parser = option)]
    pub sbatch: Vec<String>,
    /// Seconds before the time limit at which Slurm warns a shard, which then writes a checkpoint and goes back into the queue;
    /// 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub signal: u32,
    /// Most shards that run at the same time [default: as many as there is room for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub array_throttle: Option<u32>,
    /// Shell commands that every job begins with, as module load; a first line #!... says which shell
    #[arg(long, value_name = "FILE")]
    pub prologue: Option<PathBuf>,
    /// Show the scripts and commands instead of submitting anything
    #[arg(long)]
    pub print: bool,
    /// Say where every shard of an earlier submission is
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scheduler", "shards", "out", "sbatch", "array_throttle", "prologue", "print", "resubmit", "job"])]
    pub status: Option<PathBuf>,
    /// Submit those shards of an earlier submission again that ended without being finished
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scheduler", "shards", "out", "sbatch", "array_throttle", "prologue", "print", "job"])]
    pub resubmit: Option<PathBuf>,
    /// sweep or train, and its flags
    #[arg(last = true, value_name = "sweep|train FLAGS")]
    pub job: Vec<String>,
}

fn option(text: &str) -> Result<String, String> {
    script::check_option(text).map(|()| text.into())
}

/// What a job of the scheduler starts: this program, or what its host says.
fn program() -> Result<PathBuf> {
    match Host::current().and_then(|host| host.program.clone()) {
        Some(program) => Ok(program),
        None => std::env::current_exe().context("cannot tell where this program is"),
    }
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
    check_out(out)?;
    let mut submission = Submission {
        version: env!("CARGO_PKG_VERSION").into(),
        program: program()?,
        directory: std::env::current_dir().context("cannot tell the working directory")?,
        out: std::path::absolute(out).with_context(|| format!("--out {}", out.display()))?,
        shards,
        options: args.sbatch.clone(),
        throttle: args.array_throttle,
        prologue: args.prologue.as_deref().map(script::read_prologue).transpose()?.unwrap_or_default(),
        signal: args.signal,
        job: args.job.clone(),
        jobs: Vec::new(),
        merges: Vec::new(),
    };
    for path in [&submission.program, &submission.directory, &submission.out] {
        script::check_path(path)?;
    }
    let (shard, merge) = (script::shard_script(&submission), script::merge_script(&submission));
    let indices: Vec<u32> = submission.all().collect();
    if args.print {
        let commands =
            [slurm::array_arguments(&submission, &indices), slurm::merge_arguments(&submission, Some("JOB"), &[])];
        let commands = commands.map(|arguments| script::shown("sbatch", &arguments)).join("\n");
        let folder = submission.folder();
        let file = |name: &str, text: &str| format!("==> {} <==\n{text}\n", folder.join(name).display());
        let scripts = [file(script::SHARD_SCRIPT, &shard), file(script::MERGE_SCRIPT, &merge)].concat();
        return to_stdout(&format!("{scripts}==> commands <==\n{commands}\n"));
    }
    let _lock = submission.claim()?;
    let begun = || -> Result<()> {
        submission.write(script::SHARD_SCRIPT, &shard)?;
        submission.write(script::MERGE_SCRIPT, &merge)?;
        submission.save()
    };
    if let Err(error) = begun() {
        submission.withdraw();
        return Err(error);
    }
    let (job, merge) = submit(&mut submission, &indices)?;
    to_stdout(&format!(
        "submitted {units} in {} as job {job}, and their merge as job {merge}\n\
         {} says how they are\n",
        counted(shards, "shard"),
        own_command("--status", out)
    ))
}

/// Submits all shards and their merge, or nothing.
fn submit(submission: &mut Submission, indices: &[u32]) -> Result<(String, String)> {
    let submitted = slurm::submit_shards(submission, indices)
        .and_then(|job| slurm::submit_merge(submission, Some(&job), &[]).map(|merge| (job, merge)));
    let Err(error) = submitted else { return submitted };
    // Shards without their merge would run for nothing, and nobody would know of them.
    let jobs: Vec<String> = submission.jobs.iter().map(|job| job.id.clone()).chain(submission.merges.clone()).collect();
    if let Err(refusal) = slurm::cancel(&jobs) {
        let left = jobs.join(", ");
        return Err(
            error.context(format!("submitted in part: job {left} is left, and cannot be cancelled ({refusal:#})"))
        );
    }
    submission.withdraw();
    Err(error.context("nothing was submitted"))
}

/// Refuses a results folder that is there already.
fn check_out(out: &Path) -> Result<()> {
    if out.symlink_metadata().is_ok() {
        bail!("--out {}: exists already; accepted: another folder", out.display());
    }
    let partial = session::beside(out, "partial")?;
    if partial.symlink_metadata().is_ok() {
        bail!("--out {}: {} lies beside it; accepted: another folder", out.display(), partial.display());
    }
    Ok(())
}

fn own_command(flag: &str, out: &Path) -> String {
    script::shown("tauscope", &["submit".into(), flag.into(), out.display().to_string()])
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
    Ok(counted(SweepPlan::resolve(&sweeps)?.cells().len(), "cell"))
}

fn check_train(flags: &[String]) -> Result<String> {
    let (train, matches) = parse::<TrainArgs>("tauscope train", flags)?;
    check_own(&train.job)?;
    let plan = TrainPlan::resolve(&file::complete(train, &matches)?)?;
    Ok(counted(plan.groups.len() * plan.seeds.len(), "run"))
}

/// Refuses the flags that the submission itself gives every shard.
fn check_own(job: &JobArgs) -> Result<()> {
    let refused = [
        ("--out", job.out.is_some(), "--out before --"),
        ("--shard", job.shard.is_some(), "--shards before --"),
        ("--resume", job.resume, "no --resume, a shard that was begun goes on by itself"),
        ("--force", job.force, "no --force, and an --out that is not there yet"),
        ("--dry-run", job.dry_run, "--print before --"),
    ];
    match refused.into_iter().find(|(_, given, _)| *given) {
        Some((flag, _, accepted)) => bail!("{flag} after --: every shard is given its own; accepted: {accepted}"),
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
        _ => format!("; {} submits the others again", own_command("--resubmit", out)),
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
