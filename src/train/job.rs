//! A training as a session works on it: a unit is a run.

use super::tables::{STATE, TrainEntry, TrainTables, WEIGHTS};
use super::{Training, rows};
use crate::engine::{Engine, EngineError, EngineInfo};
use crate::files::write_whole;
use crate::plan::{TrainOptions, TrainPlan};
use crate::problem::weights::to_safetensors;
use crate::session::checkpoint::Checkpoints;
use crate::session::job::with_weights;
use crate::session::traces;
use crate::session::{Job, Unit, Work, as_map};
use crate::text::counted;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs;
use std::time::Duration;

/// What run.json says of divergence.
const DIVERGENCE: &str = "a weight or the loss is not finite, or the mean objective of an epoch exceeds 1e4 times that of \
                          the first step";

/// What run.json says of lambda_max.
const LAMBDA_MAX: &str = "largest eigenvalue, by Lanczos in f64, of the Hessian of the objective (weight decay included) over \
                          training samples chosen by the data seed, without augmentation; batch norms with the statistics \
                          of minibatches";

/// What run.json says of preconditioned_lambda_max.
const PRECONDITIONED: &str = "as lambda_max, of P^-1 H with P = diag(sqrt(v) + epsilon), v the second moment of the rule with bias \
                              correction after the step; weight decay is left out where it is decoupled";

/// What run.json says of generalised_sharpness.
const GENERALISED: &str = "the largest d^T H d over |d_i| <= 1 (lion, signum), or over hidden matrices whose singular values are at \
                           most the scale of muon's step, all else held still; H as for lambda_max, without weight decay where it is \
                           decoupled; generalised_sharpness is the largest one found, generalised_bound an upper bound by duality";

/// A run in the journal and in the tables, and each look at its samples, bytes.
const RUN_BYTES: u64 = 4 << 10;
const LOOK_BYTES: u64 = 1 << 10;

/// A training with its data, its runs and how an engine makes their steps.
pub struct TrainJob {
    pub training: Training,
    /// Longest time between two checkpoints.
    checkpoint_every: Duration,
    paths: Vec<String>,
    info: EngineInfo,
}

/// What run.json says of a training.
#[derive(Clone, Debug, Serialize)]
struct TrainFacts {
    parameters: usize,
    samples: usize,
    test_samples: usize,
    /// When a run counts as diverged.
    divergence: &'static str,
    /// What lambda_max is taken of, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lambda_max: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditioned_lambda_max: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generalised_sharpness: Option<&'static str>,
}

impl TrainJob {
    /// Loads the data, lays out model and runs, and checks that every wave fits the engine.
    ///
    /// # Errors
    /// Where data or weights cannot be had, do not suit the model or the batches, or a wave does not fit.
    pub fn prepare(plan: TrainPlan, checkpoint_every: Duration, engine: &dyn Engine) -> Result<Self> {
        let training = Training::new(plan)?;
        let paths = training.paths(engine)?;
        Ok(Self { training, checkpoint_every, paths, info: engine.info().clone() })
    }

    /// The problem in a line.
    pub fn describe_problem(&self) -> String {
        let (network, problem) = (self.training.network(), &self.training.plan.problem);
        let test = network.test.as_ref().map_or(0, |test| test.samples());
        format!(
            "{} of {} on {} of {}, {}, {}",
            counted(network.dimension(), "parameter"),
            problem.model,
            counted(network.data.samples(), "sample"),
            problem.data,
            counted(test, "test sample"),
            network.data.describe()
        )
    }

    fn entry(&self, run: usize, outcome: &super::Outcome) -> TrainEntry {
        let row = rows::run(&self.training, &self.info, run, outcome);
        TrainEntry { run, row, metrics: rows::metrics(&self.training, run, outcome) }
    }
}

impl Training {
    /// How `engine` makes the steps of the training's waves, each way named once.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] where a wave does not fit.
    pub fn paths(&self, engine: &dyn Engine) -> Result<Vec<String>, EngineError> {
        let groups = self.groups(engine, &self.all())?;
        let mut paths: Vec<String> = groups.iter().map(|(spec, _)| engine.path(spec)).collect::<Result<_, _>>()?;
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }
}

impl Job for TrainJob {
    type Tables = TrainTables;

    fn plan(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&self.training.plan)
    }

    fn plan_hash(&self) -> String {
        self.training.plan.hash()
    }

    fn data_hash(&self) -> Option<String> {
        let samples = self.training.problem.data_hash();
        match self.training.plan.problem.init {
            Some(_) => samples.map(|samples| with_weights(&samples, &self.training.loaded())),
            None => samples,
        }
    }

    fn units(&self) -> Vec<Unit> {
        let training = &self.training;
        let unit = |run: usize| Unit {
            id: training.run_id(run),
            name: format!("{}, seed {}", training.group(run).name(), training.seed(run)),
        };
        (0..training.runs.len()).map(unit).collect()
    }

    fn counts(&self) -> Map<String, Value> {
        Map::from_iter([("groups".to_owned(), self.training.plan.groups.len().into())])
    }

    fn unit_bytes(&self, unit: usize) -> u64 {
        let TrainOptions { epochs, evaluate_every, .. } = &self.training.plan.options;
        let weights =
            if self.training.plan.save_weights { size_of::<f64>() * self.training.problem.dimension() } else { 0 };
        let traced = if self.training.plan.trace_runs { self.training.trace_bytes(unit) } else { 0 };
        let state =
            if self.training.plan.save_state { size_of::<f64>() * self.training.problem.dimension() } else { 0 };
        let weights = weights + state;
        let kept = RUN_BYTES + (1 + epochs.div_ceil(*evaluate_every)) * LOOK_BYTES + weights as u64;
        kept.saturating_add(traced)
    }

    fn checkpoint_bytes(&self, engine: &dyn Engine, units: &[usize]) -> Result<u64> {
        let mut most = 0;
        for (spec, runs) in self.training.groups(engine, units)? {
            let lanes = engine.capacity(&spec)?.min(runs.len()) as u64;
            most = most.max(lanes * engine.checkpoint_bytes(&spec));
        }
        // The newest, the one before it, and one that is being written.
        Ok(3 * most)
    }

    fn paths(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn facts(&self) -> serde_json::Result<Map<String, Value>> {
        let network = self.training.network();
        let facts = TrainFacts {
            parameters: network.dimension(),
            samples: network.data.samples(),
            test_samples: network.test.as_ref().map_or(0, |test| test.samples()),
            divergence: DIVERGENCE,
            lambda_max: self.training.plan.options.sharpness.map(|_| LAMBDA_MAX),
            preconditioned_lambda_max: self.training.plan.options.preconditioned.map(|_| PRECONDITIONED),
            generalised_sharpness: self.training.plan.options.generalised.map(|_| GENERALISED),
        };
        serde_json::to_value(facts).map(as_map)
    }

    fn perform(&self, work: Work<'_, TrainEntry>) -> Result<()> {
        let Work { engine, rest, dir, identity, finish, watch } = work;
        let mut checkpoints = Checkpoints::new(dir, identity.clone(), self.checkpoint_every);
        let mut left = rest.len();
        let plan = &self.training.plan;
        let kept =
            [(WEIGHTS, plan.save_weights), (STATE, plan.save_state)].map(|(name, kept)| kept.then(|| dir.join(name)));
        for folder in kept.iter().flatten() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let traces = self.training.plan.trace_runs.then(|| traces::folder(dir)).transpose()?;
        traces.iter().try_for_each(|traces| self.training.write_starts(traces))?;
        let mut finished = |run: usize, mut outcome: super::Outcome| {
            let entry = self.entry(run, &outcome);
            // Before the run counts as finished: what is finished is not made again.
            traces.iter().try_for_each(|traces| self.training.trace(run, outcome.steps, traces))?;
            if let Some(last) = outcome.last.take() {
                let vectors = [(&last.weights, &last.statistics[..]), (&last.second_moment, &[])];
                for (folder, (vector, statistics)) in kept.iter().zip(vectors) {
                    let Some(folder) = folder else { continue };
                    let path = folder.join(format!("{}.safetensors", entry.row.run_id));
                    let bytes = to_safetensors(&self.training.problem, vector, statistics);
                    write_whole(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
                }
            }
            left -= 1;
            finish(&entry)
        };
        self.training.train(engine, rest, Some(&mut checkpoints), &mut finished, watch)?;
        if left == 0 { checkpoints.remove() } else { Ok(()) }
    }
}
