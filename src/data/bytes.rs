//! A file read from front to back, gunzipped where it is gzip. What it refuses has the file and the byte.
//!
//! Not here: what the bytes mean ([`super::idx`], [`super::cifar`], [`super::arrays`]).

use super::DataError;
use crate::files::open_input;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub struct Bytes<'a> {
    /// As errors have it.
    name: String,
    reader: Box<dyn BufRead + 'a>,
    /// Bytes read so far; of a gzip file, bytes of its content.
    offset: u64,
}

impl Bytes<'static> {
    /// # Errors
    /// A file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let name = path.display().to_string();
        let fail = |error: io::Error| DataError::file(&name, format!("cannot be read: {error}"));
        let mut file = BufReader::new(open_input(path).map_err(fail)?);
        if file.fill_buf().map_err(fail)?.starts_with(&GZIP) {
            return Ok(Self::new(format!("{name} (unzipped)"), MultiGzDecoder::new(file)));
        }
        Ok(Self { name, reader: Box::new(file), offset: 0 })
    }
}

impl<'a> Bytes<'a> {
    pub fn new(name: String, reader: impl Read + 'a) -> Self {
        Self { name, reader: Box::new(BufReader::new(reader)), offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, which are `what`.
    ///
    /// # Errors
    /// A file that ends before, or cannot be unzipped.
    pub fn take(&mut self, count: usize, what: &str) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count as u64).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        read.map_err(|error| self.broken(&error))?;
        if bytes.len() < count {
            let problem = format!("truncated: the file ends after {} of {count} bytes of {what}", bytes.len());
            return Err(self.refuse(self.offset, problem));
        }
        Ok(bytes)
    }

    /// The next bytes, as [`Bytes::take`].
    ///
    /// # Errors
    /// As [`Bytes::take`].
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], DataError> {
        Ok(self.take(N, what)?.try_into().expect("as many as were asked for"))
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    /// A file that cannot be unzipped, or whose checksum is wrong.
    pub fn at_end(&mut self) -> Result<bool, DataError> {
        match self.reader.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// # Errors
    /// Where something is left after `what`, and as [`Bytes::at_end`].
    pub fn end(&mut self, what: &str) -> Result<(), DataError> {
        if self.at_end()? {
            return Ok(());
        }
        Err(self.refuse(self.offset, format!("trailing bytes; expected the end of the file after {what}")))
    }

    /// The class of `row`, which stands at byte `at` and is called `name`.
    ///
    /// # Errors
    /// One that is none of `classes`.
    pub fn label(&self, name: &str, label: u8, classes: usize, row: usize, at: u64) -> Result<u32, DataError> {
        if usize::from(label) < classes {
            return Ok(u32::from(label));
        }
        Err(self.refuse(at, format!("row {row} has {name} {label}; expected 0 to {}", classes - 1)))
    }

    /// What is wrong at byte `at`.
    pub fn refuse(&self, at: u64, problem: String) -> DataError {
        DataError::file(&self.name, format!("byte {at}: {problem}"))
    }

    fn broken(&self, error: &io::Error) -> DataError {
        self.refuse(self.offset, format!("corrupt or truncated: {error}"))
    }
}
