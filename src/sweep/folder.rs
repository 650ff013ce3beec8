//! The results folder: written beside its final name, cell by cell, and renamed when whole.
//!
//! While a sweep runs, `DIR.partial` holds `plan.json` and a journal with one line for every finished cell. At the end the
//! CSVs are written from the journal's cells in the order of the plan and the folder is renamed to `DIR`.

use crate::engine::EngineInfo;
use crate::minimum::{Minimum, to_safetensors};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::record::{DelayRow, RunRow, ThresholdRow, write_csv};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.jsonl";
const RUN: &str = "run.json";

/// What to do where something already stands at the folder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to touch it.
    Keep,
    /// Replace a results folder, finished or not.
    Replace,
    /// Go on with an unfinished one.
    Resume,
}

/// One finished cell, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Index in the plan's cells.
    pub cell: usize,
    pub threshold: ThresholdRow,
    pub runs: Vec<RunRow>,
    pub delays: Vec<DelayRow>,
}

/// The identity of a sweep: what must agree before a journal may be continued.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    version: String,
    plan: serde_json::Value,
    engine: EngineInfo,
}

/// A results folder in the making.
#[derive(Debug)]
pub struct Folder {
    target: PathBuf,
    partial: PathBuf,
    journal: File,
    entries: Vec<Entry>,
    replace: bool,
}

/// What run.json says beyond the plan; the only file with times in it.
#[derive(Debug, Serialize)]
pub struct RunFile<'a> {
    pub version: &'a str,
    pub commit: &'a str,
    pub command: Vec<String>,
    pub started: String,
    pub finished: String,
    pub seconds: f64,
    pub plan_hash: String,
    pub plan: &'a Plan,
    pub engine: &'a EngineInfo,
    /// Why this engine was taken.
    pub engine_choice: String,
    pub parameters: usize,
    pub minimum: MinimumSummary<'a>,
    /// Distance of every run's start from the minimum.
    pub start_distance: f64,
    /// Distance at which a run has escaped, under the escape criterion.
    pub escape_radius: Option<f64>,
    pub cells: usize,
    pub runs: usize,
    pub config_steps: u64,
}

/// The evidence for the minimum.
#[derive(Debug, Serialize)]
pub struct MinimumSummary<'a> {
    pub loss: f64,
    pub gradient_max: f64,
    pub gradient_evaluations: u64,
    pub lambda_max: &'a crate::curvature::Eigenpair,
    pub lambda_min: &'a crate::curvature::Eigenpair,
}

impl<'a> From<&'a Minimum> for MinimumSummary<'a> {
    fn from(minimum: &'a Minimum) -> Self {
        Self {
            loss: minimum.loss,
            gradient_max: minimum.gradient_max,
            gradient_evaluations: minimum.evaluations,
            lambda_max: &minimum.largest,
            lambda_min: &minimum.smallest,
        }
    }
}

/// Refuses a folder name that a sweep could not use, before any work is done.
///
/// # Errors
/// Where something stands there that `existing` does not allow to touch.
pub fn check(target: &Path, existing: Existing) -> Result<()> {
    let partial = beside(target, "partial")?;
    let shown = target.display();
    match existing {
        Existing::Keep if target.exists() => {
            bail!("--out {shown}: exists already; accepted: a new folder, or --force to replace it")
        }
        Existing::Keep if partial.exists() => bail!(
            "--out {shown}: an unfinished sweep lies in {}; accepted: --resume to continue it, or --force to discard it",
            partial.display()
        ),
        Existing::Replace if target.exists() && !target.join(RUN).is_file() => bail!(
            "--out {shown}: exists and is no results folder (it has no {RUN}), so --force does not replace it; accepted: \
             another folder"
        ),
        Existing::Resume if target.exists() => {
            bail!("--out {shown}: this sweep is finished; accepted: another folder, or --force to replace it")
        }
        Existing::Resume if !partial.join(PLAN).is_file() => {
            bail!("--resume: no unfinished sweep in {}; accepted: without --resume", partial.display())
        }
        _ => Ok(()),
    }
}

impl Folder {
    /// Makes `DIR.partial`, or opens it to continue.
    ///
    /// # Errors
    /// See [`check`]; or where the folder cannot be written, or holds another plan or engine.
    pub fn open(target: &Path, existing: Existing, plan: &Plan, engine: &EngineInfo) -> Result<Self> {
        check(target, existing)?;
        let partial = beside(target, "partial")?;
        let version = env!("CARGO_PKG_VERSION").into();
        let identity = Identity { version, plan: serde_json::to_value(plan)?, engine: engine.clone() };
        if existing != Existing::Resume {
            if partial.exists() {
                fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
            }
            let cannot = || format!("--out {}: cannot make {}", target.display(), partial.display());
            fs::create_dir(&partial).with_context(cannot)?;
            fs::write(partial.join(PLAN), serde_json::to_vec_pretty(&identity)?).with_context(cannot)?;
        }
        let path = partial.join(PLAN);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Identity = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a plan of this version", path.display()))?;
        if found != identity {
            bail!("--resume: the plan or the engine differs from the unfinished sweep's in {}", path.display());
        }
        let path = partial.join(JOURNAL);
        let entries = if existing == Existing::Resume { read_journal(&path)? } else { Vec::new() };
        let journal = OpenOptions::new().create(true).append(true).open(&path);
        let journal = journal.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { target: target.into(), partial, journal, entries, replace: existing == Existing::Replace })
    }

    /// Cells that are finished.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a finished cell; it counts once it is on disk.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn append(&mut self, entry: Entry) -> Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let written = self.journal.write_all(&line).and_then(|()| self.journal.sync_data());
        written.with_context(|| format!("cannot write {}", self.partial.join(JOURNAL).display()))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the CSVs, run.json, the minimum and the pictures, and gives the folder its name.
    ///
    /// # Errors
    /// Where a file cannot be written; what was measured stays in `DIR.partial`.
    pub fn finish(mut self, run: &RunFile, problem: &Problem, weights: &[f64]) -> Result<Vec<ThresholdRow>> {
        self.entries.sort_by_key(|entry| entry.cell);
        let thresholds: Vec<ThresholdRow> = self.entries.iter().map(|entry| entry.threshold.clone()).collect();
        let runs: Vec<RunRow> = self.entries.iter().flat_map(|entry| entry.runs.clone()).collect();
        let dir = &self.partial;
        write_csv(&dir.join("thresholds.csv"), &thresholds)?;
        write_csv(&dir.join("runs.csv"), &runs)?;
        let delays: Vec<DelayRow> = self.entries.iter().flat_map(|entry| entry.delays.clone()).collect();
        write_csv(&dir.join("delays.csv"), &delays)?;
        let write = |name: &str, bytes: &[u8]| {
            fs::write(dir.join(name), bytes).with_context(|| format!("cannot write {}", dir.join(name).display()))
        };
        write("minimum.safetensors", &to_safetensors(problem, weights))?;
        write(RUN, &[serde_json::to_vec_pretty(run)?, b"\n".to_vec()].concat())?;
        crate::plot::thresholds(&thresholds, dir)?;
        for name in [PLAN, JOURNAL] {
            fs::remove_file(dir.join(name)).with_context(|| format!("cannot remove {}", dir.join(name).display()))?;
        }
        let renamed = |from: &Path, to: &Path| {
            fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
        };
        if self.replace && self.target.exists() {
            let old = beside(&self.target, "replaced")?;
            renamed(&self.target, &old)?;
            renamed(dir, &self.target)?;
            fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        } else {
            renamed(dir, &self.target)?;
        }
        Ok(thresholds)
    }
}

/// Whole lines of a journal. A last line without its end is the one that was being written when the sweep died: it is
/// cut off, and its cell measured again.
fn read_journal(path: &Path) -> Result<Vec<Entry>> {
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut reader = BufReader::new(&file);
    let (mut entries, mut whole, mut line) = (Vec::new(), 0, String::new());
    while reader.read_line(&mut line).with_context(|| format!("cannot read {}", path.display()))? > 0 {
        if !line.ends_with('\n') {
            file.set_len(whole)?;
            break;
        }
        whole += line.len() as u64;
        let number = entries.len() + 1;
        entries.push(serde_json::from_str(&line).with_context(|| format!("{}, line {number}", path.display()))?);
        line.clear();
    }
    Ok(entries)
}

fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        bail!("--out {}: accepted: a path that ends in a folder's name", target.display());
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(target.with_file_name(name))
}
