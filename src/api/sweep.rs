//! Thresholds by measurement, for programs.

use super::settings::shared_settings;
use super::{defaults, quiet};
use crate::config::{JobArgs, ModelSpec, SweepArgs};
use crate::plan::{PlanError, SweepPlan};
use crate::plot;
use crate::session::{Job, Session, Stage, Work, choose};
use crate::sweep::{CellEntry, SweepJob};
use crate::table::ThresholdRow;
use crate::threshold::Criterion;
use anyhow::Result;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::Path;

/// Measures the largest stable learning rate of every cell of a grid: rules x delays x delay processes x batches.
///
/// ```
/// use tauscope::{RuleKind, Sweep};
///
/// let sweep = Sweep::builder().quadratic([1.0, 0.3]).rules([RuleKind::Sgd]).delays([0, 1]).build()?;
/// let rows = sweep.measure()?;
/// // lambda_max is 1, where sgd is stable below 2 without delay and below 1 at delay 1.
/// assert!((rows[0].lr_threshold.unwrap() - 2.0).abs() < 0.01);
/// assert!((rows[1].lr_threshold.unwrap() - 1.0).abs() < 0.01);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    plan: SweepPlan,
    job: JobArgs,
}

/// Settings of a [`Sweep`], by default those of `tauscope sweep`.
#[derive(Clone, Debug)]
pub struct SweepBuilder {
    args: SweepArgs,
}

impl Sweep {
    /// Returns the settings of a sweep, to be changed and then [built](SweepBuilder::build).
    pub fn builder() -> SweepBuilder {
        SweepBuilder { args: defaults() }
    }

    /// Counts the cells: the rows that a measurement returns.
    pub fn cells(&self) -> usize {
        self.plan.cells().len()
    }

    /// Measures every cell and returns the rows in the order of the grid: rule by rule, then by delay process, delay, batch
    /// and criterion. Writes no file.
    ///
    /// # Errors
    /// Where the data cannot be loaded, no minimum is found, the engine cannot be opened, or its device fails.
    pub fn measure(&self) -> Result<Vec<ThresholdRow>> {
        let chosen = choose(&self.plan.engine)?;
        let job = SweepJob::prepare(self.plan.clone(), None, &*chosen.engine)?;
        let _ = job.settle(&mut Stage { dir: None, say: &|_| (), watch: &mut |_| ControlFlow::Continue(()) })?;
        let mut entries: Vec<CellEntry> = Vec::new();
        job.perform(Work {
            engine: &*chosen.engine,
            rest: &(0..self.cells()).collect::<Vec<_>>(),
            dir: Path::new(""),
            identity: &Value::Null,
            finish: &mut |entry: &CellEntry| {
                entries.push(entry.clone());
                Ok(())
            },
            watch: &mut |_| ControlFlow::Continue(()),
        })?;
        entries.sort_by_key(|entry| entry.cell);
        Ok(entries.into_iter().map(|entry| entry.threshold).collect())
    }

    /// Measures every cell into the results folder `out`, as `tauscope sweep --out` does, and returns the rows. An interrupted
    /// measurement can be [resumed](SweepBuilder::resume).
    ///
    /// # Errors
    /// As [`Self::measure`], and where the folder exists or cannot be written.
    pub fn write(&self, out: &Path) -> Result<Vec<ThresholdRow>> {
        let mut session = Session::begin(&self.plan.engine, &quiet(&self.job, out))?;
        let job = SweepJob::prepare(self.plan.clone(), Some(self.job.checkpoint_every.0), session.engine())?;
        let pictures = |rows: &Vec<ThresholdRow>, dir: &Path| plot::thresholds(rows, dir, plot::Theme::Light).map(drop);
        Ok(session.run(&job, &pictures)?.summary)
    }
}

shared_settings!(SweepBuilder);

impl SweepBuilder {
    /// Measures on a quadratic with these eigenvalues of its Hessian, instead of on a network.
    pub fn quadratic(self, eigenvalues: impl Into<Vec<f64>>) -> Self {
        self.model(ModelSpec::Quadratic(eigenvalues.into()))
    }

    /// Sets the criteria; by default each cell has the strictest that it admits.
    pub fn criteria(mut self, criteria: impl IntoIterator<Item = Criterion>) -> Self {
        self.args.criterion = criteria.into_iter().collect();
        self
    }

    /// Sets the relative width of a bracket at which a cell is done.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.args.tolerance = Some(tolerance);
        self
    }

    /// Sets the number of runs of an ensemble, for the statistical criteria.
    pub fn ensemble(mut self, runs: usize) -> Self {
        self.args.ensemble = runs;
        self
    }

    /// Resolves the settings.
    ///
    /// # Errors
    /// The first setting that is out of range or contradicts another.
    ///
    /// ```
    /// let refused = tauscope::Sweep::builder().momentum([1.5]).build().unwrap_err();
    /// assert_eq!(refused.to_string(), "momentum 1.5: accepted: numbers from 0 to below 1");
    /// ```
    pub fn build(self) -> Result<Sweep, PlanError> {
        self.check()?;
        if let ModelSpec::Quadratic(eigenvalues) = &self.args.problem.model
            && (eigenvalues.is_empty() || eigenvalues.iter().any(|value| !(*value > 0.0 && value.is_finite())))
        {
            return Err(format!("quadratic {eigenvalues:?}: accepted: eigenvalues, all positive").into());
        }
        let Self { args } = self;
        let plan = SweepPlan::resolve(std::slice::from_ref(&args))?;
        Ok(Sweep { plan, job: args.job })
    }
}
