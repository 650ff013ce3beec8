//! What a sweep writes into a checkpoint, and how its searches go on from there: what each search knows, and for each run in
//! flight a section with its monitor, then the state of its lane, or of each lane of an ensemble in turn.
//!
//! Not here: where sections lie ([`crate::session::checkpoint::sections`]), nor the state of a lane
//! ([`crate::engine::Wave::save`]).

use super::queue::{SearchState, Ticket};
use crate::engine::StateError;
use crate::session::checkpoint::Checkpoints;
use crate::session::checkpoint::sections::{SectionCheckpoints, SectionWriter};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// Which run in flight a section is of: that of a cell's search, by its round and its place in the round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialSection {
    cell: String,
    round: u32,
    place: usize,
}

impl TrialSection {
    pub fn new(cell: &str, ticket: &Ticket) -> Self {
        Self { cell: cell.to_owned(), round: ticket.round, place: ticket.place }
    }

    pub fn cell(&self) -> &str {
        &self.cell
    }

    /// Whether it is of this run of its cell.
    pub fn is_of(&self, ticket: &Ticket) -> bool {
        (self.round, self.place) == (ticket.round, ticket.place)
    }
}

/// The checkpoints of a sweep that runs, where it makes any.
pub struct SearchCheckpoints<'a> {
    sections: SectionCheckpoints<'a, TrialSection>,
    /// Searches of the latest checkpoint that was read, by cell, without those that have gone on since.
    searches: BTreeMap<String, SearchState>,
}

impl<'a> SearchCheckpoints<'a> {
    /// Reads the newest checkpoint, as far as it holds cells that are still to be measured.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn read(checkpoints: Option<&'a mut Checkpoints>, is_left: impl Fn(&str) -> bool) -> Result<Self> {
        let mut sections = SectionCheckpoints::new(checkpoints);
        let searches: Option<BTreeMap<String, SearchState>> =
            sections.read(|section: &TrialSection| is_left(section.cell()))?;
        let searches = searches.into_iter().flatten().filter(|(cell, _)| is_left(cell)).collect();
        Ok(Self { sections, searches })
    }

    /// Reads the newest checkpoint again, after a device has failed, for the runs that `waits`.
    ///
    /// # Errors
    /// As [`Checkpoints::newest`].
    pub fn read_again(&mut self, waits: impl Fn(&TrialSection) -> bool) -> Result<()> {
        self.sections.read::<BTreeMap<String, SearchState>>(waits).map(drop)
    }

    /// What a user should know: files that are damaged, a disk that is full.
    pub fn warnings(&self) -> &[String] {
        self.sections.warnings()
    }

    pub fn is_due(&self) -> bool {
        self.sections.is_due()
    }

    /// Whether it has a search of this cell.
    pub fn holds(&self, cell: &str) -> bool {
        self.searches.contains_key(cell)
    }

    /// Adds a search that begins later to the checkpoints from now on.
    pub fn keep(&mut self, cell: String, search: SearchState) {
        self.searches.insert(cell, search);
    }

    /// What the search of this cell knew, which is held here no longer afterwards.
    pub fn search(&mut self, cell: &str) -> Option<SearchState> {
        self.searches.remove(cell)
    }

    /// Makes a checkpoint of these searches and of the runs that `add` adds; and of what still stands in the one before.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn write(
        &mut self,
        searches: impl Iterator<Item = (String, SearchState)>,
        add: impl FnOnce(&mut SectionWriter<TrialSection>) -> Result<(), StateError>,
    ) -> Result<()> {
        let mut all = self.searches.clone();
        all.extend(searches);
        self.sections.write(&all, add)
    }

    /// Hands the section of a run, its monitor first, to `restore`, if there is one.
    ///
    /// # Errors
    /// Those of `restore`; where the checkpoint cannot be read.
    pub fn take<T>(
        &mut self,
        run: &TrialSection,
        restore: impl FnOnce(&mut dyn Read) -> Result<T, StateError>,
    ) -> Result<Option<T>> {
        self.sections.take(|section| section == run, |_, section| restore(section))
    }
}

/// Writes a monitor in front of the states of its lanes.
pub fn write_monitor(monitor: &impl Serialize, out: &mut dyn Write) -> Result<(), StateError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(monitor, &mut bytes).map_err(io::Error::other)?;
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    Ok(out.write_all(&bytes)?)
}

/// Reads it back.
pub fn read_monitor<M: for<'de> Deserialize<'de>>(input: &mut dyn Read) -> Result<M, StateError> {
    let mut length = [0; size_of::<u64>()];
    input.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    input.take(u64::from_le_bytes(length)).read_to_end(&mut bytes)?;
    ciborium::from_reader(&bytes[..])
        .map_err(|error| StateError::Damaged(format!("has a monitor that is none: {error}")))
}
