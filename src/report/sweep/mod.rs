//! The page of a sweep: what its thresholds say in sentences, pictures and tables.

mod answer;
mod data;
mod ranking;
mod tables;

use super::origin::Origin;
use super::page::{Content, Part, figure};
use super::rows::{self, Columns};
use crate::table::{
    DelayRow, FileRow, FileTable, RunRow, Series, ThresholdRow, distinct, evenly, read_csv, series, setting,
};
use crate::text::grouped_digits;
use anyhow::{Result, bail};
use data::Data;
use maud::{Markup, html};
use ranking::{Ranking, ranking};
use std::path::Path;

/// The pictures of a sweep.
pub const SCRIPT: &str = include_str!("../../../assets/report/sweep.js");
const QUESTION: &str = "When gradients arrive τ updates late, what learning rate keeps the same minimum reachable as in \
                        synchronous training?";
/// Most series that get a sentence.
const MOST_SENTENCES: usize = 24;
/// Most series in one picture.
const MOST_SERIES: usize = 96;
/// Most cells of one series that are drawn, and of all together.
const MOST_CELLS: usize = 60;
const ALL_CELLS: usize = 1000;

const COLUMNS: Columns = Columns {
    always: &["rule", "delay", "status"],
    printed: &[
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
    ],
};

/// Cells that differ in their delay alone, sorted by it.
type SweepSeries<'a> = Series<'a, FileRow<ThresholdRow>>;

/// The tables of a sweep's results folder. thresholds.csv and runs.csv must be there; delays.csv may.
struct SweepFolder<'a> {
    dir: &'a Path,
    thresholds: FileTable<ThresholdRow>,
}

impl SweepFolder<'_> {
    fn runs(&self, keep: impl FnMut(&RunRow) -> bool) -> Result<FileTable<RunRow>> {
        FileTable::read(&self.dir.join("runs.csv"), keep)
    }

    fn delays(&self) -> Result<Vec<DelayRow>> {
        let path = self.dir.join("delays.csv");
        if path.exists() { read_csv(&path) } else { Ok(vec![]) }
    }
}

/// The part of a page about the folder that is called `named` and has its tables in `dir`.
///
/// # Errors
/// Where a file of the folder is missing or malformed; the message names it.
pub fn part(dir: &Path, named: &Path) -> Result<Part> {
    let origin = Origin::read(dir, named, &["delays.csv"])?;
    let path = dir.join("thresholds.csv");
    let folder = SweepFolder { dir, thresholds: FileTable::read(&path, |_| true)? };
    if folder.thresholds.total == 0 {
        bail!("{} has no rows, so there is nothing to report", path.display());
    }
    let all = series(&folder.thresholds.rows);
    let drawn = drawn(&all);
    let data = data::collect(&folder, &drawn)?;
    let rows: Vec<ThresholdRow> = folder.thresholds.rows.iter().map(|row| row.row.clone()).collect();
    let ranking = ranking(&rows, &all);
    let sections = html! {
        (answers(&all, &ranking))
        (pictures(&all, &drawn, &data))
        (rows::section("All rows", "thresholds.csv", &folder.thresholds, &COLUMNS))
    };
    let content = Content {
        title: "Largest stable learning rate against delay",
        question: QUESTION,
        setting: setting(&folder.thresholds.rows),
        sections,
        data,
        script: SCRIPT,
    };
    Part::new(&origin, content)
}

/// At most [`MOST_SERIES`] series, each with at most [`MOST_CELLS`] cells, fewer where series are many; both taken evenly over all.
fn drawn<'a>(all: &[SweepSeries<'a>]) -> Vec<SweepSeries<'a>> {
    let kept = evenly(all, MOST_SERIES);
    let most = most_cells(kept.len());
    let thinned = |one: &SweepSeries<'a>| Series { name: one.name.clone(), rows: evenly(&one.rows, most) };
    kept.iter().map(thinned).collect()
}

/// Most cells of each of so many series.
fn most_cells(series: usize) -> usize {
    (ALL_CELLS / series.max(1)).clamp(8, MOST_CELLS)
}

fn answers(all: &[SweepSeries<'_>], ranking: &Ranking) -> Markup {
    let listed = ranking.order.iter().zip(&ranking.factors).take(MOST_SENTENCES);
    html! {
        section #answers {
            h2 { "The answer" }
            p.recommendation { (ranking.recommendation) }
            ol.answers {
                @for (place, factor) in listed {
                    @let series = &all[*place];
                    li {
                        strong { (series.name) } ": " (answer::sentence(series))
                        @if let Some(factor) = factor { " Median ratio of its rule: " (factor) "." }
                    }
                }
            }
            p { (answer::overall(all)) }
            @if ranking.factors.iter().any(Option::is_some) {
                p.note {
                    "The order of the rules: for each setting that is measured for a rule and for the baseline, the largest stable learning rate of \
                     the rule is divided by the baseline's (where both have one, as effective learning rates, which count what a gradient moves); the rule with the \
                     largest median comes first. A rule that stands a larger learning rate does not therefore train faster."
                }
            }
            @if all.len() > MOST_SENTENCES {
                p.note {
                    "The table has " (grouped_digits(all.len())) " series; the sentences are those of the first " (MOST_SENTENCES)
                    " in this order, and the numbers of all are in thresholds.csv."
                }
            }
            (tables::statuses(all))
        }
    }
}

/// Whether a series has marks at more than one delay.
fn has_several_delays(series: &SweepSeries<'_>) -> bool {
    let marked = series.rows.iter().filter(|row| row.row.measurement().is_some());
    distinct(marked.filter_map(|row| row.row.known_delay())).len() > 1
}

fn pictures(all: &[SweepSeries<'_>], drawn: &[SweepSeries<'_>], data: &Data<'_>) -> Markup {
    let count = |series: &[SweepSeries<'_>]| series.iter().map(|series| series.rows.len()).sum::<usize>();
    let is_shown = |row: &&&FileRow<ThresholdRow>| row.row.known_delay().is_some() && row.row.measurement().is_some();
    let shown = drawn.iter().map(|series| series.rows.iter().filter(is_shown).count()).sum::<usize>();
    html! {
        section {
            h2 { "Threshold against delay" }
            @if count(drawn) < count(all) {
                p.note {
                    "The pictures show " (grouped_digits(count(drawn))) " of " (grouped_digits(count(all))) " cells: at most "
                    (MOST_SERIES) " series with " (most_cells(drawn.len())) " cells each, taken evenly over all. Every cell is in thresholds.csv; a copy \
                     of the folder with fewer rows in it gets a page of all of them."
                }
            }
            @if shown < count(drawn) {
                p.note {
                    (grouped_digits(count(drawn) - shown)) " of these cells have no bracket or no delay, and no mark."
                }
            }
            (figure("thresholds", "Largest stable learning rate against delay, both logarithmic", html! {
                "Lines: theory. Marks: the measured threshold; bars reach from the largest learning rate seen to be stable to the \
                 smallest seen to be unstable. Hollow marks are not measured to the tolerance; an arrow says that the \
                 other end of the bracket is not known. The scale of delays is logarithmic in τ + 1."
            }))
            // Points at one delay make no line.
            @if drawn.iter().any(has_several_delays) {
                (figure("inverse", "Inverse of the threshold against delay", html! {
                    "One over the threshold, both axes linear: a straight line means that the learning rate must fall like \
                     1 / (τ + c). Lines: theory."
                }))
            }
        }
        section {
            h2 { "Measured over theory" }
            (figure("ratio", "Measured threshold divided by theory, against delay", html! {
                "Marks: measured threshold divided by theory's. Bars: the bracket. Series stand side by side at each delay."
            }))
            (tables::ratios(drawn))
        }
        section {
            h2 { "Growth rates" }
            (figure("growth", "Growth rate of every run over delay and learning rate", html! {
                "Every rectangle is one training: its delay, its learning rate, and how fast its distance from the minimum \
                 grew (+, orange) or decayed (−, blue), per τ + 1 steps. × left the neighbourhood before a rate \
                 could be told, ○ stayed without one, ? is undecided, ! failed. Heavy lines: the measured threshold."
            }))
        }
        @if !data.histograms.is_empty() {
            section {
                h2 { "Delays that occurred" }
                @if data.of_one_delay > 0 {
                    p.note { "Without " (grouped_digits(data.of_one_delay)) " cells in which one delay alone occurred." }
                }
                (figure("delays", "How often each delay occurred", html! {
                    "Share of updates with each delay. Cells with the same delays share a panel. "
                    @if data.histograms.len() < data.all_histograms {
                        (grouped_digits(data.histograms.len())) " of " (grouped_digits(data.all_histograms))
                        " are drawn, evenly over all."
                    }
                }))
            }
        }
    }
}
