//! The report of a results folder: one HTML file that holds everything it needs, to be opened, mailed and printed.
//!
//! Rust reads the tables, writes the sentences and lays out the page ([`maud`] escapes every text): `sweep`, `rates` or
//! `training` says what stands on it. The pictures are drawn in the browser by `assets/report/*.js` with Observable Plot, all embedded;
//! they read the rows from a JSON island in the page. A Content-Security-Policy forbids the page any request. Not here: SVG
//! and PNG pictures of a folder ([`crate::plot`]); the report needs a browser, they do not.

mod facts;
mod look;
mod origin;
mod page;
mod rates;
mod rows;
mod sweep;
mod training;

use crate::files::write_whole;
use anyhow::{Context, Result};
use std::path::Path;

/// A folder that is reported on.
pub struct Reported<'a> {
    /// What it is called.
    pub named: &'a Path,
    /// Where its tables are.
    pub tables: &'a Path,
}

/// Writes the report of results folders into `out`, one part for each, which appears whole or not at all. A folder with a
/// summary.csv and no thresholds.csv is that of a training, one with a rates.csv that of `sweep --rates`.
///
/// # Errors
/// Where a folder or one of its files is missing or malformed, or `out` cannot be written. The message names the file.
pub fn write(folders: &[Reported], out: &Path) -> Result<()> {
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
    let parts: Vec<page::Part> = folders.iter().map(part).collect::<Result<_>>()?;
    let page = page::render(&parts);
    write_whole(out, page.as_bytes()).with_context(|| format!("cannot write {}", out.display()))
}
