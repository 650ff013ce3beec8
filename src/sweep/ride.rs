//! One wave: its lanes kept full of the runs that the queue holds, observed, and retired when they are decided.
//!
//! Not here: which cells share a wave, nor what happens after the device has failed ([`super::recovery`]).

use super::queue::{Queue, Ticket};
use super::{BLOCK, CellResult, Sweep, is_centred};
use crate::engine::{Engine, EngineError, Renewal, Run, Wave, WaveSpec};
use crate::plan::Cell;
use crate::threshold::{Beat, Ensemble, EnsembleSpec, Request, Watch, WatchSpec, mix};
use std::collections::BTreeSet;
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
}

enum Watcher {
    Run(Watch),
    Ensemble(Ensemble),
}

impl Job {
    /// Steps until something must be done with it.
    fn due(&self) -> u64 {
        match &self.watcher {
            Watcher::Run(_) => u64::MAX,
            Watcher::Ensemble(ensemble) => ensemble.due(),
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
                jobs.push(self.job(cell, ticket, &mut free));
                next = None;
                for (member, lane) in jobs.last().into_iter().flat_map(|job| job.lanes.iter().enumerate()) {
                    wave.start(*lane, self.run(cell, ticket.request.lr, member))?;
                }
            }
            if jobs.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let busy = lanes - free.len();
            let steps = self.advance(&mut *wave, &mut jobs, &mut free, queue)?;
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

    /// One block of steps: decided runs are retired and their trials handed to their cells. Returns the steps made, summed
    /// over the lanes.
    fn advance(
        &self,
        wave: &mut dyn Wave,
        jobs: &mut Vec<Job>,
        free: &mut BTreeSet<usize>,
        queue: &mut Queue,
    ) -> Result<u64, EngineError> {
        let due = jobs.iter().map(Job::due).min().unwrap_or(u64::MAX);
        let steps = due.min(BLOCK as u64) as usize;
        let seen = wave.advance(steps)?;
        let busy: usize = jobs.iter().map(|job| job.lanes.len()).sum();
        let mut renewals = Vec::new();
        jobs.retain_mut(|job| {
            let trial = match &mut job.watcher {
                Watcher::Run(watch) => seen.lane(job.lanes[0]).iter().find_map(|observation| watch.push(observation)),
                Watcher::Ensemble(ensemble) => (0..steps).find_map(|step| {
                    match ensemble.push(job.lanes.iter().map(|lane| seen.get(step, *lane)))? {
                        Beat::Done(trial) => Some(trial),
                        Beat::Renew(changes) => {
                            renewals.extend(changes.into_iter().map(|change| Renewal {
                                lane: job.lanes[change.member],
                                source: job.lanes[change.source],
                                factor: change.factor,
                                seed: change.seed,
                            }));
                            None
                        }
                    }
                }),
            };
            let Some(trial) = trial else { return true };
            for lane in &job.lanes {
                wave.retire(*lane);
                free.insert(*lane);
            }
            queue.record(job.ticket, trial);
            false
        });
        if !renewals.is_empty() {
            wave.renew(&renewals)?;
        }
        Ok((busy * steps) as u64)
    }

    fn run(&self, cell: &Cell, lr: f64, member: usize) -> Run {
        let ensemble = self.plan.members(cell) > 1;
        Run {
            rule: cell.rule,
            lr,
            schedule: cell.schedule.clone(),
            seed: if ensemble { mix(self.plan.seed_order, member as u64) } else { self.plan.seed_order },
            start: Arc::clone(if ensemble { &self.aligned } else { &self.start }),
            centred: is_centred(cell),
        }
    }

    /// Takes the lanes for a ticket.
    fn job(&self, cell: &Cell, ticket: Ticket, free: &mut BTreeSet<usize>) -> Job {
        let members = self.plan.members(cell);
        let lanes = (0..members).filter_map(|_| free.pop_first()).collect();
        Job { watcher: self.watcher(cell, ticket.request), ticket, lanes }
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
