//! The page: what stands on it and in which order. Its tables are in [`super::tables`], its looks in
//! `assets/report/report.css`, its pictures in `assets/report/report.js`.

use super::answer::{self, grouped_digits};
use super::data::{self, Data};
use super::folder::Folder;
use super::series::{self, MOST_CELLS, MOST_SERIES, Series, evenly};
use super::{facts, tables};
use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::Value;

const STYLE: &str = include_str!("../../assets/report/report.css");
const SCRIPTS: [&str; 3] = [
    include_str!("../../assets/report/d3.min.js"),
    include_str!("../../assets/report/plot.umd.min.js"),
    include_str!("../../assets/report/report.js"),
];
/// Nothing may be loaded from anywhere; what the page needs stands in it.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";
const QUESTION: &str = "When gradients arrive τ updates late, what learning rate keeps the same minimum reachable as in \
                        synchronous training?";
/// Most series that get a sentence.
const MOST_SENTENCES: usize = 24;

/// The whole page.
///
/// # Errors
/// Where a file of the folder is malformed; the message names it.
pub fn render(folder: &Folder<'_>) -> Result<String> {
    let all = series::grouped(&folder.thresholds)?;
    let drawn = series::drawn(&all);
    let data = data::collect(folder, &drawn)?;
    let island = island(&data).context("cannot write the data of the pictures")?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("tauscope ", env!("CARGO_PKG_VERSION")));
                title { (folder.name) " · tauscope" }
                // An icon of its own, as browsers ask the server for one otherwise.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (heading(folder))
                    (answers(&all))
                    (pictures(&all, &drawn, &data))
                    (tables::rows(&folder.thresholds))
                    (provenance(folder))
                }
                script #data type="application/json" { (PreEscaped(island)) }
                @for script in SCRIPTS { script { (PreEscaped(script)) } }
            }
        }
    };
    Ok(page.into_string())
}

/// JSON in which no text can end the script element it stands in, nor start a comment there.
fn island(data: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

fn heading(folder: &Folder<'_>) -> Markup {
    let text = |key: &str| folder.run.get(key).and_then(Value::as_str);
    let day = text("finished").and_then(|time| time.split('T').next());
    let version = text("version").map(|version| format!("tauscope {version}"));
    let commit = text("commit").map(|commit| format!("commit {commit}"));
    let byline = [Some(folder.name.clone()), day.map(str::to_owned), version, commit];
    html! {
        header {
            h1 { "Largest stable learning rate against delay" }
            p.question { (QUESTION) }
            p.setting { (series::setting(&folder.thresholds).join(" · ")) }
            p.byline { (byline.into_iter().flatten().collect::<Vec<_>>().join(" · ")) }
        }
    }
}

fn answers(all: &[Series<'_>]) -> Markup {
    html! {
        section #answers {
            h2 { "The answer" }
            ul.answers {
                @for series in evenly(all, MOST_SENTENCES) {
                    li { strong { (series.name) } ": " (answer::sentence(&series)) }
                }
            }
            p { (answer::overall(all)) }
            @if all.len() > MOST_SENTENCES {
                p.note {
                    "The table has " (grouped_digits(all.len())) " series; the sentences are those of " (MOST_SENTENCES)
                    ", evenly over all."
                }
            }
            (tables::statuses(all))
        }
    }
}

fn pictures(all: &[Series<'_>], drawn: &[Series<'_>], data: &Data<'_>) -> Markup {
    let count = |series: &[Series<'_>]| series.iter().map(|series| series.cells.len()).sum::<usize>();
    let is_shown = |cell: &&series::Cell<'_>| cell.delay.is_some() && cell.value().is_some();
    let shown = drawn.iter().map(|series| series.cells.iter().filter(is_shown).count()).sum::<usize>();
    html! {
        section {
            h2 { "Threshold against delay" }
            @if count(drawn) < count(all) {
                p.note {
                    "The pictures show " (grouped_digits(count(drawn))) " of " (grouped_digits(count(all))) " cells: at most "
                    (MOST_SERIES) " series with " (MOST_CELLS) " cells each, taken evenly over all."
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
            (figure("inverse", "Inverse of the threshold against delay", html! {
                "One over the threshold, both axes linear: a straight line means that the learning rate must fall like \
                 1 / (τ + c). Lines: theory."
            }))
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
                (figure("delays", "How often each delay occurred", html! {
                    "Share of updates with each delay. Cells with the same delays share a panel. "
                    (limited(data.histograms.len(), data.all_histograms))
                }))
            }
        }
        @if !data.curves.is_empty() {
            section {
                h2 { "Accuracy" }
                (figure("accuracy", "Accuracy over steps", html! {
                    "One line per run. " (limited(data.curves.len(), data.all_curves))
                }))
            }
        }
    }
}

fn limited(drawn: usize, all: usize) -> Markup {
    html! {
        @if drawn < all { (grouped_digits(drawn)) " of " (grouped_digits(all)) " are drawn, evenly over all." }
    }
}

/// A place for a picture, with what it is called for those who do not see it.
fn figure(name: &str, title: &str, caption: Markup) -> Markup {
    html! {
        figure id={ "figure-" (name) } {
            .plot data-plot=(name) data-title=(title) {
                noscript { p.note { "This picture is drawn with JavaScript; its numbers are in the table below." } }
            }
            figcaption { (caption) }
        }
    }
}

fn provenance(folder: &Folder<'_>) -> Markup {
    html! {
        section #provenance {
            h2 { "How it was made" }
            @if let Some(command) = facts::command(&folder.run) { pre { code { (command) } } }
            .columns { (facts::sections(&folder.run)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_island_and_no_asset_ends_its_element() {
        let text = island(&["</script><script>alert(1)</script>", "<!--", "é"]).unwrap();
        assert!(!text.contains('<'), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap()[1], "<!--");
        for script in SCRIPTS {
            assert!(!script.to_lowercase().contains("</script") && !script.contains("<!--"));
        }
        assert!(!STYLE.contains("</"));
    }
}
