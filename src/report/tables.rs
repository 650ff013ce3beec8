//! The tables of the page: cells by status, ratios by delay, and the rows themselves.

use super::answer::grouped_digits;
use super::series::{Cell, Series, delays, evenly, shared, significant};
use super::table::{Row, Table};
use maud::{Markup, html};

/// Most rows of the threshold table that stand on the page.
const MOST_ROWS: usize = 500;
/// Most series in the table of statuses.
const MOST_SERIES: usize = 24;
/// Most delays in the table of ratios.
const MOST_DELAYS: usize = 40;
/// Columns that are shown even where all rows agree, as they say what a row is.
const ALWAYS: [&str; 3] = ["rule", "delay", "status"];
/// Columns that a printed page has room for.
const PRINTED: [&str; 12] = [
    "rule",
    "momentum",
    "dampening",
    "delay",
    "delay_mean",
    "schedule",
    "lr_theory",
    "lr_stable",
    "lr_unstable",
    "lr_threshold",
    "ratio",
    "status",
];

/// How many cells of each series came how far; nothing where all are measured.
pub fn statuses(all: &[Series<'_>]) -> Markup {
    let open: Vec<&Series<'_>> = all.iter().filter(|series| series.measured().count() < series.cells.len()).collect();
    html! {
        @if !open.is_empty() {
            (scrolled("Cells by status", html! {
                table {
                    caption { "Cells by status, of series that are not measured throughout" }
                    thead { tr { th scope="col" { "series" } @for status in ["measured", "undecided", "failed"] {
                        th.number scope="col" { (status) }
                    } } }
                    tbody {
                        @for series in open.iter().take(MOST_SERIES) {
                            tr {
                                th scope="row" { (series.name) }
                                @for status in ["measured", "undecided", "failed"] {
                                    td.number { (grouped_digits(series.count(status))) }
                                }
                            }
                        }
                    }
                }
            }))
            @if open.len() > MOST_SERIES {
                p.note { "The first " (MOST_SERIES) " of " (grouped_digits(open.len())) " such series." }
            }
        }
    }
}

/// Measured / theory, a row for each delay and a column for each series.
pub fn ratios(drawn: &[Series<'_>]) -> Markup {
    let all = delays(drawn);
    html! {
        (scrolled("Ratios", html! {
            table.ratios {
                caption {
                    "Measured / theory. ● measured to the tolerance, ○ undecided, × failed"
                    @if all.len() > MOST_DELAYS { "; " (MOST_DELAYS) " of " (grouped_digits(all.len())) " delays" }
                }
                thead { tr {
                    th.number scope="col" { "delay" }
                    @for series in drawn { th.number scope="col" { (series.name) } }
                } }
                tbody {
                    @for delay in evenly(&all, MOST_DELAYS) {
                        tr {
                            th.number scope="row" { (significant(delay, 6)) }
                            @for series in drawn {
                                @let here: Vec<&Cell<'_>> =
                                    series.cells.iter().filter(|cell| cell.delay == Some(delay)).collect();
                                td.number { (ratio(&here)) }
                            }
                        }
                    }
                }
            }
        }))
    }
}

/// What was measured at one delay: a ratio, or the range over repetitions, and the worst status.
fn ratio(cells: &[&Cell<'_>]) -> Markup {
    let ratios = || cells.iter().filter_map(|cell| cell.ratio);
    let (low, high) = (ratios().reduce(f64::min), ratios().reduce(f64::max));
    let has = |status: &str| cells.iter().any(|cell| cell.status == status);
    let (mark, word) = match () {
        () if has("failed") => ("×", "failed"),
        () if has("undecided") => ("○", "undecided"),
        () => ("●", "measured"),
    };
    let short = |value: f64| {
        if (0.1..10.0).contains(&value) { format!("{value:.5}") } else { significant(value, 5) }
    };
    html! {
        @if !cells.is_empty() {
            @match low.zip(high) {
                Some((low, high)) if low == high => (short(low)),
                Some((low, high)) => { (short(low)) " to " (short(high)) }
                None => "–",
            }
            " " span.status title=(word) aria-label=(word) { (mark) }
        }
    }
}

/// The threshold table: columns in which rows differ, and above it what they share.
pub fn rows(table: &Table) -> Markup {
    let is_shared =
        |column: &&String| table.total > 1 && !ALWAYS.contains(&column.as_str()) && shared(table, column).is_some();
    let (common, columns): (Vec<&String>, Vec<&String>) = table.columns.iter().partition(is_shared);
    let index = |column: &String| table.columns.iter().position(|other| other == column).unwrap_or(0);
    let columns: Vec<(usize, &String)> = columns.into_iter().map(|column| (index(column), column)).collect();
    html! {
        section #rows {
            h2 { "All rows" }
            @if table.total > MOST_ROWS {
                p.note {
                    "The first " (grouped_digits(MOST_ROWS)) " of " (grouped_digits(table.total))
                    " rows; every one is in thresholds.csv."
                }
            }
            @if !common.is_empty() {
                p.common {
                    "In all rows: "
                    @for (place, column) in common.iter().enumerate() {
                        @if place > 0 { ", " }
                        span { (column) " " b { (told(shared(table, column).unwrap_or_default())) } }
                    }
                    "."
                }
            }
            (scrolled("All rows of thresholds.csv", html! {
                table.rows {
                    thead { tr { @for (_, column) in &columns {
                        th scope="col" class=(class(column)) {
                            button type="button" { (column) }
                        }
                    } } }
                    tbody { @for row in table.rows().take(MOST_ROWS) { (body_row(row, &columns)) } }
                }
            }))
            p.note.printed { "Printed without the columns that no page has room for; they are in thresholds.csv." }
        }
    }
}

fn body_row(row: Row<'_>, columns: &[(usize, &String)]) -> Markup {
    let cells: Vec<&str> = row.cells().collect();
    html! {
        tr { @for (index, column) in columns {
            @let text = cells.get(*index).copied().unwrap_or("");
            @let short = told(text);
            @if short == text {
                td class=(class(column)) { (text) }
            } @else {
                td class=(class(column)) title=(text) data-value=(text) { (short) }
            }
        } }
    }
}

fn class(column: &str) -> &'static str {
    if PRINTED.contains(&column) { "" } else { "screen" }
}

/// A cell as it is shown: long fractions are rounded, `–` stands for nothing.
fn told(text: &str) -> String {
    match text.parse::<f64>() {
        _ if text.is_empty() => "–".into(),
        Ok(value) if text.len() > 8 && text.contains(['.', 'e']) => significant(value, 6),
        _ => text.to_owned(),
    }
}

/// What may be wider than the page scrolls, also by keyboard.
fn scrolled(label: &str, table: Markup) -> Markup {
    html! { .scrolled role="region" aria-label=(label) tabindex="0" { (table) } }
}
