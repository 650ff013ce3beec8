//! `--extend DIR`: what a finished sweep brings into another one of the same problem. A cell that both ask for is taken with
//! its rows; one that was measured to a coarser tolerance gives its runs, from which the search goes on; one that stands in
//! DIR alone is carried over. DIR is only read.
//!
//! Not here: which cells a plan asks for ([`crate::plan`]), nor the tables themselves ([`super::tables`]).

use super::tables::{CellEntry, MINIMUM, SweepTables};
use crate::engine::{EngineInfo, Observation};
use crate::math::FloatFormat;
use crate::plan::{Cell, Limits, SweepPlan};
use crate::session::{Build, JobName, RunFile, Tables, Unit, differences};
use crate::table::RunRow;
use crate::text::counted;
use crate::threshold::{Criterion, Trial, Verdict};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A finished sweep that another one extends.
#[derive(Debug)]
pub struct Extended {
    dir: PathBuf,
    /// Cells that the plan does not ask for, in the order of their table.
    carried: Vec<CellEntry>,
    /// Cells that it asks for, by id.
    same: BTreeMap<String, CellEntry>,
    /// Trials of cells that it asks for with another tolerance, by id.
    known: BTreeMap<String, (Vec<Trial>, Option<FloatFormat>)>,
}

impl Extended {
    /// Reads the sweep of `dir`, for `plan` with its cells, on this engine.
    ///
    /// # Errors
    /// Where there is no finished sweep, or it is of another problem, data, engine or version; the message names what differs.
    pub fn read(
        dir: &Path,
        (plan, cells): (&SweepPlan, &[Cell]),
        info: &EngineInfo,
        data: Option<&str>,
    ) -> Result<Self> {
        let shown = dir.display();
        let run = RunFile::read(dir)
            .map_err(|error| anyhow!("--extend {shown}: {error:#}; accepted: the folder of a finished sweep"))?;
        if run.job != JobName::Sweep || run.shard.is_some() {
            bail!(
                "--extend {shown}: it holds no whole sweep; accepted: the folder of a sweep, or of its merged shards"
            );
        }
        let differences = differs_from(&run, plan, info, data)?;
        if !differences.is_empty() {
            bail!(
                "--extend {shown}: it is of another problem or engine: {}; accepted: the flags of that sweep with other rules, \
                 delays, schedules, batches, criteria or a finer tolerance",
                differences.join("; ")
            );
        }
        let limits: BTreeMap<Criterion, Limits> = serde_json::from_value(run.plan["limits"].clone())
            .with_context(|| format!("{} has no limits", dir.join("run.json").display()))?;
        let mut extended = Self { dir: dir.into(), carried: Vec::new(), same: BTreeMap::new(), known: BTreeMap::new() };
        let asked: BTreeSet<String> = cells.iter().map(|cell| plan.cell_id(cell)).collect();
        let coarser: BTreeSet<String> =
            cells.iter().filter_map(|cell| id_there(plan, cell, &limits)).filter(|id| !asked.contains(id)).collect();
        let mut entries = SweepTables::read(dir)?;
        for (index, id) in SweepTables::ids(dir)?.into_iter().enumerate() {
            let entry = entries.next(index, &id)?;
            if asked.contains(&id) {
                extended.same.insert(id, entry);
            } else if coarser.contains(&id) {
                let format = entry.threshold.precision.as_deref().and_then(|name| name.parse().ok());
                extended.known.insert(id, (entry.runs.iter().map(trial).collect(), format));
            } else {
                extended.carried.push(entry);
            }
        }
        entries.end()?;
        extended.rename_known(plan, cells, &limits);
        Ok(extended)
    }

    /// Gives known trials the id that their cell has here.
    fn rename_known(&mut self, plan: &SweepPlan, cells: &[Cell], limits: &BTreeMap<Criterion, Limits>) {
        let mut known = std::mem::take(&mut self.known);
        let here = cells.iter().filter_map(|cell| {
            let trials = known.remove(&id_there(plan, cell, limits)?)?;
            Some((plan.cell_id(cell), trials))
        });
        self.known = here.collect();
    }

    /// Checks that the minimum found here, whose file has these bytes, is that of the other sweep.
    ///
    /// # Errors
    /// Where it is another one.
    pub fn check_minimum(&self, found: &[u8]) -> Result<()> {
        let path = self.dir.join(MINIMUM);
        if fs::read(&path).with_context(|| format!("cannot read {}", path.display()))? != found {
            bail!(
                "--extend {}: its minimum is another than the one found here; accepted: a sweep from a processor of the same \
                 kind",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// The units that are carried over.
    pub fn units(&self) -> Vec<Unit> {
        let unit = |entry: &CellEntry| Unit {
            id: entry.threshold.cell_id.clone(),
            name: format!("cell {} of {}", entry.threshold.cell_id, self.dir.display()),
        };
        self.carried.iter().map(unit).collect()
    }

    /// The rows of unit `index`, where they are there already: `cell` is the id of the plan's cell that it is, if it is one.
    pub fn entry(&self, index: usize, cell: Option<&str>) -> Option<CellEntry> {
        let entry = match cell {
            Some(id) => self.same.get(id)?,
            None => self.carried.get(index)?,
        };
        Some(CellEntry { cell: index, ..entry.clone() })
    }

    /// The trials of a cell that was measured to another tolerance, with the format of their numbers.
    pub fn known(&self, cell: &str) -> (Vec<Trial>, Option<FloatFormat>) {
        self.known.get(cell).cloned().unwrap_or_default()
    }

    /// What a plan must say beside its own flags: another `--extend` may not go on with its journal.
    pub fn facts(&self) -> Option<Value> {
        let carried: Vec<&String> = self.carried.iter().map(|entry| &entry.threshold.cell_id).collect();
        let known: Vec<&String> = self.known.keys().collect();
        (!(carried.is_empty() && known.is_empty())).then(|| json!({"carried": carried, "known": known}))
    }

    /// What was found, in a line.
    pub fn describe(&self) -> String {
        let Self { dir, carried, same, known } = self;
        let (same, carried, known) = (same.len(), carried.len(), known.len());
        format!(
            "{}: {} taken, {carried} carried over, {known} continued from a coarser tolerance",
            dir.display(),
            counted(same, "cell")
        )
    }
}

/// What of a finished sweep is other than here of all that its rows depend on beside their cells.
pub(crate) fn differs_from(
    run: &RunFile,
    plan: &SweepPlan,
    info: &EngineInfo,
    data: Option<&str>,
) -> Result<Vec<String>> {
    let shared = |plan: &Value, version: &str, engine: &EngineInfo, data: Option<&str>| {
        let of_plan = ["problem", "sampling", "seed_order"].map(|key| (key, plan[key].clone()));
        let mut shared = json!({"version": version, "engine": engine, "data": data});
        of_plan.into_iter().for_each(|(key, value)| shared[key] = value);
        shared
    };
    let there = shared(&run.plan, &run.build.version, &run.engine, run.data_hash.as_deref());
    let here = shared(&serde_json::to_value(plan)?, Build::this().version.as_str(), info, data);
    Ok(differences(&there, &here))
}

/// The id that a cell has where the tolerance is that of another sweep; none where it was measured to another horizon.
fn id_there(plan: &SweepPlan, cell: &Cell, limits: &BTreeMap<Criterion, Limits>) -> Option<String> {
    let (there, here) = (limits.get(&cell.criterion)?, plan.limits(cell.criterion));
    (there.horizon == here.horizon).then(|| plan.cell_id_within(cell, *there))
}

/// A trial as its row tells it.
fn trial(row: &RunRow) -> Trial {
    let number = |cell: Option<f64>| cell.unwrap_or(f64::NAN);
    let distance = number(row.distance);
    let last = Observation {
        distance_squared: distance * distance,
        projection: number(row.projection),
        loss: number(row.loss),
        finite: row.verdict != Verdict::Diverged,
    };
    Trial {
        lr: row.lr,
        start: row.start,
        verdict: row.verdict,
        doubt: row.reason.as_deref().and_then(|reason| reason.parse().ok()),
        growth: row.growth_rate,
        error: row.growth_error,
        members: row.members as usize,
        steps: row.steps,
        last,
    }
}
