//! Blocks in flight: steps that a wave has submitted and whose observations its owner has not collected yet. The
//! observations of each block come to the host in a staging buffer of its own, so the device works on while they are read.
//!
//! Not here: which steps a block has ([`crate::sweep`]), nor what is submitted for them (`wave`).

use super::submit_size::SubmitSize;
use crate::engine::gpu::device::Submission;
use crate::engine::gpu::device::{Buffer, Device, Staging};
use crate::engine::gpu::steps::WaveLayout;
use crate::engine::gpu::steps::buffers::{OBSERVATION, WORD, staging};
use crate::engine::{EngineError, Observation, Observations};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Blocks in flight beside the one whose observations the host reads: so the device always has work.
const AHEAD: usize = 1;

/// Lanes whose observations a thread reads at a time.
const GROUP: usize = 64;

/// Bytes of one observation.
const OBSERVATION_BYTES: u64 = OBSERVATION as u64 * WORD;

/// Steps of some lanes in flight.
pub struct Block {
    steps: usize,
    /// lanes: those that make the steps.
    busy: Vec<bool>,
    portions: Vec<Portion>,
    /// steps x lanes observations; none where no lane is busy.
    staging: Option<Staging>,
}

/// Steps of a block that were submitted at once.
struct Portion {
    steps: usize,
    submission: Submission,
    /// When it was submitted, if nothing was in flight.
    alone: Option<Instant>,
}

impl Block {
    /// Whether it has anything to do.
    pub fn is_busy(&self) -> bool {
        self.staging.is_some()
    }
}

/// The blocks of one wave, oldest first, and their staging buffers, which are used again.
pub struct Blocks {
    device: Device,
    lanes: usize,
    /// Bytes of a staging buffer.
    staging_bytes: u64,
    in_flight: VecDeque<Block>,
    /// Staging buffers that no block uses.
    spare: Vec<Staging>,
    submit_size: SubmitSize,
}

impl Blocks {
    /// Makes as many staging buffers as blocks are worth having in flight; more are made when more are in flight.
    pub fn new(device: &Device, layout: &WaveLayout, submit_size: SubmitSize) -> Self {
        let (lanes, staging_bytes) = (layout.lanes, staging(layout).bytes(layout.lanes));
        let (in_flight, spare) = (VecDeque::new(), Vec::new());
        let mut blocks = Self { device: device.clone(), lanes, staging_bytes, in_flight, spare, submit_size };
        blocks.spare = (0..=blocks.ahead()).map(|_| blocks.staging()).collect();
        blocks
    }

    /// Blocks worth having in flight beside the one whose observations are read. A software adapter is the host itself.
    pub fn ahead(&self) -> usize {
        if self.device.is_software() { 0 } else { AHEAD }
    }

    /// Steps of the next submit, at most.
    pub fn next_submit(&self) -> usize {
        self.submit_size.steps()
    }

    fn staging(&self) -> Staging {
        self.device.staging(self.staging_bytes)
    }

    /// A block of `steps` steps of the lanes that are `busy`, of which nothing is submitted yet.
    pub fn begin(&mut self, steps: usize, busy: Vec<bool>) -> Block {
        let idle = steps == 0 || !busy.contains(&true);
        let staging = (!idle).then(|| self.spare.pop().unwrap_or_else(|| self.staging()));
        Block { steps, busy, portions: Vec::new(), staging }
    }

    /// Submits `commands`, which leave the observations of the block's `steps` steps from step `done` on in `source`.
    pub fn submit(
        &self,
        block: &mut Block,
        mut commands: wgpu::CommandEncoder,
        source: &Buffer,
        [done, steps]: [usize; 2],
        what: &Arc<str>,
    ) {
        let staging = block.staging.as_ref().expect("a busy block has a staging buffer");
        let bytes = |steps: usize| (steps * self.lanes) as u64 * OBSERVATION_BYTES;
        source.copy(0, staging, bytes(done), bytes(steps), &mut commands);
        let alone = (block.portions.is_empty() && self.in_flight.is_empty()).then(Instant::now);
        let submission = self.device.submit(commands.finish(), what);
        block.portions.push(Portion { steps, submission, alone });
    }

    /// Sends the block's observations to the host when they are there.
    pub fn launch(&mut self, block: Block) {
        if let Some(staging) = &block.staging {
            self.device.map(staging, block.steps * self.lanes * OBSERVATION_BYTES as usize);
        }
        self.in_flight.push_back(block);
    }

    /// The observations of the oldest block, once it is done. There must be one.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub fn land(&mut self) -> Result<Observations, EngineError> {
        let Block { steps, busy, portions, staging } = self.in_flight.pop_front().expect("a block is in flight");
        let Some(staging) = staging else {
            return Ok(Observations::new(steps, vec![Observation::default(); steps * self.lanes]));
        };
        for Portion { steps, submission, alone } in portions {
            let waited = self.device.wait_for(submission)?;
            self.submit_size.learn(steps, alone, waited.then(Instant::now));
        }
        let seen: Vec<[f32; 4]> = self.device.read_mapped(&staging, steps * self.lanes)?;
        self.spare.push(staging);
        let mut observations = vec![Observation::default(); steps * self.lanes];
        let groups = observations.par_chunks_mut(GROUP * steps.max(1)).zip(busy.par_chunks(GROUP)).enumerate();
        groups.for_each(|(group, (observations, busy))| {
            // Step by step, since the lanes' numbers of a step are neighbours.
            for (step, seen) in seen.chunks_exact(self.lanes).enumerate() {
                let seen = &seen[group * GROUP..][..busy.len()];
                for (lane, (seen, _)) in seen.iter().zip(busy).enumerate().filter(|(_, (_, busy))| **busy) {
                    observations[lane * steps + step] = observation(*seen);
                }
            }
        });
        Ok(Observations::new(steps, observations))
    }
}

fn observation([distance_squared, projection, loss, finite]: [f32; 4]) -> Observation {
    Observation {
        distance_squared: distance_squared.into(),
        projection: projection.into(),
        loss: loss.into(),
        finite: finite == 1.0,
    }
}
