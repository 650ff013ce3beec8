//! The one reader of tables.
//!
//! Columns are found by their names, in any order. Columns that a row does not know are kept as text ([`FileRow`]) and
//! otherwise ignored, so that tables of later versions and with columns of one's own can be read. A column that an older
//! version did not write may be missing if its field says so ([`Row`]); a needed one that is missing is an error.

use super::cells;
use super::row::Row;
use crate::files::open_input;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

/// Columns that had another name in older tables: that name and the present one.
const RENAMED: [(&str, &str); 1] = [("arm_id", "group_id")];

/// Reads the rows of a file.
///
/// # Errors
/// Where the file cannot be read, lacks a needed column, or holds a value of the wrong kind. Messages name the file, the
/// line, the column and the value, and say what would be accepted.
pub fn read_csv<T: Row>(path: &Path) -> Result<Vec<T>> {
    CsvReader::open(path)?.collect()
}

/// [`read_csv`] of text that lies elsewhere; messages call it `name`.
///
/// # Errors
/// As [`read_csv`].
pub fn read_csv_from<T: Row>(name: &str, text: impl Read) -> Result<Vec<T>> {
    CsvReader::from_text(name, text)?.collect()
}

/// A row with the text of its whole line, also of those columns that `T` does not know.
#[derive(Clone, Debug)]
pub struct FileRow<T> {
    pub row: T,
    text: csv::StringRecord,
}

impl<T> FileRow<T> {
    /// The cells in the order of the file's columns.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        self.text.iter()
    }

    /// The cell in a column, by its place.
    pub fn cell(&self, place: usize) -> &str {
        self.text.get(place).unwrap_or("")
    }
}

impl<T> AsRef<T> for FileRow<T> {
    fn as_ref(&self) -> &T {
        &self.row
    }
}

/// Rows of a file with all of its columns.
#[derive(Clone, Debug)]
pub struct FileTable<T> {
    pub columns: Vec<String>,
    /// Those that were kept.
    pub rows: Vec<FileRow<T>>,
    /// Number of rows in the file, kept or not.
    pub total: usize,
}

impl<T: Row> FileTable<T> {
    /// Reads the rows for which `keep` holds: tables may be far larger than what a page can show of them.
    ///
    /// # Errors
    /// As [`read_csv`].
    pub fn read(path: &Path, mut keep: impl FnMut(&T) -> bool) -> Result<Self> {
        let mut reader = CsvReader::<T>::open(path)?;
        let columns = reader.columns.clone();
        let (mut rows, mut total) = (vec![], 0);
        while let Some(row) = reader.read() {
            let row = row?;
            total += 1;
            if keep(&row.row) {
                rows.push(row);
            }
        }
        Ok(Self { columns, rows, total })
    }
}

/// Reads rows one at a time, so that a table may be longer than memory.
pub struct CsvReader<T, R = File> {
    name: String,
    /// The header, older names replaced by the present ones.
    columns: Vec<String>,
    /// Which of them `T` knows, by its own name for them.
    known: Vec<Option<&'static str>>,
    records: csv::StringRecordsIntoIter<R>,
    row: PhantomData<fn() -> T>,
}

impl<T: Row> CsvReader<T> {
    /// # Errors
    /// Where the file cannot be read, has no header or lacks a needed column. Messages name the file and the column.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = open_input(path).with_context(|| format!("cannot read {name}"))?;
        Self::from_text(&name, file)
    }
}

impl<T: Row, R: Read> CsvReader<T, R> {
    /// Reads text that messages call `name`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_text(name: &str, text: R) -> Result<Self> {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
        let mut records = reader.into_records();
        let fields = cells::columns::<T>();
        let header = records.next().transpose().with_context(|| format!("cannot read {name}"))?;
        let header =
            header.with_context(|| format!("{name} is empty; its first line should be {}", fields.join(",")))?;
        let columns: Vec<String> = header.iter().map(|column| present_name(column).to_owned()).collect();
        if let Some((place, column)) =
            columns.iter().enumerate().find(|(place, column)| columns[..*place].contains(column))
        {
            bail!("{name}, line 1, column {}: `{column}` stands there for the second time", place + 1);
        }
        let known: Vec<_> = columns.iter().map(|column| fields.iter().copied().find(|field| field == column)).collect();
        let present: Vec<&'static str> = known.iter().copied().flatten().collect();
        cells::check_columns::<T>(&present)
            .map_err(|missing| anyhow!("{name}, line 1: {missing}; found {}", columns.join(",")))?;
        Ok(Self { name: name.into(), columns, known, records, row: PhantomData })
    }

    fn read(&mut self) -> Option<Result<FileRow<T>>> {
        let name = &self.name;
        let text = match self.records.next()? {
            Ok(text) => text,
            Err(error) => return Some(Err(error).with_context(|| format!("cannot read {name}"))),
        };
        let line = text.position().map_or(0, csv::Position::line);
        if text.len() != self.columns.len() {
            let (found, expected) = (text.len(), self.columns.len());
            return Some(Err(anyhow!("{name}, line {line}: {found} values, expected {expected}, one per column")));
        }
        let row = cells::row::<T>(&self.known, &text).map_err(anyhow::Error::from);
        let row = row.and_then(|row| row.check().map(|()| row).map_err(anyhow::Error::from));
        Some(row.with_context(|| format!("{name}, line {line}")).map(|row| FileRow { row, text }))
    }
}

fn present_name(column: &str) -> &str {
    RENAMED.iter().find(|(old, _)| *old == column).map_or(column, |(_, present)| present)
}

impl<T: Row, R: Read> Iterator for CsvReader<T, R> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.read().map(|row| row.map(|row| row.row))
    }
}
