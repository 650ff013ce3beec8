//! One wave of a sweep: its lanes kept full of the runs that the queue holds, observed, and retired when they are decided.
//!
//! While a block is looked at, the device is busy with the next one, where the engine says that it pays. So a run is
//! retired one block after its verdict. The verdict is unaffected: it uses only the run's own steps up to the decision.
//! Checkpoints are made between two blocks, when nothing is in flight.
//!
//! Not here: which cells share a wave, nor what happens after the device has failed ([`crate::session::recovery`]).

use super::checkpoint::{SearchCheckpoints, TrialSection, read_monitor, write_monitor};
use super::prediction::Prediction;
use super::queue::{Queue, Ticket};
use super::start::displaced_along;
use super::{CellResult, PreparedSweep, RAISED, StartedCell, is_centred};
use crate::batch::Sampling;
use crate::engine::pump::Pump;
use crate::engine::{Engine, EngineError, Observations, Renewal, Run, StateError, Wave, WaveSpec};
use crate::plan::Cell;
use crate::session::progress::StepsLeft;
use crate::stages::Stage;
use crate::theory::dominant_root;
use crate::threshold::{
    Ensemble, EnsembleSpec, Request, RunMonitor, RunMonitorSpec, StartPoint, Trial, WindowEnd, mix,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Steps of an ensemble's window: in units of mean delay + 1, and at least.
const WINDOW: (u64, u64) = (4, 8);

/// Part of the horizon, 1 / this, up to which an ensemble's windows and spans of time follow the memory of its runs.
const MEMORY: u64 = 96;

/// Share of the noise from along the top eigenvector from which on a long window shows by the projection on it what grows.
const LED: f64 = 0.05;

/// How far a wave has come.
pub(super) struct SearchProgress<'a> {
    /// Lanes that were busy in the last block, and steps that it made, summed over them.
    pub lanes: usize,
    pub steps: u64,
    /// Steps still to come of the cells that share the wave.
    pub left: &'a dyn Fn() -> StepsLeft,
    /// What a user should know of the checkpoints.
    pub warnings: &'a [String],
}

/// A requested run or ensemble, and the lanes that it is in.
struct ActiveRun {
    monitor: Monitor,
    ticket: Ticket,
    /// In the order of an ensemble's members.
    lanes: Vec<usize>,
    /// As which member each lane's run began: a copy has the past of its source, and with it its first seed.
    origins: Vec<usize>,
    /// Number of the first block that it takes part in.
    since: u64,
}

#[derive(Serialize, Deserialize)]
enum Monitor {
    Run(RunMonitor),
    Ensemble(Ensemble),
}

impl ActiveRun {
    /// Steps from the latest one that was looked at until something must be done with it.
    fn due(&self) -> u64 {
        match &self.monitor {
            Monitor::Run(_) => u64::MAX,
            Monitor::Ensemble(ensemble) => ensemble.due(),
        }
    }

    /// Steps that each of its lanes has made.
    fn made(&self) -> u64 {
        match &self.monitor {
            Monitor::Run(run) => run.steps(),
            Monitor::Ensemble(ensemble) => ensemble.steps(),
        }
    }

    /// Writes what it takes to go on with it.
    fn save(&self, wave: &mut dyn Wave, out: &mut dyn Write) -> Result<(), StateError> {
        write_monitor(&(&self.monitor, &self.origins), out)?;
        self.lanes.iter().try_for_each(|lane| wave.save(*lane, out))
    }

    /// Looks at a block of its observations: its trial where it is decided; adds the renewals that are due.
    fn look(&mut self, seen: &Observations, renewals: &mut Vec<Renewal>) -> Option<Trial> {
        let Self { monitor, lanes, origins, .. } = self;
        match monitor {
            Monitor::Run(run) => seen.lane(lanes[0]).iter().find_map(|observation| run.push(observation)),
            Monitor::Ensemble(ensemble) => (0..seen.steps()).find_map(|step| {
                match ensemble.push(lanes.iter().map(|lane| seen.get(step, *lane)))? {
                    WindowEnd::Done(trial) => Some(trial),
                    WindowEnd::Renew(changes) => {
                        *origins = changes.iter().map(|change| origins[change.source]).collect();
                        renewals.extend(changes.into_iter().map(|change| Renewal {
                            lane: lanes[change.member],
                            source: lanes[change.source],
                            factor: change.factor,
                            seed: change.seed,
                        }));
                        None
                    }
                }
            }),
        }
    }
}

impl PreparedSweep {
    /// One wave of cells whose gradients have equally many rows, until the queue is empty, `watched` breaks, or the device
    /// fails; its runs are then back in the queue. Makes checkpoints where they are due, and one where `watched` breaks.
    #[expect(clippy::too_many_arguments, reason = "what a wave works on, and whom it tells")]
    pub(super) fn run_wave(
        &self,
        engine: &dyn Engine,
        spec: WaveSpec,
        cells: &[StartedCell],
        queue: &mut Queue,
        checkpoints: &mut SearchCheckpoints,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(SearchProgress) -> ControlFlow<()>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let (lanes, block) = (spec.lanes, spec.block);
        let mut wave = engine.open(spec)?;
        let mut free: BTreeSet<usize> = (0..lanes).collect();
        let mut active: Vec<ActiveRun> = Vec::new();
        let mut pump: Pump<usize> = Pump::default();
        let mut next: Option<Ticket> = None;
        let mut work = || loop {
            loop {
                next = match next.take() {
                    Some(ticket) => Some(ticket),
                    None => queue.pop(finished)?,
                };
                let Some(ticket) = next else { break };
                let cell = &cells[ticket.cell].cell;
                if self.plan.members(cell) > free.len() {
                    break;
                }
                let run = self.activate(cell, ticket, pump.next(), &mut free);
                next = None;
                active.push(run);
                let run = active.last_mut().expect("a run was added");
                self.begin(&mut *wave, cell, run, checkpoints)?;
            }
            if active.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            submit(&mut *wave, block, &active, &mut pump)?;
            let (mut stops, mut saves) = (false, false);
            loop {
                let busy = lanes - free.len();
                let steps = collect(&mut *wave, &mut pump, &mut active, &mut free, queue)?;
                let in_flight = || active.iter().map(|run| (run.ticket, run.made()));
                let left = || queue.left(in_flight().chain(next.map(|ticket| (ticket, 0))));
                stops |= watched(SearchProgress { lanes: busy, steps, left: &left, warnings: checkpoints.warnings() })
                    .is_break();
                saves |= stops || checkpoints.is_due();
                // A checkpoint waits until nothing is in flight.
                if !saves || pump.is_empty() {
                    break;
                }
            }
            if saves {
                queue.settle(finished)?;
                let warnings = checkpoints.warnings().len();
                self.save(&mut *wave, cells, queue, &active, checkpoints)?;
                if checkpoints.warnings().len() > warnings {
                    // Whoever stops now must hear of it too.
                    let left = || queue.left(std::iter::empty());
                    let warnings = checkpoints.warnings();
                    let _ = watched(SearchProgress { lanes: 0, steps: 0, left: &left, warnings });
                }
            }
            if stops {
                return Ok(ControlFlow::Break(()));
            }
        };
        let outcome = work();
        if outcome.is_err() {
            queue.put_back(active.into_iter().map(|run| run.ticket).chain(next));
        }
        outcome
    }

    /// Puts the members of a run into their lanes: where the checkpoint has them, else at their start.
    fn begin(
        &self,
        wave: &mut dyn Wave,
        cell: &Cell,
        run: &mut ActiveRun,
        checkpoints: &mut SearchCheckpoints,
    ) -> anyhow::Result<()> {
        let section = TrialSection::new(&self.search_id(cell), &run.ticket);
        let ActiveRun { monitor, ticket, lanes, origins, .. } = &mut *run;
        let Request { lr, start, .. } = ticket.request;
        let restored = checkpoints.take(&section, |state| {
            (*monitor, *origins) = read_monitor(state)?;
            let made = match monitor {
                Monitor::Run(run) => run.steps(),
                Monitor::Ensemble(ensemble) => ensemble.steps(),
            };
            lanes.iter().zip(&*origins).try_for_each(|(lane, origin)| {
                wave.restore(*lane, self.run(cell, lr, start, *origin), made, &mut *state)
            })
        })?;
        if restored.is_none() {
            for (member, lane) in run.lanes.iter().enumerate() {
                wave.start(*lane, self.run(cell, lr, start, member))?;
            }
        }
        Ok(())
    }

    /// Makes a checkpoint; nothing is in flight.
    fn save(
        &self,
        wave: &mut dyn Wave,
        cells: &[StartedCell],
        queue: &Queue,
        active: &[ActiveRun],
        checkpoints: &mut SearchCheckpoints,
    ) -> anyhow::Result<()> {
        let id = |cell: usize| self.search_id(&cells[cell].cell);
        let searches = queue.searches().map(|(cell, state)| (id(cell), state.clone())).chain(queue.doubted());
        checkpoints.write(searches, |content| {
            // One that has made no step starts again.
            active.iter().filter(|run| run.made() > 0).try_for_each(|run| {
                content.add(TrialSection::new(&id(run.ticket.cell), &run.ticket), |out| run.save(&mut *wave, out))
            })
        })
    }

    pub(crate) fn run(&self, cell: &Cell, lr: f64, start: StartPoint, member: usize) -> Run {
        let ensemble = self.plan.members(cell) > 1;
        Run {
            rule: cell.rule,
            lr: lr.into(),
            schedule: cell.schedule.clone(),
            seed: if ensemble { mix(self.ensemble_seed(lr), member as u64) } else { self.plan.seed_order },
            start: self.start_of(cell, start),
            centred: is_centred(cell),
            undamped_start: false,
            second_moment: self.frozen.as_ref().map(|frozen| Arc::clone(&frozen.second_moments)),
            statistics: None,
            outer: cell.outer,
            stages: self.stages(cell),
        }
    }

    /// Where the runs of a cell start.
    fn start_of(&self, cell: &Cell, start: StartPoint) -> Arc<Vec<f64>> {
        let Some(direction) = self.own_direction(cell) else { return Arc::clone(&self.start[start as usize]) };
        let distance = [self.distances.near, self.distances.far][start as usize];
        Arc::new(displaced_along(&self.minimum, &direction, distance, self.plan.problem.seed_init))
    }

    /// The stages of a cell's runs; none where all parameters go together.
    fn stages(&self, cell: &Cell) -> Arc<[Stage]> {
        let Some(stages) = &cell.stages else { return [].into() };
        let blocks = stages.blocks(&self.problem.layers(), self.problem.dimension());
        stages.of_run(&cell.rule, &blocks.expect("the plan has checked its stages"))
    }

    /// Takes the lanes for a ticket that takes part from block `since` on.
    fn activate(&self, cell: &Cell, ticket: Ticket, since: u64, free: &mut BTreeSet<usize>) -> ActiveRun {
        let members = self.plan.members(cell);
        let lanes = (0..members).filter_map(|_| free.pop_first()).collect();
        let (monitor, origins) = (self.monitor(cell, ticket.request), (0..members).collect());
        ActiveRun { monitor, ticket, lanes, origins, since }
    }

    /// The ensemble that measures a cell at this learning rate, where runs differ by chance.
    pub(super) fn ensemble(&self, cell: &Cell, lr: f64, steps: Option<u64>) -> Option<Ensemble> {
        let (members, memory) = (self.plan.members(cell), self.memory(cell));
        if members == 1 {
            return None;
        }
        // Without velocities the weights of one unit of time are all that a run goes on from, and the square of the slowest
        // oscillation at a threshold repeats after 2 delay + 1 steps. So short a window needs a measure of all that returns as
        // noise. A long one does not, and directions that hardly decay would outweigh the others in it.
        let prediction = self.prediction(cell).unwrap_or(Prediction::NONE);
        let long = (WINDOW.0 * Self::unit(cell)).max(WINDOW.1).max(memory);
        let short = 2 * Self::unit(cell) - 1;
        let turnover = self.turnover(cell, prediction).map(|steps| steps.max(short)).filter(|steps| *steps < long);
        let (window, across) = match (cell.rule.momentum == 0.0, prediction) {
            (true, Prediction { across, .. }) if across > 0.0 => (memory.max(short), across),
            // A displacement that comes of noise and is gone again within a long window would not be drawn anew in time.
            (false, Prediction { across, .. }) if let Some(steps) = turnover => (steps, across),
            // The top eigenvector has no part in what grows.
            (false, Prediction { across, along, .. }) if along < LED => (long, across),
            _ => (long, 0.0),
        };
        let spec = EnsembleSpec {
            criterion: cell.criterion,
            members,
            across,
            window,
            memory,
            steps,
            horizon: self.horizon(cell),
            scale: self.distances.near,
            seed: self.ensemble_seed(lr),
        };
        Some(Ensemble::new(spec, lr))
    }

    /// Steps within which the mean of a displacement along the top eigenvector has decayed to an e-th where the threshold is
    /// expected, as far as the rule's equation tells. Without delay that can be far less than its velocity's memory.
    fn turnover(&self, cell: &Cell, prediction: Prediction) -> Option<u64> {
        let equation = cell.outer.equation(&cell.rule, &cell.schedule.theory()?)?;
        let gain = prediction.near? * cell.seen(self.minimum.largest.value)?;
        let rate = dominant_root(&equation, gain).ok()?.rate;
        (rate < 0.0).then(|| (-rate).recip().ceil().max(1.0) as u64)
    }

    /// Ensembles at different learning rates are independent: errors that they shared would not show in the interval.
    pub(crate) fn ensemble_seed(&self, lr: f64) -> u64 {
        mix(self.plan.seed_order, lr.to_bits())
    }

    /// Steps within which a run of this cell forgets its past, by its delay, its momentum and its epochs.
    pub(crate) fn memory(&self, cell: &Cell) -> u64 {
        let (unit, momentum) = (Self::unit(cell), cell.rule.momentum);
        let forgetting = (1.0 - momentum).recip();
        let memory = match cell.rule.definition().slot_velocity {
            true => unit as f64 * forgetting,
            false if momentum > 0.0 => unit as f64 + forgetting,
            false => unit as f64,
        };
        let epoch = match (self.plan.sampling, self.plan.rows(cell), self.problem.samples()) {
            (Sampling::Epochs, Some(rows), Some(samples)) => (samples / rows) as u64,
            _ => 0,
        };
        (memory.ceil() as u64).saturating_add(epoch).min(self.horizon(cell) / MEMORY).max(1)
    }

    fn monitor(&self, cell: &Cell, request: Request) -> Monitor {
        match self.ensemble(cell, request.lr, request.steps) {
            Some(ensemble) => Monitor::Ensemble(ensemble),
            None => Monitor::Run(self.run_monitor(cell, request)),
        }
    }

    /// The monitor of a single run.
    pub(super) fn run_monitor(&self, cell: &Cell, Request { lr, start, agreement, .. }: Request) -> RunMonitor {
        // Without chance all criteria but the escape are that of the mean.
        let spec = RunMonitorSpec {
            criterion: cell.criterion,
            unit: Self::unit_of_run(cell),
            horizon: self.horizon(cell),
            start,
            distance: self.distances.of(start),
            radius: self.distances.escape,
            linear: self.distances.linear,
            transient: RAISED / (1.0 - cell.rule.momentum),
            drift: lr * self.distances.gradient / (1.0 - cell.rule.momentum),
            floor: self.floor(cell),
            agreement,
        };
        RunMonitor::new(spec, lr)
    }
}

/// Keeps the wave busy: submits the blocks that pay, none of which goes past a step at which something must be done.
fn submit(wave: &mut dyn Wave, block: usize, active: &[ActiveRun], pump: &mut Pump<usize>) -> Result<(), EngineError> {
    pump.fill(wave.ahead(), |pump| {
        let ahead_of = |run: &ActiveRun| pump.since(run.since).map(|steps| *steps as u64).sum::<u64>();
        let due = active.iter().map(|run| run.due() - ahead_of(run)).min().unwrap_or(0);
        let steps = due.min(block as u64) as usize;
        if steps == 0 {
            return Ok(None);
        }
        wave.submit(steps)?;
        Ok(Some(steps))
    })
}

/// Looks at the oldest block: decided runs are retired and their trials handed to their cells. Returns the steps looked
/// at, summed over the lanes.
fn collect(
    wave: &mut dyn Wave,
    pump: &mut Pump<usize>,
    active: &mut Vec<ActiveRun>,
    free: &mut BTreeSet<usize>,
    queue: &mut Queue,
) -> Result<u64, EngineError> {
    let seen = wave.collect()?;
    let (number, _) = pump.take().expect("a block is in flight");
    let mut looked_at = 0;
    let mut renewals = Vec::new();
    active.retain_mut(|run| {
        // In this block the lanes of a run that was started later still held other runs.
        if run.since > number {
            return true;
        }
        looked_at += (run.lanes.len() * seen.steps()) as u64;
        let Some(trial) = run.look(&seen, &mut renewals) else { return true };
        for lane in &run.lanes {
            wave.retire(*lane);
            free.insert(*lane);
        }
        queue.record(run.ticket, trial);
        false
    });
    if !renewals.is_empty() {
        assert!(pump.is_empty(), "a block goes past a step at which lanes are renewed");
        wave.renew(&renewals)?;
    }
    Ok(looked_at)
}
