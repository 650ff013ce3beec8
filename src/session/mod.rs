//! The results folder: written beside its final name, cell by cell, and renamed when whole.
//!
//! While a sweep runs, `DIR.partial` holds a `lock`, `plan.json` with the sweep's [`Identity`] and the [`journal`], one
//! line for every finished cell. At the end the tables are written from the journal in the order of the plan, never held
//! in memory together, and the folder is renamed to `DIR`.
//!
//! A training has no journal: its runs end together, and what is interrupted is begun again.
//!
//! Not here: what is measured ([`crate::sweep`], [`crate::train`]), nor the rows themselves ([`crate::table`]).

mod draft;
mod identity;
pub mod journal;
mod lock;
mod merge;
pub mod progress;
pub mod recovery;
mod run_file;
pub mod signals;
mod training;

pub use draft::{Draft, Existing, beside, check};
pub use identity::{Identity, differences};
pub use journal::{CellIds, Entry};
pub use merge::merge;
pub use run_file::{CellRow, MinimumSummary, RunFile, ShardRun, Totals};
pub use training::{TrainFile, TrainFolder};

use crate::problem::Problem;
use crate::problem::weights::to_safetensors;
use crate::table::{CsvWriter, DelayRow, RunRow, ThresholdRow, write_csv, write_whole};
use anyhow::{Context, Result, bail};
use journal::Journal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// In an unfinished folder: the identity of its sweep.
pub const PLAN: &str = "plan.json";
/// In an unfinished folder: its finished cells.
pub const JOURNAL: &str = "journal.jsonl";
/// In a finished folder: how it came to be.
pub const RUN: &str = "run.json";
/// In the folder of a shard: every cell of the plan, and which shard it is in.
pub const CELLS: &str = "cells.csv";
/// The weights that all runs started beside.
pub const MINIMUM: &str = "minimum.safetensors";
/// What plan.json says beside the identity: the commit, and whether a folder of the same name is to be replaced.
const COMMIT: &str = "commit";
const REPLACE: &str = "replace";

/// The folder of a sweep that runs.
#[derive(Debug)]
pub struct Folder {
    draft: Draft,
    journal: Journal,
    /// The commit that began the sweep.
    begun_by: String,
    /// What a user should know of what was found: damage, other commits.
    pub told: Vec<String>,
}

impl Folder {
    /// Makes `DIR.partial`, or opens it to continue, for a plan of `cells` cells of which those with an id are its own.
    ///
    /// # Errors
    /// See [`check`]; or where another process is at work there, the folder cannot be written, or it holds another sweep.
    pub fn open(target: &Path, existing: Existing, identity: &Identity, cells: usize, ids: CellIds) -> Result<Self> {
        let draft = Draft::open(target, existing)?;
        let path = draft.dir().join(PLAN);
        let here = serde_json::to_value(identity)?;
        let commit = env!("TAUSCOPE_COMMIT");
        if !draft.resumed {
            let mut plan = here.clone();
            plan[COMMIT] = commit.into();
            plan[REPLACE] = draft.replaces().into();
            write(&path, &serde_json::to_vec_pretty(&plan)?)?;
            draft::sync_dir(draft.dir());
        }
        let mut there = read_plan(&path)?;
        let mut noted = |key| there.as_object_mut().and_then(|plan| plan.remove(key));
        let (begun_by, _) = (noted(COMMIT), noted(REPLACE));
        let differences = differences(&there, &here);
        if !differences.is_empty() {
            bail!(
                "--resume: this differs from the unfinished sweep in {}: {}; accepted: the flags of that sweep, another \
                 --out, or --force to discard it",
                draft.dir().display(),
                differences.join("; ")
            );
        }
        let begun_by = begun_by.and_then(|commit| Some(commit.as_str()?.to_owned())).unwrap_or_default();
        let (journal, mut told) = Journal::open(draft.dir().join(JOURNAL), cells, ids)?;
        if begun_by != commit {
            told.push(format!(
                "this sweep was begun by commit {begun_by} and is resumed by {commit}; run.json names both"
            ));
        }
        Ok(Self { draft, journal, begun_by, told })
    }

    /// Whether a cell is finished.
    pub fn holds(&self, cell: usize) -> bool {
        self.journal.holds(cell)
    }

    /// Every finished cell in the order of the plan, read from the journal.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        self.journal.entries()
    }

    /// Number of finished cells.
    pub fn finished(&self) -> usize {
        self.journal.len()
    }

    /// Where the finished cells stand until the folder is whole.
    pub fn journal(&self) -> PathBuf {
        self.draft.dir().join(JOURNAL)
    }

    /// The commit that began the sweep, if it is not this one.
    pub fn begun_by_another_commit(&self) -> Option<String> {
        (self.begun_by != env!("TAUSCOPE_COMMIT")).then(|| self.begun_by.clone())
    }

    /// Adds a finished cell; it counts once it is on disk.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        self.journal.append(entry)
    }

    /// Writes the CSVs, run.json, the minimum and the pictures, and gives the folder its name. A shard also says which cells
    /// there are in `all` shards.
    ///
    /// # Errors
    /// Where a file cannot be written; what was measured stays in `DIR.partial`.
    pub fn finish(
        self,
        problem: &Problem,
        weights: &[f64],
        all: Option<&[CellRow]>,
        run: impl FnOnce(Totals) -> Result<RunFile>,
    ) -> Result<(Vec<ThresholdRow>, Totals)> {
        let safe = format!("what was measured is safe in {}; --resume writes the rest", self.journal().display());
        let dir = self.draft.dir();
        let write = || -> Result<_> {
            let (thresholds, totals) = write_tables(dir, self.journal.entries())?;
            write(&dir.join(MINIMUM), &to_safetensors(problem, weights, &[]))?;
            if let Some(all) = all {
                write_csv(&dir.join(CELLS), all)?;
            }
            write_run(dir, &run(totals)?)?;
            Ok((thresholds, totals))
        };
        let written = write().with_context(|| safe)?;
        self.draft.publish()?;
        Ok(written)
    }
}

/// Writes the tables of `entries`, which come in the order of the plan, and their pictures, where there is anything to
/// draw. Gives back the cells' rows, which unlike those of the runs are few.
///
/// # Errors
/// Where an entry cannot be had or a file not be written.
pub fn write_tables(dir: &Path, entries: impl Iterator<Item = Result<Entry>>) -> Result<(Vec<ThresholdRow>, Totals)> {
    let mut thresholds = CsvWriter::create(&dir.join("thresholds.csv"))?;
    let mut runs = CsvWriter::<RunRow>::create(&dir.join("runs.csv"))?;
    let mut delays = CsvWriter::<DelayRow>::create(&dir.join("delays.csv"))?;
    let (mut rows, mut totals) = (Vec::new(), Totals::default());
    for entry in entries {
        let entry = entry?;
        thresholds.write(&entry.threshold)?;
        entry.runs.iter().try_for_each(|run| runs.write(run))?;
        entry.delays.iter().try_for_each(|delay| delays.write(delay))?;
        totals.cells += 1;
        totals.runs += entry.runs.len();
        totals.config_steps += entry.runs.iter().map(|run| run.steps * u64::from(run.members)).sum::<u64>();
        rows.push(entry.threshold);
    }
    thresholds.finish()?;
    runs.finish()?;
    delays.finish()?;
    if !rows.is_empty() {
        crate::plot::thresholds(&rows, dir)?;
    }
    Ok((rows, totals))
}

/// Writes run.json into a folder.
///
/// # Errors
/// Where it cannot be written.
pub fn write_run(dir: &Path, run: &RunFile) -> Result<()> {
    write(&dir.join(RUN), &[serde_json::to_vec_pretty(run)?, b"\n".to_vec()].concat())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn read_plan(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no plan", path.display()))
}
