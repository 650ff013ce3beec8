//! Blocks in flight: what a wave has submitted and its owner has not looked at yet. The observations of each are on their
//! way to the host in a staging buffer of its own, so that the device goes on while they are read.
//!
//! Not here: which steps a block has ([`crate::sweep`]), nor what is submitted for them (`wave`).

use super::pace::Pace;
use crate::engine::gpu::device::Submission;
use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::{EngineError, Observation, Observations};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Blocks that a device is given beside the one that is looked at: while the host works, it always has one.
const AHEAD: usize = 1;

/// Bytes of one observation.
pub const OBSERVATION: u64 = size_of::<[f32; 4]>() as u64;

/// Steps of some lanes on their way.
pub struct Block {
    steps: usize,
    /// lanes: those that make the steps.
    busy: Vec<bool>,
    portions: Vec<Portion>,
    /// steps x lanes observations; none where no lane is busy.
    staging: Option<Buffer>,
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

/// The blocks of one wave, oldest first, and their staging buffers, which go round.
pub struct Blocks {
    device: Device,
    lanes: usize,
    /// Steps of a block at most.
    longest: usize,
    flying: VecDeque<Block>,
    /// Staging buffers that no block uses.
    spare: Vec<Buffer>,
    pace: Pace,
}

impl Blocks {
    /// Makes as many staging buffers as there are blocks in flight when it pays; more, when there are more.
    pub fn new(device: &Device, lanes: usize, longest: usize, pace: Pace) -> Self {
        let (flying, spare) = (VecDeque::new(), Vec::new());
        let mut blocks = Self { device: device.clone(), lanes, longest, flying, spare, pace };
        blocks.spare = (0..=blocks.ahead()).map(|_| blocks.staging()).collect();
        blocks
    }

    /// Blocks worth having in flight beside the one that is looked at. A software adapter is the host itself.
    pub fn ahead(&self) -> usize {
        if self.device.is_software() { 0 } else { AHEAD }
    }

    /// Steps of the next portion, at most.
    pub fn pace(&self) -> usize {
        self.pace.steps()
    }

    fn staging(&self) -> Buffer {
        self.device.staging((self.longest * self.lanes) as u64 * OBSERVATION)
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
        let bytes = |steps: usize| (steps * self.lanes) as u64 * OBSERVATION;
        commands.copy_buffer_to_buffer(source, 0, staging, bytes(done), bytes(steps));
        let alone = (block.portions.is_empty() && self.flying.is_empty()).then(Instant::now);
        let submission = self.device.submit(commands.finish(), what);
        block.portions.push(Portion { steps, submission, alone });
    }

    /// Sends the block's observations to the host when they are there.
    pub fn launch(&mut self, block: Block) {
        if let Some(staging) = &block.staging {
            self.device.map(staging, block.steps * self.lanes * OBSERVATION as usize);
        }
        self.flying.push_back(block);
    }

    /// The observations of the oldest block, once it is done. There must be one.
    ///
    /// # Errors
    /// As [`Device::check`].
    pub fn land(&mut self) -> Result<Observations, EngineError> {
        let Block { steps, busy, portions, staging } = self.flying.pop_front().expect("a block is in flight");
        let Some(staging) = staging else {
            return Ok(Observations::new(steps, vec![Observation::default(); steps * self.lanes]));
        };
        for Portion { steps, submission, alone } in portions {
            let waited = self.device.wait_for(submission)?;
            self.pace.learn(steps, alone, waited.then(Instant::now));
        }
        let seen: Vec<[f32; 4]> = self.device.read_mapped(&staging, steps * self.lanes)?;
        self.spare.push(staging);
        let of = |(lane, busy): (usize, bool), step: usize| match busy {
            true => observation(seen[step * self.lanes + lane]),
            false => Observation::default(),
        };
        let observations = busy.into_iter().enumerate().flat_map(|lane| (0..steps).map(move |step| of(lane, step)));
        Ok(Observations::new(steps, observations.collect()))
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
