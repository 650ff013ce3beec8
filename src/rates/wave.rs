//! The runs of a sweep of rates on an engine: each goes on until its rate is known, and gives its lanes to the next.
//!
//! A run of a cell without chance is watched by a [`DecayMonitor`]. Where there is chance an ensemble is, which lasts for a given time, and one
//! four times as long, or as long as its error asks for, takes its place where the rate is not known well enough. Not here: rows, nor files.

use super::{CommonStart, MeasuredRate, RateUnit};
use crate::engine::cpu::Cpu;
use crate::engine::{Engine, EngineInfo, Renewal, Run, Wave, WaveSpec};
use crate::outer::WorkShape;
use crate::session::checkpoint::Checkpoints;
use crate::session::checkpoint::sections::SectionCheckpoints;
use crate::session::progress::Progress;
use crate::session::recovery::Recovery;
use crate::sweep::{PreparedSweep, lanes, read_monitor, wave_spec, write_monitor};
use crate::threshold::{
    Decay, DecayAction, DecayEnd, DecayMonitor, DecaySpec, Ensemble, EnsembleSpec, StartPoint, Verdict, WindowEnd,
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Lengths of an ensemble: the first one, in units of the memory of its runs, and how much longer the next one is, at least and at most.
const FIRST_LENGTH: u64 = 512;
const LONGER: [f64; 2] = [2.0, 8.0];

/// Standard errors that an error is told as.
const ERRORS: f64 = 2.0;

/// Logarithm of a factor of the distance that no ensemble tells from its rate.
const UNTOLD: f64 = 1.5;

/// A unit that waits or runs: its place among those asked for, and the length of its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ticket {
    place: usize,
    length: Option<u64>,
}

/// What a section of a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RateSection {
    id: String,
    length: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Watched {
    One(DecayMonitor),
    Many(Ensemble),
}

impl Watched {
    fn steps(&self) -> u64 {
        match self {
            Self::One(run) => run.steps(),
            Self::Many(ensemble) => ensemble.steps(),
        }
    }

    fn due(&self) -> u64 {
        match self {
            Self::One(run) => run.due(),
            Self::Many(ensemble) => ensemble.due(),
        }
    }
}

struct ActiveRate {
    ticket: Ticket,
    watched: Watched,
    lanes: Vec<usize>,
    /// As which member each lane's run began.
    origins: Vec<usize>,
}

/// What the runs of a wave are made of, and whom they are reported to.
pub(super) struct Measurement<'a> {
    /// In the format of the engine that makes the runs.
    sweep: &'a PreparedSweep,
    start: CommonStart,
    units: &'a [RateUnit],
    watched: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    finished: &'a mut dyn FnMut(usize, MeasuredRate) -> Result<()>,
    config_steps: u64,
}

/// The engine that makes the runs, where `engine` is that of the session: in f64 wherever the processor makes them and no precision is asked for.
pub(super) fn in_format<'a>(sweep: &'a PreparedSweep, info: &EngineInfo) -> (&'a PreparedSweep, Option<Cpu<f64>>) {
    let moves = sweep.falls_back(info) && info.engine == "cpu";
    match (moves, sweep.is_on_processor(info)) {
        (true, _) => (sweep.in_f64(), Some(Cpu::default())),
        (false, true) => (sweep, Some(Cpu::default())),
        (false, false) => (sweep, None),
    }
}

/// Measures `units` on `engine`; `finished` is called once for each, with its place. Where `watched` breaks, the rest is left.
pub(super) fn measure(
    sweep: &PreparedSweep,
    engine: &dyn Engine,
    units: &[RateUnit],
    checkpoints: Option<&mut Checkpoints>,
    finished: &mut dyn FnMut(usize, MeasuredRate) -> Result<()>,
    watched: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let mut recovery = Recovery::new(engine);
    let mut checkpoints = SectionCheckpoints::<RateSection>::new(checkpoints);
    let ids: Vec<String> = units.iter().map(|unit| sweep.plan.rate_id(&unit.cell, unit.lr)).collect();
    let is_asked = |section: &RateSection| ids.contains(&section.id);
    checkpoints.read::<()>(is_asked)?;
    let mut groups: BTreeMap<(Option<usize>, WorkShape), VecDeque<Ticket>> = BTreeMap::new();
    for (place, unit) in units.iter().enumerate() {
        let saved = checkpoints.saved().find(|section| section.id == ids[place]).and_then(|section| section.length);
        let length =
            saved.or_else(|| (sweep.plan.members(&unit.cell) > 1).then(|| sweep.memory(&unit.cell) * FIRST_LENGTH));
        let kind = (sweep.plan.rows(&unit.cell), unit.cell.work_shape());
        groups.entry(kind).or_default().push_back(Ticket { place, length });
    }
    let start = CommonStart::new(sweep);
    let mut measurement = Measurement { sweep, start, units, watched, finished, config_steps: 0 };
    for ((rows, _), mut queue) in groups {
        let cells: Vec<_> = queue.iter().map(|ticket| &units[ticket.place].cell).collect();
        let spec = wave_spec(&sweep.plan, &sweep.problem, rows, cells.into_iter());
        loop {
            let lanes = recovery.lanes(lanes(recovery.engine(), &spec)?, spec.together);
            let minimum = Arc::new(sweep.minimum.weights.clone());
            let direction = Arc::new(sweep.minimum.largest.vector.clone());
            let spec = WaveSpec { minimum, direction, lanes, ..spec.clone() };
            let together = spec.together;
            let mended = recovery.mended().to_vec();
            match measurement.wave(recovery.engine(), spec, &mut queue, (&mut checkpoints, &ids), &mended) {
                Ok(ControlFlow::Continue(())) => break,
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) => {
                    recovery.mend(error, lanes, together)?;
                    checkpoints.read::<()>(is_asked)?;
                }
            }
        }
    }
    Ok(())
}

impl Measurement<'_> {
    fn wave(
        &mut self,
        engine: &dyn Engine,
        spec: WaveSpec,
        queue: &mut VecDeque<Ticket>,
        (checkpoints, ids): (&mut SectionCheckpoints<RateSection>, &[String]),
        mended: &[String],
    ) -> Result<ControlFlow<()>> {
        let mut free: BTreeSet<usize> = (0..spec.lanes).collect();
        let (block, gradients) = (spec.block, spec.needs.work.gradients as u64);
        let mut wave = engine.open(spec)?;
        let mut active: Vec<ActiveRate> = Vec::new();
        let outcome =
            self.go_on((&mut *wave, block, gradients), &mut free, &mut active, queue, (checkpoints, ids), mended);
        if outcome.is_err() {
            active.into_iter().rev().for_each(|run| queue.push_front(run.ticket));
        }
        outcome
    }

    fn go_on(
        &mut self,
        (wave, block, gradients): (&mut dyn Wave, usize, u64),
        free: &mut BTreeSet<usize>,
        active: &mut Vec<ActiveRate>,
        queue: &mut VecDeque<Ticket>,
        (checkpoints, ids): (&mut SectionCheckpoints<RateSection>, &[String]),
        mended: &[String],
    ) -> Result<ControlFlow<()>> {
        loop {
            while let Some(ticket) = queue.front().copied() {
                let members = self.sweep.plan.members(&self.units[ticket.place].cell);
                if members > free.len() {
                    break;
                }
                queue.pop_front();
                let lanes = (0..members).filter_map(|_| free.pop_first()).collect();
                active.push(ActiveRate { ticket, watched: self.watch(ticket), lanes, origins: (0..members).collect() });
                let run = active.last_mut().expect("a run was added");
                self.begin(wave, run, (checkpoints, ids))?;
            }
            if active.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let due = active.iter().map(|run| run.watched.due()).min().unwrap_or(1);
            let steps = due.clamp(1, block as u64) as usize;
            let seen = wave.advance(steps)?;
            let alive: usize = active.iter().map(|run| run.lanes.len()).sum();
            self.config_steps += (alive * steps) as u64 * gradients;
            let mut renewals = Vec::new();
            let mut ended = Vec::new();
            active.retain_mut(|run| {
                let Some(measured) = look(run, &seen, &mut renewals) else { return true };
                for lane in &run.lanes {
                    wave.retire(*lane);
                    free.insert(*lane);
                }
                ended.push((run.ticket, measured));
                false
            });
            if !renewals.is_empty() {
                wave.renew(&renewals)?;
            }
            for (ticket, measured) in ended {
                match self.longer(ticket, &measured) {
                    Some(length) => queue.push_front(Ticket { length: Some(length), ..ticket }),
                    None => {
                        let judged = self.judged(ticket, measured);
                        (self.finished)(ticket.place, judged)?;
                    }
                }
            }
            let warnings = checkpoints.warnings();
            let now = Progress { alive, config_steps: self.config_steps, mended, warnings, ..Progress::default() };
            let stops = (self.watched)(now).is_break();
            if stops || checkpoints.is_due() {
                checkpoints.write(&(), |content| {
                    active.iter().filter(|run| run.watched.steps() > 0).try_for_each(|run| {
                        let id = ids[run.ticket.place].clone();
                        content.add(RateSection { id, length: run.ticket.length }, |out| {
                            write_monitor(&(&run.watched, &run.origins), out)?;
                            run.lanes.iter().try_for_each(|lane| wave.save(*lane, out))
                        })
                    })
                })?;
            }
            if stops {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Puts the members of a run into their lanes: where the checkpoint has them, else at their start.
    fn begin(
        &self,
        wave: &mut dyn Wave,
        run: &mut ActiveRate,
        (checkpoints, ids): (&mut SectionCheckpoints<RateSection>, &[String]),
    ) -> Result<()> {
        let section = RateSection { id: ids[run.ticket.place].clone(), length: run.ticket.length };
        let ActiveRate { ticket, watched, lanes, origins } = run;
        let restored = checkpoints.take(
            |saved| *saved == section,
            |_, state| {
                (*watched, *origins) = read_monitor(state)?;
                let made = watched.steps();
                let mut pairs = lanes.iter().zip(&*origins);
                pairs.try_for_each(|(lane, origin)| wave.restore(*lane, self.run(*ticket, *origin), made, &mut *state))
            },
        )?;
        if restored.is_none() {
            for (member, lane) in run.lanes.iter().enumerate() {
                wave.start(*lane, self.run(run.ticket, member))?;
            }
        }
        Ok(())
    }

    fn run(&self, ticket: Ticket, member: usize) -> Run {
        let RateUnit { cell, lr } = &self.units[ticket.place];
        Run { start: Arc::clone(&self.start.weights), ..self.sweep.run(cell, *lr, StartPoint::Near, member) }
    }

    fn watch(&self, ticket: Ticket) -> Watched {
        let RateUnit { cell, lr } = &self.units[ticket.place];
        let (sweep, limits) = (self.sweep, self.sweep.plan.limits(cell.criterion));
        let CommonStart { distance, of_minimum, .. } = self.start;
        let Some(steps) = ticket.length else {
            let (unit, tolerance) = (PreparedSweep::unit(cell), limits.tolerance);
            let spec = DecaySpec { tolerance, horizon: limits.horizon * unit, unit, distance, of_minimum };
            return Watched::One(DecayMonitor::new(spec));
        };
        let memory = sweep.memory(cell);
        let spec = EnsembleSpec {
            criterion: cell.criterion,
            members: sweep.plan.members(cell),
            // The whole distance, whatever its direction.
            across: 1.0,
            window: memory.max(4 * PreparedSweep::unit(cell)).max(8),
            memory,
            steps: Some(steps),
            horizon: sweep.horizon(cell).max(steps),
            scale: distance,
            seed: sweep.ensemble_seed(*lr),
        };
        Watched::Many(Ensemble::new(spec, *lr))
    }

    /// Length of the next ensemble, where this one does not know the rate well enough and there is time.
    fn longer(&self, ticket: Ticket, measured: &MeasuredRate) -> Option<u64> {
        let (length, decay) = (ticket.length?, measured.decay?);
        let cell = &self.units[ticket.place].cell;
        let horizon = self.sweep.horizon(cell);
        let missing = decay.error / (self.sweep.plan.limits(cell.criterion).tolerance * decay.rate.abs());
        if missing <= 1.0 || length >= horizon {
            return None;
        }
        let factor = (1.2 * missing * missing).clamp(LONGER[0], LONGER[1]);
        Some(((length as f64 * factor) as u64).min(horizon))
    }

    /// An ensemble that has ended without a rate within the tolerance.
    fn judged(&self, ticket: Ticket, measured: MeasuredRate) -> MeasuredRate {
        let limits = self.sweep.plan.limits(self.units[ticket.place].cell.criterion);
        let known = |decay: Decay| decay.error <= limits.tolerance * decay.rate.abs();
        match measured {
            MeasuredRate { end: DecayEnd::Known, decay, .. } if !decay.is_some_and(known) => {
                MeasuredRate { end: DecayEnd::Horizon, ..measured }
            }
            _ => measured,
        }
    }
}

/// Looks at a block: what the run came to where it has ended; adds the renewals that are due.
fn look(run: &mut ActiveRate, seen: &crate::engine::Observations, renewals: &mut Vec<Renewal>) -> Option<MeasuredRate> {
    let ActiveRate { watched, lanes, origins, .. } = run;
    let members = lanes.len();
    match watched {
        Watched::One(monitor) => {
            let action = seen
                .lane(lanes[0])
                .iter()
                .find_map(|now| monitor.push(if now.finite { now.distance_squared } else { f64::NAN }))?;
            match action {
                DecayAction::Scale(factor) => {
                    renewals.push(Renewal { lane: lanes[0], source: lanes[0], factor, seed: None });
                    None
                }
                DecayAction::Done(end, decay) => Some(MeasuredRate { end, decay, members, steps: monitor.steps() }),
            }
        }
        Watched::Many(ensemble) => {
            (0..seen.steps()).find_map(|step| match ensemble.push(lanes.iter().map(|lane| seen.get(step, *lane)))? {
                WindowEnd::Done(trial) => {
                    let steps = trial.steps;
                    let decay = trial
                        .growth
                        .zip(trial.error)
                        .map(|(growth, error)| Decay { rate: -growth, error: ERRORS * error + UNTOLD / steps as f64 });
                    let end = match (trial.verdict, decay) {
                        (Verdict::Diverged, _) => DecayEnd::Diverged,
                        (_, Some(_)) => DecayEnd::Known,
                        (_, None) => DecayEnd::Zero,
                    };
                    Some(MeasuredRate { end, decay, members, steps })
                }
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
            })
        }
    }
}
