//! A sweep of rates as a session works on it: a unit is a cell at a learning rate.

use super::expected::Spectrum;
use super::extend::ExtendedRates;
use super::rows::entry;
use super::tables::{RateEntry, RatesTables};
use super::wave::{in_format, measure};
use super::{MeasuredRate, RateUnit, units};
use crate::engine::{Engine, EngineInfo};
use crate::plan::SweepPlan;
use crate::problem::weights::to_safetensors;
use crate::session::checkpoint::Checkpoints;
use crate::session::{Job, Stage, Unit, Work};
use crate::sweep::SweepJob;
use anyhow::Result;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// A row in the journal and in the table, bytes.
const RATE_BYTES: u64 = 2 << 10;

/// A sweep of rates: the problem and the minimum of a sweep of thresholds, with units of its own.
pub struct RatesJob {
    pub sweep: SweepJob,
    plan: SweepPlan,
    units: Vec<RateUnit>,
    info: EngineInfo,
    checkpoint_every: Duration,
    extended: Option<ExtendedRates>,
}

impl RatesJob {
    /// Loads the data and the weights that the plan names, and checks that every wave fits the engine.
    ///
    /// # Errors
    /// As [`SweepJob::prepare`].
    pub fn prepare(plan: SweepPlan, checkpoint_every: Duration, engine: &dyn Engine) -> Result<Self> {
        let (units, info) = (units(&plan), engine.info().clone());
        let sweep = SweepJob::prepare(plan.clone(), Some(checkpoint_every), engine)?;
        Ok(Self { sweep, plan, units, info, checkpoint_every, extended: None })
    }

    /// Takes over what the finished sweep of rates of `dir` has of the same problem. Gives back what was found, in a line.
    ///
    /// # Errors
    /// Where there is none, or it is of another problem, data, engine or version.
    pub fn extend(&mut self, dir: &Path) -> Result<String> {
        let asked: BTreeSet<String> = self.units.iter().map(|unit| self.id(unit)).collect();
        let data = self.data_hash();
        let extended = ExtendedRates::read(dir, (&self.plan, &asked), &self.info, data.as_deref())?;
        let told = extended.describe();
        self.extended = Some(extended);
        Ok(told)
    }

    fn id(&self, RateUnit { cell, lr }: &RateUnit) -> String {
        self.plan.rate_id(cell, *lr)
    }

    fn carried(&self) -> Vec<Unit> {
        self.extended.as_ref().map_or_else(Vec::new, ExtendedRates::units)
    }

    fn extended_facts(&self) -> Option<Value> {
        self.extended.as_ref().and_then(ExtendedRates::facts)
    }
}

impl Job for RatesJob {
    type Tables = RatesTables;

    fn plan(&self) -> serde_json::Result<Value> {
        let mut plan = self.sweep.plan()?;
        if let Some(facts) = self.extended_facts() {
            plan["extended"] = facts;
        }
        Ok(plan)
    }

    fn plan_hash(&self) -> String {
        self.extended_facts().map_or_else(|| self.plan.hash(), |facts| self.plan.hash_beside(&facts))
    }

    fn data_hash(&self) -> Option<String> {
        self.sweep.data_hash()
    }

    fn units(&self) -> Vec<Unit> {
        let unit =
            |unit: &RateUnit| Unit { id: self.id(unit), name: format!("{} at lr {}", unit.cell.name(), unit.lr) };
        self.carried().into_iter().chain(self.units.iter().map(unit)).collect()
    }

    fn unit_bytes(&self, _: usize) -> u64 {
        RATE_BYTES
    }

    fn checkpoint_bytes(&self, engine: &dyn Engine, units: &[usize]) -> Result<u64> {
        self.sweep.checkpoint_bytes(engine, units)
    }

    fn paths(&self) -> Vec<String> {
        self.sweep.paths()
    }

    fn facts(&self) -> serde_json::Result<Map<String, Value>> {
        self.sweep.facts()
    }

    fn settle(&self, stage: &mut Stage<'_>) -> Result<ControlFlow<String>> {
        let settled = self.sweep.settle(stage)?;
        if let (Some(extended), ControlFlow::Continue(())) = (&self.extended, &settled) {
            let sweep = self.sweep.prepared();
            extended.check_minimum(&to_safetensors(&sweep.problem, &sweep.minimum.weights, &[]))?;
        }
        Ok(settled)
    }

    fn perform(&self, work: Work<'_, RateEntry>) -> Result<()> {
        let Work { engine, rest, dir, identity, finish, watch } = work;
        let (sweep, processor) = in_format(self.sweep.prepared(), engine.info());
        let engine = processor.as_ref().map_or(engine, |processor| processor as &dyn Engine);
        let carried = self.carried().len();
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for &index in rest {
            let unit = index.checked_sub(carried).map(|place| &self.units[place]);
            let id = unit.map(|unit| self.id(unit));
            if let Some(entry) = self.extended.as_ref().and_then(|extended| extended.entry(index, id.as_deref())) {
                finish(&entry)?;
            } else if let Some(unit) = unit {
                asked.push(unit.clone());
                places.push(index);
            }
        }
        let spectrum = Spectrum::of(sweep);
        let mut checkpoints = Checkpoints::new(dir, identity.clone(), self.checkpoint_every);
        let mut left = asked.len();
        let mut finished = |place: usize, measured: MeasuredRate| {
            left -= 1;
            finish(&entry((sweep, engine.info(), &spectrum), places[place], &asked[place], &measured))
        };
        measure(sweep, engine, &asked, Some(&mut checkpoints), &mut finished, watch)?;
        if left == 0 { checkpoints.remove() } else { Ok(()) }
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        self.sweep.write_files(dir)
    }
}
