//! `--extend DIR` of a sweep of rates: rows of a finished one of the same problem are taken over, with those that stand in DIR alone.
//!
//! Not here: the same for thresholds ([`crate::sweep`]).

use super::RateEntry;
use super::tables::RatesTables;
use crate::engine::EngineInfo;
use crate::plan::SweepPlan;
use crate::session::{JobName, RunFile, Tables, Unit};
use crate::sweep::{MINIMUM, differs_from};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A finished sweep of rates that another one extends.
pub(super) struct ExtendedRates {
    dir: PathBuf,
    /// Rows that the plan does not ask for, in the order of their table.
    carried: Vec<RateEntry>,
    /// Rows that it asks for, by id.
    same: BTreeMap<String, RateEntry>,
}

impl ExtendedRates {
    /// Reads the folder, for a plan that asks for these ids.
    pub fn read(
        dir: &Path,
        (plan, asked): (&SweepPlan, &BTreeSet<String>),
        info: &EngineInfo,
        data: Option<&str>,
    ) -> Result<Self> {
        let shown = dir.display();
        let run = RunFile::read(dir).map_err(|error| {
            anyhow!("--extend {shown}: {error:#}; accepted: the folder of a finished sweep of rates")
        })?;
        if run.job != JobName::Rates || run.shard.is_some() {
            bail!("--extend {shown}: it holds no whole sweep of rates; accepted: a folder made with --rates");
        }
        let differences = differs_from(&run, plan, info, data)?;
        if !differences.is_empty() {
            bail!(
                "--extend {shown}: it is of another problem or engine: {}; accepted: the flags of that sweep with other rules, \
                 delays, schedules, batches, criteria or learning rates",
                differences.join("; ")
            );
        }
        let mut extended = Self { dir: dir.into(), carried: Vec::new(), same: BTreeMap::new() };
        let mut entries = RatesTables::read(dir)?;
        for (index, id) in RatesTables::ids(dir)?.into_iter().enumerate() {
            let entry = entries.next(index, &id)?;
            match asked.contains(&id) {
                true => drop(extended.same.insert(id, entry)),
                false => extended.carried.push(entry),
            }
        }
        entries.end()?;
        Ok(extended)
    }

    /// Checks that the minimum found here, whose file has these bytes, is that of the other sweep.
    pub fn check_minimum(&self, found: &[u8]) -> Result<()> {
        let path = self.dir.join(MINIMUM);
        if fs::read(&path).with_context(|| format!("cannot read {}", path.display()))? != found {
            bail!(
                "--extend {}: its minimum is another than the one found here; accepted: a sweep from a processor of the same kind",
                self.dir.display()
            );
        }
        Ok(())
    }

    /// The units that are carried over.
    pub fn units(&self) -> Vec<Unit> {
        let name = |entry: &RateEntry| format!("rate {} of {}", entry.row.rate_id, self.dir.display());
        self.carried.iter().map(|entry| Unit { id: entry.row.rate_id.clone(), name: name(entry) }).collect()
    }

    /// The row of unit `index`, where it is there already: `asked` is its id, if the plan asks for it.
    pub fn entry(&self, index: usize, asked: Option<&str>) -> Option<RateEntry> {
        let entry = match asked {
            Some(id) => self.same.get(id)?,
            None => self.carried.get(index)?,
        };
        Some(RateEntry { unit: index, row: entry.row.clone() })
    }

    /// What a plan must say beside its own flags.
    pub fn facts(&self) -> Option<Value> {
        let carried: Vec<&String> = self.carried.iter().map(|entry| &entry.row.rate_id).collect();
        (!carried.is_empty()).then(|| json!({ "carried": carried }))
    }

    pub fn describe(&self) -> String {
        let Self { dir, carried, same } = self;
        format!("{}: {} rates are taken, {} carried over", dir.display(), same.len(), carried.len())
    }
}
