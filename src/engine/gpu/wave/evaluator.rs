//! Loss and accuracy of every lane's server weights over a part of the data, chunk by chunk. A chunk is a round of the same
//! dispatches, as a step is.
//!
//! Not here: which kernels a chunk calls (`steps::evaluation`).

use crate::engine::gpu::device::{Buffer, Device, Dispatch};
use crate::engine::gpu::steps::WaveLayout;
use crate::engine::gpu::steps::buffers::{Buffers, Name};
use crate::engine::{EngineError, Evaluation, Part};
use crate::kernels::{LaneStep, evaluate};
use std::collections::HashMap;
use std::sync::Arc;

/// What evaluates the lanes of a wave.
pub struct Evaluator {
    device: Device,
    lanes: usize,
    /// Samples of a chunk.
    rows: usize,
    parts: HashMap<Part, Chunks>,
    /// chunks x lanes
    lane_steps: Buffer,
    /// lanes x chunks x partial sums
    results: Buffer,
    what: Arc<str>,
}

/// The chunks of one part.
struct Chunks {
    samples: usize,
    count: usize,
    /// The dispatches of one chunk.
    dispatches: Vec<Dispatch>,
    /// Chunks of one submit.
    per_submit: usize,
    /// Submits of one chunk, where one would take too long.
    pieces: usize,
}

impl Evaluator {
    /// None where the wave is not evaluated.
    pub fn of(layout: &WaveLayout, device: &Device, buffers: &Buffers) -> Option<Self> {
        let network = layout.network().filter(|_| layout.spec.needs.evaluation)?;
        let (lanes, rows) = (layout.lanes, layout.sizes.chunk);
        let (most, work) = (device.bounds().work, layout.chunk_work(network));
        let parts = layout.parts(network).map(|(part, data)| {
            let calls = layout.evaluation(part).into_iter();
            let dispatches = calls.map(|call| buffers.bind(device, call)).collect();
            let (per_submit, pieces) = ((most / work).max(1) as usize, work.div_ceil(most) as usize);
            (part, Chunks { samples: data.samples(), count: layout.chunks(data), dispatches, per_submit, pieces })
        });
        Some(Self {
            device: device.clone(),
            lanes,
            rows,
            parts: parts.collect(),
            lane_steps: buffers[Name::ChunkSteps].clone(),
            results: buffers[Name::Results].clone(),
            what: format!("an evaluation of {lanes} lanes, {rows} samples at a time").into(),
        })
    }

    /// Evaluates the lanes that are busy.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] where there is no such part; else as [`Device::check`].
    pub fn evaluate(&self, part: Part, busy: &[bool]) -> Result<Vec<Option<Evaluation>>, EngineError> {
        let Some(Chunks { samples, count, dispatches, per_submit, pieces }) = self.parts.get(&part) else {
            return Err(EngineError::Unavailable(format!("the problem has no {part} data to be evaluated on")));
        };
        let lane_step = |chunk: usize, busy: bool| LaneStep {
            busy: u32::from(busy),
            rows: (chunk * self.rows) as u32,
            ..LaneStep::default()
        };
        let lane_steps = (0..*count).flat_map(|chunk| busy.iter().map(move |busy| lane_step(chunk, *busy)));
        self.device.write(&self.lane_steps, 0, &lane_steps.collect::<Vec<_>>());
        for first in (0..*count).step_by(*per_submit) {
            let rounds = first..(first + per_submit).min(*count);
            for commands in self.device.encode_in(dispatches, rounds, *pieces) {
                self.device.submit(commands.finish(), &self.what);
            }
        }
        let partials = evaluate::partials(self.rows);
        let stride = self.results.size() as usize / size_of::<[f32; 2]>() / self.lanes;
        let seen: Vec<[f32; 2]> = self.device.read(&self.results, 0, self.lanes * stride)?;
        let evaluation = |(lane, busy): (usize, &bool)| {
            let sums = &seen[lane * stride..][..count * partials];
            let loss: f64 = sums.iter().map(|[loss, _]| f64::from(*loss)).sum();
            let correct = sums.iter().map(|[_, correct]| *correct as u64).sum();
            busy.then_some(Evaluation { loss: loss / *samples as f64, correct, samples: *samples as u64 })
        };
        Ok(busy.iter().enumerate().map(evaluation).collect())
    }
}
