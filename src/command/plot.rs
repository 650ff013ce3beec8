//! `tauscope plot`: redraws the pictures of a results folder from its tables.

use super::results::Results;
use super::tell;
use crate::plot::{self, Theme};
use crate::streams::to_stderr;
use crate::table::{self, RateRow, ThresholdRow};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Redraw the pictures of a results folder from its CSVs: thresholds or rates of a sweep, or curves, gap and sharpness of a training. Of
/// an unfinished folder, what there is so far.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep` or `tauscope train`, finished or not
    pub dir: PathBuf,
    /// Ground of the pictures; those on a dark one get names of their own, as thresholds-dark.svg
    #[arg(long, value_name = "THEME", value_enum, default_value_t)]
    pub theme: Theme,
}

/// Draws the pictures and prints the paths of their files. A folder with a metrics.csv is that of a training, one with a rates.csv that
/// of `sweep --rates`.
///
/// # Errors
/// Where the folder or its table is missing or malformed; the message names the file, the line and the value, and says
/// what would be accepted.
pub fn run(args: &Args) -> Result<()> {
    let results = Results::open(&args.dir)?;
    let (dir, named) = (results.tables(), results.named.display());
    let source = dir.join("thresholds.csv");
    let rates = dir.join("rates.csv");
    let names = if !source.exists() && rates.exists() {
        let rows: Vec<RateRow> = table::read_csv(&rates)?;
        plot::draw_rates(&rows, dir, args.theme).with_context(|| format!("cannot draw {named}"))?
    } else if !source.exists() && dir.join("metrics.csv").exists() {
        plot::training(dir, args.theme).with_context(|| format!("cannot draw {named}"))?
    } else {
        let rows: Vec<ThresholdRow> = table::read_csv(&source).context(
            "tauscope plot needs a results folder with a thresholds.csv, a rates.csv or a metrics.csv, as written by \
             `tauscope sweep` or `tauscope train`",
        )?;
        plot::thresholds(&rows, dir, args.theme).with_context(|| format!("cannot draw {named}"))?
    };
    results.deliver(&names.iter().map(String::as_str).collect::<Vec<_>>(), &results.named)?;
    results.note().iter().for_each(|note| to_stderr(&format!("note: {note}")));
    tell(&names.iter().map(|name| format!("{}\n", results.named.join(name).display())).collect::<String>());
    Ok(())
}
