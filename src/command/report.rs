//! `tauscope report`: one HTML page from a results folder.

use super::tell;
use crate::report;
use anyhow::Result;
use std::path::PathBuf;

/// Write one self-contained HTML page about a results folder: answers, plots, tables, plan and machine.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep` or `tauscope train`
    pub dir: PathBuf,
    /// File to write [default: DIR/report.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Writes the page and prints its path.
///
/// # Errors
/// Where the folder or one of its files is missing or malformed, or the page cannot be written; the message names the
/// file.
pub fn run(args: &Args) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| args.dir.join("report.html"));
    report::write(&args.dir, &out)?;
    tell(&format!("{}\n", out.display()));
    Ok(())
}
