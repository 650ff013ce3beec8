//! The frame of every page: head, heading, provenance, the data of its pictures and their scripts. What stands between them
//! is the matter of [`super::sweep`] and [`super::training`]; the looks are in `assets/report/report.css`.

use super::facts;
use super::origin::Origin;
use super::progress::Unfinished;
use crate::session::UNFINISHED;
use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

const STYLE: &str = include_str!("../../assets/report/report.css");
const LIBRARIES: [&str; 2] =
    [include_str!("../../assets/report/d3.min.js"), include_str!("../../assets/report/plot.umd.min.js")];
/// What every page's pictures need, before and after these are defined.
const BASE: &str = include_str!("../../assets/report/base.js");
const DRAWING: &str = include_str!("../../assets/report/drawing.js");
/// Theme, buttons, reloading.
const PAGE: &str = include_str!("../../assets/report/page.js");
/// Nothing may be loaded from anywhere; what the page needs stands in it.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// What one kind of report has of its own.
pub struct Content<'a, D> {
    pub title: &'a str,
    pub question: &'a str,
    /// What all rows share.
    pub setting: String,
    /// The sections between heading and provenance.
    pub sections: Markup,
    /// What the pictures are drawn from.
    pub data: D,
    /// The script that defines the pictures.
    pub script: &'static str,
}

/// The report of one folder, as a part of a page.
pub struct Part {
    /// The folder's name.
    name: String,
    body: Markup,
    /// What the pictures are drawn from, as JSON.
    island: String,
    script: &'static str,
}

impl Part {
    /// # Errors
    /// Where the data cannot be written as JSON.
    pub fn new(origin: &Origin, content: Content<'_, impl Serialize>) -> Result<Self> {
        let island = island(&content.data).context("cannot write the data of the pictures")?;
        let body = html! {
            (heading(origin, content.title, content.question, &content.setting))
            (content.sections)
            (provenance(origin))
        };
        Ok(Self { name: origin.name.clone(), body, island, script: content.script })
    }

    /// The script of a part whose element has the id `id`: names of its own, so that parts do not meet.
    fn script(&self, id: &str) -> String {
        let begin = format!(
            "const root = document.getElementById(\"{id}\");\n\
             const data = JSON.parse(document.getElementById(\"data-{id}\").textContent);\n"
        );
        format!("(() => {{\n\"use strict\";\n{begin}{}\n}})();\n", [BASE, self.script, DRAWING].join("\n"))
    }

    /// The part in an element with the id `id`; where there are several parts, ids within are told apart by it.
    fn markup(&self, id: &str, several: bool) -> Markup {
        let body = self.body.clone().into_string();
        // No text of the page holds these: quotes and angle brackets in it are escaped. The page has one heading of the first
        // level, so that those of several parts begin at the second.
        let body = match several {
            true => lowered(&body).replace(" id=\"", &format!(" id=\"{id}-")),
            false => body,
        };
        html! {
            article.part id=(id) aria-label=(self.name) { (PreEscaped(body)) }
            script id={ "data-" (id) } type="application/json" { (PreEscaped(&self.island)) }
        }
    }
}

/// The names of the parts, told apart by numbers where several folders have one name.
pub fn names(parts: &[Part]) -> Vec<String> {
    let count = |name: &str| parts.iter().filter(|part| part.name == name).count();
    let name = |(place, part): (usize, &Part)| match count(&part.name) {
        1 => part.name.clone(),
        _ => format!("{} ({})", part.name, place + 1),
    };
    parts.iter().enumerate().map(name).collect()
}

/// Headings one level lower.
fn lowered(body: &str) -> String {
    [(3, 4), (2, 3), (1, 2)].into_iter().fold(body.to_owned(), |body, (from, to)| {
        body.replace(&format!("<h{from}>"), &format!("<h{to}>")).replace(&format!("</h{from}>"), &format!("</h{to}>"))
    })
}

/// What a page of several parts begins with.
pub struct Front {
    pub title: String,
    pub sections: Markup,
}

/// The whole page, the parts one below the other, below `front` where there are several. While a job runs, the page loads itself again
/// after `reload` seconds.
pub fn render(parts: &[Part], front: Option<&Front>, reload: Option<u32>) -> String {
    let several = parts.len() > 1;
    let id = |place: usize| format!("part-{}", place + 1);
    let names = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
    let body = html! {
        @if several {
            header {
                h1 { (front.map_or("Results folders", |front| front.title.as_str())) }
                nav aria-label="Folders" { ol { @for (place, part) in parts.iter().enumerate() {
                    li { a href={ "#" (id(place)) } { (part.name) } }
                } } }
            }
            @if let Some(front) = front { (front.sections) }
        }
        @for (place, part) in parts.iter().enumerate() { (part.markup(&id(place), several)) }
    };
    let scripts = html! {
        @for library in LIBRARIES { script { (PreEscaped(library)) } }
        @for (place, part) in parts.iter().enumerate() { script { (PreEscaped(part.script(&id(place)))) } }
    };
    framed(&names, reload, body, scripts)
}

/// The page of a job of which nothing is finished yet: how far it is, its command and its plan.
pub fn waiting(name: &str, told: &str, unfinished: Option<&Unfinished>, reload: Option<u32>) -> String {
    let body = html! {
        header {
            h1 { "Nothing is finished yet" }
            p.unfinished { (told) }
            p.byline { (name) }
        }
        @if let Some(job) = unfinished {
            section {
                h2 { "How far it is" }
                (job.runs())
                (job.advice())
            }
            section #provenance {
                h2 { "How it is made" }
                @if let Some(command) = job.command() { (to_copy(&command)) }
                .columns { (facts::sections(&job.plan)) }
            }
        }
    };
    framed(name, reload, body, html! {})
}

/// A command with a button that copies it.
fn to_copy(command: &str) -> Markup {
    html! {
        .command {
            pre { code { (command) } }
            button.copy type="button" hidden aria-label="Copy the command" { "Copy" }
        }
    }
}

fn framed(names: &str, reload: Option<u32>, body: Markup, scripts: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("tauscope ", env!("CARGO_PKG_VERSION")));
                title { (names) " · tauscope" }
                // An icon of its own, as browsers ask the server for one otherwise.
                link rel="icon" href="data:,";
                @if let Some(seconds) = reload { noscript { meta http-equiv="refresh" content=(seconds); } }
                style { (PreEscaped(STYLE)) }
            }
            body {
                .tools {
                    @if let Some(seconds) = reload {
                        button #reloading type="button" hidden data-seconds=(seconds) { "Pause reloading" }
                    }
                    button #theme type="button" hidden { "Theme: system" }
                }
                main { (body) }
                (scripts)
                script { (PreEscaped(PAGE)) }
            }
        }
    };
    page.into_string()
}

/// JSON in which no text can end the script element it stands in, nor start a comment there.
fn island(data: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(data)?.replace('<', "\\u003c"))
}

fn heading(origin: &Origin, title: &str, question: &str, setting: &str) -> Markup {
    let day = origin.text("finished").and_then(|time| time.split('T').next());
    let version = origin.text("version").map(|version| format!("tauscope {version}"));
    let commit = origin.text("commit").map(|commit| format!("commit {commit}"));
    let byline = [Some(origin.name.clone()), day.map(str::to_owned), version, commit];
    html! {
        header {
            h1 { (title) }
            @if let Some(told) = origin.text(UNFINISHED) {
                p.unfinished { "Unfinished: " (told) " so far." }
                @if let Some(job) = Unfinished::find(&origin.dir) { (job.runs()) (job.advice()) }
            }
            @for file in &origin.missing {
                p.unfinished { "This folder has no " (file) "." }
            }
            p.question { (question) }
            p.setting { (setting) }
            p.byline { (byline.into_iter().flatten().collect::<Vec<_>>().join(" · ")) }
        }
    }
}

/// A place for a picture, with what it is called for those who do not see it.
pub fn figure(name: &str, title: &str, caption: Markup) -> Markup {
    html! {
        figure id={ "figure-" (name) } {
            .plot data-plot=(name) data-title=(title) {
                noscript { p.note { "This picture is drawn with JavaScript; its numbers are in the table below." } }
            }
            figcaption { (caption) }
        }
    }
}

/// What may be wider than the page scrolls, also by keyboard.
pub fn scrolled(label: &str, table: Markup) -> Markup {
    html! { .scrolled role="region" aria-label=(label) tabindex="0" { (table) } }
}

fn provenance(origin: &Origin) -> Markup {
    let is_unfinished = origin.text(UNFINISHED).is_some();
    html! {
        section #provenance {
            h2 { "How it was made" }
            @let running = || Unfinished::find(&origin.dir).and_then(|job| job.command());
            @if let Some(command) = facts::command(&origin.run).or_else(|| running().filter(|_| is_unfinished)) {
                (to_copy(&command))
            }
            @if origin.run.as_object().is_none_or(|run| run.is_empty()) {
                p.note { "The folder has no run.json: its command, plan, commit and machine are not known here." }
            }
            .columns { (facts::sections(&origin.run)) }
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
        let own = [BASE, DRAWING, PAGE, super::super::sweep::SCRIPT, super::super::training::SCRIPT];
        for script in LIBRARIES.into_iter().chain(own) {
            assert!(!script.to_lowercase().contains("</script") && !script.contains("<!--"));
        }
        assert!(!STYLE.contains("</"));
    }
}
