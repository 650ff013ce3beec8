//! Tables of rows on a terminal: no wider than it is. What is the same in all rows is said once, and where columns do not fit, those
//! that matter least are left out and named. `--columns` asks for columns by name, those of the CSV file too.
//!
//! Not here: which columns a command shows, nor what becomes of rows in files ([`crate::table`]).

use crate::table::number::aligned;
use crate::table::{Row, column_names, record};
use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};

/// Digits of numbers that come from a CSV file.
const DIGITS: usize = 4;

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
}

impl<R> Column<R> {
    pub fn new(name: &str, worth: Worth, cell: impl Fn(&R) -> String + 'static) -> Self {
        Self { name: name.to_owned(), worth, cell: Box::new(cell) }
    }
}

/// Checks names of columns before the work begins.
///
/// # Errors
/// A name that no column has, or one twice; it says which there are.
pub fn check<R: Row>(columns: &[Column<R>], chosen: &[String]) -> Result<()> {
    for (place, name) in chosen.iter().enumerate() {
        let known =
            |other: &str| columns.iter().any(|column| column.name == other) || column_names::<R>().contains(&other);
        if chosen[..place].contains(name) {
            bail!("--columns {name}: it is given twice; accepted: each column once");
        }
        if !known(name) {
            let own = columns.iter().map(|column| column.name.as_str());
            let others =
                column_names::<R>().iter().copied().filter(|other| columns.iter().all(|column| column.name != *other));
            let accepted: Vec<&str> = own.chain(others).collect();
            bail!("--columns {name}: there is no such column; accepted: {}", accepted.join(", "));
        }
    }
    Ok(())
}

/// The table in a terminal of so many columns of text, with what is left out below it.
///
/// `file` is where everything stands.
pub fn table<R: Row>(
    rows: &[R],
    columns: Vec<Column<R>>,
    chosen: &[String],
    width: Option<usize>,
    file: &str,
) -> String {
    let is_asked = !chosen.is_empty();
    let mut shown: Vec<(String, Worth, Vec<String>)> = if is_asked {
        chosen.iter().map(|name| (name.clone(), Worth::Needed, cells(rows, &columns, name))).collect()
    } else {
        let made = |column: Column<R>| (column.name, column.worth, rows.iter().map(|row| (column.cell)(row)).collect());
        columns.into_iter().map(made).collect()
    };
    let mut alike = Vec::new();
    if !is_asked {
        // Empty columns say nothing.
        shown.retain(|(_, worth, cells)| *worth == Worth::Needed || cells.iter().any(|cell| !cell.is_empty()));
        shown.retain(|(name, worth, cells)| {
            let same = rows.len() > 1 && cells.iter().all(|cell| *cell == cells[0]);
            let said = *worth == Worth::Setting && same;
            if said {
                alike.push(format!("{name} {}", cells[0]));
            }
            !said
        });
    }
    let mut left_out = Vec::new();
    let mut text = render(&shown);
    while !is_asked && width.is_some_and(|width| text_width(&text) > width) {
        let least = shown.iter().map(|(_, worth, _)| *worth).max();
        let Some(place) = shown.iter().rposition(|(_, worth, _)| Some(*worth) == least && *worth != Worth::Needed)
        else {
            break;
        };
        left_out.insert(0, shown.remove(place).0);
        text = render(&shown);
    }
    if !alike.is_empty() {
        text = format!("{text}\nthe same in all rows: {}", alike.join(", "));
    }
    if !left_out.is_empty() {
        text = format!(
            "{text}\nnot shown, for lack of width: {}; --columns LIST shows what it names, {file} has all",
            left_out.join(", ")
        );
    }
    text
}

/// The cells of a column, by a command's own way to write it or else as they stand in the file.
fn cells<R: Row>(rows: &[R], columns: &[Column<R>], name: &str) -> Vec<String> {
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return rows.iter().map(|row| (column.cell)(row)).collect();
    }
    let place = column_names::<R>().iter().position(|other| *other == name).expect("names were checked");
    let cell = |row: &R| record(row).get(place).map_or(String::new(), |text| readable(text));
    rows.iter().map(cell).collect()
}

/// A number of a CSV file with few digits; whole numbers and other text as they are.
fn readable(text: &str) -> String {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if !is_whole && number.is_finite() && text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            aligned(number, DIGITS)
        }
        _ => text.to_owned(),
    }
}

fn render(columns: &[(String, Worth, Vec<String>)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(columns.iter().map(|(name, ..)| name));
    for row in 0..columns.first().map_or(0, |(.., cells)| cells.len()) {
        table.add_row(columns.iter().map(|(.., cells)| &cells[row]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn text_width(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_file_are_readable_and_words_stay() {
        let cases = [
            ("0.9765885246826655", "0.9766"),
            ("1e-9", "1.000e-9"),
            ("1e+30", "1.000e30"),
            ("-3.5", "-3.500"),
            ("512", "512"),
            ("5dc49b26c47e", "5dc49b26c47e"),
            ("round-robin", "round-robin"),
            ("", ""),
            ("inf", "inf"),
            ("NaN", "NaN"),
        ];
        for (text, expected) in cases {
            assert_eq!(readable(text), expected);
        }
    }
}
