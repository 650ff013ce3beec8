//! The plan of a sweep: the cells whose thresholds are measured, around which minimum, and when a measurement ends.
//!
//! Not here: the measurement ([`crate::sweep`]).

use super::axes::{self, Setting, few, first_repeated, once};
use super::cell::Cell;
use super::{PlanError, SweepProblem, preconditioned, refuse, short_hash};
use crate::batch::Sampling;
use crate::config::{Batch, EngineArgs, GridArgs, ModelSpec, Samples, SweepArgs};
use crate::delay::Schedule;
use crate::memory;
use crate::outer::{LocalRule, LocalSteps, OuterLoop};
use crate::problem::Problem;
use crate::rule::{Locality, Rule};
use crate::threshold::Criterion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Vectors as long as the weights that the search for a minimum keeps: steps and changes of the gradient of 20 iterations,
/// and a few more.
const SEARCH_VECTORS: usize = 2 * 20 + 8;

/// Most runs of an ensemble.
const MOST_MEMBERS: usize = 1 << 16;

/// A sweep with nothing left open. The same plan on the same engine and adapter gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPlan {
    pub problem: SweepProblem,
    /// The cells are those of every grid in turn.
    pub grids: Vec<Grid>,
    pub sampling: Sampling,
    /// Seed of minibatch orders and delay processes.
    pub seed_order: u64,
    /// Runs of an ensemble, where a cell's criterion asks for one.
    pub ensemble: usize,
    /// Number of Hessian eigenvalues written of the minimum, where they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<u16>,
    /// Learning rates at which rates of approach are measured, in the place of thresholds; empty for thresholds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<f64>,
    /// Whether the steps of runs are written down.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trace_runs: bool,
    /// By criterion, for those in use.
    pub limits: BTreeMap<Criterion, Limits>,
    #[serde(flatten)]
    pub engine: EngineArgs,
}

/// A product of axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grid {
    /// Every (rule, number, momentum, dampening).
    pub rules: Vec<Rule>,
    pub settings: Vec<Setting>,
    pub batches: Vec<Batch>,
    /// One, which is plain, where there are no outer loops.
    #[serde(skip_serializing_if = "are_plain")]
    pub outers: Vec<OuterLoop>,
    /// Where empty, each cell has the strictest that it admits.
    pub criteria: Vec<Criterion>,
}

fn are_plain(outers: &[OuterLoop]) -> bool {
    outers.iter().all(OuterLoop::is_plain)
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

    /// The same of rates: a relative error, and the time until which the slowest direction has to have shown it.
    fn usual_of_rates(criterion: Criterion) -> Self {
        match criterion {
            Criterion::Mean | Criterion::Escape => Self { tolerance: 0.02, horizon: 1 << 20 },
            Criterion::MeanSquare | Criterion::AlmostSure => Self { tolerance: 0.05, horizon: 1 << 16 },
        }
    }
}

impl SweepPlan {
    /// Resolves flags: the problem and the way of measuring from the first, one grid from each.
    ///
    /// # Errors
    /// The first flag that is out of range, or contradicts another.
    ///
    /// # Panics
    /// Where `args` is empty.
    pub fn resolve(args: &[SweepArgs]) -> Result<Self, PlanError> {
        let first = args.first().expect("flags to resolve");
        let problem = SweepProblem::resolve(first)?;
        if let Some(tolerance) = first.tolerance.filter(|tolerance| !(1e-4..=0.5).contains(tolerance)) {
            refuse!("--tolerance {tolerance}: accepted: 0.0001 to 0.5 (the bracket's relative width)");
        }
        if !(2..=MOST_MEMBERS).contains(&first.ensemble) {
            refuse!("--ensemble {}: accepted: 2 to {MOST_MEMBERS} runs", first.ensemble);
        }
        first.engine.check()?;
        let grids = args.iter().map(Grid::resolve).collect::<Result<Vec<_>, _>>()?;
        let rates = rates(first)?;
        let cells = grids.iter().fold(0, |cells: usize, grid| cells.saturating_add(grid.size()));
        let cells = cells.saturating_mul(rates.len().max(1));
        few("--rules, --momentum, --dampening, --delays, --schedule, --batch, --criterion", cells)?;
        let mut plan = Self {
            problem,
            grids,
            sampling: first.grid.sampling,
            seed_order: first.seed_order,
            ensemble: first.ensemble,
            top: first.top,
            rates,
            trace_runs: first.job.trace_runs,
            limits: BTreeMap::new(),
            engine: first.engine.clone(),
        };
        let cells = plan.cells();
        if plan.grids.len() > 1 {
            // Within a grid no axis says anything twice.
            let names: Vec<String> = cells.iter().map(Cell::name).collect();
            if let Some(name) = first_repeated(&names) {
                refuse!("{name} stands in two grids; accepted: each cell once");
            }
        }
        if plan.is_preconditioned() {
            preconditioned::check_all(&cells)?;
        }
        for cell in cells {
            plan.check(&cell)?;
            plan.limits.entry(cell.criterion).or_insert_with(|| {
                let of_rates = !plan.rates.is_empty();
                let usual =
                    if of_rates { Limits::usual_of_rates(cell.criterion) } else { Limits::usual(cell.criterion) };
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
        for Grid { rules, settings, batches, outers, criteria } in &self.grids {
            for rule in rules {
                for Setting { schedule, delay, stages } in settings {
                    for batch in batches {
                        let fitting = [fitting(rule, schedule, *batch, self.is_preconditioned())];
                        let criteria = if criteria.is_empty() { &fitting[..] } else { criteria };
                        for outer in outers {
                            cells.extend(criteria.iter().map(|criterion| Cell {
                                rule: *rule,
                                schedule: schedule.clone(),
                                delay: *delay,
                                batch: *batch,
                                criterion: *criterion,
                                outer: *outer,
                                stages: stages.clone(),
                            }));
                        }
                    }
                }
            }
        }
        cells
    }

    /// Whether second moments stand still.
    pub fn is_preconditioned(&self) -> bool {
        self.problem.preconditioner.is_some()
    }

    /// Whether the parts of a cell go together.
    fn check(&self, cell: &Cell) -> Result<(), PlanError> {
        let Cell { rule, schedule, batch, criterion, .. } = cell;
        let definition = rule.definition();
        let (name, model) = (rule.name(), &self.problem.model);
        match self.problem.samples {
            Some(Samples::Count(samples)) => axes::fits(*batch, schedule, samples)?,
            Some(Samples::All) => {}
            // How many samples a file of Hessians has is known when it is read.
            None => {
                if let (ModelSpec::Quadratic(_), Batch::Size(size)) = (model, batch) {
                    refuse!("--batch {size}: a quadratic has no samples; accepted: full");
                }
            }
        }
        axes::suits(rule, schedule)?;
        axes::suits_outer(rule, schedule, cell.delay, &cell.outer)?;
        axes::suits_stages(rule, &cell.outer, cell.stages.as_ref())?;
        if model.is_quadratic() && rule.companion().is_some() {
            refuse!("--rules {name} with --model {model}: it moves matrices of a network; accepted: --rules adamw");
        }
        if let (true, Some(stages)) = (model.is_quadratic(), &cell.stages)
            && stages.is_split()
        {
            refuse!("--stashing off with --model {model}: it has no backward pass; accepted: --stashing on");
        }
        if let Some(LocalSteps { rule, .. }) = cell.outer.local
            && rule != LocalRule::Sgd
        {
            refuse!(
                "--local-rule {rule} in a sweep: its steps do not shrink near a minimum, so that there is no growth rate; accepted: \
                 sgd, or in `tauscope train`"
            );
        }
        if definition.locality == Locality::ScalesWithHessian && !matches!(model, ModelSpec::Quadratic(_)) {
            refuse!("--rules {name}: it needs a diagonal Hessian; accepted: with --model quadratic:EIGENVALUES");
        }
        if self.is_preconditioned() {
            preconditioned::check(&self.problem, cell)?;
        } else if definition.locality == Locality::Restless && *criterion != Criterion::Escape {
            refuse!(
                "--criterion {criterion} with --rules {name}: its steps do not shrink near a minimum, so that there is no \
                 growth rate; accepted: escape"
            );
        }
        if *criterion == Criterion::Escape && !self.rates.is_empty() {
            refuse!(
                "--rates with --criterion escape and --rules {name}: it has no rate; accepted: mean, mean-square, almost-sure"
            );
        }
        if *criterion == Criterion::Mean && is_random(schedule, *batch) {
            let process = schedule.name();
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
        memory::check(&self.problem.model.to_string(), problem.dimension(), SEARCH_VECTORS, "")?;
        let layers = problem.layers();
        for Cell { rule, batch, schedule, stages, .. } in self.cells() {
            axes::suits_problem(&rule, &self.problem.model, &problem)?;
            if let Some(stages) = stages {
                stages.blocks(&layers, problem.dimension())?;
            }
            match (problem.samples(), batch) {
                (Some(samples), _) => axes::fits(batch, &schedule, samples)?,
                (None, Batch::Full) => {}
                (None, Batch::Size(size)) => refuse!(
                    "--batch {size}: the array h of {} is one Hessian without samples; accepted: full, or an array of shape \
                     (n, P, P)",
                    self.problem.model
                ),
            }
        }
        Ok(problem)
    }

    pub fn limits(&self, criterion: Criterion) -> Limits {
        self.limits[&criterion]
    }

    /// Rows of an update's gradient, where they are not all.
    pub fn rows(&self, cell: &Cell) -> Option<usize> {
        axes::rows(cell.batch, &cell.schedule)
    }

    /// Short content hash of a cell at a learning rate.
    pub fn rate_id(&self, cell: &Cell, lr: f64) -> String {
        short_hash('r', &(self.cell_id(cell), lr))
    }

    /// Runs that one learning rate of this cell takes.
    pub fn members(&self, cell: &Cell) -> usize {
        let chance = is_random(&cell.schedule, cell.batch);
        if cell.criterion.is_statistical() && chance { self.ensemble } else { 1 }
    }

    /// Short content hash of the plan.
    pub fn hash(&self) -> String {
        short_hash('p', self)
    }

    /// The same of a plan that goes on from another sweep, of which `facts` tell.
    pub fn hash_beside(&self, facts: &impl Serialize) -> String {
        short_hash('p', &(self, facts))
    }

    /// Short content hash of a cell: everything of its runs but the learning rate.
    pub fn cell_id(&self, cell: &Cell) -> String {
        self.cell_id_within(cell, self.limits(cell.criterion))
    }

    /// The same where the cell's measurement ends elsewhere.
    pub fn cell_id_within(&self, cell: &Cell, limits: Limits) -> String {
        let Self { problem, sampling, seed_order, .. } = self;
        short_hash('c', &(problem, cell, sampling, seed_order, self.members(cell), limits))
    }
}

/// Whether runs that differ in their seed alone differ.
fn is_random(schedule: &Schedule, batch: Batch) -> bool {
    schedule.is_random() || batch != Batch::Full
}

/// The criterion of a cell where none is asked for: the strictest that it admits.
fn fitting(rule: &Rule, schedule: &Schedule, batch: Batch, preconditioned: bool) -> Criterion {
    match rule.definition().locality {
        Locality::Restless if !preconditioned => Criterion::Escape,
        _ if is_random(schedule, batch) => Criterion::MeanSquare,
        _ => Criterion::Mean,
    }
}

/// The learning rates of `--rates`.
fn rates(args: &SweepArgs) -> Result<Vec<f64>, PlanError> {
    let rates: Vec<f64> = args.rates.iter().flat_map(|rates| &rates.0).copied().collect();
    if let Some(twice) = first_repeated(&rates.iter().map(ToString::to_string).collect::<Vec<_>>()) {
        refuse!("--rates {twice} stands there twice; accepted: each learning rate once");
    }
    Ok(rates)
}

impl Grid {
    /// Number of cells.
    fn size(&self) -> usize {
        let Self { rules, settings, batches, outers, criteria } = self;
        [settings.len(), batches.len(), outers.len(), criteria.len().max(1)]
            .iter()
            .fold(rules.len(), |a, b| a.saturating_mul(*b))
    }

    fn resolve(args: &SweepArgs) -> Result<Self, PlanError> {
        let GridArgs { momentum, dampening, batch, .. } = &args.grid;
        once("--batch", batch)?;
        once("--criterion", &args.criterion)?;
        Ok(Self {
            rules: axes::rules(&axes::modified(&args.grid)?, momentum, dampening)?,
            settings: axes::settings(&args.grid)?,
            batches: batch.clone(),
            outers: args.grid.outer.loops()?,
            criteria: args.criterion.clone(),
        })
    }
}
