//! From flags to a [`Plan`]: every default resolved, axes expanded, limits checked, serialisable and hashed.
//!
//! Not here: what the flags look like ([`crate::flags`]) and anything that computes.

use crate::flags::{Batch, Dampening, EngineChoice, ModelSpec, Precision, Samples, ScheduleName, SweepArgs};
use crate::kernels::activation::Activation;
use crate::kernels::loss::Loss;
use crate::problem::data::{DataError, DataSource, Dataset};
use crate::problem::model::Model;
use crate::problem::{Network, Problem, Quadratic};
use crate::rule::{Rule, RuleKind};
use crate::schedule::Schedule;
use crate::threshold::Criterion;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Momentum of every rule that has one, unless asked otherwise.
const MOMENTUM: f64 = 0.9;

/// Rules of a plan that names none.
const RULES: [RuleKind; 3] = [RuleKind::Sgd, RuleKind::HeavyBall, RuleKind::Shifted];

/// Delays of a plan that names none, updates.
const DELAYS: [u32; 7] = [0, 1, 2, 4, 8, 16, 32];

/// Longest delay of a sweep, updates.
const LONGEST: u32 = 1_000_000;

/// Steps after which a run is given up (or, with minibatches, has stayed), in units of delay + 1.
const HORIZON: [(Criterion, u64); 2] = [(Criterion::Mean, 16_384), (Criterion::Escape, 1_024)];

/// A sweep with nothing left open. The same plan on the same engine and adapter gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub problem: ProblemPlan,
    /// Every (rule, momentum, dampening) of the grid.
    pub rules: Vec<Rule>,
    /// Updates.
    pub delays: Vec<u32>,
    pub schedule: ScheduleName,
    pub batch: Batch,
    pub seed_order: u64,
    pub criterion: Criterion,
    /// Relative width of a bracket at which a cell is done.
    pub tolerance: f64,
    /// Steps after which a run is given up, in units of delay + 1.
    pub horizon: u64,
    pub engine: EngineChoice,
    pub adapter: Option<String>,
    pub precision: Precision,
}

/// What is minimised, and which of its minima.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemPlan {
    /// None for a quadratic, as are samples, activation and loss.
    pub data: Option<DataSource>,
    pub samples: Option<Samples>,
    pub model: ModelSpec,
    pub activation: Option<Activation>,
    pub loss: Option<Loss>,
    pub weight_decay: f64,
    pub seed_data: u64,
    pub seed_init: u64,
    /// A file to load the minimum from, instead of training to it.
    pub minimum: Option<PathBuf>,
    /// Largest |gradient entry| that counts as zero.
    pub gradient_tolerance: f64,
}

/// Flags that make no plan. The message names the flag, the value and what would be accepted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

macro_rules! refuse {
    ($($message:tt)*) => { return Err(PlanError(format!($($message)*))) };
}

impl Plan {
    /// Resolves flags.
    ///
    /// # Errors
    /// The first flag that is out of range, or contradicts another.
    pub fn resolve(args: &SweepArgs) -> Result<Self, PlanError> {
        let problem = ProblemPlan::resolve(args)?;
        let rules = rules(args)?;
        let delays = if args.delays.is_empty() {
            DELAYS.to_vec()
        } else {
            args.delays
                .iter()
                .flat_map(|delays| delays.0.iter().map(|delay| u32::try_from(*delay).unwrap_or(u32::MAX)))
                .collect()
        };
        if let Some(delay) = delays.iter().find(|delay| **delay > LONGEST) {
            refuse!("--delays: {delay}; accepted: up to {LONGEST} updates (a run stores delay + 1 weight versions)");
        }
        if let Some(delay) = first_repeated(&delays) {
            refuse!("--delays: {delay} stands twice; accepted: each delay once");
        }
        if let Batch::Size(batch) = args.batch {
            let Some(samples) = problem.samples else {
                refuse!("--batch {batch}: a quadratic has no samples; accepted: full");
            };
            if let Samples::Count(samples) = samples
                && batch > samples
            {
                refuse!("--batch {batch}: more than the {samples} samples; accepted: 1 to {samples}, or full");
            }
        }
        if !(args.tolerance >= 1e-4 && args.tolerance <= 0.5) {
            refuse!("--tolerance {}: accepted: 0.0001 to 0.5 (the bracket's relative width)", args.tolerance);
        }
        if args.precision == Precision::F64 && args.engine == EngineChoice::Gpu {
            refuse!("--precision f64: the gpu engine computes in f32; accepted: f32, or --engine cpu");
        }
        if args.adapter.is_some() && args.engine != EngineChoice::Gpu {
            refuse!("--adapter: only the gpu engine has adapters; accepted: with --engine gpu");
        }
        let criterion = if args.batch == Batch::Full { Criterion::Mean } else { Criterion::Escape };
        let usual = HORIZON.iter().find(|(of, _)| *of == criterion).map_or(0, |(_, horizon)| *horizon);
        Ok(Self {
            problem,
            rules,
            delays,
            schedule: args.schedule,
            batch: args.batch,
            seed_order: args.seed_order,
            criterion,
            tolerance: args.tolerance,
            horizon: args.horizon.unwrap_or(usual),
            engine: args.engine,
            adapter: args.adapter.clone(),
            precision: args.precision,
        })
    }

    /// Every cell of the grid, rule by rule, delays in the order given.
    pub fn cells(&self) -> Vec<Cell> {
        let with_delay = |rule: &Rule| {
            let rule = *rule;
            self.delays.iter().map(move |delay| Cell {
                rule,
                schedule: self.schedule.with_delay(*delay),
                delay: *delay,
            })
        };
        self.rules.iter().flat_map(with_delay).collect()
    }

    /// Short content hash of the plan.
    pub fn hash(&self) -> String {
        short_hash(self)
    }

    /// Short content hash of a cell: everything of its runs but the learning rate.
    pub fn cell_id(&self, cell: &Cell) -> String {
        short_hash(&(&self.problem, cell, self.batch, self.seed_order, self.criterion, self.tolerance, self.horizon))
    }
}

/// One row of the threshold table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub rule: Rule,
    pub delay: u32,
    pub schedule: Schedule,
}

impl ProblemPlan {
    fn resolve(args: &SweepArgs) -> Result<Self, PlanError> {
        if !(args.weight_decay >= 0.0 && args.weight_decay.is_finite()) {
            refuse!("--weight-decay {}: accepted: 0 or a positive number", args.weight_decay);
        }
        if !(args.gradient_tolerance > 0.0 && args.gradient_tolerance.is_finite()) {
            refuse!("--gradient-tolerance {}: accepted: a positive number", args.gradient_tolerance);
        }
        let shared = Self {
            data: None,
            samples: None,
            model: args.model.clone(),
            activation: None,
            loss: None,
            weight_decay: args.weight_decay,
            seed_data: args.seed_data,
            seed_init: args.seed_init,
            minimum: args.minimum.clone(),
            gradient_tolerance: args.gradient_tolerance,
        };
        if let ModelSpec::Quadratic(_) = args.model {
            if args.minimum.is_some() {
                refuse!("--minimum: the minimum of a quadratic is 0; accepted: with mlp or linear models");
            }
            return Ok(Self { weight_decay: 0.0, ..shared });
        }
        let samples = args.samples;
        let activation = (args.model != ModelSpec::Linear).then_some(args.activation);
        Ok(Self { data: Some(args.data), samples: Some(samples), activation, loss: Some(args.loss), ..shared })
    }

    /// Loads the data and lays out the model.
    ///
    /// # Errors
    /// Where the data cannot be had in the asked amount.
    pub fn build(&self) -> Result<Problem, DataError> {
        let hidden: &[usize] = match &self.model {
            ModelSpec::Quadratic(eigenvalues) => {
                return Ok(Problem::Quadratic(Quadratic { eigenvalues: eigenvalues.clone() }));
            }
            ModelSpec::Linear => &[],
            ModelSpec::Mlp(hidden) => hidden,
        };
        let count = match self.samples {
            Some(Samples::Count(count)) => Some(count),
            Some(Samples::All) | None => None,
        };
        const RESOLVED: &str = "a resolved plan names the data and the loss of a network";
        let data = Dataset::load(self.data.expect(RESOLVED), count, self.seed_data)?;
        // A linear model has none, and no layer that would apply it.
        let activation = self.activation.unwrap_or(Activation::Tanh);
        let model = Model::mlp(data.features, hidden, data.classes, activation);
        let (loss, weight_decay) = (self.loss.expect(RESOLVED), self.weight_decay);
        Ok(Problem::Network(Network { model, loss, weight_decay, data }))
    }
}

/// Expands rules x momenta x dampenings. Without --dampening each rule comes in the forms worth comparing.
fn rules(args: &SweepArgs) -> Result<Vec<Rule>, PlanError> {
    let kinds = if args.rules.is_empty() { RULES.to_vec() } else { args.rules.clone() };
    let momenta: Vec<f64> = if args.momentum.is_empty() {
        vec![MOMENTUM]
    } else {
        args.momentum.iter().flat_map(|momenta| momenta.0.clone()).collect()
    };
    let mut rules = Vec::new();
    for kind in kinds {
        if kind == RuleKind::Sgd {
            rules.push(Rule::SGD);
            continue;
        }
        let usual: &[Dampening] = match kind {
            RuleKind::HeavyBall => &[Dampening::Value(0.0), Dampening::Ema],
            RuleKind::Shifted => &[Dampening::Ema],
            RuleKind::Sgd | RuleKind::Nesterov => &[Dampening::Value(0.0)],
        };
        let dampenings = if args.dampening.is_empty() { usual } else { &args.dampening };
        for momentum in &momenta {
            for dampening in dampenings {
                let dampening = dampening.beside(*momentum);
                if !(0.0..1.0).contains(&dampening) {
                    refuse!("--dampening {dampening}: accepted: 0 or more and less than 1, or ema (the momentum)");
                }
                rules.push(Rule { kind, momentum: *momentum, dampening });
            }
        }
    }
    if let Some(Rule { kind, momentum, dampening }) = first_repeated(&rules) {
        refuse!(
            "--rules, --momentum, --dampening: {kind} with momentum {momentum} and dampening {dampening} stands twice; \
             accepted: each once"
        );
    }
    Ok(rules)
}

fn first_repeated<T: PartialEq + Copy>(items: &[T]) -> Option<T> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(_, item)| *item)
}

fn short_hash(content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("plans hold nothing that JSON cannot");
    blake3::hash(&json).to_hex()[..12].to_string()
}
