//! Shards handed to a scheduler: what was submitted, and where each shard is.
//!
//! `DIR.shards` holds a folder for every shard, their logs, the two scripts and `submit.json`. Whether a shard is finished
//! is what its folder says; the scheduler is asked only about the rest. Not here: a scheduler.

pub mod slurm;

use crate::config::Shard;
use crate::files::write_whole;
use crate::session;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

const RECORD: &str = "submit.json";

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
        self.folder().join(format!("log/shard-{index}.txt"))
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
