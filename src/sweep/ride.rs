//! One wave: its lanes kept full of the runs that the queue holds, observed, and retired when they are decided.
//!
//! While a block is looked at, the device is busy with the next one, where the engine says that it pays. So a run is
//! retired a block after its verdict, which changes nothing: a verdict depends on the run's own steps alone, and those
//! beyond it are not looked at.
//!
//! Not here: which cells share a wave, nor what happens after the device has failed ([`crate::session::recovery`]).

use super::queue::{Queue, Ticket};
use super::{BLOCK, CellResult, Sweep, is_centred};
use crate::engine::{Engine, EngineError, Observations, Renewal, Run, Wave, WaveSpec};
use crate::plan::Cell;
use crate::threshold::{Beat, Ensemble, EnsembleSpec, Request, Trial, Watch, WatchSpec, mix};
use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Steps of an ensemble's beat: in units of mean delay + 1, and at least.
const BEAT: (u64, u64) = (4, 8);

/// A requested run or ensemble, and the lanes that it is in.
struct Job {
    watcher: Watcher,
    ticket: Ticket,
    /// In the order of an ensemble's members.
    lanes: Vec<usize>,
    /// Number of the first block that it takes part in.
    since: u64,
}

enum Watcher {
    Run(Watch),
    Ensemble(Ensemble),
}

/// Blocks that were submitted and not looked at yet.
#[derive(Default)]
struct Flight {
    /// Number of the oldest, counted from the first of the wave.
    oldest: u64,
    /// Of each, oldest first.
    steps: VecDeque<usize>,
}

impl Flight {
    /// Number of the block that is submitted next.
    fn next(&self) -> u64 {
        self.oldest + self.steps.len() as u64
    }

    /// Steps that a job is about to make.
    fn ahead_of(&self, job: &Job) -> u64 {
        let before = job.since.saturating_sub(self.oldest) as usize;
        self.steps.iter().skip(before).map(|steps| *steps as u64).sum()
    }
}

impl Job {
    /// Steps from the latest one that was looked at until something must be done with it.
    fn due(&self) -> u64 {
        match &self.watcher {
            Watcher::Run(_) => u64::MAX,
            Watcher::Ensemble(ensemble) => ensemble.due(),
        }
    }

    /// Looks at a block of its observations: its trial where it is decided; adds the renewals that are due.
    fn look(&mut self, seen: &Observations, renewals: &mut Vec<Renewal>) -> Option<Trial> {
        let Self { watcher, lanes, .. } = self;
        match watcher {
            Watcher::Run(watch) => seen.lane(lanes[0]).iter().find_map(|observation| watch.push(observation)),
            Watcher::Ensemble(ensemble) => (0..seen.steps()).find_map(|step| {
                match ensemble.push(lanes.iter().map(|lane| seen.get(step, *lane)))? {
                    Beat::Done(trial) => Some(trial),
                    Beat::Renew(changes) => {
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

impl Sweep {
    /// One wave of cells whose gradients have equally many rows, until the queue is empty, `watched` breaks, or the device
    /// fails; its runs are then back in the queue.
    pub(super) fn ride(
        &self,
        engine: &dyn Engine,
        spec: WaveSpec,
        cells: &[(Cell, f64)],
        queue: &mut Queue,
        finished: &mut dyn FnMut(usize, CellResult) -> anyhow::Result<()>,
        watched: &mut dyn FnMut(usize, u64) -> ControlFlow<()>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let lanes = spec.lanes;
        let mut wave = engine.open(spec)?;
        let mut free: BTreeSet<usize> = (0..lanes).collect();
        let mut jobs: Vec<Job> = Vec::new();
        let mut flight = Flight::default();
        let mut next: Option<Ticket> = None;
        let mut ride = || loop {
            loop {
                next = match next.take() {
                    Some(ticket) => Some(ticket),
                    None => queue.pop(finished)?,
                };
                let Some(ticket) = next else { break };
                let cell = &cells[ticket.cell].0;
                if self.plan.members(cell) > free.len() {
                    break;
                }
                jobs.push(self.job(cell, ticket, flight.next(), &mut free));
                next = None;
                for (member, lane) in jobs.last().into_iter().flat_map(|job| job.lanes.iter().enumerate()) {
                    wave.start(*lane, self.run(cell, ticket.request.lr, member))?;
                }
            }
            if jobs.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            submit(&mut *wave, &jobs, &mut flight)?;
            let busy = lanes - free.len();
            let steps = collect(&mut *wave, &mut flight, &mut jobs, &mut free, queue)?;
            if watched(busy, steps).is_break() {
                queue.settle(finished)?;
                return Ok(ControlFlow::Break(()));
            }
        };
        let outcome = ride();
        if outcome.is_err() {
            queue.put_back(jobs.into_iter().map(|job| job.ticket).chain(next));
        }
        outcome
    }

    fn run(&self, cell: &Cell, lr: f64, member: usize) -> Run {
        let ensemble = self.plan.members(cell) > 1;
        Run {
            rule: cell.rule,
            lr: lr.into(),
            schedule: cell.schedule.clone(),
            seed: if ensemble { mix(self.plan.seed_order, member as u64) } else { self.plan.seed_order },
            start: Arc::clone(if ensemble { &self.aligned } else { &self.start }),
            centred: is_centred(cell),
            statistics: None,
        }
    }

    /// Takes the lanes for a ticket that takes part from block `since` on.
    fn job(&self, cell: &Cell, ticket: Ticket, since: u64, free: &mut BTreeSet<usize>) -> Job {
        let members = self.plan.members(cell);
        let lanes = (0..members).filter_map(|_| free.pop_first()).collect();
        Job { watcher: self.watcher(cell, ticket.request), ticket, lanes, since }
    }

    fn watcher(&self, cell: &Cell, Request { lr, agreement }: Request) -> Watcher {
        let (unit, horizon) = (Self::unit(cell), self.horizon(cell));
        let members = self.plan.members(cell);
        if members > 1 {
            let spec = EnsembleSpec {
                criterion: cell.criterion,
                members,
                beat: (BEAT.0 * unit).max(BEAT.1),
                horizon,
                scale: self.start_distance,
                seed: self.plan.seed_order,
            };
            return Watcher::Ensemble(Ensemble::new(spec, lr));
        }
        // Without chance all criteria but the escape are that of the mean.
        let spec = WatchSpec {
            criterion: cell.criterion,
            unit,
            horizon,
            start: self.start_distance,
            radius: self.escape_radius,
            agreement,
        };
        Watcher::Run(Watch::new(spec, lr))
    }
}

/// Keeps the wave busy: submits the blocks that pay, none of which goes past a step at which something must be done.
fn submit(wave: &mut dyn Wave, jobs: &[Job], flight: &mut Flight) -> Result<(), EngineError> {
    while flight.steps.len() <= wave.ahead() {
        let due = jobs.iter().map(|job| job.due() - flight.ahead_of(job)).min().unwrap_or(0);
        let steps = due.min(BLOCK as u64) as usize;
        if steps == 0 {
            break;
        }
        wave.submit(steps)?;
        flight.steps.push_back(steps);
    }
    Ok(())
}

/// Looks at the oldest block: decided runs are retired and their trials handed to their cells. Returns the steps looked
/// at, summed over the lanes.
fn collect(
    wave: &mut dyn Wave,
    flight: &mut Flight,
    jobs: &mut Vec<Job>,
    free: &mut BTreeSet<usize>,
    queue: &mut Queue,
) -> Result<u64, EngineError> {
    let seen = wave.collect()?;
    let number = flight.oldest;
    flight.oldest += 1;
    flight.steps.pop_front();
    let mut looked_at = 0;
    let mut renewals = Vec::new();
    jobs.retain_mut(|job| {
        // In the lanes of a later job others still went about.
        if job.since > number {
            return true;
        }
        looked_at += (job.lanes.len() * seen.steps()) as u64;
        let Some(trial) = job.look(&seen, &mut renewals) else { return true };
        for lane in &job.lanes {
            wave.retire(*lane);
            free.insert(*lane);
        }
        queue.record(job.ticket, trial);
        false
    });
    if !renewals.is_empty() {
        assert!(flight.steps.is_empty(), "a block goes past the end of a beat");
        wave.renew(&renewals)?;
    }
    Ok(looked_at)
}
