//! The journal of a sweep: one line for every finished cell, on disk before the cell counts.
//!
//! A line is a JSON array of a checksum and an [`Entry`]: `["0f3c...",{"cell":4,...}]`. Only the place of each line is
//! kept in memory, so a sweep of a million runs takes no more than one of ten.
//!
//! What is wrong with a line never costs another one: a line that the sweep died in is cut off, a damaged line is not
//! used, both are told, and their cells are measured again, to the same bytes. A sound line of another sweep is refused.

use super::lock::is_at;
use crate::table::{DelayRow, RunRow, ThresholdRow};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Hexadecimal digits of a line's checksum.
const CHECKSUM: usize = 16;

/// One finished cell, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Index in the plan's cells.
    pub cell: usize,
    pub threshold: ThresholdRow,
    pub runs: Vec<RunRow>,
    pub delays: Vec<DelayRow>,
}

/// Which cells a journal may hold: the content hash of a cell by its index in the plan, none for a foreign one.
pub type CellIds<'a> = &'a dyn Fn(usize) -> Option<String>;

/// An open journal and where its lines are.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    end: u64,
    /// By the cell's index in the plan.
    lines: Vec<Option<Line>>,
}

/// Where a line lies, its end included.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u64,
    length: u64,
}

impl Journal {
    /// Opens the journal at `path`, new or not, of a plan of `cells` cells. With it comes a message for every line that
    /// could not be used.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or holds a sound line that is none of this sweep's.
    pub fn open(path: PathBuf, cells: usize, ids: CellIds) -> Result<(Self, Vec<String>)> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut journal = Self { path, file, end: 0, lines: vec![None; cells] };
        let told = journal.scan(ids)?;
        Ok((journal, told))
    }

    /// Finds the lines of the cells that are finished.
    fn scan(&mut self, ids: CellIds) -> Result<Vec<String>> {
        let shown = self.path.display().to_string();
        let cannot = || format!("cannot read {shown}");
        let mut reader = BufReader::new(&self.file);
        let (mut told, mut bytes) = (Vec::new(), Vec::new());
        for number in 1.. {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes).with_context(cannot)? as u64;
            if length == 0 {
                break;
            }
            if bytes.pop() != Some(b'\n') {
                self.file.set_len(self.end).and_then(|()| self.file.sync_data()).with_context(cannot)?;
                told.push(format!(
                    "{shown}, line {number}: cut short, the sweep died in it; dropped, and its cell is measured again"
                ));
                break;
            }
            let line = Line { start: self.end, length };
            self.end += length;
            let Some(payload) = payload(&bytes) else {
                told.push(format!(
                    "{shown}, line {number}: damaged, its checksum does not match; it is not used, and its cell is \
                     measured again"
                ));
                continue;
            };
            let entry: Entry = serde_json::from_slice(payload)
                .with_context(|| format!("{shown}, line {number}: not of this version"))?;
            if ids(entry.cell).as_ref() != Some(&entry.threshold.cell_id) {
                let Entry { cell, threshold: ThresholdRow { cell_id, .. }, .. } = &entry;
                bail!("{shown}, line {number}: cell {cell} with id {cell_id} is none of this sweep's");
            }
            // A cell that stands twice was measured again after its first line had been damaged: the same bytes.
            self.lines[entry.cell] = Some(line);
        }
        Ok(told)
    }

    /// Number of finished cells.
    pub fn len(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a cell is finished.
    pub fn holds(&self, cell: usize) -> bool {
        self.lines[cell].is_some()
    }

    /// Adds a finished cell; it counts once it is on disk.
    ///
    /// # Errors
    /// Where the journal cannot be written, or is no longer there. What stood in it before stands in it still.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        let payload = serde_json::to_string(entry)?;
        // JSON has no infinities; a row with one would not come back as it went in.
        if serde_json::from_str::<Entry>(&payload).ok().as_ref() != Some(entry) {
            bail!("cell {} has a number that is not finite; nothing of it was written", entry.threshold.cell_id);
        }
        let line = format!("[\"{}\",{payload}]\n", checksum(payload.as_bytes()));
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line helps nobody; where it cannot be removed, it is dropped on resuming.
            let _ = self.file.set_len(self.end);
            return Err(error).with_context(|| {
                format!("cannot write {}; the {} finished cells in it are safe", self.path.display(), self.len())
            });
        }
        if !is_at(&self.file, &self.path) {
            bail!("{} was removed or renamed while the sweep ran", self.path.display());
        }
        self.lines[entry.cell] = Some(Line { start: self.end, length: line.len() as u64 });
        self.end += line.len() as u64;
        Ok(())
    }

    /// Every finished cell in the order of the plan, read back one by one.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        self.lines.iter().flatten().map(|line| self.read(*line))
    }

    fn read(&self, Line { start, length }: Line) -> Result<Entry> {
        let mut bytes = vec![0; length as usize];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes));
        read.with_context(|| format!("cannot read {}", self.path.display()))?;
        let damaged =
            || format!("{}, byte {start}: damaged while the sweep ran; --resume goes on", self.path.display());
        let payload = bytes.strip_suffix(b"\n").and_then(payload).with_context(damaged)?;
        serde_json::from_slice(payload).with_context(damaged)
    }
}

/// The entry in a line without its end, if it is what was written.
fn payload(line: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = line.strip_prefix(b"[\"")?.split_at_checked(CHECKSUM)?;
    let payload = rest.strip_prefix(b"\",")?.strip_suffix(b"]")?;
    (checksum(payload).as_bytes() == sum).then_some(payload)
}

fn checksum(payload: &[u8]) -> String {
    blake3::hash(payload).to_hex()[..CHECKSUM].to_string()
}

/// Number of whole lines in the journal of somebody else's folder, which may be growing.
///
/// # Errors
/// Where it cannot be read; a journal that is not there has none.
pub fn lines(path: &Path) -> std::io::Result<usize> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
        Ok(file) => {
            let (mut reader, mut count) = (BufReader::new(file), 0);
            while reader.skip_until(b'\n')? > 0 {
                count += 1;
            }
            Ok(count)
        }
    }
}
