//! The page of a training: what its groups came to in sentences, pictures and a table.

mod answer;
mod data;

use super::origin::Origin;
use super::page::{Content, Part, figure};
use super::rows::{self, Columns};
use crate::table::{
    FileTable, MetricRow, SummaryRow, TrainRow, TrainedGroup, delay_lines, evenly, line_names, read_csv,
    trained_groups, training_setting,
};
use crate::text::grouped_digits;
use anyhow::{Context, Result};
use data::{Data, MOST_CURVES};
use maud::{Markup, html};
use std::path::Path;

/// The pictures of a training.
pub const SCRIPT: &str = include_str!("../../../assets/report/training.js");
const QUESTION: &str = "What does training come to when gradients arrive τ updates late: which runs diverge, and how do test \
                        accuracy and loss change?";
/// Most groups that the ranked list has.
const MOST_LISTED: usize = 24;
/// Most lines of groups that get a sentence, and that are drawn.
const MOST_LINES: usize = 64;

const COLUMNS: Columns = Columns {
    always: &["rule", "delay", "runs", "diverged", "untrained", "test_accuracy"],
    printed: &[
        "rule",
        "momentum",
        "dampening",
        "delay",
        "schedule",
        "lr",
        "lr_scaling",
        "batch",
        "runs",
        "diverged",
        "untrained",
        "test_accuracy",
        "test_loss",
        "generalisation_gap",
    ],
};

/// The part of a page about the folder that is called `named` and has its tables in `dir`. runs.csv and summary.csv must be
/// there; metrics.csv may.
///
/// # Errors
/// Where a file of the folder is missing or malformed; the message names it.
pub fn part(dir: &Path, named: &Path) -> Result<Part> {
    let origin = Origin::read(dir, named, &["metrics.csv"])?;
    let run_table = FileTable::<TrainRow>::read(&dir.join("runs.csv"), |_| true)?;
    let summary_table = FileTable::<SummaryRow>::read(&dir.join("summary.csv"), |_| true)?;
    let path = dir.join("metrics.csv");
    let metrics: Vec<MetricRow> = if path.exists() { read_csv(&path)? } else { vec![] };
    let runs: Vec<TrainRow> = run_table.rows.iter().map(|row| row.row.clone()).collect();
    let summaries: Vec<SummaryRow> = summary_table.rows.iter().map(|row| row.row.clone()).collect();
    let groups = trained_groups(&runs, &summaries, &metrics)
        .with_context(|| format!("{}: there is nothing to report", dir.display()))?;
    let lines = delay_lines(&summaries);
    let names = line_names(&summaries, &lines);
    let all: Vec<(String, Vec<usize>)> = names.into_iter().zip(lines).collect();
    let lines = evenly(&all, MOST_LINES);
    let answers = answers(&groups, &lines, all.len());
    let data = data::collect(&summary_table, &run_table, &groups, lines);
    let sections = html! {
        (answers)
        (pictures(&groups, &data))
        (rows::section("All groups", "summary.csv", &summary_table, &COLUMNS))
    };
    let content = Content {
        title: "Training under delay",
        question: QUESTION,
        setting: training_setting(&runs),
        sections,
        data,
        script: SCRIPT,
    };
    Part::new(&origin, content)
}

fn answers(groups: &[TrainedGroup], lines: &[(String, Vec<usize>)], all_lines: usize) -> Markup {
    let several = |line: &&(String, Vec<usize>)| line.1.len() > 1;
    html! {
        section #answers {
            h2 { "The answer" }
            p.recommendation { (answer::recommendation(groups)) }
            @let order = answer::order(groups);
            @let first = &groups[order.ranked[0]];
            ol.answers {
                @for place in order.ranked.iter().take(MOST_LISTED) { (entry(&groups[*place], first)) }
            }
            @if !order.yardstick.is_empty() {
                h3 { "Without delay, to compare with" }
                ul.answers {
                    @for place in order.yardstick.iter().take(MOST_LISTED) { (entry(&groups[*place], first)) }
                }
            }
            @if order.ranked.len().max(order.yardstick.len()) > MOST_LISTED {
                p.note { "Of " (groups.len()) " groups, the first " (MOST_LISTED) " with and without delay; the table below has all." }
            }
            @if lines.iter().any(|line| several(&line)) {
                h3 { "Along the delays" }
                ul.answers {
                    @for (name, places) in lines.iter().filter(several) {
                        @let line: Vec<&TrainedGroup> = places.iter().map(|place| &groups[*place]).collect();
                        li { strong { (name) } ": " (answer::along_delays(&line)) }
                    }
                }
            }
            p { (answer::overall(groups)) }
            @if lines.len() < all_lines {
                p.note {
                    "The table has " (grouped_digits(all_lines)) " lines of groups that differ in their delay alone; "
                    "sentences and pictures show " (lines.len()) " of them, evenly over all."
                }
            }
        }
    }
}

/// A group in the list; one that learned nothing is marked.
fn entry(group: &TrainedGroup, first: &TrainedGroup) -> Markup {
    html! {
        li class=[answer::did_not_train(group).then_some("unlearned")] {
            strong { (group.name) } ": " (answer::entry(group, first))
        }
    }
}

fn pictures(groups: &[TrainedGroup], data: &Data<'_>) -> Markup {
    html! {
        section {
            h2 { "Against delay" }
            (figure("delay", "Test accuracy, test loss and generalisation gap against delay", html! {
                "Marks: mean over the seeds that did not diverge, with its 95 % confidence interval: of losses by Student's t, of \
                 accuracies and gaps by Wilson's formula for the spread of the seeds, which stays within what is possible. Faint dots: single seeds. Lines join groups that differ in their delay alone, and stand side by side at each delay."
            }))
        }
        @if !data.curves.is_empty() {
            section {
                h2 { "Along the epochs" }
                (figure("curves", "Training loss and test accuracy along the epochs", html! {
                    "Lines: mean over the seeds that did not diverge; bands: its 95 % confidence interval. "
                    @if groups.len() > MOST_CURVES {
                        (data.curves.len()) " of " (grouped_digits(groups.len())) " groups are drawn, evenly over all."
                    }
                }))
            }
        }
    }
}
