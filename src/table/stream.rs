//! Rows to and from files one at a time, so that a table may be longer than memory.

use super::cells;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Writes rows under a header line. The file appears whole or not at all: it is written beside its name (as
/// `<name>.partial`) and renamed by [`Self::finish`].
pub struct CsvWriter<T> {
    path: PathBuf,
    partial: PathBuf,
    inner: csv::Writer<File>,
    row: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned> CsvWriter<T> {
    /// # Errors
    /// Where the file cannot be written; the message names it.
    pub fn create(path: &Path) -> Result<Self> {
        let partial = partial(path);
        let create = || -> Result<_> {
            let mut inner = csv::WriterBuilder::new().has_headers(false).from_writer(File::create(&partial)?);
            inner.write_record(cells::columns::<T>())?;
            Ok(inner)
        };
        let inner = create().with_context(|| cannot_write(path))?;
        Ok(Self { path: path.into(), partial, inner, row: PhantomData })
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
        let Self { path, partial, inner, .. } = self;
        let finish = || -> io::Result<()> {
            let file = inner.into_inner().map_err(csv::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        finish().with_context(|| cannot_write(&path))
    }
}

/// Reads the rows of a file whose header must be exactly the columns of `T`, in their order.
pub struct CsvReader<T, R = File> {
    name: String,
    records: csv::StringRecordsIntoIter<R>,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> CsvReader<T> {
    /// # Errors
    /// Where the file cannot be read or has another header. Messages name the file, the column and the value, and say
    /// what would be accepted.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        Self::from_text(&name, file)
    }
}

impl<T: DeserializeOwned, R: Read> CsvReader<T, R> {
    /// Reads text that messages call `name`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_text(name: &str, text: R) -> Result<Self> {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let mut records = reader.into_records();
        let columns = cells::columns::<T>();
        let header = records.next().transpose().with_context(|| format!("cannot read {name}"))?;
        let header =
            header.with_context(|| format!("{name} is empty; its first line should be {}", columns.join(",")))?;
        if let Some(index) = (0..columns.len().max(header.len())).find(|&i| header.get(i) != columns.get(i).copied()) {
            let found = header.get(index).map_or("nothing".into(), |found| format!("`{found}`"));
            let expected = columns.get(index).map_or("no further column".into(), |column| format!("`{column}`"));
            bail!(
                "{name}, line 1, column {}: found {found}, expected {expected}; the header should be {}",
                index + 1,
                columns.join(",")
            );
        }
        Ok(Self { name: name.into(), records, row: PhantomData })
    }
}

/// # Errors
/// Where the file cannot be read, or holds a value of the wrong kind. Messages name the file, the line, the column and
/// the value, and say what would be accepted.
impl<T: DeserializeOwned, R: Read> Iterator for CsvReader<T, R> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let name = &self.name;
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error).with_context(|| format!("cannot read {name}"))),
        };
        let line = record.position().map_or(0, csv::Position::line);
        let columns = cells::columns::<T>();
        if record.len() != columns.len() {
            let (found, expected) = (record.len(), columns.len());
            return Some(Err(anyhow::anyhow!(
                "{name}, line {line}: {found} values, expected {expected}, one per column"
            )));
        }
        Some(cells::row(columns, &record).with_context(|| format!("{name}, line {line}")))
    }
}

/// Where a file is written until it is whole.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
