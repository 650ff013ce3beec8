//! `tauscope plot`: redraws the pictures of a results folder from its tables.

use super::tell;
use crate::plot;
use crate::table::{self, ThresholdRow};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Redraw the pictures of a results folder from its CSVs: thresholds of a sweep, or curves, gap and sharpness of a training.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep` or `tauscope train`
    pub dir: PathBuf,
}

/// Draws the pictures and prints the paths of their files. A folder with a metrics.csv is that of a training.
///
/// # Errors
/// Where the folder or its table is missing or malformed; the message names the file, the line and the value, and says
/// what would be accepted.
pub fn run(args: &Args) -> Result<()> {
    let print = |name: &str| tell(&format!("{}\n", args.dir.join(name).display()));
    let source = args.dir.join("thresholds.csv");
    if !source.exists() && args.dir.join("metrics.csv").exists() {
        let names = plot::training(&args.dir).with_context(|| format!("cannot draw {}", args.dir.display()))?;
        names.iter().for_each(|name| print(name));
        return Ok(());
    }
    let rows: Vec<ThresholdRow> = table::read_csv(&source).context(
        "tauscope plot needs a results folder with a thresholds.csv or a metrics.csv, as written by `tauscope sweep` \
                  or `tauscope train`",
    )?;
    plot::thresholds(&rows, &args.dir).with_context(|| format!("cannot draw {}", source.display()))?;
    ["thresholds.svg", "thresholds.png"].into_iter().for_each(print);
    Ok(())
}
