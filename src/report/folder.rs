//! The files of a results folder, as the report reads them. `thresholds.csv`, `runs.csv` and `run.json` must be there, as
//! every sweep writes them; `delays.csv` and `metrics.csv` may.

use super::table::{Row, Table};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A folder whose table of thresholds and run.json have been read.
pub struct Folder<'a> {
    dir: &'a Path,
    /// Last part of the folder's path.
    pub name: String,
    pub thresholds: Table,
    /// The contents of run.json, an object.
    pub run: Value,
}

impl<'a> Folder<'a> {
    /// # Errors
    /// Where the folder or one of its files is missing or is not what its name says. The message names the file.
    pub fn open(dir: &'a Path) -> Result<Self> {
        let absolute = dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))?;
        let name = absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned();
        let thresholds = Table::read(&dir.join("thresholds.csv"), &["cell_id", "rule", "status"], |_| true)?;
        if thresholds.total == 0 {
            bail!("{} has no rows, so there is nothing to report", dir.join("thresholds.csv").display());
        }
        let path = dir.join("run.json");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let run: Value = serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))?;
        if !run.is_object() {
            bail!("{}: found a JSON value that is no object, expected the run.json of a sweep", path.display());
        }
        Ok(Self { dir, name, thresholds, run })
    }

    /// Those rows of runs.csv for which `keep` holds.
    ///
    /// # Errors
    /// Where the file is missing or malformed.
    pub fn runs(&self, keep: impl FnMut(Row<'_>) -> bool) -> Result<Table> {
        Table::read(&self.dir.join("runs.csv"), &["run_id", "cell_id", "lr", "verdict"], keep)
    }

    /// Those rows of delays.csv for which `keep` holds; `None` without the file.
    ///
    /// # Errors
    /// Where the file is malformed.
    pub fn delays(&self, keep: impl FnMut(Row<'_>) -> bool) -> Result<Option<Table>> {
        self.optional("delays.csv", &["cell_id", "delay", "count"], keep)
    }

    /// Those rows of metrics.csv for which `keep` holds; `None` without the file.
    ///
    /// # Errors
    /// Where the file is malformed.
    pub fn metrics(&self, keep: impl FnMut(Row<'_>) -> bool) -> Result<Option<Table>> {
        self.optional("metrics.csv", &["run_id", "step", "metric", "value"], keep)
    }

    fn optional(&self, name: &str, needed: &[&str], keep: impl FnMut(Row<'_>) -> bool) -> Result<Option<Table>> {
        let path = self.dir.join(name);
        path.exists().then(|| Table::read(&path, needed, keep)).transpose()
    }
}
