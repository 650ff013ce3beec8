//! What of folders of each kind stands side by side, what tells their cells apart, and the words for it.

use super::{Entry, Properties, Sides, matched};
use crate::compare::{rates, thresholds::range, training};
use crate::table::number::significant;
use crate::table::{
    FileTable, Interval, RateRow, SummaryRow, ThresholdRow, TrainRow, TrainedGroup, distinct, engines_matter,
    trained_groups,
};
use crate::text::counted;
use anyhow::Result;
use std::path::Path;

/// The stages of a row, as text: cells of other stages are other cells, whatever else they share.
macro_rules! stages {
    ($row:expr) => {
        [&$row.stage_delays, &$row.stage_cuts, &$row.backward_delays]
            .map(|part| part.clone().unwrap_or_default())
            .join(" ")
    };
}

fn rows<T: crate::table::Row + Clone>(path: &Path) -> Result<Vec<T>> {
    Ok(FileTable::<T>::read(path, |_| true)?.rows.iter().map(|row| row.row.clone()).collect())
}

pub(super) fn of_sweeps<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
    let tables: Vec<Vec<ThresholdRow>> = dirs.map(|dir| rows(&dir.join("thresholds.csv"))).collect::<Result<_>>()?;
    let entry = |row: &ThresholdRow, first: &ThresholdRow| {
        let bounds = range(row).0.zip(range(row).1);
        let told = bounds
            .map_or(String::new(), |(low, high)| format!(" ({} to {})", significant(low, 4), significant(high, 4)));
        let difference = row.lr_threshold.zip(first.lr_threshold).map(|(here, there)| {
            let ends = |((low, high), (first_low, first_high)): ((f64, f64), (f64, f64))| {
                (low / first_high - 1.0, high / first_low - 1.0)
            };
            (here / there - 1.0, bounds.zip(range(first).0.zip(range(first).1)).map(ends))
        });
        let value = row.lr_threshold.map_or_else(|| row.status.to_string(), |lr| significant(lr, 4));
        Entry { value: value + &told, difference }
    };
    // A cell that f32 has left undecided is measured again in f64, and is the same cell still.
    let is_one = |rows: &Vec<ThresholdRow>| distinct(rows.iter().map(|row| (&row.engine, &row.adapter))).len() <= 1;
    let engines = tables.iter().all(|rows| is_one(rows) || engines_matter(rows.iter()));
    let properties = |row: &ThresholdRow| properties_of_cell(row, engines);
    let (lines, alone, apart) = matched(&tables, properties, |row| stages!(row), entry);
    Ok(Sides {
        lines,
        alone,
        apart,
        unit: "cell",
        quantity: "largest stable learning rate",
        note: "In brackets the bracket of the search, or the 95 % interval of an ensemble. Intervals of differences are what both allow.",
        is_relative: true,
    })
}

/// What tells a cell from others; `engines` says whether engines do.
fn properties_of_cell(row: &ThresholdRow, engines: bool) -> Properties {
    vec![
        Some(row.rule_name()),
        row.known_delay().map(|delay| format!("delay {}", significant(delay, 4))),
        Some(row.schedule.clone()),
        row.way(),
        Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
        Some(format!("{} stability", row.criterion)),
        row.data.clone(),
        row.samples.map(|samples| counted(samples, "sample")),
        Some(row.model.clone()),
        row.loss.clone(),
        Some(format!("weight decay {}", row.weight_decay)),
        Some(format!("data seed {}", row.seed_data)),
        Some(format!("order seed {}", row.seed_order)),
        Some(format!("init seed {}", row.seed_init)),
        engines.then(|| format!("{} ({})", row.engine, row.adapter)),
    ]
}

pub(super) fn of_trainings<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
    let read = |dir: &Path| -> Result<(Vec<TrainRow>, Vec<SummaryRow>)> {
        Ok((rows(&dir.join("runs.csv"))?, rows(&dir.join("summary.csv"))?))
    };
    let tables: Vec<(Vec<TrainRow>, Vec<SummaryRow>)> = dirs.map(read).collect::<Result<_>>()?;
    let groups: Vec<Vec<TrainedGroup>> =
        tables.iter().map(|(runs, summaries)| trained_groups(runs, summaries, &[])).collect::<Result<_>>()?;
    let entry = |group: &TrainedGroup, first: &TrainedGroup| {
        let finished = group.runs.iter().filter(|run| run.is_finished()).filter_map(|run| run.row.test_accuracy);
        let interval = Interval::of(&finished.collect::<Vec<_>>());
        let percent = |share: f64| significant(100.0 * share, 4);
        let value = match interval.map(|at| (at.mean, at.within(0.0, 1.0))) {
            None => "no run came through".to_owned(),
            Some((mean, None)) => format!("{} %", percent(mean)),
            Some((mean, Some((low, high)))) => format!("{} % ({} to {} %)", percent(mean), percent(low), percent(high)),
        };
        let change = Interval::of(&training::beside(group, first).accuracy);
        Entry { value, difference: change.map(|at| (at.mean, at.low().zip(at.high()))) }
    };
    let (lines, alone, apart) =
        matched(&groups, |group| properties_of_group(group.summary), |group| stages!(group.summary), entry);
    Ok(Sides {
        lines,
        alone,
        apart,
        unit: "group",
        quantity: "test accuracy",
        note: "Means over the seeds that finished, with 95 % intervals by Wilson's formula for their spread. Differences are paired by seed, with \
               95 % intervals by Student's t; points are percentage points.",
        is_relative: false,
    })
}

fn properties_of_group(row: &SummaryRow) -> Properties {
    vec![
        Some(row.rule_name()),
        row.delay.map(|delay| format!("delay {delay}")),
        Some(row.schedule.clone()),
        Some(format!("lr {}", significant(row.lr, 6))),
        (row.lr_scaling != "none").then(|| row.lr_scaling.clone()),
        Some(row.lr_regime.clone()),
        row.outer_name(),
        Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
        Some(counted(row.epochs, "epoch")),
        Some(row.data.clone()),
        Some(counted(row.samples, "sample")),
        Some(row.model.clone()),
        Some(row.loss.clone()),
        Some(format!("weight decay {}", row.weight_decay)),
        Some(format!("{} ({})", row.engine, row.adapter)),
    ]
}

/// Rates need no matching here: [`rates::side_by_side`] does it.
pub(super) fn of_rates<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
    let tables: Vec<Vec<RateRow>> = dirs.map(|dir| rows(&dir.join("rates.csv"))).collect::<Result<_>>()?;
    let entry = |row: &RateRow, first: &RateRow| {
        let told = |row: &RateRow| {
            let error = row.updates_error.map_or(String::new(), |error| format!(" ± {}", significant(error, 2)));
            row.updates_per_efold.map_or_else(|| "does not shrink".into(), |updates| significant(updates, 4) + &error)
        };
        let one = rates::side_by_side(std::slice::from_ref(row), std::slice::from_ref(first)).ok();
        let difference = one.and_then(|(rows, _)| {
            let row = rows.into_iter().next()?;
            Some((row.ratio? - 1.0, row.ratio_low.zip(row.ratio_high).map(|(low, high)| (low - 1.0, high - 1.0))))
        });
        Entry { value: told(row), difference }
    };
    let (lines, alone, apart) = matched(&tables, properties_of_rate, |row| stages!(row), entry);
    Ok(Sides {
        lines,
        alone,
        apart,
        unit: "rate",
        quantity: "updates per e-fold",
        note: "With what each is unlikely to be off by. Intervals of differences are what both allow.",
        is_relative: true,
    })
}

fn properties_of_rate(row: &RateRow) -> Properties {
    vec![
        Some(row.rule_name()),
        row.delay.map(|delay| format!("delay {delay}")),
        Some(format!("lr {}", significant(row.lr, 6))),
        Some(row.schedule.clone()),
        row.outer_name(),
        Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
        Some(format!("{} stability", row.criterion)),
        row.data.clone(),
        Some(row.model.clone()),
        row.loss.clone(),
        Some(format!("data seed {}", row.seed_data)),
        Some(format!("order seed {}", row.seed_order)),
        Some(format!("init seed {}", row.seed_init)),
        Some(format!("{} ({})", row.engine, row.adapter)),
    ]
}
