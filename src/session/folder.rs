//! The results folder of a job that runs: written beside its final name, unit by unit, and renamed when whole.
//!
//! While a job runs, `DIR.partial` holds a `lock`, `plan.json` with the job's [`Identity`] and the [`super::journal`], one
//! line for every finished unit. At the end the tables are written from the journal in the order of the plan, never held
//! in memory together, and the folder is renamed to `DIR`.
//!
//! Not here: what is in the tables ([`Tables`]).

use super::draft::{self, Draft};
use super::identity::{Identity, differences};
use super::job::{Entry, Job, Tables};
use super::journal::{Journal, UnitIds};
use super::kind::Kind;
use super::run_file::{Build, RunFile, ShardRow};
use super::{COMMIT, JOURNAL, PLAN, REPLACE, RUN, SHARDS, UNITS, read_plan, write};
use crate::table::write_csv;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An open, locked `DIR.partial`.
#[derive(Debug)]
pub struct Folder<E> {
    draft: Draft,
    journal: Journal<E>,
    kind: Kind,
    /// The commit that began the job.
    begun_by: String,
    /// Messages for the user about what was found: damage, other commits.
    pub warnings: Vec<String>,
}

impl<E: Entry> Folder<E> {
    /// Begins the job in an open folder, or goes on with it, for a plan of `units` units of which those with an id are this
    /// process's.
    ///
    /// # Errors
    /// Where the folder cannot be written, or it holds another job.
    pub fn open(mut draft: Draft, kind: Kind, identity: &Identity, units: usize, ids: UnitIds) -> Result<Self> {
        draft.begin()?;
        let path = draft.dir().join(PLAN);
        let here = serde_json::to_value(identity)?;
        let Build { commit, .. } = Build::this();
        if !draft.resumed {
            let mut plan = here.clone();
            plan[COMMIT] = commit.as_str().into();
            plan[REPLACE] = draft.replaces().into();
            plan[UNITS] = (0..units).filter(|unit| ids(*unit).is_some()).count().into();
            write(&path, &serde_json::to_vec_pretty(&plan)?)?;
            draft::sync_dir(draft.dir());
        }
        let mut there = read_plan(&path)?;
        let mut noted = |key| there.as_object_mut().and_then(|plan| plan.remove(key));
        let (begun_by, _, _) = (noted(COMMIT), noted(REPLACE), noted(UNITS));
        let differences = differences(&there, &here);
        let job = kind.job;
        if !differences.is_empty() {
            bail!(
                "--resume: this differs from the unfinished {job} in {}: {}; accepted: the flags of that {job}, another \
                 --out, or --force to discard it",
                draft.dir().display(),
                differences.join("; ")
            );
        }
        let begun_by = begun_by.and_then(|commit| Some(commit.as_str()?.to_owned())).unwrap_or_default();
        let (journal, mut warnings) = Journal::open(draft.dir().join(JOURNAL), kind, units, ids)?;
        if begun_by != commit {
            warnings.push(format!(
                "this {job} was begun by commit {begun_by} and is resumed by {commit}; run.json names both"
            ));
        }
        Ok(Self { draft, journal, kind, begun_by, warnings })
    }

    /// Whether a unit is finished.
    pub fn holds(&self, unit: usize) -> bool {
        self.journal.holds(unit)
    }

    /// Every finished unit in the order of the plan, read from the journal.
    pub fn entries(&self) -> impl Iterator<Item = Result<E>> {
        self.journal.entries()
    }

    /// Number of finished units.
    pub fn finished(&self) -> usize {
        self.journal.len()
    }

    /// Removes the folder again, unless it goes on with an earlier job: nothing in it is worth keeping.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn withdraw(self) -> Result<()> {
        self.draft.withdraw()
    }

    /// Where the files are until the folder is whole.
    pub fn dir(&self) -> &Path {
        self.draft.dir()
    }

    /// Where the finished units stand until the folder is whole.
    pub fn journal(&self) -> PathBuf {
        self.draft.dir().join(JOURNAL)
    }

    /// The commit that began the job, if it is not this one.
    pub fn begun_by_another_commit(&self) -> Option<String> {
        (self.begun_by != Build::this().commit).then(|| self.begun_by.clone())
    }

    /// Adds a finished unit; it counts once it is on disk. Gives back what stands there instead, where the unit failed because
    /// it has a number that is not finite.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub fn append(&mut self, entry: &E) -> Result<Option<E>> {
        self.journal.append(entry)
    }

    /// Writes the tables, the job's own files, pictures and run.json, and gives the folder its name. A shard also says
    /// which units there are in `all` shards.
    ///
    /// # Errors
    /// Where a file cannot be written; what was finished stays in `DIR.partial`.
    pub fn finish<J: Job<Tables = T>, T: Tables<Entry = E>>(
        self,
        job: &J,
        all: Option<&[ShardRow]>,
        pictures: &dyn Fn(&T::Summary, &Path) -> Result<()>,
        run: impl FnOnce(&T::Totals) -> Result<RunFile>,
    ) -> Result<(T::Summary, T::Totals)> {
        let Kind { again, .. } = self.kind;
        let safe = format!("what was {again} is safe in {}; --resume writes the rest", self.journal().display());
        let dir = self.draft.dir();
        let write = || -> Result<_> {
            // Of an earlier try, whose tables are written again: run.json is there only beside what it belongs to.
            match fs::remove_file(dir.join(RUN)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("cannot remove {}", dir.join(RUN).display()))?,
            }
            let (summary, totals) = T::write(dir, &mut self.journal.entries())?;
            pictures(&summary, dir)?;
            job.write_files(dir)?;
            if let Some(all) = all {
                write_csv(&dir.join(SHARDS), all)?;
            }
            run(&totals)?.write(dir)?;
            Ok((summary, totals))
        };
        let written = write().with_context(|| safe)?;
        self.draft.publish()?;
        Ok(written)
    }
}
