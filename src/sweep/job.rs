//! A sweep as a session works on it: a unit is a cell.

use super::rows::entry;
use super::tables::{CellEntry, MINIMUM, SweepTables};
use super::{PreparedSweep, paths, waves};
use crate::cost;
use crate::curvature::Eigenpair;
use crate::engine::{Engine, EngineInfo};
use crate::files::write_whole;
use crate::minimum::{self, Minimum};
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::problem::weights::{self, LoadedWeights, Wanted, to_safetensors};
use crate::session::job::with_weights;
use crate::session::{Job, Unit, Work, as_map};
use crate::threshold::Criterion;
use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// A sweep with its minimum, its cells and where the search for each starts.
pub struct SweepJob {
    pub sweep: PreparedSweep,
    /// What became of the names in the file of weights, where there is something to say.
    pub weight_mapping: Option<String>,
    cells: Vec<(Cell, f64)>,
    paths: Vec<String>,
    info: EngineInfo,
}

/// What run.json says of the minimum.
#[derive(Clone, Debug, Serialize)]
struct SweepFacts {
    parameters: usize,
    minimum: MinimumEvidence,
    /// Distance of every run's start from the minimum.
    start_distance: f64,
    /// Distance at which a run has escaped, under the escape criterion.
    escape_radius: Option<f64>,
}

/// The evidence for the minimum.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct MinimumEvidence {
    loss: f64,
    gradient_max: f64,
    gradient_evaluations: u64,
    lambda_max: Eigenpair,
    lambda_min: Eigenpair,
}

impl From<&Minimum> for MinimumEvidence {
    fn from(minimum: &Minimum) -> Self {
        Self {
            loss: minimum.loss,
            gradient_max: minimum.gradient_max,
            gradient_evaluations: minimum.evaluations,
            lambda_max: minimum.largest.clone(),
            lambda_min: minimum.smallest.clone(),
        }
    }
}

impl SweepJob {
    /// Loads the data, checks that every wave fits the engine, finds or certifies the minimum, and asks theory where to
    /// search.
    ///
    /// # Errors
    /// Where the data cannot be had, a wave does not fit, or there is no minimum.
    pub fn prepare(plan: SweepPlan, engine: &dyn Engine) -> Result<Self> {
        let problem = Arc::new(plan.build()?);
        let paths = paths(&waves(&plan, &problem, engine)?, engine)?;
        let tolerance = plan.problem.gradient_tolerance;
        let mut weight_mapping = None;
        let minimum = match &plan.problem.minimum {
            Some(path) => {
                let read = weights::load(&problem, path, plan.problem.map.as_ref(), Wanted::Parameters);
                let LoadedWeights { parameters, mapping, .. } = read.map_err(|error| anyhow!("--minimum {error}"))?;
                weight_mapping = mapping;
                minimum::certify(&problem, parameters, tolerance)?
            }
            None => minimum::find(&problem, plan.problem.seed_init, tolerance)?,
        };
        let sweep = PreparedSweep::new(plan, problem, minimum);
        sweep.distances.check()?;
        let with_guess = |cell: Cell| {
            let guess = sweep.guess(&cell).with_context(|| {
                let Cell { rule, schedule, .. } = &cell;
                format!("--rules {} with --schedule {}", rule.name(), schedule.name())
            })?;
            Ok((cell, guess))
        };
        let cells = sweep.plan.cells().into_iter().map(with_guess).collect::<Result<_>>()?;
        Ok(Self { sweep, weight_mapping, cells, paths, info: engine.info().clone() })
    }

    /// The problem in a line.
    pub fn describe_problem(&self) -> String {
        let PreparedSweep { problem, plan, .. } = &self.sweep;
        let parameters = format!("{} parameters of {}", problem.dimension(), plan.problem.model);
        match (&**problem, &plan.problem.data) {
            (Problem::Network(network), Some(data)) => {
                format!("{parameters} on {} samples of {data}, {}", network.data.samples(), network.data.describe())
            }
            _ => parameters,
        }
    }

    /// The minimum in a line.
    pub fn describe_minimum(&self) -> String {
        let PreparedSweep { problem, minimum, .. } = &self.sweep;
        format!(
            "{} parameters, loss {:.6}, max|gradient| {:.1e}, lambda_max {:.6}, lambda_min {:.2e}",
            problem.dimension(),
            minimum.loss,
            minimum.gradient_max,
            minimum.largest.value,
            minimum.smallest.value
        )
    }
}

impl Job for SweepJob {
    type Tables = SweepTables;

    fn plan(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.sweep.plan)
    }

    fn plan_hash(&self) -> String {
        self.sweep.plan.hash()
    }

    fn data_hash(&self) -> Option<String> {
        let samples = self.sweep.problem.data_hash();
        match self.sweep.plan.problem.minimum {
            Some(_) => samples.map(|samples| with_weights(&samples, &self.sweep.minimum.weights)),
            None => samples,
        }
    }

    fn units(&self) -> Vec<Unit> {
        let unit = |(cell, _): &(Cell, f64)| Unit { id: self.sweep.plan.cell_id(cell), name: cell.name() };
        self.cells.iter().map(unit).collect()
    }

    fn cost(&self, unit: usize) -> f64 {
        cost::of_cell(&self.sweep.plan, &self.cells[unit].0)
    }

    fn paths(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn facts(&self) -> serde_json::Result<Map<String, Value>> {
        let PreparedSweep { plan, problem, minimum, distances, .. } = &self.sweep;
        let facts = SweepFacts {
            parameters: problem.dimension(),
            minimum: minimum.into(),
            start_distance: distances.start,
            escape_radius: plan.limits.contains_key(&Criterion::Escape).then_some(distances.escape),
        };
        serde_json::to_value(facts).map(as_map)
    }

    fn perform(&self, work: Work<'_, CellEntry>) -> Result<()> {
        let Work { engine, rest, finish, watch, .. } = work;
        let asked: Vec<(Cell, f64)> = rest.iter().map(|index| self.cells[*index].clone()).collect();
        let mut finished =
            |index: usize, result| finish(&entry(&self.sweep, &self.info, rest[index], &asked[index].0, &result)?);
        self.sweep.measure(engine, &asked, &mut finished, watch)
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MINIMUM);
        let bytes = to_safetensors(&self.sweep.problem, &self.sweep.minimum.weights, &[]);
        write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}
