//! The answer in a sentence: what the measured thresholds of one series say, and what they do not.
//!
//! Every number comes from rows with status `measured`; the others are counted, never interpolated.

use super::SweepSeries;
use crate::table::number::significant;
use crate::table::{Status, ThresholdRow, median};
use crate::text::grouped_digits;

/// Two thresholds that differ by no more than this fraction are called the same.
const SAME: f64 = 0.01;

/// Largest deviation, relative, at which a / (tau + c) is said to describe the thresholds.
const FAITHFUL: f64 = 0.05;
/// Largest deviation of measured / theory from 1 that is told as agreement.
const AGREEMENT: f64 = 0.05;
/// Smaller fractions are the rounding of the arithmetic here, not something that was measured.
const NOISE: f64 = 1e-10;
/// Fewest delays from 1 on that a law with two constants is fitted to.
const LEAST_DELAYS: usize = 3;
/// Most delays that are listed one by one.
const MOST_LISTED: usize = 8;

/// What `series` says, as a sentence that follows its name.
pub fn sentence(series: &SweepSeries<'_>) -> String {
    let measured: Vec<&ThresholdRow> = measured(series).filter(|row| row.known_delay().is_some()).collect();
    let mut parts: Vec<String> = match thresholds(&measured)[..] {
        [] => vec!["no threshold was measured at a known delay".into()],
        [(delay, value)] => vec![single(&measured, delay, value)],
        [first, .., last] => vec![change(first, last)],
    };
    parts.extend(law(&thresholds(&measured)));
    parts.extend(agreement(series));
    parts.extend(open(series));
    parts.join("; ") + "."
}

/// The whole table in a sentence.
pub fn overall(all: &[SweepSeries<'_>]) -> String {
    let cells: usize = all.iter().map(|series| series.rows.len()).sum();
    let measured_cells: usize = all.iter().map(|series| measured(series).count()).sum();
    let noun = if cells == 1 { "cell is" } else { "cells are" };
    let mut text = format!("{} of {} {noun} measured", grouped_digits(measured_cells), grouped_digits(cells));
    let widths = all.iter().flat_map(measured).filter_map(|row| {
        let (stable, unstable) = row.lr_stable.zip(row.lr_unstable)?;
        Some((unstable - stable) / row.lr_threshold?)
    });
    if let Some(widest) = widths.reduce(f64::max) {
        text += &format!("; the brackets are at most {} wide", percent(widest));
    }
    text + "."
}

fn measured<'a>(series: &'a SweepSeries<'_>) -> impl Iterator<Item = &'a ThresholdRow> {
    series.rows.iter().map(|row| &row.row).filter(|row| row.is_measured())
}

/// Delays and the median of the thresholds measured there, in order of delay.
fn thresholds(measured: &[&ThresholdRow]) -> Vec<(f64, f64)> {
    let here = measured.chunk_by(|a, b| a.known_delay() == b.known_delay());
    here.filter_map(|rows| Some((rows[0].known_delay()?, median(rows.iter().filter_map(|row| row.lr_threshold))?)))
        .collect()
}

fn single(measured: &[&ThresholdRow], delay: f64, value: f64) -> String {
    let repetitions = match measured {
        [row] => match row.lr_stable.zip(row.lr_unstable) {
            Some((low, high)) => format!(" (stable at {}, unstable at {})", significant(low, 4), significant(high, 4)),
            None => String::new(),
        },
        _ => format!(" (median of {} repetitions)", measured.len()),
    };
    format!("at {} the largest stable learning rate is {}{repetitions}", named(delay), significant(value, 4))
}

fn change(first: (f64, f64), last: (f64, f64)) -> String {
    let factor = first.1 / last.1;
    if (factor - 1.0).abs() <= SAME {
        let (value, from, to) = (significant(first.1, 4), named(first.0), named(last.0));
        return format!("the largest stable learning rate is {value} at {from} and the same at {to}");
    }
    let (verb, times, direction) =
        if factor >= 1.0 { ("falls", factor, "smaller") } else { ("rises", 1.0 / factor, "larger") };
    format!(
        "the largest stable learning rate {verb} from {} at {} to {} at {}, {} times {direction}",
        significant(first.1, 4),
        named(first.0),
        significant(last.1, 4),
        named(last.0),
        significant(times, 3),
    )
}

/// How the threshold depends on the delay, where a / (tau + c) describes it from delay 1 on. Least squares of
/// threshold (p tau + q) against 1, so that every threshold counts by its relative error.
fn law(thresholds: &[(f64, f64)]) -> Option<String> {
    let late: Vec<(f64, f64)> = thresholds.iter().copied().filter(|(delay, _)| *delay >= 1.0).collect();
    if late.len() < LEAST_DELAYS {
        return None;
    }
    let sum = |term: &dyn Fn(f64, f64) -> f64| late.iter().map(|&(delay, value)| term(delay, value)).sum::<f64>();
    let (pp, pq, qq) =
        (sum(&|delay, value| (delay * value).powi(2)), sum(&|delay, v| delay * v * v), sum(&|_, v| v * v));
    let (p1, q1) = (sum(&|delay, value| delay * value), sum(&|_, value| value));
    let determinant = pp * qq - pq * pq;
    let (p, q) = ((p1 * qq - q1 * pq) / determinant, (q1 * pp - p1 * pq) / determinant);
    let deviation = late.iter().map(|(delay, value)| (value * (p * delay + q) - 1.0).abs()).fold(0.0, f64::max);
    // Written so that a NaN fails.
    let falls = late.last().is_some_and(|(delay, _)| q < p * delay);
    let faithful = p > 0.0 && falls && deviation <= FAITHFUL;
    faithful.then(|| {
        let (a, c) = (1.0 / p, q / p);
        let shift = if c < 0.0 { format!("− {}", significant(-c, 2)) } else { format!("+ {}", significant(c, 2)) };
        format!(
            "from {} on it is {} / (τ {shift}) to within {}",
            named(late[0].0),
            significant(a, 3),
            percent(deviation)
        )
    })
}

fn agreement(series: &SweepSeries<'_>) -> Option<String> {
    let ratios = || measured(series).filter_map(ThresholdRow::over_theory);
    let low = ratios().reduce(f64::min)?;
    let high = ratios().reduce(f64::max)?;
    let deviation = (low - 1.0).abs().max((high - 1.0).abs());
    Some(if deviation < NOISE {
        "measured / theory is 1".into()
    } else if deviation <= AGREEMENT {
        format!("measured / theory is 1 to within {}", percent(deviation))
    } else if low == high {
        format!("measured / theory is {}", significant(low, 3))
    } else {
        format!("measured / theory lies between {} and {}", significant(low, 3), significant(high, 3))
    })
}

/// What is missing.
fn open(series: &SweepSeries<'_>) -> Option<String> {
    let total = series.rows.len();
    let part = |status: Status| {
        let rows: Vec<&ThresholdRow> =
            series.rows.iter().map(|row| &row.row).filter(|row| row.status == status).collect();
        let mut delays: Vec<f64> = rows.iter().filter_map(|row| row.known_delay()).collect();
        delays.dedup();
        let listed: Vec<String> = delays.iter().map(|delay| significant(*delay, 4)).collect();
        let noun = if listed.len() == 1 { "delay" } else { "delays" };
        let at = match listed.len() {
            0 => String::new(),
            few if few <= MOST_LISTED => format!(" ({noun} {})", listed.join(", ")),
            many => format!(" ({many} delays)"),
        };
        let verb = if rows.len() == 1 { "is" } else { "are" };
        (!rows.is_empty()).then(|| format!("{} of {total} {verb} {status}{at}", rows.len()))
    };
    let parts: Vec<String> = [Status::Undecided, Status::Failed].into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn named(delay: f64) -> String {
    if delay.fract() == 0.0 { format!("delay {delay}") } else { format!("mean delay {}", significant(delay, 3)) }
}

fn percent(fraction: f64) -> String {
    let told = if fraction < NOISE { 0.0 } else { fraction };
    format!("{} %", significant(100.0 * told, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{FileTable, series};
    use std::fs;

    /// The sentence on a table of sgd with these columns delay, lr_stable, lr_unstable, lr_threshold, ratio, status.
    fn sentence_on(rows: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thresholds.csv");
        let others = "cell_id,model,weight_decay,momentum,dampening,schedule,batch,seed_data,seed_order,seed_init,criterion,\
                      lambda_max,lambda_residual,horizon_steps,runs,engine,adapter";
        let header = format!("{others},rule,delay,lr_stable,lr_unstable,lr_threshold,ratio,status\n");
        let of_row = |row: &str| format!("c,linear,0,0,0,round-robin,full,0,0,0,mean,1,0,9,1,cpu f32,x,{row}\n");
        fs::write(&path, header + &rows.lines().map(of_row).collect::<String>()).unwrap();
        let table = FileTable::read(&path, |_| true).unwrap();
        sentence(&series(&table.rows)[0])
    }

    #[test]
    fn a_fall_its_law_and_the_agreement_are_told_in_numbers() {
        let rows: String = [0, 1, 2, 4, 8]
            .map(|delay| format!("sgd,{delay},,,{},1.001,measured\n", 1.5 / (f64::from(delay) + 0.5)))
            .concat();
        assert_eq!(
            sentence_on(&rows),
            "the largest stable learning rate falls from 3 at delay 0 to 0.1765 at delay 8, 17 times smaller; from delay \
             1 on it is 1.5 / (τ + 0.5) to within 0 %; measured / theory is 1 to within 0.1 %."
        );
    }

    #[test]
    fn no_law_is_claimed_where_none_holds() {
        let flat = "sgd,1,,,0.5,0.6,measured\nsgd,8,,,0.4,0.5,measured\nsgd,32,,,0.55,0.9,measured\n";
        assert_eq!(
            sentence_on(flat),
            "the largest stable learning rate rises from 0.5 at delay 1 to 0.55 at delay 32, 1.1 times larger; measured / \
             theory lies between 0.5 and 0.9."
        );
    }

    #[test]
    fn a_threshold_that_no_delay_moves_is_said_to_stay() {
        let flat: String =
            [1, 4, 16].map(|delay| format!("sgd,{delay},,,{},,measured\n", 1.9611 + 1e-4 / f64::from(delay))).concat();
        assert_eq!(
            sentence_on(&flat),
            "the largest stable learning rate is 1.961 at delay 1 and the same at delay 16."
        );
    }

    #[test]
    fn one_delay_and_none_are_said_to_be_so() {
        assert_eq!(
            sentence_on("sgd,4,0.3,0.302,0.301,,measured\n"),
            "at delay 4 the largest stable learning rate is 0.301 (stable at 0.3, unstable at 0.302)."
        );
        assert_eq!(
            sentence_on("sgd,4,0.3,,,,undecided\nsgd,8,,,,,failed\nsgd,16,,,,,failed\n"),
            "no threshold was measured at a known delay; 1 of 3 is undecided (delay 4), 2 of 3 are failed (delays 8, 16)."
        );
    }
}
