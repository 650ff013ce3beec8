//! `tauscope plot`: redraws the picture of a results folder from its table.

use super::to_stdout;
use crate::plot;
use crate::record::{self, ThresholdRow};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Redraw thresholds.svg and thresholds.png of a results folder from its thresholds.csv.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep`
    pub dir: PathBuf,
}

/// Draws the picture and prints the paths of its two files.
///
/// # Errors
/// Where the folder or its table is missing or malformed; the message names the file, the line and the value, and says
/// what would be accepted.
pub fn run(args: &Args) -> Result<()> {
    let table = args.dir.join("thresholds.csv");
    let rows: Vec<ThresholdRow> = record::read_csv(&table)
        .context("tauscope plot needs a results folder with a thresholds.csv, as written by `tauscope sweep`")?;
    plot::thresholds(&rows, &args.dir).with_context(|| format!("cannot draw {}", table.display()))?;
    for name in ["thresholds.svg", "thresholds.png"] {
        to_stdout(&format!("{}\n", args.dir.join(name).display()))?;
    }
    Ok(())
}
