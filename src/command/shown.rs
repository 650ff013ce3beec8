//! Tables of rows on a terminal: no wider than it is. What is the same in all rows is said once, and where columns do not fit, those
//! that matter least are left out and named, or follow in a further table. `--columns` asks for columns by name, those of the CSV file
//! too.
//!
//! Not here: which columns a command shows, nor what becomes of rows in files ([`crate::table`]).

use super::lines::wrapped;
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
    if chosen.is_empty() {
        return fitted(rows, columns, width, &format!("--columns LIST shows what it names, {file} has all"));
    }
    let cells: Vec<_> = chosen.iter().map(|name| (name.clone(), cells(rows, &columns, name))).collect();
    render(&cells)
}

/// The table of rows that may stand in no file; `others` says how to see the columns that do not fit.
pub fn fitted<R>(rows: &[R], columns: Vec<Column<R>>, width: Option<usize>, others: &str) -> String {
    let mut worths: Vec<Worth> = columns.iter().map(|column| column.worth).collect();
    let made = |column: Column<R>| (column.name, rows.iter().map(|row| (column.cell)(row)).collect());
    let mut shown: Vec<(String, Vec<String>)> = columns.into_iter().map(made).collect();
    let mut alike = Vec::new();
    let said: Vec<bool> = shown
        .iter()
        .zip(&worths)
        .map(|((name, cells), worth)| {
            // Empty columns say nothing.
            let is_empty = *worth != Worth::Needed && cells.iter().all(String::is_empty);
            let is_same = *worth == Worth::Setting && rows.len() > 1 && cells.iter().all(|cell| *cell == cells[0]);
            if is_same && !is_empty {
                alike.push(format!("{name} {}", cells[0]));
            }
            !is_empty && !is_same
        })
        .collect();
    let mut keep = said.iter();
    shown.retain(|_| *keep.next().expect("as many as columns"));
    let mut keep = said.iter();
    worths.retain(|_| *keep.next().expect("as many as columns"));

    let mut left_out = Vec::new();
    let mut text = render(&shown);
    while width.is_some_and(|width| text_width(&text) > width) {
        let least = worths.iter().copied().max().filter(|worth| *worth != Worth::Needed);
        let Some(place) = least.and_then(|least| worths.iter().rposition(|worth| *worth == least)) else { break };
        worths.remove(place);
        left_out.insert(0, shown.remove(place).0);
        text = render(&shown);
    }
    let mut note = |told: String| text += &format!("\n{}", wrapped(&told, width));
    if !alike.is_empty() {
        note(format!("the same in all rows: {}", alike.join(", ")));
    }
    if !left_out.is_empty() {
        note(format!("not shown, for lack of width: {}; {others}", left_out.join(", ")));
    }
    text
}

/// A table of which no column may be missing: those that do not fit follow in further tables, each with the first column again.
pub fn continued(columns: &[(String, Vec<String>)], width: Option<usize>) -> String {
    let Some((first, others)) = columns.split_first() else { return String::new() };
    let mut tables = Vec::new();
    let mut part = vec![first.clone()];
    for column in others {
        part.push(column.clone());
        if part.len() > 2 && width.is_some_and(|width| text_width(&render(&part)) > width) {
            part.pop();
            tables.push(render(&part));
            part = vec![first.clone(), column.clone()];
        }
    }
    tables.push(render(&part));
    tables.join("\n")
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
    // A long number has a point; an identifier such as 1234e0000012 has none.
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit()) || (text.len() > 6 && !text.contains('.'));
    match text.parse::<f64>() {
        Ok(number) if !is_whole && number.is_finite() && text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            aligned(number, DIGITS)
        }
        _ => text.to_owned(),
    }
}

fn render(columns: &[(String, Vec<String>)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(columns.iter().map(|(name, _)| name));
    for row in 0..columns.first().map_or(0, |(_, cells)| cells.len()) {
        table.add_row(columns.iter().map(|(_, cells)| &cells[row]));
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
            ("1234e0000012", "1234e0000012"),
            ("round-robin", "round-robin"),
            ("", ""),
            ("inf", "inf"),
            ("NaN", "NaN"),
            ("-1e-30", "-1.000e-30"),
            ("0.0", "0.000"),
            ("0", "0"),
            ("-inf", "-inf"),
        ];
        for (text, expected) in cases {
            assert_eq!(readable(text), expected);
        }
    }

    #[test]
    fn a_table_without_a_file_leaves_out_by_worth_and_one_that_needs_all_goes_on_below() {
        let columns = || {
            let column =
                |name: &str, worth, text: &'static str| Column::<i32>::new(name, worth, move |_| text.to_owned());
            vec![
                Column::new("name", Worth::Needed, ToString::to_string),
                column("detail", Worth::Detail, "a long text of detail"),
                column("answer", Worth::Result, "3.142"),
                column("setting", Worth::Setting, "full"),
                column("nothing", Worth::Evidence, ""),
            ]
        };
        let text = fitted(&[1, 2], columns(), Some(24), "--json has all");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "│ name   answer │");
        assert_eq!(
            lines[6..].join(" "),
            "the same in all rows: setting full not shown, for lack of width: detail; --json has all"
        );
        assert!(lines[6..].iter().all(|line| line.len() <= 24), "{text}");
        let column = |name: &str| (name.to_owned(), vec!["1.000".to_owned()]);
        let text = continued(&["rule", "a", "b", "c"].map(column), Some(30));
        let headers: Vec<&str> = text.lines().filter(|line| line.contains("rule")).collect();
        assert_eq!(headers, ["│ rule        a       b │", "│ rule        c │"]);
        assert_eq!(continued(&["rule", "a", "b", "c"].map(column), None).lines().count(), 5);
    }
}
