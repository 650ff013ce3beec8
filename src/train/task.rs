//! A training laid out: the data loaded and split, the model made, and every run with its steps.
//!
//! Not here: what the flags mean ([`crate::plan`]), nor how runs advance ([`super::wave`]).

use crate::batch::MOST_ROWS;
use crate::config::{RegimeSpec, Samples};
use crate::data::{DataError, Parts};
use crate::engine::{Needs, Run};
use crate::math::Activation;
use crate::memory;
use crate::outer::{LocalRule, WorkShape};
use crate::plan::scaling::gain;
use crate::plan::{Group, PlanError, TrainPlan, TrainProblem, axes, refuse};
use crate::problem::weights::{self, LoadedWeights, Wanted};
use crate::problem::{Network, Problem};
use crate::stages::Stage;
use crate::theory::{self, Criterion, DelayLaw};
use anyhow::Result;
use std::sync::Arc;

/// Everything that the runs of a training share, and what each of them is.
#[derive(Clone, Debug)]
pub struct Training {
    pub plan: TrainPlan,
    /// Always a network.
    pub problem: Arc<Problem>,
    /// In the order of the plan: group by group, seed by seed.
    pub runs: Vec<Member>,
    /// What became of the names in the file of weights, where there is something to say.
    pub weight_mapping: Option<String>,
    /// Start of each of the plan's seeds.
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

/// How updates go through the data. Where an update takes several minibatches, epochs need not end with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Whole minibatches of an epoch; an epoch of full batches is one.
    pub of_epoch: u64,
    /// Minibatches of an update.
    pub of_update: u64,
}

impl Pace {
    /// Updates after which so many epochs are over.
    pub fn updates(&self, epochs: u64) -> u64 {
        epochs.saturating_mul(self.of_epoch).div_ceil(self.of_update)
    }

    /// Epochs after so many updates.
    pub fn epochs(&self, updates: u64) -> f64 {
        updates.saturating_mul(self.of_update) as f64 / self.of_epoch as f64
    }
}

/// One run: a group with a seed, both by their place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub group: usize,
    pub seed: usize,
}

impl Training {
    /// Loads the data and lays out the model and the runs.
    ///
    /// # Errors
    /// Where data or weights cannot be had, or do not suit the model or the batches.
    pub fn new(plan: TrainPlan) -> Result<Self> {
        let network = plan.problem.build()?;
        let samples = network.data.samples();
        for group in &plan.groups {
            axes::fits(group.batch, &group.schedule, samples)?;
        }
        let (layers, dimension) = (network.model.layers(), network.dimension());
        let mut all_stages = plan.groups.iter().filter_map(|group| group.stages.as_ref());
        all_stages.try_for_each(|stages| stages.blocks(&layers, dimension).map(drop)).map_err(PlanError)?;
        // A start for every seed, and the zeros that distances are measured from.
        memory::check(&plan.problem.model.to_string(), network.dimension(), plan.seeds.len() + 1, ", or fewer --seeds")
            .map_err(PlanError)?;
        let problem = Arc::new(Problem::Network(network));
        for group in &plan.groups {
            axes::suits_problem(&group.rule, &plan.problem.model, &problem)?;
        }
        let mut weight_mapping = None;
        let starts = match &plan.problem.init {
            Some(path) => {
                let read = weights::load(&problem, path, plan.problem.map.as_ref(), Wanted::WithStatistics);
                let LoadedWeights { parameters, statistics, mapping } =
                    read.map_err(|error| PlanError(format!("--init {error}")))?;
                let start = Start { weights: Arc::new(parameters), statistics: Some(Arc::new(statistics)) };
                weight_mapping = mapping;
                vec![start; plan.seeds.len()]
            }
            None => {
                let fresh = |seed| Start { weights: Arc::new(network_of(&problem).model.init(seed)), statistics: None };
                plan.seeds.iter().map(|seed| fresh(*seed)).collect()
            }
        };
        let members = |group: usize| (0..plan.seeds.len()).map(move |seed| Member { group, seed });
        let runs = (0..plan.groups.len()).flat_map(members).collect();
        Ok(Self { plan, problem, runs, weight_mapping, starts })
    }

    pub fn network(&self) -> &Network {
        network_of(&self.problem)
    }

    pub fn group(&self, run: usize) -> &Group {
        &self.plan.groups[self.runs[run].group]
    }

    pub fn seed(&self, run: usize) -> u64 {
        self.plan.seeds[self.runs[run].seed]
    }

    pub fn run_id(&self, run: usize) -> String {
        self.plan.run_id(self.group(run), self.seed(run))
    }

    /// x_0
    pub fn start(&self, run: usize) -> &Arc<Vec<f64>> {
        &self.starts[self.runs[run].seed].weights
    }

    /// Every number that a file of weights brought: x_0 of every run and its running statistics.
    pub fn loaded(&self) -> Vec<f64> {
        let Start { weights, statistics } = &self.starts[0];
        weights.iter().chain(statistics.iter().flat_map(|statistics| statistics.iter())).copied().collect()
    }

    /// Rows of an update's gradient, where they are not all.
    pub fn rows(&self, run: usize) -> Option<usize> {
        let group = self.group(run);
        axes::rows(group.batch, &group.schedule)
    }

    /// How updates go through the data, of runs whose gradients have so many rows.
    pub fn pace(&self, rows: Option<usize>, work: WorkShape) -> Pace {
        let of_epoch = rows.map_or(1, |rows| (self.network().data.samples() / rows) as u64);
        Pace { of_epoch, of_update: work.batches }
    }

    /// The same of a run.
    pub fn pace_of(&self, run: usize) -> Pace {
        self.pace(self.rows(run), self.group(run).work_shape())
    }

    /// Updates of a run.
    pub fn steps(&self, run: usize) -> u64 {
        self.pace_of(run).updates(self.plan.options.epochs)
    }

    /// What a run needs room for.
    pub(crate) fn needs(&self, run: usize) -> Needs {
        let group = self.group(run);
        Needs { evaluation: true, ..Needs::of(&group.rule, &group.schedule, false).with(group.work_shape()) }
    }

    /// A run as engines take it.
    pub(crate) fn run(&self, run: usize) -> Run {
        let (group, options) = (self.group(run), &self.plan.options);
        let pace = self.pace_of(run);
        let updates = |epochs: u64| pace.updates(epochs);
        Run {
            rule: group.rule,
            lr: options.regime.learning_rate(group.lr_scaled, options.epochs, options.warm_up, updates),
            schedule: group.schedule.clone(),
            seed: self.seed(run),
            start: Arc::clone(self.start(run)),
            centred: false,
            undamped_start: true,
            second_moment: None,
            statistics: self.starts[self.runs[run].seed].statistics.clone(),
            outer: group.outer,
            stages: self.stages(group),
        }
    }

    /// The stages of a group's runs; none where all parameters go together.
    fn stages(&self, group: &Group) -> Arc<[Stage]> {
        let Some(stages) = &group.stages else { return [].into() };
        let blocks = stages.blocks(&self.problem.layers(), self.problem.dimension());
        stages.of_run(&group.rule, &blocks.expect("the plan has checked its stages"))
    }

    /// Where sharpness is expected to settle: K* / lr, where theory knows a threshold and the learning rate stays what it is.
    pub fn lambda_predicted(&self, group: &Group) -> Option<f64> {
        if group.outer.local.is_some_and(|local| local.rule != LocalRule::Sgd) {
            return None;
        }
        // That of stages depends on the Hessian, which changes on the way.
        if group.stages.is_some() {
            return None;
        }
        let stays = self.plan.options.regime == RegimeSpec::Constant;
        let predicted = stays.then(|| gain(&group.rule, &group.schedule, &group.outer).ok()).flatten();
        let predicted = predicted.and_then(|gain| group.outer.curvature(gain, group.lr_scaled));
        predicted.filter(|sharpness| sharpness.is_finite())
    }

    /// Where preconditioned sharpness is expected to settle: K* / lr of the rule with a frozen second moment, where theory knows
    /// a threshold and the learning rate stays what it is. None in outer loops and with stages, whose updates are others.
    pub fn preconditioned_predicted(&self, group: &Group) -> Option<f64> {
        let Group { rule, schedule, outer, stages, lr_scaled: lr, .. } = group;
        if self.plan.options.preconditioned.is_none()
            || self.plan.options.regime != RegimeSpec::Constant
            || !outer.is_plain()
            || stages.is_some()
        {
            return None;
        }
        let law = schedule.theory().filter(DelayLaw::is_fixed)?;
        let equation = rule.frozen_equation(&law, lr * self.plan.problem.weight_decay)?;
        let predicted = theory::threshold(&equation, Criterion::Mean).ok()?.gain / lr;
        predicted.is_finite().then_some(predicted)
    }
}

fn network_of(problem: &Problem) -> &Network {
    match problem {
        Problem::Network(network) => network,
        Problem::Quadratic(_) | Problem::Dense(_) => unreachable!("a training has data"),
    }
}

impl TrainProblem {
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
