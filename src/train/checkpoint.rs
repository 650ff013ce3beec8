//! What a training writes into a checkpoint of each of its runs, and how they go on from there: a section holds the
//! eigenvectors of a run's latest sharpness, plain and preconditioned, and the direction of its generalised one, then the state of its lane if it is not over.
//!
//! Not here: where sections lie ([`crate::session::checkpoint::sections`]), nor the state of a lane
//! ([`crate::engine::Wave::save`]).

use super::outcome::RunInProgress;
use crate::engine::StateError;
use crate::session::checkpoint::Checkpoints;
use crate::session::checkpoint::sections::{SectionCheckpoints, SectionWriter};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};

/// Where a run is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunSection {
    /// Its place in [`super::Training::runs`].
    run: usize,
    /// Steps that its wave had made.
    step: u64,
    progress: RunInProgress,
    /// Numbers of the eigenvectors in its section.
    eigenvector: usize,
    #[serde(default)]
    preconditioned_eigenvector: usize,
    #[serde(default)]
    direction: usize,
}

/// Adds a run whose wave has made `step` steps; `state` writes the state of its lane, if it is not over.
///
/// # Errors
/// Those of `state`, and where the checkpoint cannot be written.
pub(super) fn add(
    content: &mut SectionWriter<RunSection>,
    run: usize,
    step: u64,
    progress: &RunInProgress,
    state: impl FnOnce(&mut dyn Write) -> Result<(), StateError>,
) -> Result<(), StateError> {
    // Field by field: eigenvectors are as long as the weights.
    let RunInProgress { outcome, first, sum, objective, eigenvector, preconditioned_eigenvector, direction } = progress;
    let progress = RunInProgress {
        outcome: outcome.clone(),
        first: *first,
        sum: *sum,
        objective: *objective,
        ..RunInProgress::default()
    };
    let vectors = [eigenvector, preconditioned_eigenvector, direction].map(|vector| vector.as_deref().unwrap_or(&[]));
    let [eigenvector, preconditioned_eigenvector, direction] = vectors.map(<[f64]>::len);
    content.add(RunSection { run, step, progress, eigenvector, preconditioned_eigenvector, direction }, |out| {
        vectors.iter().copied().flatten().try_for_each(|x| out.write_all(&x.to_le_bytes()))?;
        state(out)
    })
}

/// The checkpoints of a training that runs, where it makes any: written when due, and read back run by run.
pub(super) struct RunCheckpoints<'a>(SectionCheckpoints<'a, RunSection>);

impl<'a> RunCheckpoints<'a> {
    pub fn new(checkpoints: Option<&'a mut Checkpoints>) -> Self {
        Self(SectionCheckpoints::new(checkpoints))
    }

    /// What a user should know: files that are damaged, a disk that is full.
    pub fn warnings(&self) -> &[String] {
        self.0.warnings()
    }

    /// Whether a checkpoint should be made at the next place where one can be.
    pub fn is_due(&self) -> bool {
        self.0.is_due()
    }

    /// Makes a checkpoint of the runs that `adds` adds, and of those that still stand in the one before.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn write(&mut self, adds: impl FnOnce(&mut SectionWriter<RunSection>) -> Result<(), StateError>) -> Result<()> {
        self.0.write(&(), adds)
    }

    /// Reads the newest checkpoint, as far as it holds runs that are `pending`.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn read(&mut self, pending: &BTreeSet<usize>) -> Result<()> {
        self.0.read::<()>(|section| pending.contains(&section.run)).map(drop)
    }

    /// Steps that the run had made in the checkpoint; 0 where it begins.
    pub fn step(&self, run: usize) -> u64 {
        self.0.saved().find(|section| section.run == run).map_or(0, |section| section.step)
    }

    /// What the checkpoint holds of a run, which it holds no longer afterwards: what the host knows of it, and the state of its
    /// lane, for `restore`, if it is not over.
    ///
    /// # Errors
    /// Those of `restore`; where the checkpoint cannot be read.
    pub fn take(
        &mut self,
        run: usize,
        restore: impl FnOnce(&mut dyn Read) -> Result<(), StateError>,
    ) -> Result<RunInProgress> {
        let taken = self.0.take(
            |section| section.run == run,
            |RunSection { mut progress, eigenvector, preconditioned_eigenvector, direction, .. }, section| {
                progress.eigenvector = read_vector(section, eigenvector)?;
                progress.preconditioned_eigenvector = read_vector(section, preconditioned_eigenvector)?;
                progress.direction = read_vector(section, direction)?;
                if progress.goes_on() {
                    restore(section)?;
                }
                Ok(progress)
            },
        )?;
        taken.context("the run is in no checkpoint")
    }
}

/// The next `length` numbers of a section; none where there are none.
fn read_vector(section: &mut dyn Read, length: usize) -> io::Result<Option<Vec<f64>>> {
    if length == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; length * size_of::<f64>()];
    section.read_exact(&mut bytes)?;
    Ok(Some(bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect()))
}
