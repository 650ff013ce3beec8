//! Whole steps on an engine, timed: forward, loss, backward, delayed update and observation.

use super::Spread;
use super::workload::Workload;
use crate::engine::pump::{BLOCK, Pump};
use crate::engine::{Engine, EngineError, Footprint, Observation, Wave};
use std::ops::Range;
use std::time::Instant;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// What came of timing a workload.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Steps of single runs per second of wall-clock time, over the rounds.
    pub config_steps_per_s: Spread,
    /// How the engine makes its steps ([`Engine::path`]).
    pub path: String,
    /// Waves that the lanes were spread over: more than one where the engine does not hold them all in one.
    pub waves: usize,
    /// What the engine plans for its lanes, bytes.
    pub planned_bytes: u64,
    /// What the process grew by from before the waves were opened until after the first round, bytes; where the system
    /// tells. On a GPU with memory of its own the waves lie in that, and not in the process.
    pub resident_bytes: Option<u64>,
    pub outcome: Outcome,
}

/// Where the lanes are after the first round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Server weights, lanes x P.
    pub weights: Vec<f64>,
    /// Objective of every step's batch, steps x lanes.
    pub loss: Vec<f64>,
}

/// Runs a workload for one round, which is not timed, and then for `rounds` more.
///
/// # Errors
/// Where the lanes do not fit the engine, or its device fails.
pub fn measure(workload: &Workload, engine: &dyn Engine, rounds: usize) -> Result<Measured, EngineError> {
    let Workload { lanes, steps, .. } = *workload;
    let Footprint { lane, shared, free } = engine.footprint(&workload.spec(lanes, BLOCK))?;
    let planned_bytes = lane * lanes as u64 + shared;
    if let Some(free) = free.filter(|free| planned_bytes > *free) {
        return Err(EngineError::TooLarge(format!(
            "--lanes {lanes}: they take {planned_bytes} bytes, and {free} bytes are free; accepted: up to {}",
            free.saturating_sub(shared) / lane.max(1)
        )));
    }
    let path = engine.path(&workload.spec(lanes, BLOCK))?;
    let before = resident();
    let mut fleet = Fleet::open(workload, engine)?;
    let mut loss = vec![0.0; steps * lanes];
    fleet.advance(steps, 1, &mut |step, lane, seen| loss[step * lanes + lane] = seen.loss, &mut || ())?;
    let resident_bytes = resident().zip(before).map(|(after, before)| after.saturating_sub(before));
    let outcome = Outcome { weights: fleet.weights()?, loss };

    let mut rates = Vec::with_capacity(rounds);
    let mut begin = Instant::now();
    fleet.advance(steps, rounds, &mut |_, _, _| {}, &mut || {
        let end = Instant::now();
        rates.push((steps * lanes) as f64 / (end - begin).as_secs_f64());
        begin = end;
    })?;
    let config_steps_per_s = Spread::of(&rates);
    Ok(Measured { config_steps_per_s, path, waves: fleet.waves.len(), planned_bytes, resident_bytes, outcome })
}

/// All lanes of a workload, in as many waves as the engine needs for them.
struct Fleet {
    /// Each with the lanes of the workload that it has.
    waves: Vec<(Box<dyn Wave>, Range<usize>)>,
}

impl Fleet {
    fn open(workload: &Workload, engine: &dyn Engine) -> Result<Self, EngineError> {
        let lanes = workload.lanes;
        // Alike in size, so that no wave is left with a handful of lanes that keep nothing busy.
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

    /// Goes `rounds` times through `steps` steps of every lane, a wave after the other, in the blocks of a sweep; `see` is
    /// given every observation with its step and lane, and `done` is called at the end of every round.
    ///
    /// While a block is looked at, the engine has as many more as it says that pay, be they of another wave or of the next
    /// round, so that a device does not wait for the host between them.
    fn advance(
        &mut self,
        steps: usize,
        rounds: usize,
        see: &mut dyn FnMut(usize, usize, &Observation),
        done: &mut dyn FnMut(),
    ) -> Result<(), EngineError> {
        let (waves, blocks) = (self.waves.len(), steps.div_ceil(BLOCK));
        let ahead = self.waves.iter().map(|(wave, _)| wave.ahead()).max().unwrap_or(0);
        // The wave of a block, and its first step in the round.
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

/// Bytes of main memory that this process takes, where the system tells.
fn resident() -> Option<u64> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    let memory_alone = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, memory_alone);
    Some(system.process(pid)?.memory())
}
