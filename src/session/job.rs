//! What a session knows of a long job: units of work with stable ids, each finished once and for all, and the tables that
//! their rows make.
//!
//! A sweep's unit is a cell, a training's a run. Not here: how a unit is worked on ([`crate::sweep`], [`crate::train`]).

use super::kind::Kind;
use super::progress::Progress;
use crate::engine::Engine;
use crate::minimum::Seen;
use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt::{self, Display};
use std::ops::ControlFlow;
use std::path::Path;

/// A unit of work of a job's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Content hash of everything that decides its rows.
    pub id: String,
    /// A description for people; another unit of the plan has another one.
    pub name: String,
}

/// The rows of a finished unit, as they stand in the journal.
pub trait Entry: PartialEq + Serialize + DeserializeOwned {
    /// Index of the unit in the plan.
    fn unit(&self) -> usize;

    /// The unit's id.
    fn id(&self) -> &str;

    /// The unit's main row, which `--json` prints as an event.
    ///
    /// # Errors
    /// Where the row cannot be written as JSON.
    fn row(&self) -> serde_json::Result<Value>;

    /// The same unit as one that failed for this reason, without the numbers that are none.
    fn failed(&self, why: &str) -> Self;
}

/// The tables of a results folder: entries to files and back.
pub trait Tables {
    const KIND: Kind;
    type Entry: Entry;
    /// What is counted over all entries; stands in run.json. Displays as `28 cells, 190 runs`.
    type Totals: Serialize + Display;
    /// The rows that are kept in memory for the answer; unlike the runs' they are few.
    type Summary;

    /// Writes the tables of `entries`, which come in the order of the plan.
    ///
    /// # Errors
    /// Where an entry cannot be had or a file cannot be written.
    fn write(
        dir: &Path,
        entries: &mut dyn Iterator<Item = Result<Self::Entry>>,
    ) -> Result<(Self::Summary, Self::Totals)>;

    /// Opens the tables of a finished folder, to read its entries one by one.
    ///
    /// # Errors
    /// Where a table cannot be read.
    fn read(dir: &Path) -> Result<Box<dyn ReadEntries<Self::Entry>>>;

    /// The table with one row for each unit.
    const MAIN: &'static str;

    /// Ids of the units in a finished folder, in the order of [`Self::MAIN`].
    ///
    /// # Errors
    /// Where the table cannot be read.
    fn ids(dir: &Path) -> Result<Vec<String>>;

    /// Files that all shards of a job must have alike, and what is accepted where they differ.
    const SHARED_FILES: &'static [(&'static str, &'static str)];

    /// Copies what a shard has beside tables and shared files (weights) into the merged folder.
    ///
    /// # Errors
    /// Where a file cannot be copied.
    fn copy_own_files(from: &Path, to: &Path) -> Result<()>;
}

/// Reads the entries of a finished folder in the order of its tables.
pub trait ReadEntries<E> {
    /// The next entry, which must be that of the unit `id`, number `index` of the whole plan.
    ///
    /// # Errors
    /// Where the tables hold another unit there, or lack a row.
    fn next(&mut self, index: usize, id: &str) -> Result<E>;

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Where a table has rows that belong to no unit.
    fn end(&mut self) -> Result<()>;
}

/// A long job, laid out and ready to be worked on.
pub trait Job {
    type Tables: Tables;

    /// The resolved plan.
    ///
    /// # Errors
    /// Where the plan cannot be written as JSON.
    fn plan(&self) -> serde_json::Result<Value>;

    /// Short content hash of the plan.
    fn plan_hash(&self) -> String;

    /// Content hash of the samples ([`crate::problem::Problem::data_hash`]), and of the weights where a file brings them.
    fn data_hash(&self) -> Option<String>;

    /// Every unit of the plan, in its order.
    fn units(&self) -> Vec<Unit>;

    /// What the event `start` says beside hash, units and engine.
    fn counts(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Bytes that this unit's rows and files are expected to take on disk, journal and tables together.
    fn unit_bytes(&self, unit: usize) -> u64;

    /// Bytes that the checkpoints are expected to take on disk at most, while these units are worked on.
    ///
    /// # Errors
    /// Where they do not fit the engine.
    fn checkpoint_bytes(&self, engine: &dyn Engine, units: &[usize]) -> Result<u64>;

    /// How the engine makes the steps of the job's waves ([`Engine::path`]), each way named once.
    fn paths(&self) -> Vec<String>;

    /// What run.json says beside what it says of every job.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    fn facts(&self) -> serde_json::Result<Map<String, Value>>;

    /// Settles what all units need, with the unfinished folder open and before any unit: a sweep finds its minimum. Where it was
    /// asked to stop, it says what is kept.
    ///
    /// # Errors
    /// Where it cannot be settled.
    fn settle(&self, _stage: &mut Stage<'_>) -> Result<ControlFlow<String>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Works on the units that are left, until all are finished or [`Work::watch`] breaks.
    ///
    /// # Errors
    /// Where the units do not fit the device, the device fails, or [`Work::finish`] does.
    fn perform(&self, work: Work<'_, EntryOf<Self>>) -> Result<()>;

    /// Writes the files that the finished folder holds beside tables, pictures and run.json.
    ///
    /// # Errors
    /// Where a file cannot be written.
    fn write_files(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}

/// The entries of a job's tables.
pub type EntryOf<J> = <<J as Job>::Tables as Tables>::Entry;

/// What a session hands to a job that settles what its units need.
pub struct Stage<'a> {
    /// The unfinished folder; none where no folder is written.
    pub dir: Option<&'a Path>,
    /// Tells people a line.
    pub say: &'a dyn Fn(&str),
    /// Called with everything that a search for a minimum sees; where it breaks, the search keeps what it has and ends.
    pub watch: &'a mut dyn FnMut(&Seen) -> ControlFlow<()>,
}

/// What a session hands to a job.
pub struct Work<'a, E> {
    pub engine: &'a dyn Engine,
    /// Indices of the units that are left.
    pub rest: &'a [usize],
    /// The unfinished folder.
    pub dir: &'a Path,
    /// What checkpoints must agree with: the job's [`super::Identity`].
    pub identity: &'a Value,
    /// Called once with every finished unit.
    pub finish: &'a mut dyn FnMut(&E) -> Result<()>,
    /// Called after every block of steps; where it breaks, what the block has finished is still reported and the rest is left.
    pub watch: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
}

/// A content hash of samples and of the weights that a file brought.
pub(crate) fn with_weights(samples: &str, weights: &[f64]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(samples.as_bytes());
    for weight in weights {
        hasher.update(&weight.to_le_bytes());
    }
    hasher.finalize().to_hex()[..samples.len()].to_string()
}

/// Counts as a person says them: `28 cells, 190 runs`.
pub(crate) struct Counted<'a>(pub &'a [(usize, &'a str)]);

impl Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (count, what)) in self.0.iter().enumerate() {
            write!(f, "{}{count} {what}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
