//! `tauscope compare`: which remedy helps, by how much, under which delay process.

mod rates;
mod thresholds;
mod training;

use super::results::Results;
use super::tell;
use crate::plot::{Drawing, Theme};
use crate::streams::to_stderr;
use crate::table::{self, Row};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Compare the rules of a results folder with one of them under the same circumstances: thresholds of a sweep, updates
/// per e-fold of a sweep of rates, or test accuracy and loss of a training, paired by seed. Writes compare.csv, and but for rates compare.svg
/// and compare.png.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep` or `tauscope train`, finished or not
    pub dir: PathBuf,
    /// Another folder of `tauscope sweep --rates`: every cell of DIR beside the same cell there
    #[arg(value_name = "OTHER", conflicts_with = "to")]
    pub other: Option<PathBuf>,
    /// Rule to compare with: a series as pictures name it ("heavy-ball m=0.9 ema"), or a rule that has only one series; for
    /// a training also `synchronous`, the same training without delay [default: sgd; synchronous for a training of one rule, or without sgd]
    #[arg(long, value_name = "RULE")]
    pub to: Option<String>,
    /// Folder to write to [default: DIR]
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// Ground of the picture; that on a dark one gets a name of its own, compare-dark.svg
    #[arg(long, value_name = "THEME", value_enum, default_value_t)]
    pub theme: Theme,
}

/// What is said where the tables cannot be read.
const NEEDED: &str = "tauscope compare needs a results folder with a thresholds.csv, a rates.csv or a summary.csv, as written by \
                      `tauscope sweep` or `tauscope train`";

/// What is told of a comparison once its files are written.
struct Outcome {
    /// The comparison as a table.
    text: String,
    /// What has no baseline or is not drawn.
    notes: Vec<String>,
}

/// Writes the files and prints the comparison as a table; what has no baseline or is not drawn is counted on stderr. A
/// folder with a summary.csv and no thresholds.csv is that of a training.
///
/// # Errors
/// Where the folder or its table is missing or malformed, `--to` does not name one series of it, no row has anything to
/// be compared with, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let results = Results::open(&args.dir)?;
    let out = args.out_dir.as_ref().unwrap_or(&results.named);
    // Pictures of an unfinished folder are drawn beside what says so.
    let to_write = if results.unfinished.is_some() { results.tables() } else { out };
    let source = results.tables().join("thresholds.csv");
    let rates = results.tables().join("rates.csv");
    let of_rates = !source.exists() && rates.exists();
    if of_rates && args.theme != Theme::Light {
        bail!(
            "--theme dark: a comparison of rates has no picture; accepted: without --theme, or `tauscope plot DIR --theme dark`"
        );
    }
    let other = args.other.as_deref().map(Results::open).transpose()?;
    let other_rates = other.as_ref().map(|other| other.tables().join("rates.csv"));
    if let (Some(other), false) = (&args.other, of_rates && other_rates.as_ref().is_some_and(|file| file.exists())) {
        let (one, other) = (args.dir.display(), other.display());
        bail!(
            "{one} {other}: two folders are compared by their rates; accepted: two folders of `tauscope sweep --rates`, or one folder; \
             thresholds or trainings of two folders stand side by side on the page of `tauscope report {one} {other} --out FILE.html`"
        );
    }
    let outcome = if of_rates {
        let source = rates::Source { file: &rates, folder: &results.named };
        let other = other_rates.as_ref().zip(other.as_ref());
        let other = other.map(|(file, other)| rates::Source { file, folder: &other.named });
        rates::run(&source, other.as_ref(), args.to.as_deref(), to_write)
    } else if !source.exists() && results.tables().join("summary.csv").exists() {
        training::run(results.tables(), &results.named, args.to.as_deref(), to_write, args.theme)
    } else {
        thresholds::run(&source, &results.named.join("thresholds.csv"), args.to.as_deref(), to_write, args.theme)
    };
    let Outcome { text, notes } = outcome?;
    let written: &[&str] = match args.theme {
        _ if of_rates => &["compare.csv"],
        Theme::Light => &["compare.csv", "compare.svg", "compare.png"],
        Theme::Dark => &["compare.csv", "compare-dark.svg", "compare-dark.png"],
    };
    if results.unfinished.is_some() {
        create(out)?;
        results.deliver(written, out)?;
    }
    let note = results.note();
    let heading = note.as_ref().map_or(String::new(), |note| format!("{note}\n"));
    tell(&format!("{heading}{text}wrote {}: {}\n", out.display(), written.join(", ")));
    notes.iter().for_each(|note| to_stderr(&format!("note: {note}")));
    Ok(())
}

fn create(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("--out-dir: cannot create {}", out.display()))
}

fn write(out: &Path, records: &[impl Row], drawing: &Drawing, theme: Theme) -> Result<()> {
    create(out)?;
    table::write_csv(&out.join("compare.csv"), records)?;
    drawing.write(out, theme)
}
