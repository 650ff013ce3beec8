//! The report of a results folder: one HTML file that holds everything it needs, to be opened, mailed and printed.
//!
//! Rust reads the tables, writes the sentences and lays out the page ([`maud`] escapes every text): `sweep`, `rates` or
//! `training` says what stands on it. The pictures are drawn in the browser by `assets/report/*.js` with Observable Plot, all embedded;
//! they read the rows from a JSON island in the page. A Content-Security-Policy forbids the page any request. Not here: SVG
//! and PNG pictures of a folder ([`crate::plot`]); the report needs a browser, they do not.

mod beside;
mod facts;
mod look;
mod origin;
mod page;
mod progress;
mod rates;
mod rows;
mod sweep;
mod training;

use crate::files::write_whole;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A folder that is reported on.
pub struct Reported<'a> {
    /// What it is called.
    pub named: &'a Path,
    /// Where its tables are.
    pub tables: &'a Path,
}

/// Writes the report of results folders into `out`, one part for each, below a comparison where they are of one kind; a folder that is named twice has one part. The page appears whole or
/// not at all, and loads itself again after `reload` seconds. A folder with a summary.csv and no thresholds.csv is that of a training, one with
/// a rates.csv that of `sweep --rates`.
///
/// # Errors
/// Where a folder or one of its files is missing or malformed, or `out` cannot be written. The message names the file.
pub fn write(folders: &[Reported], out: &Path, reload: Option<u32>) -> Result<()> {
    let part = |Reported { named, tables }: &Reported| {
        let is_training = tables.join("summary.csv").exists() && !tables.join("thresholds.csv").exists();
        let is_of_rates = tables.join("rates.csv").exists() && !tables.join("thresholds.csv").exists();
        let part = match (is_training, is_of_rates) {
            (true, _) => training::part(tables, named),
            (false, true) => rates::part(tables, named),
            (false, false) => sweep::part(tables, named),
        };
        part.context("tauscope report needs a results folder, as written by `tauscope sweep` or `tauscope train`")
    };
    // A folder that is named twice, as `dir` and `./dir/`, is one.
    let paths: Vec<PathBuf> =
        folders.iter().map(|folder| folder.named.canonicalize().unwrap_or_else(|_| folder.named.into())).collect();
    let is_first = |place: usize| !paths[..place].contains(&paths[place]);
    let folders: Vec<&Reported> =
        folders.iter().enumerate().filter(|(place, _)| is_first(*place)).map(|(_, folder)| folder).collect();
    let parts: Vec<page::Part> = folders.iter().map(|folder| part(folder)).collect::<Result<_>>()?;
    let names = page::names(&parts);
    let named: Vec<(String, &Path)> = names.into_iter().zip(folders.iter().map(|folder| folder.tables)).collect();
    let front = if named.len() > 1 { Some(beside::front(&named)?) } else { None };
    write_page(out, &page::render(&parts, front.as_ref(), reload))
}

/// Writes the page of a job of which nothing is finished yet: `told` says so, and the folder how far it is.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write_waiting(named: &Path, told: &str, out: &Path, reload: Option<u32>) -> Result<()> {
    let unfinished = progress::Unfinished::find(named);
    write_page(out, &page::waiting(&named.display().to_string(), told, unfinished.as_ref(), reload))
}

fn write_page(out: &Path, page: &str) -> Result<()> {
    write_whole(out, page.as_bytes()).with_context(|| format!("cannot write {}", out.display()))
}
