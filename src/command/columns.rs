//! `tauscope columns`: what every column of every CSV file holds.

use super::lines::wrapped;
use super::{reader_width, shown, to_stdout};
use crate::table::{DescribedColumn as Column, Dictionary, dictionary};
use anyhow::{Result, bail};
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, as thresholds.csv or a path to one, or the command that prints it, as theory [default: all]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Longest first line that is read of a file, to tell which of several tables it is.
const MOST_OF_HEADER: u64 = 1 << 16;

/// Writes the columns of a file, or of all: on a terminal as tables, else as Markdown.
///
/// # Errors
/// A file that no command writes.
pub fn run(args: &Args) -> Result<()> {
    let all = dictionary();
    let width = reader_width();
    let Some(file) = &args.file else {
        return to_stdout(&width.map_or_else(|| page(&all), |width| tables(&all.iter().collect::<Vec<_>>(), width)));
    };
    let found = meant(&all, file);
    if found.is_empty() {
        let files: Vec<&str> = all.iter().map(|one| one.file).collect();
        bail!("{}: no command writes such a file; accepted: {}", file.display(), files.join(", "));
    }
    to_stdout(&match width {
        Some(width) => tables(&found, width),
        None => found.into_iter().map(section).collect::<Vec<_>>().join("\n"),
    })
}

/// The tables that `file` may be: by its name in a folder, of traces by their folder. Where several have that name, a file that is there
/// tells by its header which it is.
fn meant<'a>(all: &'a [Dictionary], file: &Path) -> Vec<&'a Dictionary> {
    let text = file.to_string_lossy();
    let name = file.file_name().map_or(text.clone(), |name| name.to_string_lossy());
    let parent = file.parent().and_then(Path::file_name);
    let is_trace =
        parent.is_some_and(|parent| parent == "traces") && file.extension().is_some_and(|extension| extension == "csv");
    let is_meant = |one: &&Dictionary| {
        let (first, _) = one.file.split_once(" of ").unwrap_or((one.file, ""));
        let whole = [one.file, one.file.trim_start_matches("tauscope ")].contains(&text.as_ref());
        whole || first == name || (is_trace && one.file.starts_with("traces/"))
    };
    let found: Vec<&Dictionary> = all.iter().filter(is_meant).collect();
    let has_header =
        |one: &&Dictionary, header: &str| header.split(',').eq(one.columns.iter().map(|column| column.name));
    let told =
        header(file).map(|header| found.iter().copied().filter(|one| has_header(one, &header)).collect::<Vec<_>>());
    told.filter(|told| !told.is_empty()).unwrap_or(found)
}

/// The first line of a file, where it can be read.
fn header(file: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(file).ok()?.take(MOST_OF_HEADER)).read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

/// Tables of so many columns of text.
fn tables(chosen: &[&Dictionary], width: usize) -> String {
    let table = |one: &&Dictionary| {
        let row = |column: &Column| vec![column.name.to_owned(), plain(&column.meaning()), column.type_name()];
        let rows: Vec<Vec<String>> = one.columns.iter().map(row).collect();
        let about = wrapped(&format!("{}: {}.", one.file, plain(one.about)), Some(width));
        format!("{about}\n{}\n", shown::of_words(&["column", "holds", "type"], &rows, width))
    };
    chosen.iter().map(table).collect::<Vec<_>>().join("\n")
}

/// Markdown as it is read: without marks of code, and of links their words.
fn plain(text: &str) -> String {
    let mut text = text.replace('`', "");
    while let Some((before, (words, after))) =
        text.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once("](")?)))
    {
        let Some((_, after)) = after.split_once(')') else { break };
        text = format!("{before}{words}{after}");
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn paths_are_told_by_their_names_traces_by_their_folder_and_files_that_are_there_by_their_header() {
        let all = dictionary();
        let files = |file: &str| meant(&all, Path::new(file)).iter().map(|one| one.file).collect::<Vec<_>>();
        let runs = ["runs.csv of a sweep", "runs.csv of a training"];
        let cases: [(&str, &[&str]); 9] = [
            ("thresholds.csv", &["thresholds.csv"]),
            ("./thresholds.csv", &["thresholds.csv"]),
            ("st/runs.csv", &runs),
            ("runs.csv of a sweep", &runs[..1]),
            ("trc/traces/x.csv", &["traces/RUN_ID.csv"]),
            ("traces/RUN_ID.csv", &["traces/RUN_ID.csv"]),
            ("theory", &["tauscope theory"]),
            ("tauscope tune", &["tauscope tune"]),
            ("x.csv", &[]),
        ];
        for (file, expected) in cases {
            assert_eq!(files(file), expected, "{file}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs.csv");
        let training = all.iter().find(|one| one.file == runs[1]).unwrap();
        let header: Vec<&str> = training.columns.iter().map(|column| column.name).collect();
        fs::write(&file, header.join(",") + "\n1,2\n").unwrap();
        assert_eq!(files(file.to_str().unwrap()), [runs[1]]);
    }

    #[test]
    fn a_terminal_shows_tables_no_wider_than_it_is() {
        let all = dictionary();
        let text = tables(&all.iter().collect::<Vec<_>>(), 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.starts_with("thresholds.csv: tauscope sweep: a row for each cell"), "{text}");
        assert!(!text.contains('`') && !text.contains("]("), "{text}");
        assert_eq!(plain("`a` of ([b](c.md)), [0, 1]"), "a of (b), [0, 1]");
    }
}
