//! Cells to waves to results: keeps an engine's lanes full of the runs that the cells' searches ask for.
//!
//! Not here: how a search chooses its learning rates ([`crate::threshold`]), nor files ([`crate::store`]).

mod recovery;

use crate::engine::{Engine, EngineError, Run, Wave, WaveSpec};
use crate::flags::Precision;
use crate::minimum::Minimum;
use crate::plan::{Cell, Plan};
use crate::problem::Problem;
use crate::theory::{self, TheoryError};
use crate::threshold::{Outcome, Request, Search, Step, Trial, Watch, WatchSpec};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use recovery::Recovery;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Steps between two looks at the observations. Verdicts depend on a run's own steps alone, never on this.
const BLOCK: usize = 64;

/// Lanes wanted for each cell: a search's first round.
const LANES_PER_CELL: usize = 4;

/// Distance of the start from the minimum, relative to the minimum's norm (absolute where that is 0): small enough for
/// the dynamics to be linear, large enough to stand far above the rounding of the weights. In f32 a tenth of this already
/// lets updates drown in rounding at long delays (thresholds off by 1 % at delay 32 on the default problem).
fn displacement(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F64 => 1e-6,
    }
}

/// Distance, relative to the minimum's norm, at which a run driven by minibatch noise has escaped.
const ESCAPE_RADIUS: f64 = 0.05;

/// What one cell came to.
#[derive(Clone, Debug)]
pub struct CellResult {
    pub outcome: Outcome,
    pub trials: Vec<Trial>,
}

/// Everything that the cells of a sweep share.
#[derive(Clone, Debug)]
pub struct Sweep {
    pub plan: Plan,
    pub problem: Arc<Problem>,
    pub minimum: Minimum,
    start: Arc<Vec<f64>>,
    /// Distance of every run's start from the minimum.
    pub start_distance: f64,
    /// Distance from the minimum at which a run under the escape criterion has escaped.
    pub escape_radius: f64,
}

impl Sweep {
    /// Lays out a sweep around a certified minimum.
    pub fn new(plan: Plan, problem: Arc<Problem>, minimum: Minimum) -> Self {
        let norm = minimum.weights.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { norm } else { 1.0 };
        let start_distance = displacement(plan.precision) * scale;
        let start = displaced(&minimum, start_distance, plan.problem.seed_init);
        Self { plan, problem, minimum, start: Arc::new(start), start_distance, escape_radius: ESCAPE_RADIUS * scale }
    }

    /// The learning rate at which theory puts a cell's threshold: gain margin / lambda_max.
    ///
    /// # Errors
    /// Where the rule has no threshold.
    pub fn lr_theory(&self, cell: &Cell) -> Result<f64, TheoryError> {
        Ok(theory::gain_margin(&cell.rule.equation(), cell.delay as usize)?.gain / self.minimum.largest.value)
    }

    /// Steps after which a run of this cell is given up.
    pub fn horizon(&self, cell: &Cell) -> u64 {
        self.plan.horizon * (u64::from(cell.delay) + 1)
    }

    /// Measures `cells` (each with its theoretical threshold, where the search starts) on `engine`. `finished` is called
    /// once for every cell, in the order in which they end, with its index in `cells`. `watched` is called after every
    /// block; where it breaks, cells that the block has decided are still reported, and the rest is left.
    ///
    /// # Errors
    /// Where the cells do not fit the device, the device fails, or `finished` does.
    pub fn measure(
        &self,
        engine: &dyn Engine,
        cells: &[(Cell, f64)],
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        if cells.is_empty() {
            return Ok(());
        }
        let plain: Vec<Cell> = cells.iter().map(|(cell, _)| *cell).collect();
        let spec = wave_spec(&self.plan, &self.problem, &plain);
        let minimum = Arc::new(self.minimum.weights.clone());
        let direction = Arc::new(self.minimum.largest.vector.clone());
        let spec = WaveSpec { minimum, direction, ..spec };
        let mut queue = Queue::new(self, cells);
        let mut recovery = Recovery::new(engine);
        let mut config_steps = 0;
        loop {
            let lanes = recovery.lanes(recovery.engine().capacity(&spec)?);
            let spec = WaveSpec { lanes, ..spec.clone() };
            let mut watched = |lanes: usize| {
                config_steps += (lanes * BLOCK) as u64;
                watched(Progress { lanes, config_steps, mended: recovery.mended() })
            };
            match self.ride(recovery.engine(), spec, &mut queue, finished, &mut watched) {
                Ok(()) => return Ok(()),
                Err(error) => recovery.mend(error, lanes)?,
            }
        }
    }

    /// One wave, until the queue is empty, `watched` breaks, or the device fails; its runs are then back in the queue.
    fn ride(
        &self,
        engine: &dyn Engine,
        spec: WaveSpec,
        queue: &mut Queue,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let mut lanes: Vec<Option<Busy>> = (0..spec.lanes).map(|_| None).collect();
        let mut wave = engine.open(spec)?;
        let mut ride = || loop {
            for (lane, place) in lanes.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                let Some(ticket) = queue.pop(finished)? else { break };
                let cell = &queue.cells[ticket.cell].0;
                *place = Some(Busy { watch: self.watch(cell, ticket.request), ticket });
                wave.start(lane, self.run(cell, ticket.request.lr))?;
            }
            let busy = lanes.iter().flatten().count();
            if busy == 0 {
                return Ok(());
            }
            self.advance(&mut *wave, &mut lanes, queue)?;
            if watched(busy).is_break() {
                return queue.settle(finished);
            }
        };
        let outcome = ride();
        if outcome.is_err() {
            queue.put_back(lanes.into_iter().flatten().map(|busy| busy.ticket));
        }
        outcome
    }

    /// One block of steps: decided lanes are retired and their trials handed to their cells.
    fn advance(&self, wave: &mut dyn Wave, lanes: &mut [Option<Busy>], queue: &mut Queue) -> Result<(), EngineError> {
        let seen = wave.advance(BLOCK)?;
        for (lane, place) in lanes.iter_mut().enumerate() {
            let Some(busy) = place else { continue };
            if let Some(trial) = seen.lane(lane).find_map(|observation| busy.watch.push(observation)) {
                wave.retire(lane);
                queue.record(busy.ticket, trial);
                *place = None;
            }
        }
        Ok(())
    }

    fn run(&self, cell: &Cell, lr: f64) -> Run {
        let (rule, schedule) = (cell.rule, cell.schedule);
        Run { rule, lr, schedule, seed_order: self.plan.seed_order, start: Arc::clone(&self.start) }
    }

    fn watch(&self, cell: &Cell, request: Request) -> Watch {
        let spec = WatchSpec {
            criterion: self.plan.criterion,
            unit: u64::from(cell.delay) + 1,
            horizon: self.horizon(cell),
            start: self.start_distance,
            radius: self.escape_radius,
            agreement: request.agreement,
        };
        Watch::new(spec, request.lr)
    }
}

/// What an engine must be able to hold for these cells. Its minimum and direction are still empty: whether a plan fits a
/// device is asked before hours go into finding a minimum.
pub fn wave_spec(plan: &Plan, problem: &Arc<Problem>, cells: &[Cell]) -> WaveSpec {
    WaveSpec {
        problem: Arc::clone(problem),
        batch: plan.batch.size(),
        minimum: Arc::default(),
        direction: Arc::default(),
        lanes: LANES_PER_CELL * cells.len(),
        slots: cells.iter().map(|cell| cell.schedule.slots() as usize).max().unwrap_or(1),
        slot_velocity: cells.iter().any(|cell| cell.rule.has_slot_velocity()),
        block: BLOCK,
    }
}

/// How far a sweep has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Lanes that were busy in the last block.
    pub lanes: usize,
    /// Steps of single runs computed so far.
    pub config_steps: u64,
    /// What the device failed at, and what was done about it.
    pub mended: &'a [String],
}

/// A point at `distance` from the minimum, half of the way (in squared distance) along the top eigenvector, the rest in a
/// seeded random direction, so that growth in any other direction shows in the distance.
fn displaced(minimum: &Minimum, distance: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1); // stream 0 drew the initial weights
    let random: Vec<f64> = minimum.weights.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
    let norm = random.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mix = distance * std::f64::consts::FRAC_1_SQRT_2;
    let top = &minimum.largest.vector;
    minimum.weights.iter().zip(top).zip(&random).map(|((x, v), r)| x + mix * (v + r / norm)).collect()
}

/// A lane's run and who waits for it.
struct Busy {
    watch: Watch,
    ticket: Ticket,
}

/// A requested run: the cell's index and the request's place in its round.
#[derive(Clone, Copy)]
struct Ticket {
    cell: usize,
    place: usize,
    request: Request,
}

/// A cell whose search has begun.
struct Open {
    search: Search,
    /// Trials of the current round, in the order of the requests.
    round: Vec<Option<Trial>>,
}

/// Requests in waiting. Cells are opened longest delay first, because those take longest and would otherwise run alone
/// at the end; a search sees nothing but its own trials, so the order changes no result.
struct Queue<'a> {
    sweep: &'a Sweep,
    cells: &'a [(Cell, f64)],
    unopened: Vec<usize>,
    open: Vec<Option<Open>>,
    tickets: VecDeque<Ticket>,
    /// Cells whose round is complete and whose search must be asked what is next.
    ready: VecDeque<usize>,
}

impl<'a> Queue<'a> {
    fn new(sweep: &'a Sweep, cells: &'a [(Cell, f64)]) -> Self {
        let mut unopened: Vec<usize> = (0..cells.len()).rev().collect();
        unopened.sort_by_key(|index| cells[*index].0.delay);
        let open = cells.iter().map(|_| None).collect();
        Self { sweep, cells, unopened, open, tickets: VecDeque::new(), ready: VecDeque::new() }
    }

    /// The next run to start, if any; searches that have ended on the way are reported to `finished`.
    fn pop(
        &mut self,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Ticket>> {
        loop {
            self.settle(finished)?;
            if let Some(ticket) = self.tickets.pop_front() {
                return Ok(Some(ticket));
            } else if let Some(cell) = self.unopened.pop() {
                let plan = &self.sweep.plan;
                let search = Search::new(self.cells[cell].1, plan.tolerance, plan.criterion);
                self.open[cell] = Some(Open { search, round: Vec::new() });
                self.ready.push_back(cell);
            } else {
                return Ok(None);
            }
        }
    }

    /// Asks every search whose round is complete for its next one, or reports how it ended.
    fn settle(&mut self, finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(cell) = self.ready.pop_front() {
            let open = self.open[cell].as_mut().expect("a ready cell is open");
            match open.search.step() {
                Step::Ask(requests) => {
                    open.round = requests.iter().map(|_| None).collect();
                    let tickets = requests.into_iter().enumerate();
                    self.tickets.extend(tickets.map(|(place, request)| Ticket { cell, place, request }));
                }
                Step::Done(outcome) => {
                    let trials = open.search.trials().to_vec();
                    self.open[cell] = None;
                    finished(cell, CellResult { outcome, trials })?;
                }
            }
        }
        Ok(())
    }

    /// Runs that must be made from their start.
    fn put_back(&mut self, tickets: impl DoubleEndedIterator<Item = Ticket>) {
        tickets.rev().for_each(|ticket| self.tickets.push_front(ticket));
    }

    fn record(&mut self, ticket: Ticket, trial: Trial) {
        let open = self.open[ticket.cell].as_mut().expect("a cell with a run in flight is open");
        open.round[ticket.place] = Some(trial);
        if open.round.iter().all(Option::is_some) {
            open.round.drain(..).flatten().for_each(|trial| open.search.record(trial));
            self.ready.push_back(ticket.cell);
        }
    }
}
