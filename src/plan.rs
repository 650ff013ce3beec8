//! From flags to a [`Plan`]: every default resolved, axes expanded, limits checked, serialisable and hashed.
//!
//! Not here: what the flags look like ([`crate::flags`]) and anything that computes.

use crate::flags::{Batch, EngineChoice, ModelSpec, Precision, Samples, ScheduleSpec, SweepArgs};
use crate::kernels::activation::Activation;
use crate::kernels::loss::Loss;
use crate::problem::data::{DataSource, Dataset};
use crate::problem::{Network, Problem, Quadratic};
use crate::rule::{Dampening, Locality, Rule, RuleKind, RuleSpec};
use crate::schedule::{Sampling, Schedule, ScheduleError};
use crate::threshold::Criterion;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// Rules of a plan that names none.
const RULES: [RuleKind; 3] = [RuleKind::Sgd, RuleKind::HeavyBall, RuleKind::Shifted];

/// Delays of a plan that names none, updates.
const DELAYS: [u32; 7] = [0, 1, 2, 4, 8, 16, 32];

/// Longest delay of a sweep, updates.
const LONGEST: u32 = 1_000_000;

/// Cells of one plan at most, which holds them all in memory.
const MOST_CELLS: usize = 10_000_000;

/// Most runs of an ensemble.
const MOST_MEMBERS: usize = 1 << 16;

/// A sweep with nothing left open. The same plan on the same engine and adapter gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    pub problem: ProblemPlan,
    /// The cells are those of every grid in turn.
    pub grids: Vec<Grid>,
    pub sampling: Sampling,
    /// Seed of minibatch orders and delay processes.
    pub seed_order: u64,
    /// Runs of an ensemble, where a cell's criterion asks for one.
    pub ensemble: usize,
    /// By criterion, for those in use.
    pub limits: BTreeMap<Criterion, Limits>,
    pub engine: EngineChoice,
    pub adapter: Option<String>,
    pub precision: Precision,
}

/// A product of axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grid {
    /// Every (rule, number, momentum, dampening).
    pub rules: Vec<Rule>,
    pub settings: Vec<Setting>,
    pub batches: Vec<Batch>,
    /// Where empty, each cell has the strictest that it admits.
    pub criteria: Vec<Criterion>,
}

/// A delay process and the delay that it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    pub schedule: Schedule,
    /// Updates; none for a process that brings its own delays.
    pub delay: Option<u32>,
}

/// When a measurement ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Relative width of a bracket at which a cell is done.
    pub tolerance: f64,
    /// Steps after which a run is given up (or, under the escape criterion, has stayed), in units of delay + 1.
    pub horizon: u64,
}

impl Limits {
    fn usual(criterion: Criterion) -> Self {
        let (tolerance, horizon) = match criterion {
            Criterion::Mean => (0.01, 16_384),
            Criterion::MeanSquare | Criterion::AlmostSure => (0.03, 8_192),
            Criterion::Escape => (0.01, 1_024),
        };
        Self { tolerance, horizon }
    }
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
    /// Resolves flags: the problem and the way of measuring from the first, one grid from each.
    ///
    /// # Errors
    /// The first flag that is out of range, or contradicts another.
    ///
    /// # Panics
    /// Where `args` is empty.
    pub fn resolve(args: &[SweepArgs]) -> Result<Self, PlanError> {
        let first = args.first().expect("flags to resolve");
        let problem = ProblemPlan::resolve(first)?;
        if let Some(tolerance) = first.tolerance.filter(|tolerance| !(1e-4..=0.5).contains(tolerance)) {
            refuse!("--tolerance {tolerance}: accepted: 0.0001 to 0.5 (the bracket's relative width)");
        }
        if !(2..=MOST_MEMBERS).contains(&first.ensemble) {
            refuse!("--ensemble {}: accepted: 2 to {MOST_MEMBERS} runs", first.ensemble);
        }
        check_engine(first.engine, first.adapter.as_deref(), first.precision)?;
        let grids = args.iter().map(Grid::resolve).collect::<Result<Vec<_>, _>>()?;
        let cells = grids.iter().fold(0, |cells: usize, grid| cells.saturating_add(grid.size()));
        few("--rules, --momentum, --dampening, --delays, --schedule, --batch, --criterion", cells)?;
        let mut plan = Self {
            problem,
            grids,
            sampling: first.sampling,
            seed_order: first.seed_order,
            ensemble: first.ensemble,
            limits: BTreeMap::new(),
            engine: first.engine,
            adapter: first.adapter.clone(),
            precision: first.precision,
        };
        let cells = plan.cells();
        if plan.grids.len() > 1 {
            // Within a grid no axis says anything twice.
            let names: Vec<String> = cells.iter().map(Cell::name).collect();
            if let Some(name) = first_repeated(&names) {
                refuse!("{name} stands in two grids; accepted: each cell once");
            }
        }
        for cell in cells {
            plan.check(&cell)?;
            plan.limits.entry(cell.criterion).or_insert_with(|| {
                let usual = Limits::usual(cell.criterion);
                Limits {
                    tolerance: first.tolerance.unwrap_or(usual.tolerance),
                    horizon: first.horizon.unwrap_or(usual.horizon),
                }
            });
        }
        Ok(plan)
    }

    /// Every cell, grid by grid; in a grid rule by rule, then by schedule, delay, batch and criterion, in the order given.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for Grid { rules, settings, batches, criteria } in &self.grids {
            for rule in rules {
                for Setting { schedule, delay } in settings {
                    for batch in batches {
                        let fitting = [fitting(rule, schedule, *batch)];
                        let criteria = if criteria.is_empty() { &fitting[..] } else { criteria };
                        cells.extend(criteria.iter().map(|criterion| Cell {
                            rule: *rule,
                            schedule: schedule.clone(),
                            delay: *delay,
                            batch: *batch,
                            criterion: *criterion,
                        }));
                    }
                }
            }
        }
        cells
    }

    /// Whether the parts of a cell go together.
    fn check(&self, cell: &Cell) -> Result<(), PlanError> {
        let Cell { rule, schedule, batch, criterion, .. } = cell;
        let (definition, quadratic) = (rule.definition(), self.problem.data.is_none());
        let (name, process) = (rule.name(), schedule.name());
        if let Batch::Size(size) = batch {
            let Some(samples) = self.problem.samples else {
                refuse!("--batch {size}: a quadratic has no samples; accepted: full");
            };
            if let Samples::Count(samples) = samples {
                check_rows(*size, schedule, samples)?;
            }
        }
        if definition.workers && schedule.workers().is_none() {
            refuse!(
                "--rules {name} with --schedule {process}: the rule keeps something for each worker, and this process has \
                 no workers; accepted: round-robin, random, normal, workers, hybrid"
            );
        }
        if definition.locality == Locality::ScalesWithHessian && !quadratic {
            refuse!("--rules {name}: it needs the true Hessian; accepted: with --model quadratic");
        }
        if definition.locality == Locality::Restless && *criterion != Criterion::Escape {
            refuse!(
                "--criterion {criterion} with --rules {name}: its steps do not shrink near a minimum, so that there is no \
                 growth rate; accepted: escape"
            );
        }
        if *criterion == Criterion::Mean && is_random(schedule, *batch) {
            refuse!(
                "--criterion mean with --schedule {process} and --batch {batch}: runs differ by chance, and the mean over \
                 all of them is not measurable; accepted: mean-square, almost-sure, escape"
            );
        }
        Ok(())
    }

    /// Loads the data and lays out the model.
    ///
    /// # Errors
    /// Where the data cannot be had in the asked amount, or `--samples all` turns out to be fewer than a batch.
    pub fn build(&self) -> Result<Problem, PlanError> {
        let problem = self.problem.build()?;
        if let Some(samples) = problem.samples() {
            for Cell { batch, schedule, .. } in self.cells() {
                batch.size().map_or(Ok(()), |size| check_rows(size, &schedule, samples))?;
            }
        }
        Ok(problem)
    }

    pub fn limits(&self, criterion: Criterion) -> Limits {
        self.limits[&criterion]
    }

    /// Rows of an update's gradient, where they are not all.
    pub fn rows(&self, cell: &Cell) -> Option<usize> {
        cell.batch.size().map(|size| size * cell.schedule.group() as usize)
    }

    /// Runs that one learning rate of this cell takes.
    pub fn members(&self, cell: &Cell) -> usize {
        let chance = is_random(&cell.schedule, cell.batch);
        if cell.criterion.is_statistical() && chance { self.ensemble } else { 1 }
    }

    /// Short content hash of the plan.
    pub fn hash(&self) -> String {
        short_hash(self)
    }

    /// Short content hash of a cell: everything of its runs but the learning rate.
    pub fn cell_id(&self, cell: &Cell) -> String {
        let Self { problem, sampling, seed_order, .. } = self;
        short_hash(&(problem, cell, sampling, seed_order, self.members(cell), self.limits(cell.criterion)))
    }
}

/// One row of the threshold table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub rule: Rule,
    pub schedule: Schedule,
    pub delay: Option<u32>,
    pub batch: Batch,
    pub criterion: Criterion,
}

impl Cell {
    /// As a person would say it; another cell has another name.
    pub fn name(&self) -> String {
        let Self { rule: Rule { momentum, dampening, .. }, schedule, delay, batch, criterion } = self;
        let delay = delay.map_or(String::new(), |delay| format!(" at delay {delay}"));
        format!(
            "{} with momentum {momentum} and dampening {dampening}, {}{delay}, batch {batch}, {criterion}",
            self.rule.name(),
            schedule.name()
        )
    }
}

/// Whether there is such an engine.
///
/// # Errors
/// Flags that contradict each other.
pub fn check_engine(engine: EngineChoice, adapter: Option<&str>, precision: Precision) -> Result<(), PlanError> {
    if precision == Precision::F64 && engine == EngineChoice::Gpu {
        refuse!("--precision f64: the gpu engine computes in f32; accepted: f32, or --engine cpu");
    }
    if adapter.is_some() && engine != EngineChoice::Gpu {
        refuse!("--adapter: only the gpu engine has adapters; accepted: with --engine gpu");
    }
    Ok(())
}

/// Refuses batches of which one update takes more samples than there are.
fn check_rows(size: usize, schedule: &Schedule, samples: usize) -> Result<(), PlanError> {
    let rows = size.saturating_mul(schedule.group() as usize);
    if rows > samples {
        let of = if rows == size { String::new() } else { format!(" ({rows} in one update of {})", schedule.name()) };
        refuse!("--batch {size}{of}: more than the {samples} samples; accepted: 1 to {samples}, or full");
    }
    Ok(())
}

/// Whether runs that differ in their seed alone differ.
fn is_random(schedule: &Schedule, batch: Batch) -> bool {
    schedule.is_random() || batch != Batch::Full
}

/// The criterion of a cell where none is asked for: the strictest that it admits.
fn fitting(rule: &Rule, schedule: &Schedule, batch: Batch) -> Criterion {
    match rule.definition().locality {
        Locality::Restless => Criterion::Escape,
        _ if is_random(schedule, batch) => Criterion::MeanSquare,
        _ => Criterion::Mean,
    }
}

impl Grid {
    /// Number of cells.
    fn size(&self) -> usize {
        let Self { rules, settings, batches, criteria } = self;
        [settings.len(), batches.len(), criteria.len().max(1)].iter().fold(rules.len(), |a, b| a.saturating_mul(*b))
    }

    fn resolve(args: &SweepArgs) -> Result<Self, PlanError> {
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
        once("--delays", &delays)?;
        few("--delays, --schedule", delays.len().saturating_mul(args.schedule.len()))?;
        let mut settings = Vec::new();
        for spec in &args.schedule {
            let wrong = |error: ScheduleError| PlanError(error.to_string());
            if spec.takes_delay() {
                for delay in &delays {
                    settings.push(Setting { schedule: spec.resolve(*delay).map_err(wrong)?, delay: Some(*delay) });
                }
            } else {
                settings.push(Setting { schedule: spec.own().map_err(wrong)?, delay: None });
            }
        }
        let names: Vec<String> = args.schedule.iter().map(ScheduleSpec::to_string).collect();
        once("--schedule", &names)?;
        once("--batch", &args.batch)?;
        once("--criterion", &args.criterion)?;
        Ok(Self { rules: rules(args)?, settings, batches: args.batch.clone(), criteria: args.criterion.clone() })
    }
}

/// Refuses a list that says something twice.
fn once<T: std::fmt::Display>(flag: &str, items: &[T]) -> Result<(), PlanError> {
    match first_repeated(items) {
        Some(item) => refuse!("{flag}: {item} stands twice; accepted: each once"),
        None => Ok(()),
    }
}

/// The first item whose text an earlier one has.
fn first_repeated<T: std::fmt::Display>(items: &[T]) -> Option<&T> {
    let mut seen = HashSet::new();
    items.iter().find(|item| !seen.insert(item.to_string()))
}

/// Refuses a product that is too large to expand.
fn few(flags: &str, cells: usize) -> Result<(), PlanError> {
    if cells > MOST_CELLS {
        refuse!("{flags}: {cells} cells; accepted: up to {MOST_CELLS}");
    }
    Ok(())
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
        let activation = args.model.takes_activation().then_some(args.activation);
        Ok(Self { data: Some(args.data.clone()), samples: Some(samples), activation, loss: Some(args.loss), ..shared })
    }

    /// Loads the data and lays out the model.
    ///
    /// # Errors
    /// Where the data cannot be had in the asked amount, or does not suit the model.
    fn build(&self) -> Result<Problem, PlanError> {
        if let ModelSpec::Quadratic(eigenvalues) = &self.model {
            return Ok(Problem::Quadratic(Quadratic { eigenvalues: eigenvalues.clone() }));
        }
        let count = match self.samples {
            Some(Samples::Count(count)) => Some(count),
            Some(Samples::All) | None => None,
        };
        const RESOLVED: &str = "a resolved plan names the data and the loss of a network";
        let data = Dataset::load(self.data.as_ref().expect(RESOLVED), count, self.seed_data)
            .map_err(|error| PlanError(error.to_string()))?;
        // A linear model has none, and no layer that would apply it.
        let activation = self.activation.unwrap_or(Activation::Tanh);
        let model = self.model.model(data.shape, data.classes, activation);
        let model = model.map_err(|why| PlanError(format!("--model {}: {why}", self.model)))?;
        let (loss, weight_decay) = (self.loss.expect(RESOLVED), self.weight_decay);
        Ok(Problem::Network(Network::new(model, loss, weight_decay, data)))
    }
}

/// Expands rules x momenta x dampenings. Without --momentum and --dampening each rule comes in the forms worth comparing.
fn rules(args: &SweepArgs) -> Result<Vec<Rule>, PlanError> {
    let usual = || RULES.map(|kind| RuleSpec { kind, number: None }).to_vec();
    let specs = if args.rules.is_empty() { usual() } else { args.rules.clone() };
    let momenta: Vec<f64> = args.momentum.iter().flat_map(|momenta| momenta.0.clone()).collect();
    once("--rules", &specs)?;
    once("--momentum", &momenta)?;
    if args.dampening.iter().enumerate().any(|(i, one)| args.dampening[..i].contains(one)) {
        refuse!("--dampening: a value stands twice; accepted: each once");
    }
    few(
        "--rules, --momentum, --dampening",
        specs.len() * momenta.len().max(1).saturating_mul(args.dampening.len().max(1)),
    )?;
    let (mut rules, mut seen) = (Vec::new(), HashSet::new());
    for RuleSpec { kind, number } in specs {
        let Some(usual) = kind.definition().momentum else {
            rules.push(Rule { kind, momentum: 0.0, dampening: 0.0, number });
            continue;
        };
        let usual_momentum = [usual.momentum];
        let momenta = if momenta.is_empty() { &usual_momentum[..] } else { &momenta };
        let dampenings: &[Dampening] = if args.dampening.is_empty() { usual.dampenings } else { &args.dampening };
        for momentum in momenta {
            for dampening in dampenings {
                let dampening = dampening.beside(*momentum);
                if !(0.0..1.0).contains(&dampening) {
                    refuse!("--dampening {dampening}: accepted: 0 or more and less than 1, or ema (the momentum)");
                }
                let rule = Rule { kind, momentum: *momentum, dampening, number };
                // ema beside a momentum of 0 says the same as 0.
                if seen.insert((rule.name(), momentum.to_bits(), dampening.to_bits())) {
                    rules.push(rule);
                }
            }
        }
    }
    Ok(rules)
}

fn short_hash(content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("plans hold nothing that JSON cannot");
    blake3::hash(&json).to_hex()[..12].to_string()
}
