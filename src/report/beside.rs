//! Several folders of one kind side by side: what each has of the same cell, group or rate, and how it differs from the first folder's.
//!
//! Cells are the same that agree in all that tells cells of a folder apart; what is one and the same within each folder, but not in all, is
//! what the folders differ in. Not here: the parts of the page about each folder.

use super::page::{Front, scrolled};
use crate::compare::{rates, thresholds::range, training};
use crate::table::number::significant;
use crate::table::{
    FileTable, Interval, RateRow, SummaryRow, ThresholdRow, TrainRow, TrainedGroup, distinct, trained_groups,
};
use crate::text::{counted, grouped_digits};
use anyhow::Result;
use maud::{Markup, html};
use std::collections::HashMap;
use std::path::Path;

/// Most rows of the table.
const MOST_ROWS: usize = 300;

/// What tells cells apart, in words; none where there is nothing to say.
type Properties = Vec<Option<String>>;

/// What a folder has of a cell, and how it differs from the first folder's.
struct Entry {
    value: String,
    /// Relative difference, or one of shares, and the ends of its interval.
    difference: Option<(f64, Option<(f64, f64)>)>,
}

/// One cell in every folder that has it.
struct Line {
    name: String,
    entries: Vec<Option<Entry>>,
}

/// A comparison of folders, and its words.
struct Sides {
    lines: Vec<Line>,
    /// What each folder has that no cell of the others stands beside.
    alone: Vec<usize>,
    /// What folders differ in.
    apart: Vec<String>,
    /// `cell`, `group`
    unit: &'static str,
    /// What is compared, and how its interval comes about.
    quantity: &'static str,
    note: &'static str,
    /// Whether differences are shares of the first value, or points.
    is_relative: bool,
}

/// The comparison of folders, each a name and where its tables are; none where they are not of one kind.
///
/// # Errors
/// Where a table is missing or malformed; the message names it.
pub fn front(folders: &[(String, &Path)]) -> Result<Option<Front>> {
    let all_have = |file: &str| folders.iter().all(|(_, dir)| dir.join(file).exists());
    let names: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
    let dirs = folders.iter().map(|(_, dir)| *dir);
    let sides = if all_have("thresholds.csv") {
        of_sweeps(dirs)?
    } else if all_have("rates.csv") {
        of_rates(dirs)?
    } else if all_have("summary.csv") {
        of_trainings(dirs)?
    } else {
        return Ok(None);
    };
    let title = format!("{} results folders side by side", names.len());
    Ok(Some(Front { title, sections: sections(&sides, &names) }))
}

fn rows<T: crate::table::Row + Clone>(path: &Path) -> Result<Vec<T>> {
    Ok(FileTable::<T>::read(path, |_| true)?.rows.iter().map(|row| row.row.clone()).collect())
}

fn of_sweeps<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
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
    let (lines, alone, apart) = matched(&tables, properties_of_cell, entry);
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

fn properties_of_cell(row: &ThresholdRow) -> Properties {
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
        Some(format!("{} ({})", row.engine, row.adapter)),
    ]
}

fn of_trainings<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
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
    let (lines, alone, apart) = matched(&groups, |group| properties_of_group(group.summary), entry);
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
fn of_rates<'a>(dirs: impl Iterator<Item = &'a Path>) -> Result<Sides> {
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
    let (lines, alone, apart) = matched(&tables, properties_of_rate, entry);
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

/// Cells that stand in the first folder and in another one, what is left over of each folder, and what folders differ in.
fn matched<T>(
    tables: &[Vec<T>],
    properties: impl Fn(&T) -> Properties,
    entry: impl Fn(&T, &T) -> Entry,
) -> (Vec<Line>, Vec<usize>, Vec<String>) {
    let told: Vec<Vec<Properties>> = tables.iter().map(|rows| rows.iter().map(&properties).collect()).collect();
    let count = told.iter().flatten().next().map_or(0, Vec::len);
    let values = |folder: &Vec<Properties>, place: usize| distinct(folder.iter().map(|row| row[place].clone()));
    // Engines never tell cells apart where each folder has one: those are what is compared.
    let is_alike = |place: &usize| told.iter().all(|folder| values(folder, *place).len() <= 1);
    let (constant, varying): (Vec<usize>, Vec<usize>) = (0..count).partition(is_alike);
    let apart = constant.into_iter().filter_map(|place| {
        let all: Vec<String> = told
            .iter()
            .map(|folder| values(folder, place).into_iter().next().flatten().unwrap_or_else(|| "–".into()))
            .collect();
        (distinct(all.clone()).len() > 1).then(|| all.join(" against "))
    });
    let key = |row: &Properties| varying.iter().map(|place| row[*place].clone()).collect::<Vec<_>>();
    let by_key: Vec<HashMap<Vec<Option<String>>, usize>> =
        told.iter().map(|folder| folder.iter().enumerate().map(|(place, row)| (key(row), place)).collect()).collect();
    // With several cells of one key, which of them would stand beside another cannot be told.
    let is_single =
        |folder: usize, row: &Properties| told[folder].iter().filter(|other| key(other) == key(row)).count() == 1;
    let mut lines = vec![];
    for (place, row) in told.first().into_iter().flatten().enumerate().filter(|(_, row)| is_single(0, row)) {
        let first = &tables[0][place];
        let entries: Vec<Option<Entry>> = tables
            .iter()
            .enumerate()
            .map(|(folder, rows)| {
                let at = by_key[folder].get(&key(row)).filter(|at| is_single(folder, &told[folder][**at]))?;
                Some(entry(&rows[*at], first))
            })
            .collect();
        if entries.iter().flatten().count() > 1 {
            let parts: Vec<String> = key(row).into_iter().flatten().collect();
            let name = if parts.is_empty() { "the only one".into() } else { parts.join(", ") };
            lines.push(Line { name, entries });
        }
    }
    let used = |folder: usize| lines.iter().filter(|line| line.entries[folder].is_some()).count();
    let alone = tables.iter().enumerate().map(|(folder, rows)| rows.len() - used(folder)).collect();
    (lines, alone, apart.collect())
}

impl Sides {
    /// One sentence: how many agree, and where the folders differ most.
    fn answer(&self, names: &[&str]) -> String {
        let unit = self.unit;
        type Ends = Option<(f64, f64)>;
        let differences: Vec<(&Line, usize, f64, Ends)> = self
            .lines
            .iter()
            .flat_map(|line| line.entries.iter().enumerate().skip(1).map(move |(folder, entry)| (line, folder, entry)))
            .filter_map(|(line, folder, entry)| {
                let (difference, ends) = entry.as_ref()?.difference?;
                Some((line, folder, difference, ends))
            })
            .collect();
        let Some(most) = differences.iter().max_by(|a, b| a.2.abs().total_cmp(&b.2.abs())) else {
            return format!("These folders have no {unit} in common of which both have a {}.", self.quantity);
        };
        let leaves = |ends: &Ends| ends.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
        let apart = differences.iter().filter(|(.., ends)| leaves(ends)).count();
        let (line, folder, difference, ends) = most;
        format!(
            "Of {} {unit}s that stand beside one of {}, {} differ by more than their intervals; the largest difference of the {} is {} in {} ({}).",
            grouped_digits(differences.len()),
            names[0],
            if apart == 0 { "none".into() } else { grouped_digits(apart) },
            self.quantity,
            self.told(*difference, *ends),
            names[*folder],
            line.name
        )
    }

    /// A difference with its interval.
    fn told(&self, difference: f64, ends: Option<(f64, f64)>) -> String {
        let unit = if self.is_relative { "%" } else { "points" };
        let signed = |value: f64| {
            // What rounding leaves of no difference is none.
            let value = if value.abs() < 1e-12 { 0.0 } else { 100.0 * value };
            format!("{}{}", if value > 0.0 { "+" } else { "" }, significant(value, 3))
        };
        let ends = ends.map_or(String::new(), |(low, high)| format!(" ({} to {})", signed(low), signed(high)));
        format!("{} {unit}{ends}", signed(difference))
    }

    fn cell(&self, entry: Option<&Entry>, is_first: bool) -> Markup {
        html! {
            td.number { @match entry { Some(entry) => (entry.value), None => "–" } }
            @if !is_first {
                td.number {
                    @match entry.and_then(|entry| entry.difference) {
                        Some((difference, ends)) => {
                            @let out = ends.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
                            (self.told(difference, ends)) @if out { " *" }
                        }
                        None => "–",
                    }
                }
            }
        }
    }
}

fn sections(sides: &Sides, names: &[&str]) -> Markup {
    let left: Vec<String> = names
        .iter()
        .zip(&sides.alone)
        .filter(|(_, alone)| **alone > 0)
        .map(|(name, alone)| format!("{name} {alone}"))
        .collect();
    html! {
        section #comparison {
            h2 { "Side by side" }
            p.recommendation { (sides.answer(names)) }
            @if !sides.apart.is_empty() { p { "The folders differ in " (sides.apart.join("; ")) "." } }
            @if !sides.lines.is_empty() {
                (scrolled("The same cells side by side", html! {
                    table.sides {
                        caption {
                            "The " (sides.quantity) " of each " (sides.unit) " in every folder, and its difference from that in " (names[0])
                            "; * where the interval leaves out no difference. " (sides.note)
                        }
                        thead { tr {
                            th scope="col" { (sides.unit) }
                            @for (place, name) in names.iter().enumerate() {
                                th.number scope="col" { (name) }
                                @if place > 0 { th.number scope="col" { "difference of " (name) } }
                            }
                        } }
                        tbody { @for line in sides.lines.iter().take(MOST_ROWS) { tr {
                            th scope="row" { (line.name) }
                            @for (place, entry) in line.entries.iter().enumerate() { (sides.cell(entry.as_ref(), place == 0)) }
                        } } }
                    }
                }))
            }
            @if sides.lines.len() > MOST_ROWS {
                p.note { "The first " (MOST_ROWS) " of " (grouped_digits(sides.lines.len())) "; the tables of the folders have all." }
            }
            @if !left.is_empty() {
                p.note { "Without those that have no counterpart, or more than one: " (left.join(", ")) "." }
            }
        }
    }
}
