//! The report of a results folder: one HTML file that holds everything it needs, to be opened, mailed and printed.
//!
//! Rust reads the tables, writes the sentences and lays out the page ([`maud`] escapes every text): `sweep` or `training`
//! says what stands on it. The pictures are drawn in the browser by `assets/report/*.js` with Observable Plot, all embedded;
//! they read the rows from a JSON island in the page. A Content-Security-Policy forbids the page any request. Not here: SVG
//! and PNG pictures of a folder ([`crate::plot`]); the report needs a browser, they do not.

mod facts;
mod origin;
mod page;
mod rows;
mod sweep;
mod training;

use crate::files::write_whole;
use anyhow::{Context, Result};
use std::path::Path;

/// Writes the report of the results folder `dir` into `out`, which appears whole or not at all. A folder with a summary.csv
/// and no thresholds.csv is that of a training.
///
/// # Errors
/// Where the folder or one of its files is missing or malformed, or `out` cannot be written. The message names the file.
pub fn write(dir: &Path, out: &Path) -> Result<()> {
    let is_training = dir.join("summary.csv").exists() && !dir.join("thresholds.csv").exists();
    let page = if is_training { training::page(dir) } else { sweep::page(dir) };
    let page =
        page.context("tauscope report needs a results folder, as written by `tauscope sweep` or `tauscope train`")?;
    write_whole(out, page.as_bytes()).with_context(|| format!("cannot write {}", out.display()))
}
