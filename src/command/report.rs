//! `tauscope report`: one HTML page from results folders, and `--follow`, which makes it again while a job runs.

use super::results::Results;
use super::tell;
use crate::report::{self, Reported};
use crate::session::signals::{Interrupt, Interrupted};
use crate::session::{NothingYet, is_held};
use crate::streams::to_stderr;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Write one self-contained HTML page about results folders: a recommendation, a ranked list, plots, tables, plan and machine. Of an
/// unfinished folder, what there is so far; several folders of one kind are compared cell by cell.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folders, as written by `tauscope sweep` or `tauscope train`, finished or not
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// File to write [default: DIR/report.html, where there is one DIR; DIR.html with --follow of an unfinished one]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the page again every so many seconds while a job of the folders runs; the page reloads itself until it is finished
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub follow: Option<u32>,
}

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(100);
/// Failures one after the other that end the following: a folder may get its name while it is read.
const PATIENCE: u32 = 3;

/// Whether `file` is there and belongs to what a job has put into `folder`.
fn is_result_of(folder: &Path, file: &Path) -> bool {
    let is_page = file.extension().is_some_and(|extension| extension == "html");
    let parent = |file: &Path| file.canonicalize().ok()?.parent().map(Path::to_owned);
    !is_page && folder.canonicalize().ok().is_some_and(|folder| parent(file) == Some(folder))
}

/// Writes the page and prints its path.
///
/// # Errors
/// Where a folder or one of its files is missing or malformed, or the page cannot be written; the message names the
/// file. With `--follow`, where a signal ends it.
pub fn run(args: &Args) -> Result<()> {
    if let Some(seconds) = args.follow {
        return follow(args, seconds);
    }
    let folders: Vec<Results> = args.dirs.iter().map(|dir| Results::open(dir)).collect::<Result<_>>()?;
    let out = match &folders[..] {
        [only] => args.out.clone().unwrap_or_else(|| only.named.join("report.html")),
        many => given(args, many.len())?,
    };
    write(&folders, &out, None)?;
    folders.iter().filter_map(Results::note).for_each(|note| to_stderr(&format!("note: {note}")));
    tell(&format!("{}\n", out.display()));
    Ok(())
}

fn given(args: &Args, folders: usize) -> Result<PathBuf> {
    args.out
        .clone()
        .with_context(|| format!("{folders} folders and no --out; accepted: --out FILE, the page about all of them"))
}

fn write(folders: &[Results], out: &Path, reload: Option<u32>) -> Result<()> {
    let reported: Vec<Reported> =
        folders.iter().map(|folder| Reported { named: &folder.named, tables: folder.tables() }).collect();
    if let Some(folder) = folders.iter().find(|folder| is_result_of(&folder.named, out)) {
        let (out, named) = (out.display(), folder.named.display());
        bail!(
            "--out {out}: it is a result in {named}; accepted: a name that ends in .html, or one outside of that folder"
        );
    }
    report::write(&reported, out, reload)
}

/// Writes the page again and again until no job of the folders runs.
fn follow(args: &Args, seconds: u32) -> Result<()> {
    let interrupt = Interrupt::watch().context("cannot watch for signals")?;
    let dirs: Vec<PathBuf> = args.dirs.iter().map(|dir| target(dir)).collect();
    let out = match &dirs[..] {
        [only] => args.out.clone().unwrap_or_else(|| {
            let beside = || PathBuf::from(format!("{}.html", only.display().to_string().trim_end_matches('/')));
            if only.exists() { only.join("report.html") } else { beside() }
        }),
        many => given(args, many.len())?,
    };
    let mut failures = 0;
    let mut is_told = false;
    loop {
        let signal = interrupt.received();
        // Asked before the tables are read: what a job that ends meanwhile has added is in the page of the next round.
        let is_running = dirs.iter().any(|dir| is_held(&partial(dir)));
        let reload = (is_running && signal.is_none()).then_some(seconds);
        match attempt(&dirs, &out, reload) {
            Ok(()) => failures = 0,
            Err(error) if failures + 1 < PATIENCE && is_told => {
                to_stderr(&format!("note: {error:#}; trying again"));
                failures += 1;
            }
            Err(error) => return Err(error),
        }
        if !is_told {
            tell(&format!("{}\n", out.display()));
            is_told = true;
        }
        if let Some(signal) = signal {
            let message = format!("stopped following; {} has what there was and does not reload", out.display());
            return Err(Interrupted { signal, message }.into());
        }
        if reload.is_none() && failures == 0 {
            let unfinished = dirs.iter().filter(|dir| !dir.exists()).map(|dir| partial(dir).display().to_string());
            let unfinished: Vec<String> = unfinished.collect();
            if !unfinished.is_empty() {
                to_stderr(&format!("note: no job writes {} any more, and it is unfinished", unfinished.join(", ")));
            }
            return Ok(());
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds.into()) && interrupt.received().is_none() {
            std::thread::sleep(TICK);
        }
    }
}

/// Makes the page once; where nothing is finished yet, one that says so.
fn attempt(dirs: &[PathBuf], out: &Path, reload: Option<u32>) -> Result<()> {
    // A job that replaces a folder stands beside it.
    let open = |dir: &PathBuf| if is_held(&partial(dir)) { Results::open(&partial(dir)) } else { Results::open(dir) };
    let opened: Result<Vec<Results>> = dirs.iter().map(open).collect();
    match opened {
        Ok(folders) => write(&folders, out, reload),
        Err(error) if error.downcast_ref::<NothingYet>().is_some() => {
            let told = match reload {
                Some(_) => {
                    "The job has begun, and no part of it is finished yet. This page shows the first results once they are \
                     there."
                }
                None => "No part of the job was finished when this page was written.",
            };
            report::write_waiting(&dirs[0], told, out, reload)
        }
        Err(error) => Err(error),
    }
}

/// The name that an unfinished folder gets once it is whole.
fn target(dir: &Path) -> PathBuf {
    let is_partial = dir.extension().is_some_and(|extension| extension == "partial");
    if is_partial { dir.with_extension("") } else { dir.to_owned() }
}

fn partial(dir: &Path) -> PathBuf {
    PathBuf::from(format!("{}.partial", dir.display().to_string().trim_end_matches('/')))
}
