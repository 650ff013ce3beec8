//! The tables of an unfinished folder: what its journal holds so far, for those who want to look before the job is done.
//!
//! Nothing in the folder is changed, and the job may be running. Not here: what is made of the tables ([`crate::report`],
//! [`crate::plot`], [`crate::compare`]).

use super::job::Tables;
use super::journal::Journal;
use super::kind::JobName;
use super::marks::is_unfinished;
use super::{JOURNAL, PLAN, RUN, UNITS, beside, read_plan, write};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The key in a run.json under which it says how far an unfinished job is: `5 of 12 cells`. No finished folder has it.
pub const UNFINISHED: &str = "unfinished";

/// An unfinished job of which no unit is finished.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NothingYet(String);

/// An unfinished folder.
#[derive(Debug)]
pub struct SoFar {
    pub dir: PathBuf,
    plan: Value,
}

impl SoFar {
    /// The unfinished folder that `dir` is, or, where `dir` is not there, that stands beside it. `None` for any other folder.
    ///
    /// # Errors
    /// Where its plan cannot be read.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        if !is_unfinished(dir) {
            return Ok(None);
        }
        let dir = if dir.exists() { dir.to_owned() } else { beside(dir, "partial")? };
        let plan = read_plan(&dir.join(PLAN))?;
        Ok(Some(Self { dir, plan }))
    }

    /// # Errors
    /// Where the plan is of a job that this version does not know.
    pub fn job(&self) -> Result<JobName> {
        let job = self.plan["job"].clone();
        serde_json::from_value(job).with_context(|| format!("{} is no plan", self.dir.join(PLAN).display()))
    }

    /// Writes the tables of what is finished into `to`, and a run.json that says how far the job is. Returns that.
    ///
    /// # Errors
    /// Where nothing is finished yet, the journal cannot be read, or a file cannot be written.
    pub fn write<T: Tables>(&self, to: &Path) -> Result<String> {
        let entries = Journal::<T::Entry>::look(self.dir.join(JOURNAL), T::KIND)?;
        let (count, units) = (entries.len(), T::KIND.units);
        if count == 0 {
            let message = format!("{}: no {} is finished yet; accepted: when one is", self.dir.display(), T::KIND.unit);
            bail!(NothingYet(message));
        }
        T::write(to, &mut entries.into_iter().map(Ok))?;
        let of = self.plan[UNITS].as_u64().map_or(String::new(), |all| format!(" of {all}"));
        let told = format!("{count}{of} {units}");
        let mut run = self.plan.clone();
        run[UNFINISHED] = told.as_str().into();
        write(&to.join(RUN), &serde_json::to_vec_pretty(&run)?)?;
        Ok(told)
    }
}
