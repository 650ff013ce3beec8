//! Several folders of one kind side by side: what each has of the same cell, group or rate, and how it differs from the first folder's.
//!
//! Cells are the same that agree in all that tells cells of a folder apart, and in their stages; what else is one and the same within each
//! folder, but not in all, is what the folders differ in. Not here: the parts of the page about each folder.

mod kinds;

use super::page::{Front, scrolled};
use crate::table::distinct;
use crate::table::number::significant;
use crate::text::{counted, grouped_digits};
use anyhow::Result;
use kinds::{of_rates, of_sweeps, of_trainings};
use maud::{Markup, html};
use std::collections::HashMap;
use std::path::Path;

/// Smaller differences are what rounding leaves of none.
const NO_DIFFERENCE: f64 = 1e-12;
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

/// The comparison of folders, each a name and where its tables are; where they are not of one kind, a sentence that says so.
///
/// # Errors
/// Where a table is missing or malformed; the message names it.
pub fn front(folders: &[(String, &Path)]) -> Result<Front> {
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
        return Ok(Front { title: format!("{} results folders", names.len()), sections: of_several_kinds(folders) });
    };
    let title = format!("{} results folders side by side", names.len());
    Ok(Front { title, sections: sections(&sides, &names) })
}

/// What is said of folders that have nothing to be compared by.
fn of_several_kinds(folders: &[(String, &Path)]) -> Markup {
    let kind = |dir: &Path| {
        if dir.join("thresholds.csv").exists() {
            "a sweep of thresholds"
        } else if dir.join("rates.csv").exists() {
            "a sweep of rates"
        } else {
            "a training"
        }
    };
    let told: Vec<String> = folders.iter().map(|(name, dir)| format!("{name} is {}", kind(dir))).collect();
    html! {
        section #comparison {
            h2 { "Side by side" }
            p {
                "These folders are of different kinds, so they are not compared: " (told.join(", ")) ". Each has its own part below."
            }
        }
    }
}

/// Cells that stand in the first folder and in another one, what is left over of each folder, and what folders differ in. `fixed` is what the
/// same cells share whatever folders differ in.
fn matched<T>(
    tables: &[Vec<T>],
    properties: impl Fn(&T) -> Properties,
    fixed: impl Fn(&T) -> String,
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
    let parts = |row: &Properties| varying.iter().filter_map(|place| row[*place].clone()).collect::<Vec<_>>();
    type Key = (String, Vec<Option<String>>);
    let key = |row: &T, told: &Properties| -> Key {
        (fixed(row), varying.iter().map(|place| told[*place].clone()).collect())
    };
    let keys: Vec<Vec<Key>> = tables
        .iter()
        .zip(&told)
        .map(|(rows, told)| rows.iter().zip(told).map(|(row, told)| key(row, told)).collect())
        .collect();
    // With several cells of one key, which of them would stand beside another cannot be told: none.
    let by_key: Vec<HashMap<&Key, Option<usize>>> = keys
        .iter()
        .map(|keys| {
            let mut places: HashMap<&Key, Option<usize>> = HashMap::new();
            for (place, key) in keys.iter().enumerate() {
                places.entry(key).and_modify(|at| *at = None).or_insert(Some(place));
            }
            places
        })
        .collect();
    let single = |folder: usize, key: &Key| by_key[folder].get(key).copied().flatten();
    let mut lines = vec![];
    for (place, first) in tables.first().into_iter().flatten().enumerate() {
        let (row, key) = (&told[0][place], &keys[0][place]);
        if single(0, key).is_none() {
            continue;
        }
        let entries: Vec<Option<Entry>> =
            tables.iter().enumerate().map(|(folder, rows)| Some(entry(&rows[single(folder, key)?], first))).collect();
        if entries.iter().flatten().count() > 1 {
            let parts = parts(row);
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
            return format!("These folders have no {unit} in common of which both tell the {}.", self.quantity);
        };
        let verb = |count: usize, one: &'static str, more: &'static str| if count == 1 { one } else { more };
        let count = differences.len();
        let (units, stand) = (counted(count, unit), verb(count, "stands", "stand"));
        if most.2.abs() < NO_DIFFERENCE {
            let all = if count == 1 { "has" } else { "all have" };
            return format!(
                "The {units} that {stand} beside one of {} {all} the same {}: they are equal.",
                names[0], self.quantity
            );
        }
        let leaves = |ends: &Ends| ends.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
        let apart = differences.iter().filter(|(.., ends)| leaves(ends)).count();
        let (line, folder, difference, ends) = most;
        format!(
            "Of {units} that {stand} beside one of {}, {} {} by more than the intervals allow; the largest difference of the {} is {} in {} ({}).",
            names[0],
            if apart == 0 { "none".into() } else { grouped_digits(apart) },
            if apart > 1 { "differ" } else { "differs" },
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
            let value = if value.abs() < NO_DIFFERENCE { 0.0 } else { 100.0 * value };
            format!("{}{}", if value > 0.0 { "+" } else { "" }, significant(value, 3))
        };
        let ends = ends.map_or(String::new(), |(low, high)| format!(" ({} to {})", signed(low), signed(high)));
        format!("{} {unit}{ends}", signed(difference))
    }

    /// What the folder `name` has; on a narrow page, where cells stand below one another, each says what it is.
    fn cell(&self, entry: Option<&Entry>, name: &str, is_first: bool) -> Markup {
        html! {
            td.number data-label=(name) { @match entry { Some(entry) => (entry.value), None => "–" } }
            @if !is_first {
                td.number data-label={ "difference of " (name) } {
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
                            @for (place, entry) in line.entries.iter().enumerate() { (sides.cell(entry.as_ref(), names[place], place == 0)) }
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
