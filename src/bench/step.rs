//! Timing of whole steps on an engine: forward, loss, backward, delayed update and observation.

use super::Spread;
use super::fewer::{Fitted, fit};
use super::workload::Workload;
use crate::engine::pump::{BLOCK, Pump};
use crate::engine::{Engine, EngineError, Footprint, Observation, Wave};
use crate::text::counted;
use std::ops::Range;
use std::time::{Duration, Instant};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Result of timing a workload.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Steps of single runs per second of wall-clock time, over the rounds.
    pub config_steps_per_s: Spread,
    /// Steps of every run in a timed round.
    pub steps: usize,
    /// How the engine makes its steps ([`Engine::path`]).
    pub path: String,
    /// Number of waves that the lanes were spread over: more than one where the engine cannot hold them all in one.
    pub waves: usize,
    /// Memory that the engine plans for its lanes, bytes.
    pub planned_bytes: u64,
    /// Growth of the process's memory from before the waves were opened until after the first round, bytes; `None` where
    /// the system does not tell. On a GPU with its own memory the waves are there and not in the process.
    pub resident_bytes: Option<u64>,
    pub state: FinalState,
    /// Lanes that were measured.
    pub lanes: usize,
    /// Why these are fewer than the workload's, in words; empty where they are not.
    pub fewer: Vec<String>,
}

/// State of the lanes after the first round, and the losses on the way.
#[derive(Clone, Debug)]
pub struct FinalState {
    /// Server weights, lanes x P.
    pub weights: Vec<f64>,
    /// Objective on every step's batch, steps x lanes.
    pub loss: Vec<f64>,
}

/// Runs a workload once, and once more where `least` is not zero, to see how long that takes; then for `rounds` timed rounds,
/// each of the workload's steps as often as takes `least` at the least. On an adapter with as many of its lanes as there is
/// memory for.
///
/// # Errors
/// Where the lanes do not fit the engine, or its device fails.
pub fn measure(
    workload: &Workload,
    engine: &dyn Engine,
    rounds: usize,
    least: Duration,
) -> Result<Measured, EngineError> {
    let (planned, mut told) = planned_lanes(workload, engine)?;
    let of = |lanes| measure_all(&Workload { lanes, ..workload.clone() }, engine, rounds, least);
    let Fitted { outcome, fewer, .. } = fit(planned, of)?;
    told.extend(fewer);
    Ok(Measured { fewer: told, ..outcome })
}

/// How many lanes are open at once: on an adapter no more than fit what is free of its memory.
fn planned_lanes(workload: &Workload, engine: &dyn Engine) -> Result<(usize, Vec<String>), EngineError> {
    let lanes = workload.lanes;
    let Footprint { lane, shared, free } = engine.footprint(&workload.spec(lanes, BLOCK))?;
    let planned_bytes = lane * lanes as u64 + shared;
    let Some(free) = free.filter(|free| planned_bytes > *free) else { return Ok((lanes, Vec::new())) };
    let most = free.saturating_sub(shared) / lane.max(1);
    let numbers = format!("{} at once need {planned_bytes} bytes, and {free} bytes are free", counted(lanes, "lane"));
    if engine.info().engine != "gpu" || most == 0 {
        return Err(EngineError::TooLarge(format!("--lanes {lanes}: {numbers}; accepted: up to {most}")));
    }
    Ok((most as usize, vec![format!("{numbers}; {} instead of {lanes}", counted(most, "lane"))]))
}

/// The same with all lanes of the workload.
fn measure_all(
    workload: &Workload,
    engine: &dyn Engine,
    rounds: usize,
    least: Duration,
) -> Result<Measured, EngineError> {
    let Workload { lanes, steps, .. } = *workload;
    let Footprint { lane, shared, .. } = engine.footprint(&workload.spec(lanes, BLOCK))?;
    let planned_bytes = lane * lanes as u64 + shared;
    let path = engine.path(&workload.spec(lanes, BLOCK))?;
    let before = resident();
    let mut waves = Waves::open(workload, engine)?;
    let mut loss = vec![0.0; steps * lanes];
    waves.advance(steps, 1, &mut |step, lane, seen| loss[step * lanes + lane] = seen.loss, &mut || ())?;
    let resident_bytes = resident().zip(before).map(|(after, before)| after.saturating_sub(before));
    let state = FinalState { weights: waves.weights()?, loss };

    let steps = steps * waves.repeats(steps, least)?;
    let mut rates = Vec::with_capacity(rounds);
    let mut begin = Instant::now();
    waves.advance(steps, rounds, &mut |_, _, _| {}, &mut || {
        let end = Instant::now();
        rates.push((steps * lanes) as f64 / (end - begin).as_secs_f64());
        begin = end;
    })?;
    let config_steps_per_s = Spread::of(&rates);
    let (waves, fewer) = (waves.waves.len(), Vec::new());
    Ok(Measured { config_steps_per_s, steps, path, waves, planned_bytes, resident_bytes, state, lanes, fewer })
}

/// All lanes of a workload, in as many waves as the engine needs.
struct Waves {
    /// Each wave with its lanes of the workload.
    waves: Vec<(Box<dyn Wave>, Range<usize>)>,
}

impl Waves {
    fn open(workload: &Workload, engine: &dyn Engine) -> Result<Self, EngineError> {
        let lanes = workload.lanes;
        // Similar in size, so that no wave has only a few lanes, which would leave the device idle.
        let waves = lanes.div_ceil(engine.capacity(&workload.spec(lanes, BLOCK))?.max(1));
        let mut runs = workload.runs();
        let open = |index: usize| {
            let share = lanes * index / waves..lanes * (index + 1) / waves;
            let mut wave = engine.open(workload.spec(share.len(), BLOCK))?;
            (0..share.len()).zip(&mut runs).try_for_each(|(lane, run)| wave.start(lane, run))?;
            Ok((wave, share))
        };
        Ok(Self { waves: (0..waves).map(open).collect::<Result<_, EngineError>>()? })
    }

    /// How often `steps` steps take `least` together, by the time that they take until the clocks of the device have risen.
    fn repeats(&mut self, steps: usize, least: Duration) -> Result<usize, EngineError> {
        let mut repeats = 1;
        while !least.is_zero() {
            let begin = Instant::now();
            self.advance(steps * repeats, 1, &mut |_, _, _| {}, &mut || ())?;
            let took = begin.elapsed();
            if took >= least {
                break;
            }
            // A little more than seems to be enough; ten times as many at most, since a very short round says little.
            let wanted = 1.1 * least.as_secs_f64() / took.as_secs_f64().max(1e-9);
            repeats = (repeats as f64 * wanted.min(10.0)).ceil() as usize;
        }
        Ok(repeats)
    }

    /// Makes `rounds` times `steps` steps of every lane, one wave after the other, in the blocks of a sweep. Calls `see` with
    /// every observation, its step and its lane, and `done` at the end of every round.
    ///
    /// While the host reads a block, the engine already has the next ones, of another wave or of the next round, so that the
    /// device does not wait for the host.
    fn advance(
        &mut self,
        steps: usize,
        rounds: usize,
        see: &mut dyn FnMut(usize, usize, &Observation),
        done: &mut dyn FnMut(),
    ) -> Result<(), EngineError> {
        let (waves, blocks) = (self.waves.len(), steps.div_ceil(BLOCK));
        let ahead = self.waves.iter().map(|(wave, _)| wave.ahead()).max().unwrap_or(0);
        // Wave of a block, and first step of the block in its round.
        let place = |block: usize| (block / blocks % waves, block % blocks * BLOCK);
        let (mut submitted, all) = (0, rounds * waves * blocks);
        let mut pump = Pump::default();
        loop {
            pump.fill(ahead, |_| {
                let block = submitted;
                if block == all {
                    return Ok(None);
                }
                let (wave, first) = place(block);
                self.waves[wave].0.submit(BLOCK.min(steps - first))?;
                submitted += 1;
                Ok(Some(block))
            })?;
            let Some((_, block)) = pump.take() else { break };
            let (wave, first) = place(block);
            let (wave, lanes) = &mut self.waves[wave];
            let seen = wave.collect()?;
            for (lane, number) in lanes.clone().enumerate() {
                seen.lane(lane).iter().enumerate().for_each(|(step, seen)| see(first + step, number, seen));
            }
            if (block + 1) % (waves * blocks) == 0 {
                done();
            }
        }
        Ok(())
    }

    fn weights(&mut self) -> Result<Vec<f64>, EngineError> {
        let mut all = Vec::new();
        for (wave, lanes) in &mut self.waves {
            for lane in 0..lanes.len() {
                all.extend(wave.weights(lane)?);
            }
        }
        Ok(all)
    }
}

/// Bytes of main memory that this process takes; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    let memory_alone = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, memory_alone);
    Some(system.process(pid)?.memory())
}
