//! Cells to waves to results: keeps an engine's lanes full of the runs that the cells' searches ask for.
//!
//! Not here: how a search chooses its learning rates ([`crate::threshold`]), nor files ([`crate::session`]).

mod checkpoint;
mod estimate;
mod evidence;
mod extend;
mod floor;
mod job;
mod measure;
mod preconditioner;
mod prediction;
mod queue;
pub mod rows;
mod search_wave;
mod spectrum;
mod stage_theory;
mod start;
mod tables;
#[cfg(test)]
mod tests;
mod trace;

pub(crate) use checkpoint::{read_monitor, write_monitor};
pub(crate) use extend::differs_from;
pub use job::SweepJob;
pub use spectrum::{BULK, MeasuredSpectrum};
pub(crate) use start::displaced;
pub use start::{Distances, HiddenStart};
pub use tables::{CellEntry, SweepTables, SweepTotals};
pub(crate) use tables::{MINIMUM, copy_eigenvalues};

use crate::curvature::Eigenpair;
use crate::delay::Delays;
use crate::engine::pump::block;
use crate::engine::{Engine, EngineError, Needs, WaveSpec};
use crate::math::FloatFormat;
use crate::minimum::Minimum;
use crate::outer::WorkShape;
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::rule::steps::StepSource;
use crate::threshold::{Criterion, Guess, Level, SearchOutcome, Trial};
use crate::update::UpdateCoefficients;
use preconditioner::Frozen;
use prediction::SharedTheory;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Runs or ensembles wanted for each cell: a search's first round.
const TRIALS_PER_CELL: usize = 4;

/// Where the search for the threshold of a rule without growth rates starts.
const RESTLESS_GUESS: f64 = 1e-3;

/// Updates whose delays are counted for a cell's histogram, at least, where they vary.
const COUNTED: u64 = 16_384;

/// Share of the time in which velocities forget that is a run's unit of time, at least.
const MEMORY_SHARE: f64 = 0.1;

/// Share of the tolerance that the rounding of the momentum may move a threshold by.
const ROUNDED_MOMENTUM: f64 = 0.1;

/// How many times as large the updates must be whose rule reads weights ahead of the server's by a fraction of the last update:
/// of a few last digits that fraction is rounded to all of them, always in the same direction.
const LOOKAHEAD: f64 = 20.0;

/// How far velocities that forget in so many steps may raise a displacement that decays in the end, in units of these steps: twice the largest share seen.
const RAISED: f64 = 4.0;

/// What one cell came to.
#[derive(Clone, Debug)]
pub struct CellResult {
    pub outcome: SearchOutcome,
    pub trials: Vec<Trial>,
    /// Format of the numbers that its runs were made of.
    pub format: FloatFormat,
}

/// A cell with what its search starts from.
#[derive(Clone, Debug)]
pub struct StartedCell {
    pub cell: Cell,
    pub guess: Guess,
    /// Trials that were made before; none for a search that starts afresh.
    pub known: Vec<Trial>,
    /// Format of their numbers; none where that is the sweep's. A cell whose trials are of f64 is measured in it alone.
    pub known_in: Option<FloatFormat>,
}

impl StartedCell {
    /// A search that starts afresh.
    pub fn new(cell: Cell, guess: Guess) -> Self {
        Self { cell, guess, known: Vec::new(), known_in: None }
    }
}

/// Everything that the cells of a sweep share.
#[derive(Clone, Debug)]
pub struct PreparedSweep {
    pub plan: SweepPlan,
    pub problem: Arc<Problem>,
    pub minimum: Minimum,
    /// Second moments that stand still, and what they make of the Hessian.
    frozen: Option<Arc<Frozen>>,
    /// Format of the numbers that its runs are made of.
    pub format: FloatFormat,
    start: [Arc<Vec<f64>>; 2],
    pub distances: Distances,
    floor: Level,
    /// Variance over samples of v^T H_i v / lambda_max, with v the top eigenvector; where some cell has minibatches.
    spread: Option<f64>,
    shared: Arc<SharedTheory>,
    /// The same in f64, once it is asked for.
    double: OnceLock<Box<Self>>,
}

impl PreparedSweep {
    /// Lays out a sweep around a certified minimum.
    pub fn new(plan: SweepPlan, problem: Arc<Problem>, minimum: Minimum) -> Self {
        let noisy = plan.grids.iter().any(|grid| grid.batches.iter().any(|batch| batch.size().is_some()));
        let spread = if noisy { spread(&problem, &minimum) } else { None };
        let format = plan.engine.precision.first();
        Self::laid_out((plan, problem, minimum, None), format, spread, Arc::default())
    }

    /// The same with second moments that stand still.
    fn with_frozen(self, frozen: Frozen) -> Self {
        let Self { plan, problem, minimum, format, spread, shared, .. } = self;
        Self::laid_out((plan, problem, minimum, Some(Arc::new(frozen))), format, spread, shared)
    }

    /// The largest curvature that thresholds are those of, with its residual: of the Hessian, or of P^-1 H.
    pub(crate) fn top(&self) -> &Eigenpair {
        self.frozen.as_ref().map_or(&self.minimum.largest, |frozen| &frozen.largest)
    }

    /// The direction that displacements are projected on.
    fn direction(&self) -> Arc<Vec<f64>> {
        Arc::new(self.frozen.as_ref().map_or(&self.minimum.largest.vector, |frozen| &frozen.left).clone())
    }

    /// The same with runs in f64.
    pub fn in_f64(&self) -> &Self {
        self.double.get_or_init(|| {
            let (plan, problem, minimum) = (self.plan.clone(), Arc::clone(&self.problem), self.minimum.clone());
            let parts = (plan, problem, minimum, self.frozen.clone());
            Box::new(Self::laid_out(parts, FloatFormat::F64, self.spread, Arc::clone(&self.shared)))
        })
    }

    fn laid_out(
        (plan, problem, minimum, frozen): (SweepPlan, Arc<Problem>, Minimum, Option<Arc<Frozen>>),
        format: FloatFormat,
        spread: Option<f64>,
        shared: Arc<SharedTheory>,
    ) -> Self {
        let seed = plan.problem.seed_init;
        let seen = frozen.as_ref().map_or_else(|| minimum.clone(), |frozen| frozen.seen_from(&minimum));
        let distances = Distances::choose(&problem, &seen, format, seed);
        let start = [distances.near, distances.far].map(|distance| Arc::new(displaced(&seen, distance, seed)));
        let tolerance = plan.limits.values().map(|limits| limits.tolerance).fold(f64::INFINITY, f64::min);
        let floor = floor::floor(&seen, format, distances.near, distances.clear_projection(), tolerance);
        let double = OnceLock::new();
        Self { plan, problem, minimum, frozen, format, start, distances, floor, spread, shared, double }
    }

    /// Where the search for a cell's threshold starts, or why the cell cannot be measured.
    ///
    /// # Errors
    /// Where theory refuses the rule's numbers, or its learning rate is no number of the engine.
    pub fn start(&self, cell: &Cell) -> Result<Guess, String> {
        let guess = self.guess(cell).map_err(|error| {
            format!("--rules {} with --schedule {}: {error}", cell.rule.name(), cell.schedule.name())
        })?;
        let format = self.format;
        if format.holds(guess.lr) {
            return Ok(guess);
        }
        let lambda = self.top().value;
        let hint = match format {
            FloatFormat::F32 => "--precision f64, or a problem of another scale",
            FloatFormat::F64 => "a problem of another scale",
        };
        Err(format!(
            "the learning rate at which its threshold is expected, {:e}, is no number of {format}, as the largest \
             curvature is {lambda:e}; accepted: {hint}",
            guess.lr
        ))
    }

    /// Unit of time of a cell, steps: mean delay + 1.
    pub(crate) fn unit(cell: &Cell) -> u64 {
        cell.schedule.mean_delay().ceil() as u64 + 1
    }

    /// Whether the threshold is that of single runs without chance, whose growth rates are exact.
    fn is_certain(&self, cell: &Cell) -> bool {
        self.plan.members(cell) == 1 && cell.criterion != Criterion::Escape
    }

    /// Unit of time of a run without chance, steps: mean delay + 1, or a tenth of the time in which its velocities forget, where that is longer. A velocity
    /// that belongs to a slot is renewed once in as many steps as there are slots.
    fn unit_of_run(cell: &Cell) -> u64 {
        let unit = Self::unit(cell);
        let memory = 1.0 / (1.0 - cell.rule.momentum);
        let renewals = if cell.rule.definition().slot_velocity { unit as f64 } else { 1.0 };
        unit.max((MEMORY_SHARE * memory * renewals).round() as u64)
    }

    /// Steps after which a run of this cell is given up.
    pub fn horizon(&self, cell: &Cell) -> u64 {
        let unit = if self.is_certain(cell) { Self::unit_of_run(cell) } else { Self::unit(cell) };
        self.plan.limits(cell.criterion).horizon * unit
    }

    /// The smallest displacement of this cell's runs that rounding leaves alone. There is none where the momentum is so close to 1
    /// that its distance from 1 is not a number of this format any more.
    fn floor(&self, cell: &Cell) -> Level {
        let mut source = StepSource::new(cell.rule, 1.0.into(), &cell.schedule, self.plan.seed_order, 0.0, false);
        let UpdateCoefficients { lookahead, lookback, .. } = source.advance().coefficients;
        let factor = if lookahead.fract() == 0.0 && lookback == 0.0 { 1.0 } else { LOOKAHEAD };
        let coarse = self.format.epsilon() / (1.0 - cell.rule.momentum);
        match coarse > ROUNDED_MOMENTUM * self.plan.limits(cell.criterion).tolerance {
            true => Level { change: f64::INFINITY, ..self.floor },
            false => Level { change: factor * self.floor.change, ..self.floor },
        }
    }

    /// The ages of the gradients that a run of this cell applies, without those taken at x_0.
    pub fn delays(&self, cell: &Cell) -> Delays {
        let slots = u64::from(cell.schedule.slots());
        let varying = cell.schedule.theory().is_none_or(|law| !law.is_fixed());
        let steps = if varying { COUNTED.max(8 * slots) } else { 4 * slots };
        let mut source = StepSource::new(cell.rule, 1.0.into(), &cell.schedule, self.plan.seed_order, 0.0, false);
        let mut written = vec![false; slots as usize];
        let mut delays = Delays::default();
        for _ in 0..steps {
            let step = source.advance();
            if written[step.slots.read] && step.applies() {
                delays.add(step.age);
            }
            written[step.slots.write] = true;
        }
        delays
    }
}

/// Variance over samples of v^T H_i v, relative to lambda_max^2; none where there are no samples.
fn spread(problem: &Problem, minimum: &Minimum) -> Option<f64> {
    let along = problem.curvatures(&minimum.weights, &minimum.largest.vector)?;
    let lambda = minimum.largest.value;
    Some(along.iter().map(|curvature| (curvature / lambda - 1.0).powi(2)).sum::<f64>() / along.len() as f64)
}

/// Whether the gradient at the minimum is subtracted from those of minibatches, which leaves the linearised dynamics.
fn is_centred(cell: &Cell) -> bool {
    cell.criterion.is_statistical() && cell.batch.size().is_some()
}

/// What the cells of a wave have in common: the rows of their gradients, and which gradients make up an update.
type Kind = (Option<usize>, WorkShape);

/// Indices of cells by what a wave has in common: those of one entry can share one.
fn by_kind<'a>(plan: &SweepPlan, cells: impl Iterator<Item = &'a Cell>) -> BTreeMap<Kind, Vec<usize>> {
    let mut groups: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.enumerate() {
        groups.entry((plan.rows(cell), cell.work_shape())).or_default().push(index);
    }
    groups
}

/// What an engine must be able to hold for these cells, which are all of one [`Kind`] with `rows` rows. Its minimum and direction are
/// still empty: whether a plan fits a device is asked before hours go into finding a minimum.
pub(crate) fn wave_spec<'a>(
    plan: &SweepPlan,
    problem: &Arc<Problem>,
    rows: Option<usize>,
    cells: impl Iterator<Item = &'a Cell>,
) -> WaveSpec {
    let mut spec = WaveSpec {
        problem: Arc::clone(problem),
        batch: rows,
        sampling: plan.sampling,
        minimum: Arc::default(),
        direction: Arc::default(),
        lanes: 0,
        together: 1,
        needs: Needs::default(),
        block: 1,
    };
    for cell in cells {
        let members = plan.members(cell);
        spec.lanes += TRIALS_PER_CELL * members;
        spec.together = spec.together.max(members);
        let needs = Needs::of(&cell.rule, &cell.schedule, is_centred(cell)).with(cell.work_shape());
        spec.needs = spec.needs.and(needs);
    }
    spec.block = block(spec.needs.work.gradients);
    spec
}

/// Every wave that a plan will open, with as many lanes as `engine` holds.
///
/// # Errors
/// [`EngineError::TooLarge`], with the numbers, where one does not fit.
pub fn waves(plan: &SweepPlan, problem: &Arc<Problem>, engine: &dyn Engine) -> Result<Vec<WaveSpec>, EngineError> {
    let cells = plan.cells();
    let groups = by_kind(plan, cells.iter());
    let specs = groups.into_iter().map(|((rows, _), members)| {
        let spec = wave_spec(plan, problem, rows, members.iter().map(|index| &cells[*index]));
        Ok(WaveSpec { lanes: lanes(engine, &spec)?, ..spec })
    });
    specs.collect()
}

/// How `engine` makes the steps of these waves, each way named once.
///
/// # Errors
/// As [`waves`].
pub fn paths(waves: &[WaveSpec], engine: &dyn Engine) -> Result<Vec<String>, EngineError> {
    let mut paths: Vec<String> = waves.iter().map(|spec| engine.path(spec)).collect::<Result<_, _>>()?;
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// Lanes of a wave of this kind, enough for its largest ensemble.
pub(crate) fn lanes(engine: &dyn Engine, spec: &WaveSpec) -> Result<usize, EngineError> {
    let lanes = engine.capacity(spec)?;
    if lanes < spec.together {
        return Err(EngineError::TooLarge(format!(
            "an ensemble of {} runs does not fit: the engine holds {lanes} of this kind; accepted: --ensemble {lanes}",
            spec.together
        )));
    }
    Ok(lanes)
}
