//! A table of the folder on the page, row by row, with all of its columns.

use super::page::scrolled;
use crate::table::number::{percent, significant};
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
    // What is empty in every row says nothing.
    let common: Vec<(usize, &String)> =
        common.into_iter().filter(|(place, _)| shared(table, *place).is_some_and(|text| !text.is_empty())).collect();
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
                        @let text = shared(table, *place).unwrap_or_default();
                        @let short = told(column, text);
                        span { (column) " " b title=[(short != text).then_some(text)] { (short) } }
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
                        @for (place, column) in &columns { (cell(column, row.cell(*place), class(column))) }
                    } } }
                }
            }))
            p.note.printed { "Printed without the columns that no page has room for; they are in " (file) "." }
        }
    }
}

fn cell(column: &str, text: &str, class: &str) -> Markup {
    let short = told(column, text);
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

/// A cell as it is shown: long fractions are rounded, accuracies are in percent, `–` stands for nothing. An identifier such as 09622e068061 is no
/// fraction, as it has no point.
fn told(column: &str, text: &str) -> String {
    let is_share = column.contains("accuracy") || column.contains("generalisation_gap");
    match text.parse::<f64>() {
        _ if text.is_empty() => "–".into(),
        Ok(value) if is_share => percent(value, 4),
        Ok(value) if text.len() > 8 && text.contains('.') => significant(value, 4),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_rounded_and_identifiers_stay() {
        let cases = [
            ("0.9805860200762224", "0.9806"),
            ("1.23456789e-30", "1.235e-30"),
            ("-1.23456789e30", "-1.235e30"),
            ("09622e068061", "09622e068061"),
            ("1234e0000012", "1234e0000012"),
            ("123456789012", "123456789012"),
            ("", "–"),
        ];
        for (text, expected) in cases {
            assert_eq!(told("lr_threshold", text), expected);
        }
        assert_eq!(told("test_accuracy_low", "0.9525"), "95.25 %");
    }
}
