//! Rows to files, one at a time, so that a table may be longer than memory.

use super::cells;
use super::row::Row;
use crate::files::WholeFile;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Writes `rows` under a header line; without rows, the header alone. The file appears whole or not at all.
///
/// # Errors
/// Where the file cannot be written; the message names it.
pub fn write_csv<T: Row>(path: &Path, rows: &[T]) -> Result<()> {
    let mut writer = CsvWriter::create(path)?;
    rows.iter().try_for_each(|row| writer.write(row))?;
    writer.finish()
}

/// Writes rows under a header line. Floats get as many digits as it takes to read the same bits back. The file appears
/// whole or not at all, by [`Self::finish`].
pub struct CsvWriter<T> {
    path: PathBuf,
    inner: csv::Writer<WholeFile>,
    row: PhantomData<fn(T)>,
}

impl<T: Row> CsvWriter<T> {
    /// # Errors
    /// Where the file cannot be written; the message names it.
    pub fn create(path: &Path) -> Result<Self> {
        let create = || -> Result<_> {
            let mut inner = csv::WriterBuilder::new().has_headers(false).from_writer(WholeFile::create(path)?);
            inner.write_record(cells::columns::<T>())?;
            Ok(inner)
        };
        let inner = create().with_context(|| cannot_write(path))?;
        Ok(Self { path: path.into(), inner, row: PhantomData })
    }

    /// # Errors
    /// Where the file cannot be written; the message names it.
    pub fn write(&mut self, row: &T) -> Result<()> {
        self.inner.serialize(row).with_context(|| cannot_write(&self.path))
    }

    /// Puts the file under its name, once it is on disk.
    ///
    /// # Errors
    /// Where the file cannot be written; the message names it.
    pub fn finish(self) -> Result<()> {
        let Self { path, inner, .. } = self;
        let finish = || -> io::Result<()> { inner.into_inner().map_err(csv::IntoInnerError::into_error)?.finish() };
        finish().with_context(|| cannot_write(&path))
    }
}

/// The cells of a row as they stand in a file.
pub fn record<T: Serialize>(row: &T) -> Vec<String> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let written = writer
        .serialize(row)
        .map_err(Into::into)
        .and_then(|()| writer.into_inner().map_err(|error| error.into_error()));
    let line: io::Result<Vec<u8>> = written;
    let mut records =
        csv::ReaderBuilder::new().has_headers(false).from_reader(io::Cursor::new(line.unwrap_or_default()));
    let first = records.records().next().and_then(Result::ok).unwrap_or_default();
    first.iter().map(str::to_owned).collect()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
