//! Checkpoints of a job: two files, the newest and the one before it, each whole or not there.
//!
//! ```text
//! magic       16 bytes, which name the format and its version
//! length      8 bytes, little-endian: bytes of the identity
//! identity    JSON: what the job must agree with to go on from here
//! content     bytes that only the job itself understands ([`sections`])
//! checksum    32 bytes: BLAKE3 of everything before
//! ```
//!
//! A checkpoint is written beside its name, brought to disk and renamed, so that neither a death of the process nor a full
//! disk takes away the one before it. A damaged file is renamed to `NAME.damaged` and the one before it is taken.
//!
//! Not here: when a job is at a place where it can make one, nor what the content means ([`sections`]).

pub mod sections;

use super::draft::sync_dir;
use super::identity::differences;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names of the files in an unfinished folder: the newest checkpoint, the one before it, and one that is being written.
pub const NEWEST: &str = "checkpoint";
pub const BEFORE: &str = "checkpoint.before";
const WRITING: &str = "checkpoint.writing";

/// What every file begins with: the format and its version.
const MAGIC: &[u8; 16] = b"tauscope-ckpt-2\n";

/// Bytes before the identity, and after the content.
const HEAD: u64 = MAGIC.len() as u64 + size_of::<u64>() as u64;
const CHECKSUM: u64 = blake3::OUT_LEN as u64;

/// The checkpoints of a job that runs.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    identity: Value,
    every: Duration,
    /// When the latest one was made, or the job began.
    latest: Instant,
}

impl Checkpoints {
    /// Checkpoints in the folder `dir`, one after every `every`, of a job with this identity: plan, version, data and engine,
    /// all that its results depend on. Nothing is read or written yet.
    pub fn new(dir: &Path, identity: Value, every: Duration) -> Self {
        Self { dir: dir.into(), identity, every, latest: Instant::now() }
    }

    /// Whether so much time has passed that another one should be made.
    pub fn is_due(&self) -> bool {
        self.latest.elapsed() >= self.every
    }

    /// Makes a checkpoint of what `content` writes. Only when it is whole and on disk does it take the place of the newest,
    /// which becomes the one before it.
    ///
    /// # Errors
    /// Those of `content`, and where a file cannot be written; the checkpoints that were there are there still.
    pub fn write<E: From<io::Error>>(
        &mut self,
        content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        // Also after a failure: a full disk is not filled again at every step.
        self.latest = Instant::now();
        let writing = self.dir.join(WRITING);
        let written = self.write_file(&writing, content);
        self.latest = Instant::now();
        if let Err(error) = written {
            let _ = fs::remove_file(&writing);
            return Err(error);
        }
        let newest = self.dir.join(NEWEST);
        if newest.exists() {
            fs::rename(&newest, self.dir.join(BEFORE))?;
        }
        fs::rename(&writing, &newest)?;
        sync_dir(&self.dir);
        Ok(())
    }

    fn write_file<E: From<io::Error>>(
        &self,
        path: &Path,
        content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out =
            Hashed { inner: BufWriter::with_capacity(1 << 20, File::create(path)?), hasher: blake3::Hasher::new() };
        let identity = serde_json::to_vec(&self.identity).map_err(io::Error::from)?;
        out.write_all(MAGIC)?;
        out.write_all(&(identity.len() as u64).to_le_bytes())?;
        out.write_all(&identity)?;
        content(&mut out)?;
        let Hashed { mut inner, hasher } = out;
        inner.write_all(hasher.finalize().as_bytes())?;
        let file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(file.sync_all()?)
    }

    /// The content of the newest checkpoint that is whole, if there is one. With it comes a message for every file that was
    /// damaged and set aside.
    ///
    /// # Errors
    /// Where a file cannot be read or renamed, or belongs to a job with another identity; the message names the differences.
    pub fn newest(&self) -> Result<(Option<Content>, Vec<String>)> {
        let mut warnings = Vec::new();
        for (name, instead) in
            [(NEWEST, "the checkpoint before it is taken"), (BEFORE, "runs that are not finished start again")]
        {
            let path = self.dir.join(name);
            let cannot = || format!("cannot read {}", path.display());
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file.with_context(cannot)?,
            };
            match examine(&mut file).with_context(cannot)? {
                Ok((identity, content)) => {
                    self.agrees(&path, &identity)?;
                    return Ok((Some(Content::new(file, content)?), warnings));
                }
                Err(why) => {
                    let aside = self.dir.join(format!("{name}.damaged"));
                    fs::rename(&path, &aside).with_context(|| format!("cannot rename {}", path.display()))?;
                    warnings.push(format!("{}: {why}; set aside as {}; {instead}", path.display(), aside.display()));
                }
            }
        }
        Ok((None, warnings))
    }

    fn agrees(&self, path: &Path, there: &Value) -> Result<()> {
        let differences = differences(there, &self.identity);
        if !differences.is_empty() {
            bail!(
                "--resume: this differs from the job of {}: {}; accepted: the flags, version, data and engine of that job, \
                 another --out, or --force to discard it",
                path.display(),
                differences.join("; ")
            );
        }
        Ok(())
    }

    /// Removes all of them, also those that were set aside: the job is done.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn remove(self) -> Result<()> {
        let damaged = [NEWEST, BEFORE].map(|name| format!("{name}.damaged"));
        for name in [NEWEST, BEFORE, WRITING].into_iter().chain(damaged.iter().map(String::as_str)) {
            let path = self.dir.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done.with_context(|| format!("cannot remove {}", path.display()))?,
            }
        }
        Ok(())
    }
}

/// Where the content of a file lies, if it is what was written, with the identity before it; else what is wrong with it.
fn examine(file: &mut File) -> io::Result<Result<(Value, std::ops::Range<u64>), String>> {
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(CHECKSUM).filter(|end| *end >= HEAD) else {
        return Ok(Err(format!("damaged, {length} bytes are too few")));
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(Read::by_ref(file).take(end))?;
    let mut checksum = [0; CHECKSUM as usize];
    file.read_exact(&mut checksum)?;
    if hasher.finalize() != checksum {
        return Ok(Err("damaged, its checksum does not match".into()));
    }
    file.seek(SeekFrom::Start(0))?;
    let (mut magic, mut bytes) = ([0; MAGIC.len()], [0; size_of::<u64>()]);
    file.read_exact(&mut magic)?;
    file.read_exact(&mut bytes)?;
    let start = HEAD.saturating_add(u64::from_le_bytes(bytes));
    if magic != *MAGIC || start > end {
        return Ok(Err("no checkpoint of this version of the format".into()));
    }
    let mut identity = vec![0; (start - HEAD) as usize];
    file.read_exact(&mut identity)?;
    Ok(match serde_json::from_slice(&identity) {
        Ok(identity) => Ok((identity, start..end)),
        Err(error) => Err(format!("its identity is no JSON: {error}")),
    })
}

/// The content of a checkpoint, as a file of its own. It stays readable when newer checkpoints are made.
#[derive(Debug)]
pub struct Content {
    file: File,
    /// Where it begins and ends in the file.
    range: std::ops::Range<u64>,
    /// Where the next byte is, from the beginning of the content.
    at: u64,
}

impl Content {
    fn new(mut file: File, range: std::ops::Range<u64>) -> io::Result<Self> {
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Self { file, range, at: 0 })
    }
}

impl Read for Content {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = (self.range.end - self.range.start).saturating_sub(self.at);
        let most = left.min(bytes.len() as u64) as usize;
        let read = self.file.read(&mut bytes[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.range.end - self.range.start, by),
        };
        let outside = || io::Error::from(ErrorKind::InvalidInput);
        let at = from.checked_add_signed(by).ok_or_else(outside)?;
        let absolute = self.range.start.checked_add(at).ok_or_else(outside)?;
        self.file.seek(SeekFrom::Start(absolute))?;
        self.at = at;
        Ok(at)
    }
}

/// A writer that keeps a checksum of what it has written.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
