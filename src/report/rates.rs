//! The page of a folder of rates: how fast every rule is at its best, the picture, and the table.

use super::origin::Origin;
use super::page::{Content, Part, scrolled};
use super::rows::{self, Columns};
use crate::compare::rates::fastest_of;
use crate::plot::{self, Theme};
use crate::session::UNFINISHED;
use crate::table::number::significant;
use crate::table::{FileTable, RateRow, Series, rate_panels, rate_setting};
use crate::text::{counted, grouped_digits};
use anyhow::{Result, bail};
use maud::{Markup, PreEscaped, html};
use std::path::Path;

const QUESTION: &str = "When gradients arrive τ updates late, in how many updates does the distance from the minimum shrink by e, and at which \
                        learning rate in the fewest?";

const COLUMNS: Columns = Columns {
    always: &["rule", "delay", "lr", "updates_per_efold", "status"],
    printed: &[
        "rule",
        "momentum",
        "dampening",
        "delay",
        "schedule",
        "lr",
        "updates_per_efold",
        "updates_error",
        "updates_theory",
        "ratio",
        "status",
    ],
};

/// The part of a page about the folder that is called `named` and has its tables in `dir`.
///
/// # Errors
/// Where a file of the folder is missing or malformed; the message names it.
pub fn part(dir: &Path, named: &Path) -> Result<Part> {
    let origin = Origin::read(dir, named, &[])?;
    let path = dir.join("rates.csv");
    let table = FileTable::<RateRow>::read(&path, |_| true)?;
    if table.total == 0 {
        bail!("{} has no rows, so there is nothing to report", path.display());
    }
    let rows: Vec<RateRow> = table.rows.iter().map(|row| row.row.clone()).collect();
    let panels = rate_panels(&rows);
    let pictures = [Theme::Light, Theme::Dark].map(|theme| plot::rates(&rows, theme).ok());
    let sections = html! {
        section #answers {
            h2 { "The answer" }
            p.recommendation { (recommendation(&panels, origin.text(UNFINISHED))) }
            @for (name, rules) in &panels { (answer(name, rules)) }
        }
        section {
            h2 { "Updates per e-fold against learning rate" }
            @match &pictures {
                [Some(light), Some(dark)] => figure id="figure-rates" {
                    .wide.light-only { (PreEscaped(inline(light))) }
                    .wide.dark-only { (PreEscaped(inline(dark))) }
                    figcaption { "Marks: measured, with their errors. Thin lines: theory. Both axes are logarithmic." }
                },
                _ => p.note { "No cell has a rate at which it shrinks, so that there is nothing to draw." }
            }
        }
        (rows::section("All rows", "rates.csv", &table, &COLUMNS))
    };
    let content = Content {
        title: "Updates per e-fold against learning rate",
        question: QUESTION,
        setting: rate_setting(&rows),
        sections,
        data: (),
        script: SCRIPT,
    };
    Part::new(&origin, content)
}

/// No picture of this page is drawn by the browser.
pub const SCRIPT: &str = "const pictures = {};";

/// The picture as an element of the page, as wide as it is there.
fn inline(svg: &str) -> String {
    let begin = svg.find("<svg").unwrap_or(0);
    svg[begin..].replacen(
        "<svg",
        "<svg role=\"img\" aria-label=\"Updates per e-fold against learning rate\" style=\"width:100%;height:auto\"",
        1,
    )
}

/// What to do: the rule and the learning rate of the fewest updates, under the last of the circumstances that have any. `unfinished` says how
/// far a job is that is not done.
fn recommendation(panels: &[(String, Vec<Series<'_, RateRow>>)], unfinished: Option<&str>) -> String {
    let fastest = |(name, rules): &(String, Vec<Series<'_, RateRow>>)| {
        let best = rules.iter().filter_map(|rule| Some((rule.name.clone(), fastest_of(&rule.rows)?)));
        let (rule, row) =
            best.min_by(|a, b| a.1.updates_per_efold.partial_cmp(&b.1.updates_per_efold).expect("finite numbers"))?;
        Some(format!(
            "At {name} use {rule} with learning rate {}: its distance from the minimum shrinks by e in {} updates, the fewest of {}.",
            significant(row.lr, 3),
            significant(row.updates_per_efold?, 3),
            counted(rules.len(), "rule")
        ))
    };
    let best = panels.iter().rev().find_map(fastest);
    match (best, unfinished) {
        (Some(best), None) => best,
        (Some(best), Some(so_far)) => format!("So far ({so_far}): {best} The others may change that."),
        (None, Some(so_far)) => {
            format!(
                "{so_far} are measured so far, and the distance shrinks in none of them: it is too early for a recommendation."
            )
        }
        (None, None) => {
            "The distance shrinks at none of the learning rates that were tried, so there is nothing to recommend."
                .into()
        }
    }
}

/// The rules under one of the circumstances, each at its fastest learning rate, the fastest first.
fn answer(name: &str, rules: &[Series<'_, RateRow>]) -> Markup {
    let mut best: Vec<(&str, &RateRow)> =
        rules.iter().filter_map(|rule| Some((rule.name.as_str(), fastest_of(&rule.rows)?))).collect();
    best.sort_by(|a, b| a.1.updates_per_efold.partial_cmp(&b.1.updates_per_efold).expect("finite numbers"));
    let none = rules.len() - best.len();
    let short = |value: Option<f64>| value.map_or("–".to_owned(), |value| significant(value, 3));
    let against = |row: &RateRow| Some(row.updates_per_efold? / row.bound()?);
    html! {
        h3 { (name) }
        @if !best.is_empty() {
            (scrolled(&format!("Rules at {name}"), html! {
                table {
                    caption { "Rules at their fastest learning rates, the fastest first" }
                    thead { tr {
                        th scope="col" { "rule" }
                        th scope="col" { "learning rate" }
                        th scope="col" { "updates per e-fold" }
                        th scope="col" { "± " }
                        th scope="col" { "theory" }
                        th scope="col" { "over the bound" }
                    } }
                    tbody { @for (rule, row) in &best { tr {
                        th scope="row" { (rule) }
                        td { (significant(row.lr, 4)) }
                        td { (short(row.updates_per_efold)) }
                        td { (short(row.updates_error)) }
                        td { (short(row.updates_theory)) }
                        td { (short(against(row))) }
                    } } }
                }
            }))
        }
        @if none > 0 {
            p.note {
                "With " (grouped_digits(none)) " of " (counted(rules.len(), "rule")) " the distance shrinks at no learning rate that was tried."
            }
        }
    }
}
