//! A table of the folder on the page, row by row, with all of its columns.

use super::page::scrolled;
use crate::table::number::significant;
use crate::table::{FileRow, FileTable};
use crate::text::grouped_digits;
use maud::{Markup, html};

/// Most rows that stand on the page.
const MOST_ROWS: usize = 500;

/// Which columns of a table are shown where.
pub struct Columns {
    /// Those that are shown even where all rows agree, as they say what a row is.
    pub always: &'static [&'static str],
    /// Those that a printed page has room for.
    pub printed: &'static [&'static str],
}

/// The table that lies in `file`: columns in which rows differ, and above it what they share.
pub fn section<T>(title: &str, file: &str, table: &FileTable<T>, shown: &Columns) -> Markup {
    let is_shared = |place: usize, column: &str| {
        table.total > 1 && !shown.always.contains(&column) && shared(table, place).is_some()
    };
    let (common, columns): (Vec<_>, Vec<_>) =
        table.columns.iter().enumerate().partition(|(place, column)| is_shared(*place, column));
    let class = |column: &String| if shown.printed.contains(&column.as_str()) { "" } else { "screen" };
    html! {
        section #rows {
            h2 { (title) }
            @if table.total > MOST_ROWS {
                p.note {
                    "The first " (grouped_digits(MOST_ROWS)) " of " (grouped_digits(table.total))
                    " rows; every one is in " (file) "."
                }
            }
            @if !common.is_empty() {
                p.common {
                    "In all rows: "
                    @for (index, (place, column)) in common.iter().enumerate() {
                        @if index > 0 { ", " }
                        span { (column) " " b { (told(shared(table, *place).unwrap_or_default())) } }
                    }
                    "."
                }
            }
            (scrolled(&format!("{title} of {file}"), html! {
                table.rows {
                    caption { (grouped_digits(table.rows.len().min(MOST_ROWS))) " rows of " (file) ". The name of a column sorts by it." }
                    thead { tr { @for (_, column) in &columns {
                        th scope="col" class=(class(column)) {
                            button type="button" { (column) }
                        }
                    } } }
                    tbody { @for row in table.rows.iter().take(MOST_ROWS) { tr {
                        @for (place, column) in &columns { (cell(row.cell(*place), class(column))) }
                    } } }
                }
            }))
            p.note.printed { "Printed without the columns that no page has room for; they are in " (file) "." }
        }
    }
}

fn cell(text: &str, class: &str) -> Markup {
    let short = told(text);
    html! {
        @if short == text {
            td class=(class) { (text) }
        } @else {
            td class=(class) title=(text) data-value=(text) { (short) }
        }
    }
}

/// The text that a column has in every row; `None` where rows differ.
fn shared<T>(table: &FileTable<T>, place: usize) -> Option<&str> {
    let mut rows = table.rows.iter().map(|row: &FileRow<T>| row.cell(place));
    let first = rows.next()?;
    rows.all(|text| text == first).then_some(first)
}

/// A cell as it is shown: long fractions are rounded, `–` stands for nothing. An identifier such as 09622e068061 is no fraction, as it has no
/// point.
fn told(text: &str) -> String {
    match text.parse::<f64>() {
        _ if text.is_empty() => "–".into(),
        Ok(value) if text.len() > 8 && text.contains('.') => significant(value, 6),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_rounded_and_identifiers_stay() {
        let cases = [
            ("0.9805860200762224", "0.980586"),
            ("1.23456789e-30", "1.23457e-30"),
            ("-1.23456789e30", "-1.23457e30"),
            ("09622e068061", "09622e068061"),
            ("1234e0000012", "1234e0000012"),
            ("123456789012", "123456789012"),
            ("", "–"),
        ];
        for (text, expected) in cases {
            assert_eq!(told(text), expected);
        }
    }
}
