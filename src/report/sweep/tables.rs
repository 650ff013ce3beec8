//! The tables of a sweep's page: cells by status, and ratios by delay.

use super::SweepSeries;
use crate::report::page::scrolled;
use crate::table::number::{self, significant};
use crate::table::{Status, ThresholdRow, evenly};
use crate::text::grouped_digits;
use maud::{Markup, html};

/// Most series in the table of statuses.
const MOST_SERIES: usize = 24;
/// Most delays in the table of ratios.
const MOST_DELAYS: usize = 40;
/// How many cells of each series came how far; nothing where all are measured.
pub fn statuses(all: &[SweepSeries<'_>]) -> Markup {
    let is_open = |series: &&SweepSeries<'_>| series.rows.iter().any(|row| !row.row.is_measured());
    let open: Vec<&SweepSeries<'_>> = all.iter().filter(is_open).collect();
    let statuses = [Status::Measured, Status::Undecided, Status::Failed];
    let count = |series: &SweepSeries<'_>, status| series.rows.iter().filter(|row| row.row.status == status).count();
    html! {
        @if !open.is_empty() {
            (scrolled("Cells by status", html! {
                table {
                    caption { "Cells by status, of series that are not measured throughout" }
                    thead { tr { th scope="col" { "series" } @for status in statuses {
                        th.number scope="col" { (status) }
                    } } }
                    tbody {
                        @for series in open.iter().take(MOST_SERIES) {
                            tr {
                                th scope="row" { (series.name) }
                                @for status in statuses {
                                    td.number { (grouped_digits(count(series, status))) }
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
pub fn ratios(drawn: &[SweepSeries<'_>]) -> Markup {
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
                                @let rows = series.rows.iter().map(|row| &row.row);
                                @let here: Vec<&ThresholdRow> =
                                    rows.filter(|row| row.known_delay() == Some(delay)).collect();
                                td.number { (ratio(&here)) }
                            }
                        }
                    }
                }
            }
        }))
    }
}

/// The delays of `series`, sorted and distinct.
fn delays(series: &[SweepSeries<'_>]) -> Vec<f64> {
    let mut delays: Vec<f64> =
        series.iter().flat_map(|series| series.rows.iter().filter_map(|row| row.row.known_delay())).collect();
    delays.sort_by(f64::total_cmp);
    delays.dedup();
    delays
}

/// What was measured at one delay: a ratio, or the range over repetitions, and the worst status.
fn ratio(rows: &[&ThresholdRow]) -> Markup {
    let ratios = || rows.iter().filter_map(|row| row.over_theory());
    let (low, high) = (ratios().reduce(f64::min), ratios().reduce(f64::max));
    let has = |status| rows.iter().any(|row| row.status == status);
    let (mark, word) = match () {
        () if has(Status::Failed) => ("×", "failed"),
        () if has(Status::Undecided) => ("○", "undecided"),
        () => ("●", "measured"),
    };
    let short = |value: f64| number::ratio(value, 5);
    html! {
        @if !rows.is_empty() {
            @match low.zip(high) {
                Some((low, high)) if low == high => (short(low)),
                Some((low, high)) => { (short(low)) " to " (short(high)) }
                None => "–",
            }
            " " span.status title=(word) aria-label=(word) { (mark) }
        }
    }
}
