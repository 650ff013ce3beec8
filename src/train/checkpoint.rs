//! What a training writes into a checkpoint, and how its runs go on from there.
//!
//! ```text
//! sections    for each run that is not over: the eigenvector of its latest sharpness, then the state of its lane
//! table       CBOR: for each run what the host knows of it, and where its section lies
//! length      8 bytes, little-endian: bytes of the table
//! ```
//!
//! A checkpoint holds every run of the wave that is on its way, and those of an earlier checkpoint whose turn has not come
//! again. Sections go from the device to the disk, and back, one after the other, so that memory holds a few vectors of
//! one run.
//!
//! Not here: files, checksums and identities ([`crate::session::checkpoint`]), nor the state of a lane
//! ([`crate::engine::Wave::save`]).

use super::outcome::RunInProgress;
use crate::engine::StateError;
use crate::session::checkpoint::{Checkpoints, Content};
use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// Where a run is.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Its place in [`super::Training::runs`].
    run: usize,
    /// Steps that its wave had made.
    step: u64,
    progress: RunInProgress,
    /// Numbers of the eigenvector in its section.
    eigenvector: usize,
    /// Where its section begins, and how long it is.
    first: u64,
    length: u64,
}

/// Writes the content of a checkpoint.
pub(super) struct ContentWriter<'a> {
    out: Counted<'a>,
    entries: Vec<Entry>,
}

impl ContentWriter<'_> {
    /// Adds a run whose wave has made `step` steps; `state` writes the state of its lane, if it is not over.
    ///
    /// # Errors
    /// Those of `state`, and where the checkpoint cannot be written.
    pub fn add(
        &mut self,
        run: usize,
        step: u64,
        progress: &RunInProgress,
        state: impl FnOnce(&mut dyn Write) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let first = self.out.written;
        let eigenvector = progress.eigenvector.as_deref().unwrap_or(&[]);
        eigenvector.iter().try_for_each(|x| self.out.write_all(&x.to_le_bytes()))?;
        state(&mut self.out)?;
        let length = self.out.written - first;
        // Field by field: the eigenvector is as long as the weights.
        let RunInProgress { outcome, first: first_objective, sum, objective, .. } = progress;
        let progress = RunInProgress {
            outcome: outcome.clone(),
            first: *first_objective,
            sum: *sum,
            objective: *objective,
            eigenvector: None,
        };
        self.entries.push(Entry { run, step, progress, eigenvector: eigenvector.len(), first, length });
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let mut table = Vec::new();
        ciborium::into_writer(&self.entries, &mut table).map_err(io::Error::other)?;
        self.out.write_all(&table)?;
        self.out.write_all(&(table.len() as u64).to_le_bytes())
    }
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A checkpoint that runs can go on from.
struct Saved {
    content: BufReader<Content>,
    entries: Vec<Entry>,
}

impl Saved {
    fn read(mut content: Content) -> io::Result<Self> {
        const WORD: u64 = size_of::<u64>() as u64;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its table is not where it should be");
        let end = content.seek(SeekFrom::End(0))?.checked_sub(WORD).ok_or_else(wrong)?;
        content.seek(SeekFrom::Start(end))?;
        let mut length = [0; WORD as usize];
        content.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        content.seek(SeekFrom::Start(end.checked_sub(length).ok_or_else(wrong)?))?;
        let mut content = BufReader::new(content);
        let entries = ciborium::from_reader(content.by_ref().take(length)).map_err(io::Error::other)?;
        Ok(Self { content, entries })
    }

    /// Copies what is left of it into another one.
    fn copy(&mut self, to: &mut ContentWriter) -> Result<(), StateError> {
        for Entry { run, step, progress, eigenvector, first, length } in &self.entries {
            self.content.seek(SeekFrom::Start(*first))?;
            let there = to.out.written;
            let copied = io::copy(&mut self.content.by_ref().take(*length), &mut to.out)?;
            if copied != *length {
                return Err(StateError::Damaged("ends too early".into()));
            }
            let (run, step, progress, eigenvector) = (*run, *step, progress.clone(), *eigenvector);
            to.entries.push(Entry { run, step, progress, eigenvector, first: there, length: copied });
        }
        Ok(())
    }
}

/// The checkpoints of a training that runs, where it makes any: written when due, and read back run by run.
pub(super) struct RunCheckpoints<'a> {
    checkpoints: Option<&'a mut Checkpoints>,
    /// The latest one that was read, without the runs that have gone on since.
    saved: Option<Saved>,
    warnings: Vec<String>,
}

impl<'a> RunCheckpoints<'a> {
    pub fn new(checkpoints: Option<&'a mut Checkpoints>) -> Self {
        Self { checkpoints, saved: None, warnings: Vec::new() }
    }

    /// What a user should know: files that are damaged, a disk that is full.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a checkpoint should be made at the next place where one can be.
    pub fn is_due(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.is_due())
    }

    /// Makes a checkpoint of the runs that `add` adds, and of those that still stand in the one before. A disk that does not
    /// take it is a warning and no error: the one before stays.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn write(&mut self, add: impl FnOnce(&mut ContentWriter) -> Result<(), StateError>) -> Result<()> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        let written = checkpoints.write(|out| {
            let mut content = ContentWriter { out: Counted { out, written: 0 }, entries: Vec::new() };
            add(&mut content)?;
            if let Some(saved) = &mut self.saved {
                saved.copy(&mut content)?;
            }
            Ok::<_, StateError>(content.finish()?)
        });
        match written {
            Err(StateError::Engine(error)) => return Err(error.into()),
            Err(error) => {
                let line = format!("no checkpoint could be written: {error}; the one before it, if any, is whole");
                if self.warnings.last() != Some(&line) {
                    self.warnings.push(line);
                }
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Reads the newest checkpoint, as far as it holds runs that are `pending`.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn read(&mut self, pending: &BTreeSet<usize>) -> Result<()> {
        self.saved = None;
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        let (content, warnings) = checkpoints.newest()?;
        self.warnings.extend(warnings);
        let Some(content) = content else { return Ok(()) };
        let mut saved = Saved::read(content).context("cannot read the checkpoint")?;
        saved.entries.retain(|entry| pending.contains(&entry.run));
        self.saved = Some(saved);
        Ok(())
    }

    /// Steps that the run had made in the checkpoint; 0 where it begins.
    pub fn step(&self, run: usize) -> u64 {
        let entries = self.saved.iter().flat_map(|saved| &saved.entries);
        entries.filter(|entry| entry.run == run).map(|entry| entry.step).next().unwrap_or(0)
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
        let saved = self.saved.as_mut().context("no checkpoint was read")?;
        let index = saved.entries.iter().position(|entry| entry.run == run).context("the run is in no checkpoint")?;
        let Entry { mut progress, eigenvector, first, length, .. } = saved.entries.swap_remove(index);
        let cannot = "cannot go on from the checkpoint";
        saved.content.seek(SeekFrom::Start(first)).context(cannot)?;
        let mut section = saved.content.by_ref().take(length);
        if eigenvector > 0 {
            let mut bytes = vec![0; eigenvector * size_of::<f64>()];
            section.read_exact(&mut bytes).context(cannot)?;
            progress.eigenvector = Some(bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect());
        }
        if progress.goes_on() {
            restore(&mut section).map_err(|error| match error {
                StateError::Engine(error) => Error::new(error),
                error => Error::new(error).context(cannot),
            })?;
        }
        Ok(progress)
    }
}
