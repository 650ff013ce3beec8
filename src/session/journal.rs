//! The journal of a job: one line for every finished unit (a cell of a sweep, a run of a training), on disk before the unit
//! counts as finished.
//!
//! A line is a JSON array of a checksum and an [`Entry`]: `["0f3c...",{"cell":4,...}]`. Only the position of each line is
//! kept in memory, so a job of a million units takes no more memory than one of ten.
//!
//! A fault in one line never costs another line: a line that was cut short by the end of the process is removed, a damaged
//! line is not used, both are reported, and their units are done again, to the same bytes. A sound line of another job is
//! refused.

use super::job::Entry;
use super::kind::Kind;
use super::lock::is_at;
use crate::table::not_finite;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Hexadecimal digits of a line's checksum.
const CHECKSUM: usize = 16;

/// Which units a journal may hold: the content hash of a unit by its index in the plan, `None` for a unit that is not this
/// process's.
pub type UnitIds<'a> = &'a dyn Fn(usize) -> Option<String>;

/// An open journal and where its lines are.
#[derive(Debug)]
pub struct Journal<E> {
    path: PathBuf,
    file: File,
    kind: Kind,
    /// Bytes of whole lines.
    end: u64,
    /// By the unit's index in the plan.
    lines: Vec<Option<Line>>,
    /// Whether a line is brought to disk before its unit counts.
    durable: bool,
    entry: PhantomData<fn() -> E>,
}

/// Where a line lies, its end included.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u64,
    length: u64,
}

impl<E: Entry> Journal<E> {
    /// Opens the journal at `path`, new or not, of a plan of `units` units. With it comes a message for every line that
    /// could not be used.
    ///
    /// # Errors
    /// Where the file cannot be read or written, or holds a sound line that belongs to another job.
    pub fn open(path: PathBuf, kind: Kind, units: usize, ids: UnitIds) -> Result<(Self, Vec<String>)> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let lines = vec![None; units];
        let mut journal = Self { path, file, kind, end: 0, lines, durable: true, entry: PhantomData };
        let told = journal.scan(ids)?;
        Ok((journal, told))
    }

    /// A new journal at `path` that only puts units in order: a death of the process loses nothing but it.
    ///
    /// # Errors
    /// Where the file exists or cannot be written.
    pub fn scratch(path: PathBuf, kind: Kind, units: usize) -> Result<Self> {
        let file = OpenOptions::new().create_new(true).read(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file, kind, end: 0, lines: vec![None; units], durable: false, entry: PhantomData })
    }

    /// Reads the journal of somebody else's folder, which may be growing, and changes nothing. What is damaged or cut short is
    /// left out.
    ///
    /// # Errors
    /// Where the file cannot be read; one that is not there has no units.
    pub fn look(path: PathBuf, kind: Kind) -> Result<Vec<E>> {
        let cannot = || format!("cannot read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.with_context(cannot)?,
        };
        let (mut reader, mut bytes, mut found) = (BufReader::new(file), Vec::new(), BTreeMap::new());
        while reader.read_until(b'\n', &mut bytes).with_context(cannot)? > 0 {
            if let Some(payload) = bytes.strip_suffix(b"\n").and_then(payload) {
                let entry: E = serde_json::from_slice(payload)
                    .with_context(|| format!("{} is not of a {} of this version", path.display(), kind.job))?;
                found.insert(entry.unit(), entry);
            }
            bytes.clear();
        }
        Ok(found.into_values().collect())
    }

    /// Finds the lines of the units that are finished.
    fn scan(&mut self, ids: UnitIds) -> Result<Vec<String>> {
        let Kind { job, unit, again, .. } = self.kind;
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
                    "{shown}, line {number}: cut short, the process ended while writing it; dropped, and its {unit} is {again} again"
                ));
                break;
            }
            let line = Line { start: self.end, length };
            self.end += length;
            let Some(payload) = payload(&bytes) else {
                told.push(format!(
                    "{shown}, line {number}: damaged, its checksum does not match; it is not used, and its {unit} is \
                     {again} again"
                ));
                continue;
            };
            let entry: E = serde_json::from_slice(payload)
                .with_context(|| format!("{shown}, line {number}: not of this version"))?;
            if ids(entry.unit()).as_deref() != Some(entry.id()) {
                let (index, id) = (entry.unit(), entry.id());
                bail!("{shown}, line {number}: {unit} {index} with id {id} is none of this {job}'s");
            }
            // A unit that is given twice was done again after its first line had been damaged: the same bytes.
            self.lines[entry.unit()] = Some(line);
        }
        Ok(told)
    }

    /// Number of finished units.
    pub fn len(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a unit is finished.
    pub fn holds(&self, unit: usize) -> bool {
        self.lines[unit].is_some()
    }

    /// Adds a finished unit; it counts once it is on disk. A unit with a number that is not finite has failed: it is written as
    /// such, with the reason, and given back.
    ///
    /// # Errors
    /// Where the journal cannot be written, or is no longer there. What stood in it before stands in it still.
    pub fn append(&mut self, entry: &E) -> Result<Option<E>> {
        if let Some(payload) = sound(entry)? {
            self.write(entry.unit(), &payload)?;
            return Ok(None);
        }
        let numbers = not_finite(entry).join(", ");
        let failed = entry.failed(&format!("numbers that are not finite: {numbers}"));
        let Some(payload) = sound(&failed)? else {
            bail!("{} {} cannot be written: {numbers}", self.kind.unit, entry.id());
        };
        self.write(entry.unit(), &payload)?;
        Ok(Some(failed))
    }

    fn write(&mut self, unit: usize, payload: &str) -> Result<()> {
        let Kind { job, units, .. } = self.kind;
        let line = format!("[\"{}\",{payload}]\n", checksum(payload.as_bytes()));
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| if self.durable { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Half a line helps nobody; where it cannot be removed, it is dropped on resuming.
            let _ = self.file.set_len(self.end);
            return Err(error).with_context(|| {
                format!("cannot write {}; the {} finished {units} in it are safe", self.path.display(), self.len())
            });
        }
        if !is_at(&self.file, &self.path) {
            bail!("{} was removed or renamed while the {job} ran", self.path.display());
        }
        self.lines[unit] = Some(Line { start: self.end, length: line.len() as u64 });
        self.end += line.len() as u64;
        Ok(())
    }

    /// Every finished unit in the order of the plan, read back one by one.
    pub fn entries(&self) -> impl Iterator<Item = Result<E>> {
        self.lines.iter().flatten().map(|line| self.read(*line))
    }

    fn read(&self, Line { start, length }: Line) -> Result<E> {
        let mut bytes = vec![0; length as usize];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes));
        read.with_context(|| format!("cannot read {}", self.path.display()))?;
        let damaged = || {
            format!("{}, byte {start}: damaged while the {} ran; --resume goes on", self.path.display(), self.kind.job)
        };
        let payload = bytes.strip_suffix(b"\n").and_then(payload).with_context(damaged)?;
        serde_json::from_slice(payload).with_context(damaged)
    }
}

/// An entry as text, if it comes back as it went in; JSON has no infinities.
fn sound<E: Entry>(entry: &E) -> Result<Option<String>> {
    let payload = serde_json::to_string(entry)?;
    let back: Option<E> = serde_json::from_str(&payload).ok();
    Ok((back.as_ref() == Some(entry)).then_some(payload))
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
