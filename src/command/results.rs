//! Results folders as `report`, `plot` and `compare` read them: finished ones as they are, of unfinished ones the tables so far.
//!
//! Not here: what is made of them.

use crate::files::write_whole;
use crate::rates::RatesTables;
use crate::session::{JobName, SoFar};
use crate::sweep::SweepTables;
use crate::train::TrainTables;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder to read tables from.
pub struct Results {
    /// The folder that was named, or the unfinished one beside it.
    pub named: PathBuf,
    /// How far an unfinished job is: `5 of 12 cells`.
    pub unfinished: Option<String>,
    /// Where the tables of an unfinished job are.
    scratch: Option<TempDir>,
}

impl Results {
    /// # Errors
    /// Where an unfinished folder cannot be read or has nothing to show yet.
    pub fn open(dir: &Path) -> Result<Self> {
        let Some(so_far) = SoFar::find(dir)? else {
            return Ok(Self { named: dir.into(), unfinished: None, scratch: None });
        };
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let unfinished = match so_far.job()? {
            JobName::Sweep => so_far.write::<SweepTables>(scratch.path())?,
            JobName::Rates => so_far.write::<RatesTables>(scratch.path())?,
            JobName::Training => so_far.write::<TrainTables>(scratch.path())?,
        };
        Ok(Self { named: so_far.dir, unfinished: Some(unfinished), scratch: Some(scratch) })
    }

    /// Where the tables are, and where pictures may be drawn.
    pub fn tables(&self) -> &Path {
        self.scratch.as_ref().map_or(&self.named, |scratch| scratch.path())
    }

    /// A sentence for whoever reads about an unfinished folder.
    pub fn note(&self) -> Option<String> {
        let told = self.unfinished.as_ref()?;
        Some(format!("{} is unfinished: {told} so far", self.named.display()))
    }

    /// Puts what was made among the tables of an unfinished folder into `out`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn deliver(&self, names: &[&str], out: &Path) -> Result<()> {
        let Some(scratch) = &self.scratch else { return Ok(()) };
        for name in names {
            let (from, to) = (scratch.path().join(name), out.join(name));
            let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            write_whole(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }
}
