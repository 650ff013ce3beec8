//! A sweep as a session works on it: a unit is a cell.

use super::evidence::{self, Evidence, MinimumFacts};
use super::extend::Extended;
use super::preconditioner::{Frozen, PreconditionerFacts, SecondMoments};
use super::rows::{entry, failed};
use super::tables::{CellEntry, MINIMUM, SweepTables};
use super::trace::Watcher;
use super::{CellResult, PreparedSweep, StartedCell, paths, waves};
use crate::cost;
use crate::engine::{Engine, EngineInfo};
use crate::files::write_whole;
use crate::math::FloatFormat;
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::problem::weights::{self, LoadedWeights, Wanted, to_safetensors};
use crate::session::checkpoint::Checkpoints;
use crate::session::job::with_weights;
use crate::session::progress::Progress;
use crate::session::traces;
use crate::session::{Job, Stage, Unit, Work, as_map};
use crate::text::counted;
use crate::threshold::Criterion;
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A cell of a dozen runs in the journal and in the tables, bytes.
const CELL_BYTES: u64 = 8 << 10;

/// A sweep with its problem and its cells, and once it is settled with its minimum.
pub struct SweepJob {
    /// What became of the names in the file of weights, where there is something to say.
    pub weight_mapping: Option<String>,
    plan: SweepPlan,
    problem: Arc<Problem>,
    /// Weights of the file that the plan names.
    given: Option<Vec<f64>>,
    /// Second moments of the file that the plan names.
    second_moments: Option<SecondMoments>,
    cells: Vec<Cell>,
    /// The sweep that this one extends. What is carried over from it comes before the cells.
    extended: Option<Extended>,
    /// Longest time between two checkpoints; none where no folder is written.
    checkpoint_every: Option<Duration>,
    paths: Vec<String>,
    info: EngineInfo,
    settled: OnceLock<Settled>,
}

/// What run.json says of the sweep as a whole.
#[derive(Clone, Debug, Serialize)]
struct SweepFacts {
    parameters: usize,
    minimum: MinimumFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditioner: Option<PreconditionerFacts>,
    /// Distance from the minimum at which runs start, those of ensembles too.
    start_distance: f64,
    /// The same of the runs that start farther away.
    far_start_distance: f64,
    /// Distance at which a run has escaped, under the escape criterion.
    escape_radius: Option<f64>,
}

/// What is known once the minimum is.
struct Settled {
    sweep: PreparedSweep,
    evidence: Evidence,
}

impl SweepJob {
    /// Loads the data and the weights that the plan names, and checks that every wave fits the engine.
    ///
    /// # Errors
    /// Where the data or the weights cannot be had, or a wave does not fit.
    pub fn prepare(plan: SweepPlan, checkpoint_every: Option<Duration>, engine: &dyn Engine) -> Result<Self> {
        let problem = Arc::new(plan.build()?);
        let paths = paths(&waves(&plan, &problem, engine)?, engine)?;
        let files = [("--minimum", &plan.problem.minimum), ("--minimum-from", &plan.problem.minimum_from)];
        let (mut given, mut weight_mapping) = (None, None);
        if let Some((flag, path)) = files.into_iter().find_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            let read = weights::load(&problem, path, plan.problem.map.as_ref(), Wanted::Parameters);
            let LoadedWeights { parameters, mapping, .. } = read.map_err(|error| anyhow!("{flag} {error}"))?;
            (given, weight_mapping) = (Some(parameters), mapping);
        }
        let second_moments = SecondMoments::load(&plan, &problem)?;
        let (cells, info) = (plan.cells(), engine.info().clone());
        let (extended, settled) = (None, OnceLock::new());
        Ok(Self {
            weight_mapping,
            plan,
            problem,
            given,
            second_moments,
            cells,
            extended,
            checkpoint_every,
            paths,
            info,
            settled,
        })
    }

    /// Takes over what the finished sweep of `dir` has of the same problem. Gives back what was found, in a line.
    ///
    /// # Errors
    /// Where there is no finished sweep, or it is of another problem, data, engine or version.
    pub fn extend(&mut self, dir: &Path) -> Result<String> {
        let data = self.data_hash();
        let extended = Extended::read(dir, (&self.plan, &self.cells), &self.info, data.as_deref())?;
        let told = extended.describe();
        self.extended = Some(extended);
        Ok(told)
    }

    /// Units that are carried over from another sweep.
    fn carried(&self) -> Vec<Unit> {
        self.extended.as_ref().map_or_else(Vec::new, Extended::units)
    }

    /// The problem in a line.
    pub fn describe_problem(&self) -> String {
        let Self { problem, plan, .. } = self;
        let parameters = format!("{} of {}", counted(problem.dimension(), "parameter"), plan.problem.model);
        match (&**problem, &plan.problem.data) {
            (Problem::Network(network), Some(data)) => {
                format!(
                    "{parameters} on {} of {data}, {}",
                    counted(network.data.samples(), "sample"),
                    network.data.describe()
                )
            }
            _ => problem
                .samples()
                .map_or(parameters.clone(), |samples| format!("{parameters}, {}", counted(samples, "sample"))),
        }
    }

    /// The sweep around its minimum, once the job is settled.
    pub(crate) fn prepared(&self) -> &PreparedSweep {
        &self.settled().sweep
    }

    fn settled(&self) -> &Settled {
        self.settled.get().expect("a session settles a job before it works on it")
    }
}

impl Job for SweepJob {
    type Tables = SweepTables;

    fn plan(&self) -> serde_json::Result<Value> {
        let mut plan = serde_json::to_value(&self.plan)?;
        if let Some(facts) = self.extended.as_ref().and_then(Extended::facts) {
            plan["extended"] = facts;
        }
        Ok(plan)
    }

    fn plan_hash(&self) -> String {
        let facts = self.extended.as_ref().and_then(Extended::facts);
        facts.map_or_else(|| self.plan.hash(), |facts| self.plan.hash_beside(&facts))
    }

    fn data_hash(&self) -> Option<String> {
        let samples = self.problem.data_hash();
        let samples = match &self.given {
            Some(weights) => samples.map(|samples| with_weights(&samples, weights)),
            None => samples,
        };
        match &self.second_moments {
            Some(moments) => Some(with_weights(&samples.unwrap_or_else(|| "0".repeat(16)), &moments.values)),
            None => samples,
        }
    }

    fn units(&self) -> Vec<Unit> {
        let unit = |cell: &Cell| Unit { id: self.plan.cell_id(cell), name: cell.name() };
        self.carried().into_iter().chain(self.cells.iter().map(unit)).collect()
    }

    fn unit_bytes(&self, unit: usize) -> u64 {
        let place = unit.checked_sub(self.carried().len()).filter(|_| self.plan.trace_runs);
        let traced = place.and_then(|place| self.cells.get(place)).map_or(0, |cell| {
            traces::bytes(cost::of_cell(&self.plan, cell) as u64, self.plan.rows(cell), &self.problem)
        });
        traced.saturating_add(CELL_BYTES)
    }

    fn checkpoint_bytes(&self, _: &dyn Engine, _: &[usize]) -> Result<u64> {
        Ok(0)
    }

    fn paths(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn facts(&self) -> serde_json::Result<Map<String, Value>> {
        let Settled { sweep: PreparedSweep { plan, problem, distances, frozen, .. }, evidence, .. } = self.settled();
        let facts = SweepFacts {
            parameters: problem.dimension(),
            minimum: evidence.facts(problem),
            preconditioner: self
                .second_moments
                .as_ref()
                .zip(frozen.as_ref())
                .map(|(moments, frozen)| moments.facts(frozen)),
            start_distance: distances.near,
            far_start_distance: distances.far,
            escape_radius: plan.limits.contains_key(&Criterion::Escape).then_some(distances.escape),
        };
        serde_json::to_value(facts).map(as_map)
    }

    fn settle(&self, stage: &mut Stage<'_>) -> Result<ControlFlow<String>> {
        let Some(evidence) = Evidence::gather(&self.plan, &self.problem, self.given.as_deref(), stage)? else {
            return Ok(ControlFlow::Break(stage.dir.map_or(String::new(), evidence::kept)));
        };
        (stage.say)(&format!("minimum  {}", evidence.describe(&self.problem)));
        let mut sweep = PreparedSweep::new(self.plan.clone(), Arc::clone(&self.problem), evidence.minimum.clone());
        if let Some(moments) = &self.second_moments {
            // Every rule divides alike.
            let scale = self.cells.first().and_then(|cell| cell.rule.second_moment_scale(1));
            let scale = scale.context("the plan has checked that its rules have second moments")?;
            let frozen = Frozen::new(&self.problem, &evidence.minimum, moments, scale)?;
            (stage.say)(&format!("precond. {}", moments.describe(&frozen)));
            sweep = sweep.with_frozen(frozen);
        }
        if sweep.falls_back(&self.info)
            && let Err(hidden) = sweep.distances.check()
        {
            (stage.say)(&format!("f64      all cells, on the processor: {}", hidden.why()));
            sweep = sweep.in_f64().clone();
        }
        sweep.distances.check()?;
        if let Some(extended) = &self.extended {
            extended.check_minimum(&to_safetensors(&self.problem, &sweep.minimum.weights, &[]))?;
        }
        if self.settled.set(Settled { sweep, evidence }).is_err() {
            bail!("a sweep is settled once");
        }
        Ok(ControlFlow::Continue(()))
    }

    fn perform(&self, work: Work<'_, CellEntry>) -> Result<()> {
        let Work { engine, rest, dir, identity, finish, watch } = work;
        let Settled { sweep, .. } = self.settled();
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        let carried = self.carried().len();
        for &index in rest {
            let cell = index.checked_sub(carried).map(|place| self.cells[place].clone());
            let id = cell.as_ref().map(|cell| self.plan.cell_id(cell));
            if let Some(entry) = self.extended.as_ref().and_then(|extended| extended.entry(index, id.as_deref())) {
                finish(&entry)?;
                continue;
            }
            let (Some(cell), Some(id)) = (cell, id) else { bail!("unit {index} of another sweep has no rows") };
            let (known, known_in) =
                self.extended.as_ref().map_or_else(Default::default, |extended| extended.known(&id));
            let in_f64 = || sweep.falls_back(&self.info).then(|| sweep.in_f64().start(&cell).ok()).flatten();
            let started = match sweep.start(&cell) {
                Ok(guess) => StartedCell { cell, guess, known, known_in },
                Err(why) => match in_f64() {
                    Some(guess) => StartedCell { cell, guess, known: Vec::new(), known_in: Some(FloatFormat::F64) },
                    None => {
                        finish(&failed(sweep, &self.info, index, &cell, &why))?;
                        continue;
                    }
                },
            };
            asked.push(started);
            places.push(index);
        }
        let mut checkpoints = self.checkpoint_every.map(|every| Checkpoints::new(dir, identity.clone(), every));
        let traces = self.plan.trace_runs.then(|| traces::folder(dir)).transpose()?;
        traces.iter().try_for_each(|traces| sweep.write_starts(&self.info, traces))?;
        let watcher = RefCell::new(Watcher::new(watch));
        let mut left = asked.len();
        let mut finished = |index: usize, result: CellResult| {
            let cell = &asked[index].cell;
            // Before the cell counts as finished. Where it is interrupted the cell is measured again.
            let watched = &mut |alive| watcher.borrow_mut().traced(alive);
            if let Some(traces) = &traces
                && sweep.trace(engine, cell, &result, traces, watched)?.is_break()
            {
                return Ok(());
            }
            left -= 1;
            finish(&entry(sweep, &self.info, places[index], cell, &result))
        };
        let watched = &mut |now: Progress<'_>| watcher.borrow_mut().measured(now);
        sweep.measure(engine, &asked, checkpoints.as_mut(), &mut finished, watched)?;
        match checkpoints {
            Some(checkpoints) if left == 0 => checkpoints.remove(),
            _ => Ok(()),
        }
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MINIMUM);
        let Settled { sweep, evidence, .. } = self.settled();
        let bytes = to_safetensors(&sweep.problem, &sweep.minimum.weights, &[]);
        write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        evidence.write(&sweep.problem, dir)
    }
}
