//! Tables to rows: each row holds the keys of one product of axes.

use super::Fault;
use super::document::{Document, Table, Together};
use super::entry::{Entry, Item, Value};
use super::grammar::Grammar;
use std::sync::Arc;

/// Most values of one key.
const MOST: usize = 1_000_000;

/// The keys of one product of axes.
pub struct Row {
    /// The table that it comes from; none for the top of the file.
    pub line: Option<usize>,
    /// Whether it must come to one cell.
    pub single: bool,
    /// The keys at the top of the file that its own do not replace.
    pub shared: Arc<Vec<Entry>>,
    pub own: Vec<Entry>,
}

impl Row {
    /// Where a key stands.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.shared.iter().chain(&self.own).find(|entry| entry.key == key).map(|entry| entry.line)
    }
}

/// All rows of a file, in its order.
///
/// # Errors
/// Lists of a zip that differ in length, and lists in a cell.
pub fn of(document: Document, grammar: &Grammar) -> Result<Vec<Row>, Fault> {
    let Document { top, tables } = document;
    for entry in tables.iter().flat_map(|table| &table.entries).chain(&top) {
        values(entry, grammar)?;
    }
    if tables.is_empty() {
        return Ok(vec![Row { line: None, single: false, shared: Arc::new(top), own: Vec::new() }]);
    }
    let mut rows = Vec::new();
    for Table { together, line, entries } in tables {
        let replaced = |entry: &&Entry| entries.iter().any(|own| own.key == entry.key);
        let shared = Arc::new(top.iter().filter(|entry| !replaced(entry)).cloned().collect());
        let row = |own| Row { line: Some(line), single: together == Together::Cell, shared: Arc::clone(&shared), own };
        match together {
            Together::Zip => rows.extend(zip(line, entries, grammar)?.into_iter().map(row)),
            Together::Grid | Together::Cell => rows.push(row(entries)),
        }
    }
    Ok(rows)
}

/// The single values of a key.
fn values(entry: &Entry, grammar: &Grammar) -> Result<Vec<Item>, Fault> {
    let mut values = Vec::new();
    for Item { text, line } in entry.items() {
        let place = |problem| Fault::at(*line, format!("{}: {problem}", entry.key));
        let more = grammar.expand(&entry.key, text).map_err(place)?;
        values.extend(more.into_iter().map(|text| Item { text, line: *line }));
        if values.len() > MOST {
            return Err(place(format!("more than {MOST} values; accepted: up to {MOST}")));
        }
    }
    Ok(values)
}

/// The columns of a zip as rows.
fn zip(line: usize, entries: Vec<Entry>, grammar: &Grammar) -> Result<Vec<Vec<Entry>>, Fault> {
    let mut columns: Vec<(Entry, Vec<Item>)> = Vec::new();
    for entry in entries {
        let items = values(&entry, grammar)?;
        columns.push((entry, items));
    }
    let repeats = |entry: &Entry, items: &[Item]| items.len() == 1 && matches!(entry.value, Value::One(_));
    let mut lists = columns.iter().filter(|(entry, items)| !repeats(entry, items));
    let length = match lists.next() {
        None => 1,
        Some((first, items)) => {
            let length = items.len();
            if let Some((other, items)) = lists.find(|(_, items)| items.len() != length) {
                let problem = format!(
                    "[[zip]]: {} has {length} values (line {}) and {} has {} (line {}); accepted: lists of the same length",
                    first.key,
                    first.line,
                    other.key,
                    items.len(),
                    other.line
                );
                return Err(Fault::at(line, problem));
            }
            length
        }
    };
    let row = |index: usize| {
        let one = |(entry, items): &(Entry, Vec<Item>)| {
            let item = items[if repeats(entry, items) { 0 } else { index }].clone();
            Entry { key: entry.key.clone(), line: entry.line, value: Value::One(item) }
        };
        columns.iter().map(one).collect()
    };
    Ok((0..length).map(row).collect())
}
