//! A training laid out: the data loaded and split, the model made, and every run with its steps.
//!
//! Not here: what the flags mean ([`super::plan`]), nor how runs advance ([`super::ride`]).

use super::plan::{Arm, Plan, TaskPlan};
use super::scaling::gain;
use crate::config::Samples;
use crate::engine::{Needs, Run};
use crate::kernels::activation::Activation;
use crate::plan::{PlanError, axes, refuse};
use crate::problem::data::{DataError, Parts};
use crate::problem::{Network, Problem, weights};
use crate::schedule::MOST_ROWS;
use anyhow::Result;
use std::sync::Arc;

/// Everything that the runs of a training share, and what each of them is.
#[derive(Clone, Debug)]
pub struct Training {
    pub plan: Plan,
    /// Always a network.
    pub problem: Arc<Problem>,
    /// In the order of the plan: arm by arm, seed by seed.
    pub runs: Vec<Member>,
    /// Of each of the plan's seeds.
    starts: Vec<Start>,
}

/// What a run starts from.
#[derive(Clone, Debug)]
struct Start {
    /// x_0
    weights: Arc<Vec<f64>>,
    /// Running statistics of batch norms, where they were loaded with the weights.
    statistics: Option<Arc<Vec<f64>>>,
}

/// One run: an arm with a seed, both by their place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub arm: usize,
    pub seed: usize,
}

impl Training {
    /// Loads the data and lays out the model and the runs.
    ///
    /// # Errors
    /// Where data or weights cannot be had, or do not suit the model or the batches.
    pub fn new(plan: Plan) -> Result<Self> {
        let network = plan.task.build()?;
        let samples = network.data.samples();
        for arm in &plan.arms {
            axes::fits(arm.batch, &arm.schedule, samples)?;
        }
        let problem = Arc::new(Problem::Network(network));
        let starts = match &plan.task.init {
            Some(path) => {
                let read = weights::load_with_statistics(network_of(&problem), path);
                let [weights, statistics] = read.map_err(|error| PlanError(format!("--init {error}")))?;
                let start = Start { weights: Arc::new(weights), statistics: Some(Arc::new(statistics)) };
                vec![start; plan.seeds.len()]
            }
            None => {
                let fresh = |seed| Start { weights: Arc::new(network_of(&problem).model.init(seed)), statistics: None };
                plan.seeds.iter().map(|seed| fresh(*seed)).collect()
            }
        };
        let members = |arm: usize| (0..plan.seeds.len()).map(move |seed| Member { arm, seed });
        let runs = (0..plan.arms.len()).flat_map(members).collect();
        Ok(Self { plan, problem, runs, starts })
    }

    pub fn network(&self) -> &Network {
        network_of(&self.problem)
    }

    pub fn arm(&self, run: usize) -> &Arm {
        &self.plan.arms[self.runs[run].arm]
    }

    pub fn seed(&self, run: usize) -> u64 {
        self.plan.seeds[self.runs[run].seed]
    }

    pub fn run_id(&self, run: usize) -> String {
        self.plan.run_id(self.arm(run), self.seed(run))
    }

    /// x_0
    pub fn start(&self, run: usize) -> &Arc<Vec<f64>> {
        &self.starts[self.runs[run].seed].weights
    }

    /// Rows of an update's gradient, where they are not all.
    pub fn rows(&self, run: usize) -> Option<usize> {
        let arm = self.arm(run);
        axes::rows(arm.batch, &arm.schedule)
    }

    /// Steps of an epoch: whole batches only.
    pub fn steps_of_epoch(&self, rows: Option<usize>) -> u64 {
        rows.map_or(1, |rows| (self.network().data.samples() / rows) as u64)
    }

    /// Steps of a run whose gradients have so many rows.
    pub fn steps(&self, rows: Option<usize>) -> u64 {
        self.plan.course.epochs.saturating_mul(self.steps_of_epoch(rows))
    }

    /// What a run needs room for.
    pub(super) fn needs(&self, run: usize) -> Needs {
        let arm = self.arm(run);
        Needs { evaluation: true, ..Needs::of(&arm.rule, &arm.schedule, false) }
    }

    /// A run as engines take it.
    pub(super) fn run(&self, run: usize) -> Run {
        let (arm, course) = (self.arm(run), &self.plan.course);
        let steps = self.steps_of_epoch(self.rows(run));
        Run {
            rule: arm.rule,
            lr: course.regime.learning_rate(arm.lr_scaled, course.epochs, course.warm_up, steps),
            schedule: arm.schedule.clone(),
            seed: self.seed(run),
            start: Arc::clone(self.start(run)),
            centred: false,
            statistics: self.starts[self.runs[run].seed].statistics.clone(),
        }
    }

    /// Where sharpness is expected to settle: K* / lr, where theory knows a threshold and the learning rate stays what it is.
    pub fn lambda_predicted(&self, arm: &Arm) -> Option<f64> {
        let stays = self.plan.course.regime == crate::config::RegimeSpec::Constant;
        stays.then(|| gain(&arm.rule, &arm.schedule).ok()).flatten().map(|gain| gain / arm.lr_scaled)
    }
}

fn network_of(problem: &Problem) -> &Network {
    match problem {
        Problem::Network(network) => network,
        Problem::Quadratic(_) => unreachable!("a training has data"),
    }
}

impl TaskPlan {
    /// Loads and splits the data and makes the model.
    ///
    /// # Errors
    /// Where the data cannot be had in the asked amounts, or do not suit the model or the augmentation.
    fn build(&self) -> Result<Network, PlanError> {
        let samples = match self.samples {
            Samples::All => None,
            Samples::Count(count) => Some(count),
        };
        let parts = Parts::load(&self.data, samples, self.test, self.seed_data);
        let Parts { train, test } = parts.map_err(|error| match error {
            DataError::TooManyTest { asked, available, of } => {
                PlanError(format!("--test {asked}: {of} has {available} samples to spare; accepted: 1 to {available}"))
            }
            error => PlanError(error.to_string()),
        })?;
        if !self.augmentation.is_none() {
            if train.shape.is_vector() {
                refuse!("--flip, --crop: {} has no images; accepted: without them", self.data);
            }
            if train.samples() > MOST_ROWS {
                refuse!("--samples {}: with --flip or --crop at most {MOST_ROWS}", train.samples());
            }
        }
        // Where the model brings its own, there is none to ask for.
        let activation = self.activation.unwrap_or(Activation::Tanh);
        let model = self.model.model(train.shape, train.classes, activation);
        let model = model.map_err(|why| PlanError(format!("--model {}: {why}", self.model)))?;
        let network = Network::new(model, self.loss, self.weight_decay, train);
        Ok(Network { test: Some(test), augmentation: self.augmentation, ..network })
    }
}
