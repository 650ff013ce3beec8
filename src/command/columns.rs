//! `tauscope columns`: what every column of every CSV file holds.

use super::to_stdout;
use crate::table::{Dictionary, dictionary};
use anyhow::{Result, bail};
use std::fmt::Write;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, as thresholds.csv, or the command that prints it, as theory [default: all]
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

/// Writes the columns of a file, or of all, as Markdown.
///
/// # Errors
/// A file that no command writes.
pub fn run(args: &Args) -> Result<()> {
    let all = dictionary();
    let Some(name) = &args.file else { return to_stdout(&page(&all)) };
    let is_asked = |one: &&Dictionary| {
        let (first, _) = one.file.split_once(" of ").unwrap_or((one.file, ""));
        [one.file, first, one.file.trim_start_matches("tauscope ")].contains(&name.as_str())
    };
    let found: Vec<&Dictionary> = all.iter().filter(is_asked).collect();
    if found.is_empty() {
        let files: Vec<&str> = all.iter().map(|one| one.file).collect();
        bail!("{name}: no command writes such a file; accepted: {}", files.join(", "));
    }
    to_stdout(&found.into_iter().map(section).collect::<Vec<_>>().join("\n"))
}

/// docs/columns.md.
fn page(all: &[Dictionary]) -> String {
    let head = "# Columns\n\n\
        Every column of every CSV file, as `tauscope columns` prints it; `tauscope columns FILE` prints those of one. Delays and ages are in\n\
        updates (an update is one change of the server's weights), learning rates as the rule takes them, losses means over samples,\n\
        accuracies fractions. An empty cell means that there is no such number. Numbers have as many digits as it takes to read the same bits\n\
        back.\n\n";
    head.to_owned() + &all.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn section(one: &Dictionary) -> String {
    let mut text = format!("## {}\n\n{}.\n\n| column | holds | type |\n| --- | --- | --- |\n", one.file, one.about);
    for column in one.columns {
        let meaning = column.meaning().replace('|', "\\|");
        writeln!(text, "| `{}` | {meaning} | {} |", column.name, column.type_name()).expect("a String takes it all");
    }
    text
}
