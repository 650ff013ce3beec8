//! `tauscope compare`: which remedy helps, by how much, under which delay process.

use super::to_stdout;
use crate::compare::{self, Comparison, Ranked};
use crate::plot;
use crate::table::{self, ComparisonRow, ComparisonStatus, ThresholdRow};
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use std::fs;
use std::path::PathBuf;

/// Most rules that a note lists.
const MOST_LISTED: usize = 6;

/// Compare the thresholds of a results folder's rules with those of one of them, under the same circumstances. Writes
/// compare.csv, compare.svg and compare.png.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folder, as written by `tauscope sweep`
    pub dir: PathBuf,
    /// Rule to compare with: a series as pictures name it ("heavy-ball m=0.9 ema"), or a rule that has only one series
    #[arg(long, value_name = "RULE", default_value = "sgd")]
    pub to: String,
    /// Folder to write to [default: DIR]
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
}

/// Writes the files and prints the comparison as a table; what has no baseline or is not drawn is counted on stderr.
///
/// # Errors
/// Where the folder or its table is missing or malformed, `--to` does not name one series of it, no row has anything to
/// be compared with, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let source = args.dir.join("thresholds.csv");
    let rows: Vec<ThresholdRow> = table::read_csv(&source)
        .context("tauscope compare needs a results folder with a thresholds.csv, as written by `tauscope sweep`")?;
    let comparisons = compare::compare(&rows, &args.to).with_context(|| source.display().to_string())?;
    let drawing = plot::compare(&comparisons).with_context(|| source.display().to_string())?;

    let out = args.out_dir.as_ref().unwrap_or(&args.dir);
    fs::create_dir_all(out).with_context(|| format!("--out-dir: cannot create {}", out.display()))?;
    let records: Vec<ComparisonRow> = comparisons.iter().map(Comparison::record).collect();
    table::write_csv(&out.join("compare.csv"), &records)?;
    drawing.write(out)?;

    to_stdout(&text(&comparisons))?;
    to_stdout(&format!("wrote {}: compare.csv, compare.svg, compare.png\n", out.display()))?;
    for note in missing(&comparisons).into_iter().chain(drawing.left_out) {
        eprintln!("note: {note}");
    }
    Ok(())
}

/// How many rows have nothing to be compared with, and of which rules.
fn missing(comparisons: &[Comparison]) -> Option<String> {
    let alone: Vec<&ThresholdRow> =
        comparisons.iter().filter(|one| one.baseline.is_none()).map(|one| one.row).collect();
    let baseline = comparisons.iter().find_map(|one| one.baseline).map(compare::name)?;
    if alone.is_empty() {
        return None;
    }
    let rows = if alone.len() == 1 { "1 row has".into() } else { format!("{} rows have", alone.len()) };
    let mut names = plot::distinct(alone.iter().map(|row| compare::name(row)));
    if names.len() > MOST_LISTED {
        let more = names.split_off(MOST_LISTED).len();
        names.push(format!("{more} more"));
    }
    let escape = if alone.iter().any(|row| row.criterion == "escape") {
        format!("; a threshold by `escape` is compared only with one of {baseline} by `escape`")
    } else {
        String::new()
    };
    let names = names.join(", ");
    Some(format!("{rows} no baseline ({baseline} in the same setting, by the same criterion): {names}{escape}"))
}

/// Rules down, circumstances and delays across, effective ratios in the cells.
fn text(comparisons: &[Comparison]) -> String {
    let compared: Vec<&Comparison> = comparisons.iter().filter(|one| one.baseline.is_some()).collect();
    let title = plot::circumstances(&compared.iter().map(|one| one.row).collect::<Vec<_>>());
    let mut columns: Vec<(String, f64)> = plot::distinct(compared.iter().map(|one| (title(one.row), one.delay())));
    let titles = plot::distinct(columns.iter().map(|(title, _)| title.clone()));
    let place = |title: &String| titles.iter().position(|other| other == title);
    columns.sort_by(|a, b| place(&a.0).cmp(&place(&b.0)).then(a.1.total_cmp(&b.1)));

    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    let header = columns.iter().map(|(title, delay)| {
        let title = title.replace(" stability", "").replace(", ", "\n");
        if title.is_empty() { format!("τ = {delay}") } else { format!("{title}\nτ = {delay}") }
    });
    table.set_header(std::iter::once("rule".to_owned()).chain(header));
    for rule in compare::ranked(comparisons) {
        let cells = columns.iter().map(|(circumstances, delay)| {
            let here =
                |one: &&Comparison| one.baseline.is_some() && title(one.row) == *circumstances && one.delay() == *delay;
            cell(&rule, here)
        });
        table.add_row(std::iter::once(rule.name.clone()).chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let baseline = compared.first().and_then(|one| one.baseline).map(compare::name).unwrap_or_default();
    format!(
        "Effective learning rate lr (1-d)/(1-m) at the threshold / that of {baseline}; ~ undecided or failed, empty \
         without a baseline\n{table}\n"
    )
}

/// The effective ratio, or the median of those of repetitions.
fn cell(rule: &Ranked, here: impl Fn(&&Comparison) -> bool) -> String {
    let cells: Vec<&Comparison> = rule.comparisons.iter().filter(here).collect();
    let ratio = compare::median(cells.iter().filter_map(|one| one.effective_ratio()));
    let open = cells.iter().any(|one| one.status() != ComparisonStatus::Measured);
    format!("{}{}", if open { "~" } else { "" }, ratio.map_or(String::new(), |ratio| format!("{ratio:.3}")))
}
