//! Tables of rows on a terminal: no wider than it is. What is the same in all rows is said once, and where columns do not fit, those
//! that matter least are left out and named, or follow in a further table. `--columns` asks for columns by name, those of the CSV file
//! too.
//!
//! Not here: which columns a command shows, nor what becomes of rows in files ([`crate::table`]).

use super::lines::wrapped;
use super::{reader_width, to_stdout};
use crate::table::number::{aligned, significant};
use crate::table::{Described, record};
use anyhow::{Result, bail};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

/// Digits of numbers that come from a CSV file.
const DIGITS: usize = 4;
/// Columns of text that the first column keeps, however narrow the terminal.
const LEAST: usize = 12;
/// How like a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.5;

/// How much a column matters: of those that do not fit, the last in this order goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Without it a row says nothing.
    Needed,
    /// The answer.
    Result,
    /// What tells rows apart. Said once, where all rows have the same.
    Setting,
    /// What the answer rests on.
    Evidence,
    /// The rest.
    Detail,
}

/// A column of rows of `R`.
pub struct Column<R> {
    pub name: String,
    pub worth: Worth,
    pub cell: Box<dyn Fn(&R) -> String>,
    /// What it is a part of: columns of one whole, as the ends of a bracket, are shown together or not at all.
    whole: Option<&'static str>,
}

impl<R> Column<R> {
    pub fn new(name: &str, worth: Worth, cell: impl Fn(&R) -> String + 'static) -> Self {
        Self { name: name.to_owned(), worth, cell: Box::new(cell), whole: None }
    }

    /// The same as a part of what is shown as a whole or not at all.
    pub fn part_of(self, whole: &'static str) -> Self {
        Self { whole: Some(whole), ..self }
    }
}

/// Columns of rows as they stand in a file, with numbers of few digits.
pub fn of_file<R: Described + Serialize>(worth: fn(&str) -> Worth) -> Vec<Column<R>> {
    let column = |(place, name): (usize, &'static str)| {
        let worth = worth(name);
        Column::new(name, worth, move |row: &R| {
            let text = record(row).get(place).cloned().unwrap_or_default();
            match (worth, number(&text)) {
                // What was asked for has the digits that were typed.
                (Worth::Needed | Worth::Setting, Some(number)) => significant(number, DIGITS),
                _ => readable(&text),
            }
        })
    };
    names::<R>().enumerate().map(column).collect()
}

/// Checks names of columns before the work begins.
///
/// # Errors
/// A name that no column has, or one twice; it says which there are, and which is most like it.
pub fn check<R: Described>(columns: &[Column<R>], chosen: &[String]) -> Result<()> {
    let own: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut all = own.clone();
    for name in names::<R>().filter(|name| !own.contains(name)) {
        all.push(name);
    }
    let chosen: Vec<&str> = chosen.iter().map(|name| name.trim()).collect();
    for (place, name) in chosen.iter().enumerate() {
        if chosen[..place].contains(name) {
            bail!("--columns {name}: it is given twice; accepted: each column once");
        }
        if all.contains(name) {
            continue;
        }
        let likeness = |other: &&str| strsim::normalized_damerau_levenshtein(name, other);
        let nearest = all.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        let others = if own.len() < all.len() { ", and all of the file, which `tauscope columns` lists" } else { "" };
        match nearest.filter(|nearest| likeness(nearest) >= ALIKE) {
            Some(nearest) => bail!(
                "--columns {name}: there is no such column; nearest: '{nearest}'; accepted: {}{others}",
                own.join(", ")
            ),
            None => bail!("--columns {name}: there is no such column; accepted: {}", all.join(", ")),
        }
    }
    Ok(())
}

/// The table in a terminal of so many columns of text, with what is left out below it.
///
/// `file` is where everything stands.
pub fn table<R: Described + Serialize>(
    rows: &[R],
    columns: Vec<Column<R>>,
    chosen: &[String],
    width: Option<usize>,
    file: &str,
) -> String {
    if chosen.is_empty() {
        return fitted(rows, columns, width, &format!("--columns LIST shows what it names, {file} has all"));
    }
    let chosen = chosen.iter().map(|name| name.trim());
    let cells: Vec<_> = chosen.map(|name| (name.to_owned(), cells(rows, &columns, name))).collect();
    render(&cells, None)
}

/// Prints rows that stand in no file: for a person as a table, for a program as CSV with all digits. The names were checked.
///
/// # Errors
/// Where stdout cannot be written.
pub fn print<R: Described + Serialize>(rows: &[R], columns: Vec<Column<R>>, chosen: &[String]) -> Result<()> {
    let told = match reader_width() {
        Some(width) => table(rows, columns, chosen, Some(width), "the CSV of a pipe or a file") + "\n",
        None => csv(rows, chosen)?,
    };
    to_stdout(&told)
}

/// The rows as CSV: all columns, or those that were chosen.
fn csv<R: Described + Serialize>(rows: &[R], chosen: &[String]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if chosen.is_empty() {
        rows.iter().try_for_each(|row| writer.serialize(row))?;
    } else {
        let chosen: Vec<&str> = chosen.iter().map(|name| name.trim()).collect();
        let place = |name: &&str| names::<R>().position(|other| other == *name);
        let places: Vec<usize> = chosen.iter().filter_map(place).collect();
        writer.write_record(&chosen)?;
        for row in rows {
            let cells = record(row);
            writer.write_record(places.iter().map(|place| &cells[*place]))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// A column with its cells, and its place in the command's order.
struct Shown {
    place: usize,
    name: String,
    cells: Vec<String>,
    worth: Worth,
    whole: Option<&'static str>,
}

impl Shown {
    /// Empty columns say nothing; without rows, those that are needed name what there would be.
    fn is_empty(&self) -> bool {
        self.cells.iter().all(String::is_empty) && (self.worth != Worth::Needed || !self.cells.is_empty())
    }

    fn is_said_once(&self) -> bool {
        self.worth == Worth::Setting && self.cells.len() > 1 && self.cells.iter().all(|cell| *cell == self.cells[0])
    }
}

/// The table of rows that may stand in no file; `others` says how to see the columns that do not fit.
pub fn fitted<R>(rows: &[R], columns: Vec<Column<R>>, width: Option<usize>, others: &str) -> String {
    let made = |(place, column): (usize, Column<R>)| {
        let cells = rows.iter().map(|row| (column.cell)(row)).collect();
        Shown { place, name: column.name, cells, worth: column.worth, whole: column.whole }
    };
    let mut shown: Vec<Shown> = columns.into_iter().enumerate().map(made).filter(|column| !column.is_empty()).collect();
    let alike: Vec<String> = shown
        .iter()
        .filter(|column| column.is_said_once())
        .map(|column| format!("{} {}", column.name, column.cells[0]))
        .collect();
    shown.retain(|column| !column.is_said_once());

    let render = |shown: &[Shown], width: Option<usize>| {
        let columns: Vec<_> = shown.iter().map(|column| (column.name.clone(), column.cells.clone())).collect();
        render(&columns, width)
    };
    let mut left_out: Vec<Shown> = Vec::new();
    let mut text = render(&shown, None);
    while width.is_some_and(|width| text_width(&text) > width) {
        let least = shown.iter().map(|column| column.worth).max().filter(|worth| *worth != Worth::Needed);
        let Some(last) = least.and_then(|least| shown.iter().rposition(|column| column.worth == least)) else {
            text = render(&shown, width);
            break;
        };
        let (place, whole) = (shown[last].place, shown[last].whole);
        let goes = |column: &mut Shown| column.place == place || (whole.is_some() && column.whole == whole);
        left_out.extend(shown.extract_if(.., goes));
        text = render(&shown, None);
    }
    left_out.sort_by_key(|column| column.place);
    let mut note = |told: String| text += &format!("\n{}", wrapped(&told, width));
    if !alike.is_empty() {
        note(format!("the same in all rows: {}", alike.join(", ")));
    }
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|column| column.name.as_str()).collect();
        note(format!("not shown, for lack of width: {}; {others}", names.join(", ")));
    }
    text
}

/// A table of words, whose cells go on over several lines where the terminal ends.
pub fn of_words(header: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(header);
    rows.iter().for_each(|row| {
        table.add_row(row);
    });
    table.to_string()
}

/// A table of which no column may be missing: those that do not fit follow in further tables, each with the first column again.
pub fn continued(columns: &[(String, Vec<String>)], width: Option<usize>) -> String {
    let Some((first, others)) = columns.split_first() else { return String::new() };
    let mut tables = Vec::new();
    let mut part = vec![first.clone()];
    for column in others {
        part.push(column.clone());
        if part.len() > 2 && width.is_some_and(|width| text_width(&render(&part, None)) > width) {
            part.pop();
            tables.push(render(&part, None));
            part = vec![first.clone(), column.clone()];
        }
    }
    tables.push(render(&part, None));
    tables.join("\n")
}

/// The names of the columns of a file.
fn names<R: Described>() -> impl Iterator<Item = &'static str> {
    R::COLUMNS.iter().map(|column| column.name)
}

/// The cells of a column, by a command's own way to write it or else as they stand in the file.
fn cells<R: Described + Serialize>(rows: &[R], columns: &[Column<R>], name: &str) -> Vec<String> {
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return rows.iter().map(|row| (column.cell)(row)).collect();
    }
    let place = names::<R>().position(|other| other == name).expect("names were checked");
    let cell = |row: &R| record(row).get(place).map_or(String::new(), |text| readable(text));
    rows.iter().map(cell).collect()
}

/// A number of a CSV file with few digits; whole numbers and other text as they are.
fn readable(text: &str) -> String {
    number(text).map_or_else(|| text.to_owned(), |number| aligned(number, DIGITS))
}

/// A cell of a CSV file, where it is a number that is not whole.
fn number(text: &str) -> Option<f64> {
    // A long number has a point; an identifier such as 1234e0000012 has none.
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit()) || (text.len() > 6 && !text.contains('.'));
    let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| !is_whole && number.is_finite() && begins)
}

/// A table of columns. With a width, the cells of the first column go on over several lines to keep it.
fn render(columns: &[(String, Vec<String>)], width: Option<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(columns.iter().map(|(name, _)| name));
    for row in 0..columns.first().map_or(0, |(_, cells)| cells.len()) {
        table.add_row(columns.iter().map(|(_, cells)| &cells[row]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let text = table.to_string();
    let excess = width.map_or(0, |width| text_width(&text).saturating_sub(width));
    let (Some((name, cells)), 1..) = (columns.first(), excess) else { return text };
    let widest = std::iter::once(name).chain(cells).map(|cell| text_width(cell)).max().unwrap_or(0);
    let most = widest.saturating_sub(excess).max(LEAST);
    if let Some(first) = table.column_mut(0).filter(|_| most < widest) {
        // The width counts the blanks on both sides.
        let most = u16::try_from(most + 2).unwrap_or(u16::MAX);
        first.set_constraint(ColumnConstraint::Absolute(Width::Fixed(most)));
    }
    table.to_string()
}

fn text_width(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
