//! Columns of numbers in users' files: CSV (also with semicolons, tabs or spaces), with or without a header, one number a
//! line, or JSON lines.
//!
//! Not here: what the columns mean ([`super::Trace`], [`super::Iid`], [`super::Workers`]).

use crate::files::read_input;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file as typed: `FILE`, or `FILE#COLUMN`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSpec(PathBuf);

/// A row: its line in the file, and its fields.
type Record = (u64, Vec<String>);

/// The rows of a file.
#[derive(Debug)]
pub struct Columns {
    /// Names of the columns, where the file has them.
    pub titles: Option<Vec<String>>,
    pub records: Vec<Record>,
    /// What stands behind `#`.
    pub asked: Option<String>,
}

impl From<&OsStr> for FileSpec {
    fn from(text: &OsStr) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for FileSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl FileSpec {
    /// Reads the file. One that is called `a#b` goes before a column `b` of a file `a`.
    ///
    /// # Errors
    /// A file that cannot be read, or is no table; the message has the line.
    pub fn read(&self) -> Result<Columns, String> {
        let Self(typed) = self;
        let split = || {
            let name = typed.file_name()?.to_str()?;
            let (file, column) = name.rsplit_once('#')?;
            Some((typed.with_file_name(file), column.to_owned()))
        };
        let (path, asked) = match split() {
            Some((path, column)) if !typed.exists() => (path, Some(column)),
            _ => (typed.clone(), None),
        };
        let (titles, records) = read(&path)?;
        Ok(Columns { titles, records, asked })
    }
}

impl Columns {
    /// Index of the column of this name.
    pub fn of(&self, name: &str) -> Option<usize> {
        self.titles.as_ref()?.iter().position(|title| title == name)
    }

    /// Indices of the columns but for the index that pandas writes in front, which has no name.
    pub fn named(&self) -> Vec<usize> {
        let titles = self.titles.iter().flatten().enumerate();
        let is_index = |place: usize, title: &str| place == 0 && (title.is_empty() || title == "Unnamed: 0");
        titles.filter(|(place, title)| !is_index(*place, title)).map(|(place, _)| place).collect()
    }

    /// The names as a message has them.
    pub fn shown(&self) -> String {
        let Some(titles) = &self.titles else { return "columns without names".into() };
        let named: Vec<&str> = self.named().into_iter().map(|place| titles[place].as_str()).collect();
        format!("columns {}", named.join(", "))
    }

    /// The fields of one column, each with its line; empty where a row is shorter.
    pub fn column(&self, index: usize) -> impl Iterator<Item = (u64, &str)> {
        self.records.iter().map(move |(line, fields)| (*line, fields.get(index).map_or("", String::as_str)))
    }
}

/// A whole number up to `most`, in any notation: `3`, `3.0`, `3.000e+00`.
pub fn whole(text: &str, most: u32) -> Option<u32> {
    let number: f64 = text.parse().ok()?;
    ((0.0..=f64::from(most)).contains(&number) && number.fract() == 0.0).then_some(number as u32)
}

fn read(path: &Path) -> Result<(Option<Vec<String>>, Vec<Record>), String> {
    let bytes = read_input(path).map_err(|error| format!("cannot read it as a file: {error}"))?;
    if let Some(place) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("no text: byte {place} is 0; expected UTF-8"));
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines.next() else { return Ok((None, vec![])) };
    if first.starts_with('{') {
        return json_lines(text).map(|(titles, records)| (Some(titles), records));
    }
    let separator = [',', ';', '\t'].into_iter().find(|separator| first.contains(*separator));
    let mut records = match separator {
        Some(separator) => separated(text, separator as u8)?,
        None => (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .map(|(number, line)| {
                (number, line.split_whitespace().map(|field| field.trim_matches('"').into()).collect())
            })
            .collect(),
    };
    let is_header = records[0].1.iter().any(|field| field.parse::<f64>().is_err());
    let titles = is_header.then(|| records.remove(0).1);
    if let Some(titles) = &titles {
        let twice =
            titles.iter().enumerate().find(|(place, title)| titles[..*place].contains(title) && !title.is_empty());
        if let Some((_, title)) = twice {
            return Err(format!("its header has two columns '{title}'"));
        }
        // A field too many would move what stands behind it under other titles.
        if let Some((line, fields)) = records.iter().find(|(_, fields)| fields.len() > titles.len()) {
            return Err(format!("line {line}: {} fields under a header of {}", fields.len(), titles.len()));
        }
    }
    Ok((titles, records))
}

fn separated(text: &str, separator: u8) -> Result<Vec<Record>, String> {
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).trim(csv::Trim::All).comment(Some(b'#')).delimiter(separator);
    let records = reader.from_reader(text.as_bytes()).into_records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        Ok((line, record.iter().map(String::from).collect()))
    });
    records.collect()
}

/// One object a line; the keys of the first are the columns.
fn json_lines(text: &str) -> Result<(Vec<String>, Vec<Record>), String> {
    let mut titles: Vec<String> = Vec::new();
    let mut records = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| format!("line {line}: no JSON object: {error}"))?;
        if titles.is_empty() {
            titles = object.keys().cloned().collect();
        }
        let field = |title: &String| match object.get(title) {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        records.push((line, titles.iter().map(field).collect()));
    }
    Ok((titles, records))
}
