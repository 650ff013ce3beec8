//! run.json: how a results folder came to be. The only file of it with times.

use super::kind::JobName;
use crate::config::Shard;
use crate::engine::EngineInfo;
use crate::host::Host;
use crate::table::Row;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The content of run.json.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    #[serde(default)]
    pub job: JobName,
    #[serde(flatten)]
    pub build: Build,
    pub command: Vec<String>,
    pub started: String,
    pub finished: String,
    /// Seconds of the process that finished it; of all shards' together, where they were merged.
    pub seconds: f64,
    pub plan_hash: String,
    pub plan: Value,
    pub engine: EngineInfo,
    /// Why this engine was taken.
    pub engine_choice: String,
    /// How the engine makes the steps of the plan's waves ([`crate::engine::Engine::path`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Content hash of the samples, and of the weights where a file brings them; none for a quadratic by its eigenvalues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_hash: Option<String>,
    /// The commit that began the job, where another one resumed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by_commit: Option<String>,
    /// What failed on the way and was mended: a wave that did not fit, a device that was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Which part of the plan's units this folder holds; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The folders that this one was merged from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRun>,
    /// What this kind of job adds: the evidence for a minimum, sample counts, totals of the tables.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// The program that made a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub version: String,
    pub commit: String,
}

impl Build {
    /// This program.
    pub fn this() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), commit: env!("TAUSCOPE_COMMIT").into() }
    }
}

/// A unit of the plan, in the order of the plan: a row of shards.csv.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRow {
    /// The cell's or run's content hash.
    pub id: String,
    /// The shard that it is in, from 1.
    pub shard: u32,
    /// A description for people.
    pub name: String,
}

impl Row for ShardRow {}

/// One of the folders that a merged one came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardRun {
    pub shard: Shard,
    pub folder: String,
    /// Cells of a sweep, runs of a training.
    pub units: usize,
    pub commit: String,
    pub started: String,
    pub finished: String,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
}

impl RunFile {
    /// Reads a folder's run.json.
    ///
    /// # Errors
    /// Where it cannot be read, or is not a run.json of this version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(super::RUN);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no run.json of this version", path.display()))
    }

    /// Writes it into a folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        super::write(&folder.join(super::RUN), &[serde_json::to_vec_pretty(self)?, b"\n".to_vec()].concat())
    }
}

/// The command line of this process, its program as `tauscope`, or what its host says.
pub fn command_line() -> Vec<String> {
    if let Some(command) = Host::current().and_then(|host| host.command.clone()) {
        return command;
    }
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once("tauscope".into()).chain(arguments).collect()
}
