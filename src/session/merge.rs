//! Shards' folders into the folder of the whole job, with the bytes that it would have had unsharded.
//!
//! Refuses with everything that is wrong, by name, rather than with the first of it; reads one folder at a time, and its
//! tables row by row.

use super::job::Tables;
use super::journal::Journal;
use super::kind::{JobName, Kind};
use super::marks::is_unfinished;
use super::run_file::{Build, RunFile, ShardRow, ShardRun};
use super::{Draft, Existing, JOURNAL, SHARDS, as_map, write};
use crate::config::Shard;
use crate::table::read_csv;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// Units of one shard that a message lists.
const LISTED: usize = 8;

/// A shard's folder.
struct Part {
    folder: PathBuf,
    run: RunFile,
    shard: Shard,
    /// Units in its tables.
    units: usize,
}

/// The parts of one job that are merged.
pub struct Merged {
    parts: Vec<Part>,
}

impl Merged {
    /// Reads which shards `folders` are.
    ///
    /// # Errors
    /// Where a folder is unfinished, no shard, or of another kind of job than the first.
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        let (mut parts, mut wrong) = (Vec::<Part>::new(), Vec::new());
        for folder in folders {
            let shown = folder.display();
            // Also where a pattern such as part-* has found the unfinished folder itself.
            if is_unfinished(folder) {
                wrong.push(format!("{shown} is unfinished; --resume goes on with it"));
                continue;
            }
            let run = match RunFile::read(folder) {
                Ok(run) => run,
                Err(error) => {
                    wrong.push(format!("{error:#}"));
                    continue;
                }
            };
            match run.shard {
                Some(shard) => parts.push(Part { folder: folder.clone(), run, shard, units: 0 }),
                None => wrong.push(format!(
                    "{shown} is no shard, but a whole results folder; accepted: folders made with --shard"
                )),
            }
        }
        if let Some(first) = parts.first() {
            let others = parts.iter().filter(|part| part.run.job != first.run.job);
            wrong.extend(
                others.map(|part| {
                    format!("{} and {} are of different jobs", part.folder.display(), first.folder.display())
                }),
            );
        }
        refuse(wrong)?;
        parts.sort_by_key(|part| part.shard);
        Ok(Self { parts })
    }

    /// The kind of job that the shards are of.
    pub fn job(&self) -> JobName {
        self.parts[0].run.job
    }
}

/// Merges shards into `target`. `pictures` draws into the new folder.
///
/// # Errors
/// Where the folders are not exactly the shards of one job, each with exactly its units: the message lists what is missing,
/// given twice or foreign. Where a file cannot be read or written.
pub fn merge<T: Tables>(
    merged: Merged,
    target: &Path,
    existing: Existing,
    command: Vec<String>,
    pictures: &dyn Fn(&T::Summary, &Path) -> Result<()>,
) -> Result<T::Totals> {
    let mut draft = Draft::open(target, existing)?;
    let Merged { mut parts } = merged;
    let mut wrong = disagreements::<T>(&parts);
    let units: Vec<ShardRow> = read_csv(&parts[0].folder.join(SHARDS))?;
    if wrong.is_empty() {
        wrong = absences(&parts, &units, T::KIND);
        wrong.extend(misplaced::<T>(&mut parts, &units)?);
    }
    refuse(wrong)?;

    draft.begin()?;
    let journal = in_order::<T>(&parts, &units, draft.dir().join(JOURNAL))?;
    let (summary, totals) = T::write(draft.dir(), &mut journal.entries())?;
    drop(journal);
    pictures(&summary, draft.dir())?;
    for (name, _) in T::SHARED_FILES.iter().filter(|(name, _)| *name != SHARDS) {
        write(&draft.dir().join(name), &read_file(&parts[0], name)?)?;
    }
    for part in &parts {
        T::copy_own_files(&part.folder, draft.dir())?;
    }
    run_file(&parts, as_map(serde_json::to_value(&totals)?), command).write(draft.dir())?;
    draft.publish()?;
    Ok(totals)
}

/// One error for all that is wrong.
fn refuse(wrong: Vec<String>) -> Result<()> {
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!(
            "these folders do not make a whole: {}; accepted: every shard of one job, each once",
            wrong.join("; ")
        ),
    }
}

/// What keeps the folders from being parts of one job.
fn disagreements<T: Tables>(parts: &[Part]) -> Vec<String> {
    let first = &parts[0];
    let mut wrong = Vec::new();
    for part in parts {
        let (one, other) = (first.folder.display(), part.folder.display());
        let mut differences = super::differences(&first.run.plan, &part.run.plan);
        if part.run.plan_hash != first.run.plan_hash {
            differences.push(format!("plan_hash is {} there and {} here", first.run.plan_hash, part.run.plan_hash));
        }
        if part.run.data_hash != first.run.data_hash {
            differences.push("the samples, or the weights of a file, are others".into());
        }
        if !differences.is_empty() {
            wrong.push(format!("{other} is of another plan than {one}: {}", differences.join("; ")));
        }
        let version = |part: &Part| part.run.build.version.clone();
        if (&part.run.engine, version(part)) != (&first.run.engine, version(first)) {
            let told = |part: &Part| {
                let RunFile { engine, build: Build { version, .. }, .. } = &part.run;
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
        for (name, accepted) in T::SHARED_FILES {
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

/// Shards that are not there, with their units, or there more than once.
fn absences(parts: &[Part], units: &[ShardRow], kind: Kind) -> Vec<String> {
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
            let its: Vec<String> = units.iter().filter(|unit| unit.shard == shard.index).map(describe).collect();
            Some(format!("shard {shard} is missing, with {} {}{}", its.len(), kind.units, list(&its)))
        }
    };
    Shard::all(parts[0].shard.of).filter_map(told).collect()
}

/// Units that a folder lacks, has twice, or should not have. Counts those that it has.
fn misplaced<T: Tables>(parts: &mut [Part], units: &[ShardRow]) -> Result<Vec<String>> {
    let Kind { unit: what, units: many, .. } = T::KIND;
    let mut wrong = Vec::new();
    for part in parts {
        let path = part.folder.join(T::MAIN);
        let shown = path.display();
        let expected = units.iter().filter(|unit| unit.shard == part.shard.index);
        let mut seen: HashMap<&str, u32> = expected.clone().map(|unit| (unit.id.as_str(), 0)).collect();
        for id in T::ids(&part.folder)? {
            part.units += 1;
            match seen.get_mut(id.as_str()) {
                Some(count) => *count += 1,
                None => wrong.push(format!("{shown}: {what} {id} is none of shard {}", part.shard)),
            }
        }
        let with = |wanted: fn(u32) -> bool| -> Vec<String> {
            expected.clone().filter(|unit| wanted(seen[unit.id.as_str()])).map(describe).collect()
        };
        for (listed, fault) in
            [(with(|count| count == 0), "missing"), (with(|count| count > 1), "there more than once")]
        {
            if !listed.is_empty() {
                wrong.push(format!("{shown}: {} {many} are {fault}{}", listed.len(), list(&listed)));
            }
        }
    }
    Ok(wrong)
}

fn describe(unit: &ShardRow) -> String {
    format!("{} ({})", unit.id, unit.name)
}

fn list(units: &[String]) -> String {
    let shown = units.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match units.len() {
        0 => String::new(),
        many if many > LISTED => format!(": {shown} and {} more", many - LISTED),
        _ => format!(": {shown}"),
    }
}

/// Every unit by its place in the plan. One folder is open at a time, so there may be more shards than a process may have open
/// files. The folders must have passed all checks.
fn in_order<T: Tables>(parts: &[Part], units: &[ShardRow], path: PathBuf) -> Result<Journal<T::Entry>> {
    let mut journal = Journal::scratch(path, T::KIND, units.len())?;
    for part in parts {
        let mut tables = T::read(&part.folder)?;
        for (index, row) in units.iter().enumerate().filter(|(_, row)| row.shard == part.shard.index) {
            journal.append(&tables.next(index, &row.id)?)?;
        }
        // Rows that belong to no unit would otherwise be left out in silence.
        tables.end()?;
    }
    Ok(journal)
}

fn run_file(parts: &[Part], totals: serde_json::Map<String, serde_json::Value>, command: Vec<String>) -> RunFile {
    let first = &parts[0].run;
    let shards = parts.iter().map(|part| ShardRun {
        shard: part.shard,
        folder: part.folder.display().to_string(),
        units: part.units,
        commit: part.run.build.commit.clone(),
        started: part.run.started.clone(),
        finished: part.run.finished.clone(),
        seconds: part.run.seconds,
        mended: part.run.mended.clone(),
    });
    let mut commits: Vec<&str> = parts.iter().map(|part| part.run.build.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let moment = |text: &String| text.parse::<jiff::Timestamp>().unwrap_or_default();
    let runs = || parts.iter().map(|part| &part.run);
    let mut facts = first.facts.clone();
    facts.extend(totals);
    RunFile {
        build: Build { commit: commits.join(", "), ..first.build.clone() },
        command,
        started: runs().map(|run| &run.started).min_by_key(|text| moment(text)).cloned().unwrap_or_default(),
        finished: runs().map(|run| &run.finished).max_by_key(|text| moment(text)).cloned().unwrap_or_default(),
        seconds: runs().map(|run| run.seconds).sum(),
        begun_by_commit: None,
        mended: Vec::new(),
        shard: None,
        shards: shards.collect(),
        facts,
        ..first.clone()
    }
}
