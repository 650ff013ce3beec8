//! The content of a checkpoint whose job has many runs in flight: a section for each, and a table of what lies where.
//!
//! ```text
//! sections    for each run in flight, bytes that its job writes: the state of its lanes
//! table       CBOR: what the job knows beside its runs, and for each section what it is of and where it lies
//! length      8 bytes, little-endian: bytes of the table
//! ```
//!
//! Sections go from the device to the disk, and back, one after the other, so that memory holds a few vectors of one run.
//! A checkpoint holds every run that is in flight, and those of an earlier checkpoint whose turn has not come again.
//!
//! Not here: files, checksums and identities ([`super::Checkpoints`]), the state of a lane ([`crate::engine::Wave::save`]),
//! nor what a job says of a section ([`crate::train`], [`crate::sweep`]).

use super::{Checkpoints, Content};
use crate::engine::StateError;
use anyhow::{Context, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// What a section is of, and where it lies.
#[derive(Debug, Serialize, Deserialize)]
struct Section<M> {
    about: M,
    first: u64,
    length: u64,
}

/// Writes the sections of a checkpoint.
pub struct SectionWriter<'a, M> {
    out: Counted<'a>,
    sections: Vec<Section<M>>,
}

impl<M: Serialize> SectionWriter<'_, M> {
    /// Adds the section of `about`, as `write` writes it.
    ///
    /// # Errors
    /// Those of `write`, and where the checkpoint cannot be written.
    pub fn add(
        &mut self,
        about: M,
        write: impl FnOnce(&mut dyn Write) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let first = self.out.written;
        write(&mut self.out)?;
        let length = self.out.written - first;
        self.sections.push(Section { about, first, length });
        Ok(())
    }

    fn finish(mut self, job: &impl Serialize) -> io::Result<()> {
        let mut table = Vec::new();
        ciborium::into_writer(&(job, &self.sections), &mut table).map_err(io::Error::other)?;
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
struct Saved<M> {
    content: BufReader<Content>,
    sections: Vec<Section<M>>,
}

impl<M: Clone + Serialize + DeserializeOwned> Saved<M> {
    fn read<H: DeserializeOwned>(mut content: Content) -> io::Result<(H, Self)> {
        const WORD: u64 = size_of::<u64>() as u64;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "its table is not where it should be");
        let end = content.seek(SeekFrom::End(0))?.checked_sub(WORD).ok_or_else(wrong)?;
        content.seek(SeekFrom::Start(end))?;
        let mut length = [0; WORD as usize];
        content.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        content.seek(SeekFrom::Start(end.checked_sub(length).ok_or_else(wrong)?))?;
        let mut content = BufReader::new(content);
        let (job, sections) = ciborium::from_reader(content.by_ref().take(length)).map_err(io::Error::other)?;
        Ok((job, Self { content, sections }))
    }

    /// Copies what is left of it into another one.
    fn copy(&mut self, to: &mut SectionWriter<M>) -> Result<(), StateError> {
        for Section { about, first, length } in &self.sections {
            self.content.seek(SeekFrom::Start(*first))?;
            let there = to.out.written;
            let copied = io::copy(&mut self.content.by_ref().take(*length), &mut to.out)?;
            if copied != *length {
                return Err(StateError::Damaged("ends too early".into()));
            }
            to.sections.push(Section { about: about.clone(), first: there, length: copied });
        }
        Ok(())
    }
}

/// The checkpoints of a job that runs, where it makes any: written when due, and read back section by section. `M` tells
/// what a section is of.
pub struct SectionCheckpoints<'a, M> {
    checkpoints: Option<&'a mut Checkpoints>,
    /// The latest one that was read, without the runs that have gone on since.
    saved: Option<Saved<M>>,
    warnings: Vec<String>,
}

impl<'a, M: Clone + Serialize + DeserializeOwned> SectionCheckpoints<'a, M> {
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

    /// Makes a checkpoint of what the job knows, of the runs that `add` adds, and of those that still stand in the one
    /// before. A disk that does not take it is a warning and no error: the one before stays.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn write(
        &mut self,
        job: &impl Serialize,
        add: impl FnOnce(&mut SectionWriter<M>) -> Result<(), StateError>,
    ) -> Result<()> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        let written = checkpoints.write(|out| {
            let mut content = SectionWriter { out: Counted { out, written: 0 }, sections: Vec::new() };
            add(&mut content)?;
            if let Some(saved) = &mut self.saved {
                saved.copy(&mut content)?;
            }
            Ok::<_, StateError>(content.finish(job)?)
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

    /// Reads the newest checkpoint, as far as it holds runs that are `wanted`. Gives back what the job knew, if there is one.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn read<H: DeserializeOwned>(&mut self, mut wanted: impl FnMut(&M) -> bool) -> Result<Option<H>> {
        self.saved = None;
        let Some(checkpoints) = &self.checkpoints else { return Ok(None) };
        let (content, warnings) = checkpoints.newest()?;
        self.warnings.extend(warnings);
        let Some(content) = content else { return Ok(None) };
        let (job, mut saved) = Saved::read(content).context("cannot read the checkpoint")?;
        saved.sections.retain(|section: &Section<M>| wanted(&section.about));
        self.saved = Some(saved);
        Ok(Some(job))
    }

    /// What there is a section of.
    pub fn saved(&self) -> impl Iterator<Item = &M> {
        self.saved.iter().flat_map(|saved| &saved.sections).map(|section| &section.about)
    }

    /// Hands a section to `restore`, if there is one of what `is_wanted`; it is held no longer afterwards.
    ///
    /// # Errors
    /// Those of `restore`; where the checkpoint cannot be read.
    pub fn take<T>(
        &mut self,
        is_wanted: impl Fn(&M) -> bool,
        restore: impl FnOnce(M, &mut dyn Read) -> Result<T, StateError>,
    ) -> Result<Option<T>> {
        let Some(saved) = &mut self.saved else { return Ok(None) };
        let Some(index) = saved.sections.iter().position(|section| is_wanted(&section.about)) else { return Ok(None) };
        let Section { about, first, length } = saved.sections.swap_remove(index);
        let cannot = "cannot go on from the checkpoint";
        saved.content.seek(SeekFrom::Start(first)).context(cannot)?;
        let restored = restore(about, &mut saved.content.by_ref().take(length)).map_err(|error| match error {
            StateError::Engine(error) => Error::new(error),
            error => Error::new(error).context(cannot),
        })?;
        Ok(Some(restored))
    }
}
