//! The report of a results folder: one HTML file that holds everything it needs, to be opened, mailed and printed.
//!
//! Rust reads the tables, writes the sentences and lays out the page ([`maud`] escapes every text). The pictures are drawn
//! in the browser by `assets/report/report.js` with Observable Plot, both embedded; they read the rows from a JSON island
//! in the page. A Content-Security-Policy forbids the page any request. Not here: SVG and PNG pictures of a folder
//! ([`crate::plot`]); the report needs a browser, they do not.

mod answer;
mod data;
mod facts;
mod folder;
mod page;
mod series;
mod table;
mod tables;

use crate::table::write_whole;
use anyhow::{Context, Result};
use std::path::Path;

/// Writes the report of the results folder `dir` into `out`, which appears whole or not at all.
///
/// # Errors
/// Where the folder or one of its files is missing or malformed, or `out` cannot be written. The message names the file.
pub fn write(dir: &Path, out: &Path) -> Result<()> {
    let folder =
        folder::Folder::open(dir).context("tauscope report needs a results folder, as written by `tauscope sweep`")?;
    let page = page::render(&folder)?;
    write_whole(out, page.as_bytes()).with_context(|| format!("cannot write {}", out.display()))
}
