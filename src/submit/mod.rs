//! Shards handed to a scheduler: what was submitted, and where each shard is.
//!
//! `DIR.shards` holds a folder for every shard, their logs, the two scripts and `submit.json`. Whether a shard is finished
//! is what its folder says; the scheduler is asked only about the rest. Not here: a scheduler.

pub mod script;
pub mod slurm;

use crate::config::Shard;
use crate::files::write_whole;
use crate::session;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const RECORD: &str = "submit.json";
const LOGS: &str = "log";

/// What a submission writes into `DIR.shards`.
const OWN_FILES: [&str; 3] = [script::SHARD_SCRIPT, script::MERGE_SCRIPT, RECORD];

/// What was submitted: all that it takes to look after it, or to submit a part of it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    pub version: String,
    /// The program that the jobs run.
    pub program: PathBuf,
    /// Where they run it.
    pub directory: PathBuf,
    /// The results folder of the whole job.
    pub out: PathBuf,
    pub shards: u32,
    /// Options for the scheduler, as given.
    pub options: Vec<String>,
    /// Shards that may run at the same time; all where none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u32>,
    /// Shell commands that every job begins with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prologue: String,
    /// Seconds before the time limit at which the scheduler warns a shard; 0 for never.
    pub signal: u32,
    /// The subcommand that every shard runs, `sweep` or `train`, and its flags.
    pub job: Vec<String>,
    /// Jobs of shards, oldest first.
    pub jobs: Vec<Job>,
    /// Jobs that merge them, oldest first.
    pub merges: Vec<String>,
}

/// A job and the shards that it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    pub shards: Vec<u32>,
}

/// What is known of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Finished,
    /// The scheduler has it: waiting, running, or on its way between the two.
    Active(String),
    /// It is not finished, and nobody is at it.
    Ended(String),
}

impl Submission {
    /// `DIR.shards`.
    ///
    /// # Errors
    /// Where `out` does not end in a folder's name.
    pub fn folder_of(out: &Path) -> Result<PathBuf> {
        session::beside(out, "shards")
    }

    pub fn folder(&self) -> PathBuf {
        self.out.with_file_name(self.name() + ".shards")
    }

    /// The name of the results folder.
    pub fn name(&self) -> String {
        self.out.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn shard_folder(&self, index: u32) -> PathBuf {
        self.folder().join(format!("shard-{index}"))
    }

    pub fn log(&self, index: u32) -> PathBuf {
        self.folder().join(format!("{LOGS}/shard-{index}.txt"))
    }

    pub fn is_finished(&self, index: u32) -> bool {
        self.shard_folder(index).join(session::RUN).is_file()
    }

    /// Units (cells, runs) that an unfinished shard has finished so far.
    pub fn finished_so_far(&self, index: u32) -> usize {
        let partial = self.folder().join(format!("shard-{index}.partial")).join(session::JOURNAL);
        session::journal::lines(&partial).unwrap_or(0)
    }

    pub fn all(&self) -> impl Iterator<Item = u32> + use<> {
        Shard::all(self.shards).map(|shard| shard.index)
    }

    /// Makes `DIR.shards` with its folder of logs. One that an earlier submission left without having submitted anything from it
    /// is taken over. It is this process's until the lock is dropped.
    ///
    /// # Errors
    /// Where it cannot be made, holds something else, or another process is at it.
    pub fn claim(&self) -> Result<fs::File> {
        let folder = self.folder();
        let shown = folder.display().to_string();
        let accepted = || {
            format!(
                "{shown}: made by an earlier submission, or by somebody else; accepted: --status {0} or --resubmit {0}, or \
                 another --out",
                self.out.display()
            )
        };
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !folder.is_dir() => bail!(accepted()),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error)
                    .with_context(|| format!("cannot make {shown}; accepted: an --out whose parent folder is there"));
            }
            _ => {}
        }
        let lock = fs::File::open(&folder).with_context(|| format!("cannot open {shown}"))?;
        if lock.try_lock().is_err() {
            bail!(
                "{shown} is in use by another process; accepted: another --out, or this one once that process has ended"
            );
        }
        if !self.is_unused() {
            bail!(accepted());
        }
        match fs::create_dir(folder.join(LOGS)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("cannot make {shown}/{LOGS}"))
            }
            _ => Ok(lock),
        }
    }

    /// Whether `DIR.shards` is as a submission leaves it before it submits.
    fn is_unused(&self) -> bool {
        let submitted = Self::read(&self.out).map_or(self.folder().join(RECORD).exists(), |record| !record.is_empty());
        !submitted && self.is_untouched()
    }

    /// Whether `DIR.shards` holds nothing but what a submission writes into it: no shard has begun.
    fn is_untouched(&self) -> bool {
        let folder = self.folder();
        let own = |name: &str| OWN_FILES.contains(&name.strip_suffix(".partial").unwrap_or(name)) || name == LOGS;
        let is_own =
            |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(own));
        let logs = fs::read_dir(folder.join(LOGS)).map_or(0, Iterator::count);
        logs == 0 && fs::read_dir(&folder).is_ok_and(|mut entries| entries.all(is_own))
    }

    /// Whether no job was submitted.
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.merges.is_empty()
    }

    /// Removes `DIR.shards`, unless a shard has begun in it.
    pub fn withdraw(&self) {
        if !self.is_untouched() {
            return;
        }
        let folder = self.folder();
        // Whatever cannot be removed is taken over by the next submission.
        for name in OWN_FILES {
            let _ = fs::remove_file(folder.join(name));
        }
        let _ = fs::remove_dir(folder.join(LOGS));
        let _ = fs::remove_dir(folder);
    }

    /// # Errors
    /// Where nothing was submitted for `out`, or the record cannot be read.
    pub fn read(out: &Path) -> Result<Self> {
        let path = Self::folder_of(out)?.join(RECORD);
        let text = fs::read(&path).with_context(|| {
            format!("cannot read {}; accepted: the --out of an earlier tauscope submit", path.display())
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no record of a submission", path.display()))
    }

    /// # Errors
    /// Where the record cannot be written.
    pub fn save(&self) -> Result<()> {
        self.write(RECORD, &serde_json::to_string_pretty(self)?)
    }

    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder().join(name);
        write_whole(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }
}
