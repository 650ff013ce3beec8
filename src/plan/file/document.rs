//! The text of a plan file as keys with the texts of their flags, each with its line. Knows which keys may stand where.

use super::Fault;
use super::entry::{Entry, Item, Value};
use super::grammar::{Grammar, Kind};
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// How the lists of a table go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::Display, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Together {
    Grid,
    Zip,
    Cell,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub together: Together,
    pub line: usize,
    pub entries: Vec<Entry>,
}

/// A plan file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The keys before any table.
    pub top: Vec<Entry>,
    /// In the order of the file.
    pub tables: Vec<Table>,
}

impl Document {
    /// # Errors
    /// Text that is not TOML; keys that are no flags, or stand where they may not; values that are no flag's text.
    pub fn read(text: &str, grammar: &Grammar) -> Result<Self, Fault> {
        let lines = Lines::new(text);
        let root = DeTable::parse(text).map_err(|error| {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            match error.span() {
                Some(span) => {
                    let (line, column) = lines.place(span.start);
                    Fault { column: Some(column), ..Fault::at(line, format!("not TOML: {message}")) }
                }
                None => Fault::at(None, format!("not TOML: {message}")),
            }
        })?;
        let (mut top, mut tables) = (Vec::new(), Vec::new());
        for (key, value) in root.get_ref() {
            match key.get_ref().parse() {
                Ok(together) => tables.extend(read_tables(together, key.span(), value, grammar, &lines)?),
                Err(_) => top.push(entry(key, value, grammar, &lines)?),
            }
        }
        tables.sort_by_key(|table| table.line);
        Ok(Self { top, tables })
    }

    /// Removes keys wherever they stand.
    pub fn forget(&mut self, key: impl Fn(&str) -> bool) {
        let everywhere = self.tables.iter_mut().map(|table| &mut table.entries);
        everywhere.chain([&mut self.top]).for_each(|entries| entries.retain(|entry| !key(&entry.key)));
    }
}

fn read_tables(
    together: Together,
    span: Range<usize>,
    value: &Spanned<DeValue>,
    grammar: &Grammar,
    lines: &Lines,
) -> Result<Vec<Table>, Fault> {
    let refused =
        |line| Fault::at(line, format!("'{together}' is a table of axes; accepted: [[{together}]], in two brackets"));
    let DeValue::Array(array) = value.get_ref() else { return Err(refused(lines.of(&span))) };
    let read = |table: &Spanned<DeValue>| {
        let line = lines.of(&table.span());
        let DeValue::Table(keys) = table.get_ref() else { return Err(refused(line)) };
        let read = |(key, value): (&Spanned<Cow<str>>, &Spanned<DeValue>)| {
            let name: &str = key.get_ref();
            if grammar.kind(name).is_some() && !grammar.axes.contains(&name) {
                let problem = format!(
                    "'{name}' cannot stand in [[{together}]], all of a plan shares it; accepted: above the first [[...]]; \
                     here: {}",
                    grammar.axes.join(", ")
                );
                return Err(Fault::at(lines.of(&key.span()), problem));
            }
            entry(key, value, grammar, lines)
        };
        Ok(Table { together, line, entries: keys.iter().map(read).collect::<Result<_, _>>()? })
    };
    array.iter().map(read).collect()
}

fn entry(key: &Spanned<Cow<str>>, value: &Spanned<DeValue>, grammar: &Grammar, lines: &Lines) -> Result<Entry, Fault> {
    let line = lines.of(&key.span());
    let key: &str = key.get_ref();
    let Some(kind) = grammar.kind(key) else { return Err(Fault::at(line, grammar.unknown(key))) };
    let value = match (kind, value.get_ref()) {
        (Kind::Switch, DeValue::Boolean(on)) => Value::Switch(*on),
        (Kind::Switch, _) => return Err(Fault::at(line, format!("{key}: accepted: true or false"))),
        (Kind::List(_), DeValue::Array(array)) if array.is_empty() => {
            return Err(Fault::at(line, format!("{key}: the list is empty; accepted: at least one value")));
        }
        (Kind::List(_), DeValue::Array(array)) => {
            Value::Many(array.iter().map(|value| item(key, value, lines)).collect::<Result<_, _>>()?)
        }
        (Kind::One, DeValue::Array(_)) => {
            return Err(Fault::at(line, format!("{key}: accepted: one value, not a list")));
        }
        _ => Value::One(item(key, value, lines)?),
    };
    Ok(Entry { key: key.into(), line, value })
}

fn item(key: &str, value: &Spanned<DeValue>, lines: &Lines) -> Result<Item, Fault> {
    let line = lines.of(&value.span());
    let text = match value.get_ref() {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(integer) => decimal(integer),
        DeValue::Float(float) => float.as_str().to_owned(),
        other => {
            let kind = other.type_str();
            return Err(Fault::at(
                line,
                format!("{key}: a value of type {kind}; accepted: a number or text in quotes"),
            ));
        }
    };
    Ok(Item { text, line })
}

/// The text that a flag takes; one that is too large for any flag stays as it is, and is refused there.
fn decimal(integer: &DeInteger) -> String {
    let value = i128::from_str_radix(integer.as_str(), integer.radix());
    value.map_or_else(|_| integer.to_string(), |value| value.to_string())
}

/// Where lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn of(&self, span: &Range<usize>) -> usize {
        self.place(span.start).0
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let before = self.text.get(self.starts[line - 1]..byte).unwrap_or_default();
        (line, 1 + before.chars().count())
    }
}
