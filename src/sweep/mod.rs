//! Cells to waves to results: keeps an engine's lanes full of the runs that the cells' searches ask for.
//!
//! Not here: how a search chooses its learning rates ([`crate::threshold`]), nor files ([`crate::session`]).

mod checkpoint;
mod estimate;
mod evidence;
mod extend;
mod job;
mod prediction;
mod queue;
pub mod rows;
mod search_wave;
mod start;
mod tables;
mod trace;

pub use job::SweepJob;
pub use start::{Distances, HiddenStart};
pub use tables::{CellEntry, SweepTables, SweepTotals};

use crate::config::Precision;
use crate::delay::Delays;
use crate::engine::pump::BLOCK;
use crate::engine::{Engine, EngineError, Needs, WaveSpec};
use crate::minimum::Minimum;
use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::rule::steps::StepSource;
use crate::session::checkpoint::Checkpoints;
use crate::session::progress::{Progress, StepsLeft};
use crate::session::recovery::Recovery;
use crate::threshold::{SearchOutcome, Trial};
use checkpoint::SearchCheckpoints;
use estimate::{Estimate, Experience};
use prediction::NoiseTheory;
use queue::Queue;
use start::displaced;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Runs or ensembles wanted for each cell: a search's first round.
const TRIALS_PER_CELL: usize = 4;

/// Where the search for the threshold of a rule without growth rates starts.
const RESTLESS_GUESS: f64 = 1e-3;

/// Updates whose delays are counted for a cell's histogram, at least, where they vary.
const COUNTED: u64 = 16_384;

/// What one cell came to.
#[derive(Clone, Debug)]
pub struct CellResult {
    pub outcome: SearchOutcome,
    pub trials: Vec<Trial>,
}

/// A cell with what its search starts from.
#[derive(Clone, Debug)]
pub struct StartedCell {
    pub cell: Cell,
    /// Learning rate near which the threshold is expected.
    pub guess: f64,
    /// Trials that were made before; none for a search that starts afresh.
    pub known: Vec<Trial>,
}

impl StartedCell {
    /// A search that starts afresh.
    pub fn new(cell: Cell, guess: f64) -> Self {
        Self { cell, guess, known: Vec::new() }
    }
}

/// Everything that the cells of a sweep share.
#[derive(Clone, Debug)]
pub struct PreparedSweep {
    pub plan: SweepPlan,
    pub problem: Arc<Problem>,
    pub minimum: Minimum,
    start: Arc<Vec<f64>>,
    /// A start along the top eigenvector alone, for ensembles.
    aligned: Arc<Vec<f64>>,
    pub distances: Distances,
    /// Variance over samples of v^T H_i v / lambda_max, with v the top eigenvector; where some cell has minibatches.
    spread: Option<f64>,
    noisy: Arc<NoiseTheory>,
}

impl PreparedSweep {
    /// Lays out a sweep around a certified minimum.
    pub fn new(plan: SweepPlan, problem: Arc<Problem>, minimum: Minimum) -> Self {
        let seed = plan.problem.seed_init;
        let distances = Distances::choose(&problem, &minimum, plan.engine.precision, seed);
        let start = displaced(&minimum, distances.start, seed);
        let along = minimum.weights.iter().zip(&minimum.largest.vector);
        let aligned = along.map(|(x, v)| x + distances.start * v).collect();
        let noisy = plan.grids.iter().any(|grid| grid.batches.iter().any(|batch| batch.size().is_some()));
        let spread = if noisy { spread(&problem, &minimum) } else { None };
        let (start, aligned) = (Arc::new(start), Arc::new(aligned));
        Self { plan, problem, minimum, start, aligned, distances, spread, noisy: Arc::default() }
    }

    /// Where the search for a cell's threshold starts, or why the cell cannot be measured.
    ///
    /// # Errors
    /// Where theory refuses the rule's numbers, or its learning rate is no number of the engine.
    pub fn start(&self, cell: &Cell) -> Result<f64, String> {
        let guess = self.guess(cell).map_err(|error| {
            format!("--rules {} with --schedule {}: {error}", cell.rule.name(), cell.schedule.name())
        })?;
        let precision = self.plan.engine.precision;
        if is_number(guess, precision) {
            return Ok(guess);
        }
        let lambda = self.minimum.largest.value;
        let (precision, hint) = match precision {
            Precision::F32 => ("f32", "--precision f64, or a problem of another scale"),
            Precision::F64 => ("f64", "a problem of another scale"),
        };
        Err(format!(
            "the learning rate at which its threshold is expected, {guess:e}, is no number of {precision}, as the largest \
             curvature is {lambda:e}; accepted: {hint}"
        ))
    }

    /// Unit of time of a cell, steps: mean delay + 1.
    fn unit(cell: &Cell) -> u64 {
        cell.schedule.mean_delay().ceil() as u64 + 1
    }

    /// Steps after which a run of this cell is given up.
    pub fn horizon(&self, cell: &Cell) -> u64 {
        self.plan.limits(cell.criterion).horizon * Self::unit(cell)
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

    /// Measures `cells` on `engine`. `finished` is called once for every cell, in the order in which they end, with its index
    /// in `cells`. `watched` is called after every block; where it breaks, cells that are decided are still reported, and the
    /// rest is left.
    ///
    /// With `checkpoints`, searches and their runs go on from the newest checkpoint that there is, as far as it holds them;
    /// another one is made whenever it is due, and when `watched` breaks. After a device has failed, runs go on from the newest
    /// one too. Whoever keeps the results leaves finished cells out of `cells` when a sweep is resumed.
    ///
    /// # Errors
    /// Where the cells do not fit the device, the device fails, or `finished` does; where a checkpoint cannot be read, or
    /// belongs to something else.
    pub fn measure(
        &self,
        engine: &dyn Engine,
        cells: &[StartedCell],
        checkpoints: Option<&mut Checkpoints>,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let mut recovery = Recovery::new(engine);
        let ids: BTreeSet<String> = cells.iter().map(|started| self.plan.cell_id(&started.cell)).collect();
        let mut checkpoints = SearchCheckpoints::read(checkpoints, |cell| ids.contains(cell))?;
        let mut config_steps = 0;
        let mut groups = by_rows(&self.plan, cells.iter().map(|started| &started.cell));
        while let Some((rows, members)) = groups.pop_first() {
            let asked: Vec<StartedCell> = members.iter().map(|index| cells[*index].clone()).collect();
            let spec = wave_spec(&self.plan, &self.problem, rows, asked.iter().map(|started| &started.cell));
            let mut report = |index: usize, result| finished(members[index], result);
            let later = self.left(groups.values().flatten().map(|index| &cells[*index].cell));
            let saved = |started: &StartedCell| checkpoints.search(&self.plan.cell_id(&started.cell));
            let mut queue = Queue::new(&self.plan, &asked, saved);
            loop {
                let mut lanes = recovery.lanes(lanes(recovery.engine(), &spec)?, spec.together);
                if self.plan.trace_runs && lanes < spec.lanes {
                    // Traces are made beside the wave.
                    lanes = lanes.saturating_sub(spec.together).max(spec.together);
                }
                let (minimum, direction) = (&self.minimum.weights, &self.minimum.largest.vector);
                let (minimum, direction) = (Arc::new(minimum.clone()), Arc::new(direction.clone()));
                let spec = WaveSpec { minimum, direction, lanes, ..spec.clone() };
                let mut watched = |now: search_wave::SearchProgress<'_>| {
                    config_steps += now.steps;
                    watched(Progress {
                        alive: now.lanes,
                        config_steps,
                        left: Some(&|| (now.left)() + later),
                        epoch: None,
                        mended: recovery.mended(),
                        warnings: now.warnings,
                    })
                };
                let together = spec.together;
                let (engine, checkpoints) = (recovery.engine(), &mut checkpoints);
                match self.run_wave(engine, spec, &asked, &mut queue, checkpoints, &mut report, &mut watched) {
                    Ok(ControlFlow::Continue(())) => break,
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(error) => {
                        recovery.mend(error, lanes, together)?;
                        checkpoints.read_again(|section| {
                            let here =
                                asked.iter().position(|started| self.plan.cell_id(&started.cell) == section.cell());
                            let waits =
                                |cell| queue.waiting().any(|ticket| ticket.cell == cell && section.is_of(ticket));
                            here.map_or_else(|| ids.contains(section.cell()), waits)
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl PreparedSweep {
    /// Steps that cells are expected to take which no search has begun.
    fn left<'a>(&self, cells: impl Iterator<Item = &'a Cell>) -> StepsLeft {
        let experience = Experience::default();
        let mut estimate = Estimate::new(&self.plan, &experience);
        cells.for_each(|cell| estimate.unopened(cell));
        estimate.left()
    }
}

/// Variance over samples of v^T H_i v, relative to lambda_max^2; none where there are no samples.
fn spread(problem: &Problem, minimum: &Minimum) -> Option<f64> {
    let along = problem.curvatures(&minimum.weights, &minimum.largest.vector)?;
    let lambda = minimum.largest.value;
    Some(along.iter().map(|curvature| (curvature / lambda - 1.0).powi(2)).sum::<f64>() / along.len() as f64)
}

/// Whether a learning rate is a number of the engine, to its full precision.
fn is_number(lr: f64, precision: Precision) -> bool {
    match precision {
        Precision::F32 => (lr as f32).is_normal(),
        Precision::F64 => lr.is_normal(),
    }
}

/// Whether the gradient at the minimum is subtracted from those of minibatches, which leaves the linearised dynamics.
fn is_centred(cell: &Cell) -> bool {
    cell.criterion.is_statistical() && cell.batch.size().is_some()
}

/// Indices of cells by the rows of their gradients: those of one entry can share a wave.
fn by_rows<'a>(plan: &SweepPlan, cells: impl Iterator<Item = &'a Cell>) -> BTreeMap<Option<usize>, Vec<usize>> {
    let mut groups: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.enumerate() {
        groups.entry(plan.rows(cell)).or_default().push(index);
    }
    groups
}

/// What an engine must be able to hold for these cells, whose gradients all have `rows` rows. Its minimum and direction are
/// still empty: whether a plan fits a device is asked before hours go into finding a minimum.
fn wave_spec<'a>(
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
        block: BLOCK,
    };
    for cell in cells {
        let members = plan.members(cell);
        spec.lanes += TRIALS_PER_CELL * members;
        spec.together = spec.together.max(members);
        spec.needs = spec.needs.and(Needs::of(&cell.rule, &cell.schedule, is_centred(cell)));
    }
    spec
}

/// Every wave that a plan will open, with as many lanes as `engine` holds.
///
/// # Errors
/// [`EngineError::TooLarge`], with the numbers, where one does not fit.
pub fn waves(plan: &SweepPlan, problem: &Arc<Problem>, engine: &dyn Engine) -> Result<Vec<WaveSpec>, EngineError> {
    let cells = plan.cells();
    let groups = by_rows(plan, cells.iter());
    let specs = groups.into_iter().map(|(rows, members)| {
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
fn lanes(engine: &dyn Engine, spec: &WaveSpec) -> Result<usize, EngineError> {
    let lanes = engine.capacity(spec)?;
    if lanes < spec.together {
        return Err(EngineError::TooLarge(format!(
            "an ensemble of {} runs does not fit: the engine holds {lanes} of this kind; accepted: --ensemble {lanes}",
            spec.together
        )));
    }
    Ok(lanes)
}
