//! Shards' folders into the folder of the whole sweep, with the bytes that it would have had unsharded.
//!
//! Refuses with everything that is wrong, by name, rather than with the first of it; reads the tables row by row.

use super::{
    CELLS, CellRow, Draft, Entry, Existing, MINIMUM, RunFile, ShardRun, Totals, write, write_run, write_tables,
};
use crate::config::Shard;
use crate::table::{CsvReader, DelayRow, RunRow, ThresholdRow, read_csv};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// Cells that a message lists of one shard.
const LISTED: usize = 20;

/// A shard's folder.
struct Part {
    folder: PathBuf,
    run: RunFile,
    shard: Shard,
}

/// Merges `folders` into `target`. `command` is what run.json says of how.
///
/// # Errors
/// Where the folders are not exactly the shards of one sweep, each with exactly its cells: the message lists what is
/// missing, given twice or foreign. Where a file cannot be read or written.
pub fn merge(folders: &[PathBuf], target: &Path, existing: Existing, command: Vec<String>) -> Result<Totals> {
    super::check(target, existing)?;
    let parts = read(folders)?;
    let mut wrong = disagreements(&parts);
    let cells: Vec<CellRow> = read_csv(&parts[0].folder.join(CELLS))?;
    if wrong.is_empty() {
        wrong = absences(&parts, &cells);
        wrong.extend(misplaced(&parts, &cells)?);
    }
    refuse(wrong)?;

    let draft = Draft::open(target, existing)?;
    let (_, totals) = write_tables(draft.dir(), entries(&parts, &cells)?)?;
    write(&draft.dir().join(MINIMUM), &read_file(&parts[0], MINIMUM)?)?;
    write_run(draft.dir(), &run_file(&parts, totals, command))?;
    draft.publish()?;
    Ok(totals)
}

/// One error for all that is wrong.
fn refuse(wrong: Vec<String>) -> Result<()> {
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("these folders do not make a whole sweep:\n  {}", wrong.join("\n  ")),
    }
}

/// The folders by their shards.
fn read(folders: &[PathBuf]) -> Result<Vec<Part>> {
    let (mut parts, mut wrong) = (Vec::new(), Vec::new());
    for folder in folders {
        let shown = folder.display();
        // Also where a pattern such as part-* has found the unfinished folder itself.
        let unfinished = super::beside(folder, "partial").is_ok_and(|partial| partial.exists());
        if (!folder.exists() && unfinished) || folder.join(super::PLAN).exists() {
            wrong.push(format!("{shown} is unfinished; its sweep goes on with --resume"));
            continue;
        }
        let read = RunFile::read(folder);
        match read.as_ref().map(|run| run.shard) {
            Ok(Some(shard)) => parts.push(Part { folder: folder.clone(), run: read?, shard }),
            Ok(None) => {
                wrong.push(format!("{shown} is no shard, but a whole sweep; accepted: folders of sweep --shard"))
            }
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    refuse(wrong)?;
    parts.sort_by_key(|part| part.shard);
    Ok(parts)
}

/// What keeps the folders from being of one sweep.
fn disagreements(parts: &[Part]) -> Vec<String> {
    let first = &parts[0];
    let mut wrong = Vec::new();
    for part in parts {
        let (one, other) = (first.folder.display(), part.folder.display());
        let mut differences = super::differences(&first.run.plan, &part.run.plan);
        if part.run.plan_hash != first.run.plan_hash {
            differences.push(format!("plan_hash is {} there and {} here", first.run.plan_hash, part.run.plan_hash));
        }
        if !differences.is_empty() {
            wrong.push(format!("{other} is of another plan than {one}: {}", differences.join("; ")));
        }
        if (&part.run.engine, &part.run.version) != (&first.run.engine, &first.run.version) {
            let told = |part: &Part| {
                let RunFile { engine, version, .. } = &part.run;
                format!(
                    "{} {} on {} ({}) by version {version}",
                    engine.engine, engine.precision, engine.adapter, engine.driver
                )
            };
            wrong.push(format!("{other} ran on {}, {one} on {}", told(part), told(first)));
        }
        if part.shard.of != first.shard.of {
            wrong.push(format!("{other} is shard {}, {one} is shard {}", part.shard, first.shard));
        }
        let shared = [
            (CELLS, "shards of one sweep"),
            (MINIMUM, "shards that ran on processors of one kind, or with one --minimum FILE"),
        ];
        for (name, accepted) in shared {
            match (read_file(part, name), read_file(first, name)) {
                (Ok(a), Ok(b)) if a == b => {}
                (Ok(_), Ok(_)) => wrong.push(format!("{other}/{name} and {one}/{name} differ; accepted: {accepted}")),
                (Err(error), _) => wrong.push(format!("{error:#}")),
                (Ok(_), Err(_)) => {} // Told of the first folder itself.
            }
        }
    }
    wrong
}

fn read_file(part: &Part, name: &str) -> Result<Vec<u8>> {
    let path = part.folder.join(name);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Shards that are not there, with their cells, or there more than once.
fn absences(parts: &[Part], cells: &[CellRow]) -> Vec<String> {
    let mut given: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
    for part in parts {
        given.entry(part.shard).or_default().push(part.folder.display().to_string());
    }
    let told = |shard: Shard| match given.get(&shard) {
        Some(folders) if folders.len() > 1 => {
            Some(format!("shard {shard} is given more than once: {}", folders.join(", ")))
        }
        Some(_) => None,
        None => {
            let cells: Vec<String> = cells.iter().filter(|cell| cell.shard == shard.index).map(describe).collect();
            Some(format!("shard {shard} is missing, with {} cells{}", cells.len(), list(&cells)))
        }
    };
    Shard::all(parts[0].shard.of).filter_map(told).collect()
}

/// Cells that a folder lacks, has twice, or should not have.
fn misplaced(parts: &[Part], cells: &[CellRow]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for part in parts {
        let path = part.folder.join("thresholds.csv");
        let shown = path.display();
        let expected = cells.iter().filter(|cell| cell.shard == part.shard.index);
        let mut seen: HashMap<&str, u32> = expected.clone().map(|cell| (cell.cell_id.as_str(), 0)).collect();
        for row in CsvReader::<ThresholdRow>::open(&path)? {
            let id = row?.cell_id;
            match seen.get_mut(id.as_str()) {
                Some(count) => *count += 1,
                None => wrong.push(format!("{shown}: cell {id} is none of shard {}", part.shard)),
            }
        }
        let with = |many: fn(u32) -> bool| -> Vec<String> {
            expected.clone().filter(|cell| many(seen[cell.cell_id.as_str()])).map(describe).collect()
        };
        for (cells, what) in [(with(|count| count == 0), "missing"), (with(|count| count > 1), "there more than once")]
        {
            if !cells.is_empty() {
                wrong.push(format!("{shown}: {} cells are {what}{}", cells.len(), list(&cells)));
            }
        }
    }
    Ok(wrong)
}

fn describe(cell: &CellRow) -> String {
    format!("{} ({})", cell.cell_id, cell.name)
}

fn list(cells: &[String]) -> String {
    let shown = cells.iter().take(LISTED).map(|cell| format!("\n    {cell}")).collect::<String>();
    match cells.len() {
        0 => String::new(),
        many if many > LISTED => format!(":{shown}\n    and {} more", many - LISTED),
        _ => format!(":{shown}"),
    }
}

/// The tables of one shard, read side by side.
struct Tables<'a> {
    part: &'a Part,
    thresholds: CsvReader<ThresholdRow>,
    runs: CsvReader<RunRow>,
    delays: Peekable<CsvReader<DelayRow>>,
}

/// Every cell in the order of the plan, each from its shard. The folders must have passed all checks.
fn entries<'a>(parts: &'a [Part], cells: &'a [CellRow]) -> Result<impl Iterator<Item = Result<Entry>> + use<'a>> {
    let mut tables = Vec::new();
    for part in parts {
        let path = |name: &str| part.folder.join(name);
        let (thresholds, runs) = (CsvReader::open(&path("thresholds.csv"))?, CsvReader::open(&path("runs.csv"))?);
        tables.push(Tables { part, thresholds, runs, delays: CsvReader::open(&path("delays.csv"))?.peekable() });
    }
    let last = cells.len();
    let next = move |(cell, row): (usize, &CellRow)| {
        // All shards are there, in their order.
        let entry = tables[row.shard as usize - 1].next(cell, &row.cell_id)?;
        // Runs that belong to no cell would otherwise be left out in silence.
        if cell + 1 == last {
            tables.iter_mut().try_for_each(Tables::end)?;
        }
        Ok(entry)
    };
    Ok(cells.iter().enumerate().map(next))
}

impl Tables<'_> {
    fn next(&mut self, cell: usize, id: &str) -> Result<Entry> {
        let folder = self.part.folder.display();
        let found = self.thresholds.next().transpose()?;
        let Some(threshold) = found.filter(|row| row.cell_id == id) else {
            bail!("{folder}/thresholds.csv: cell {id} does not stand where the plan has it");
        };
        let mut runs = Vec::new();
        for place in 1..=threshold.runs {
            let found = self.runs.next().transpose()?;
            let Some(run) = found.filter(|run| run.cell_id == id) else {
                let count = threshold.runs;
                bail!("{folder}/runs.csv: run {place} of the {count} of cell {id} is missing");
            };
            runs.push(run);
        }
        let mut delays = Vec::new();
        while let Some(row) = self.delays.next_if(|row| row.as_ref().map_or(true, |row| row.cell_id == id)) {
            delays.push(row?);
        }
        Ok(Entry { cell, threshold, runs, delays })
    }

    fn end(&mut self) -> Result<()> {
        let folder = self.part.folder.display();
        if let Some(run) = self.runs.next().transpose()? {
            bail!("{folder}/runs.csv: run {} is of no cell in thresholds.csv", run.run_id);
        }
        if let Some(row) = self.delays.next().transpose()? {
            bail!("{folder}/delays.csv: cell {} does not stand where thresholds.csv has it", row.cell_id);
        }
        Ok(())
    }
}

fn run_file(parts: &[Part], totals: Totals, command: Vec<String>) -> RunFile {
    let first = &parts[0].run;
    let shards = parts.iter().map(|part| ShardRun {
        shard: part.shard,
        folder: part.folder.display().to_string(),
        cells: part.run.totals.cells,
        commit: part.run.commit.clone(),
        started: part.run.started.clone(),
        finished: part.run.finished.clone(),
        seconds: part.run.seconds,
        mended: part.run.mended.clone(),
    });
    let mut commits: Vec<&str> = parts.iter().map(|part| part.run.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let moment = |text: &String| text.parse::<jiff::Timestamp>().unwrap_or_default();
    let runs = || parts.iter().map(|part| &part.run);
    RunFile {
        commit: commits.join(", "),
        command,
        started: runs().map(|run| &run.started).min_by_key(|text| moment(text)).cloned().unwrap_or_default(),
        finished: runs().map(|run| &run.finished).max_by_key(|text| moment(text)).cloned().unwrap_or_default(),
        seconds: runs().map(|run| run.seconds).sum(),
        totals,
        begun_by_commit: None,
        mended: Vec::new(),
        shard: None,
        shards: shards.collect(),
        ..first.clone()
    }
}
