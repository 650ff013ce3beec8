//! Loss and accuracy of every lane's server weights over a part of the data, chunk by chunk. A chunk is a round of the same
//! dispatches, as a step is.

use crate::batch::Augmentation;
use crate::data::Dataset;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::engine::gpu::layers::dispatch;
use crate::engine::gpu::steps::Workspace;
use crate::engine::gpu::steps::{Gathering, Samples};
use crate::engine::{EngineError, Evaluation, Part};
use crate::kernels::{LaneStep, evaluate};
use crate::layer::device::BufferRole;
use crate::problem::Network;
use std::sync::Arc;

/// What evaluates the lanes of a wave.
pub struct Evaluator {
    device: Device,
    lanes: usize,
    /// Samples of a chunk.
    rows: usize,
    train: Course,
    /// None where there is no such data.
    test: Option<Course>,
    /// chunks x lanes
    lane_steps: Buffer,
    /// lanes x chunks x partial sums
    results: Buffer,
    what: Arc<str>,
}

/// The way through one part.
struct Course {
    samples: usize,
    chunks: usize,
    /// Of a chunk.
    dispatches: Vec<Dispatch>,
    /// Chunks of a submit.
    together: usize,
    /// Submits of a chunk, where one is too much.
    pieces: usize,
}

impl Evaluator {
    /// `train` are the samples that gradients are taken of.
    pub fn new(wave: &Workspace, network: &Network, train: &Samples) -> Self {
        let Workspace { device, spec, plan, .. } = wave;
        let (lanes, rows) = (spec.lanes, plan.chunk);
        let parts = || std::iter::once(&network.data).chain(&network.test);
        let chunks = parts().map(|part| part.samples().div_ceil(rows)).max().unwrap_or(0);
        let lane_steps = device.buffer("lane_steps", (chunks * lanes * size_of::<LaneStep>()) as u64);
        let results = wave.per_lane("results", chunks * evaluate::partials(rows) * 2);
        let pass = plan.evaluation(network, lanes);
        let mut buffers = pass.allocate(device);
        buffers.insert(BufferRole::LaneSteps, lane_steps.clone());
        buffers.insert(BufferRole::Versions, wave.server.clone());
        buffers.insert(BufferRole::Statistics, wave.statistics.clone());
        let labels = wave.per_lane("labels", rows);
        let layers: Vec<Dispatch> = pass.forward().into_iter().map(|call| dispatch(call, device, &buffers)).collect();
        let course = |data: &Dataset, on_device: &Samples| {
            let samples = data.samples();
            let own_chunks = samples.div_ceil(rows);
            // What the last chunk has beyond the data is its last sample, which does not count there.
            let order: Vec<u32> = (0..own_chunks * rows).map(|row| row.min(samples - 1) as u32).collect();
            let gather = on_device.gather(
                device,
                &Gathering {
                    lane_steps: &lane_steps,
                    order: &device.buffer_of("order", &order),
                    augmentation: Augmentation::default(),
                    lanes,
                    rows,
                    inputs: &buffers[&pass.inputs()],
                    labels: &labels,
                },
            );
            let params = evaluate::Params {
                step: 0,
                lanes: lanes as u32,
                rows: rows as u32,
                samples: samples as u32,
                classes: data.classes as u32,
                partials: evaluate::partials(rows) as u32,
                stride: (chunks * evaluate::partials(rows)) as u32,
            };
            let judge = device.dispatch(
                &device.pipeline(&evaluate::KERNEL, &network.loss.variant()),
                &[&lane_steps, &labels, &buffers[&pass.outputs()], &results],
                &params,
                [params.partials, lanes as u32, 1],
            );
            let dispatches = [vec![gather], layers.clone(), vec![judge]].concat();
            let work = 2 * (lanes * rows * network.model.graph.products()).max(1) as u64;
            let most = device.bounds().work;
            let (together, pieces) = ((most / work).max(1) as usize, work.div_ceil(most) as usize);
            Course { samples, chunks: own_chunks, dispatches, together, pieces }
        };
        let of_test = |data: &Dataset| course(data, &Samples::new(device, data, plan.pads_samples()));
        let what = format!("an evaluation of {lanes} lanes, {rows} samples at a time");
        Self {
            device: (*device).clone(),
            lanes,
            rows,
            train: course(&network.data, train),
            test: network.test.as_ref().map(of_test),
            lane_steps: lane_steps.clone(),
            results: results.clone(),
            what: what.into(),
        }
    }

    /// Of the lanes that are busy.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] where there is no such part; else as [`Device::check`].
    pub fn evaluate(&self, part: Part, busy: &[bool]) -> Result<Vec<Option<Evaluation>>, EngineError> {
        let course = match part {
            Part::Train => Some(&self.train),
            Part::Test => self.test.as_ref(),
        };
        let Some(Course { samples, chunks, dispatches, together, pieces }) = course else {
            return Err(EngineError::Unavailable(format!("the problem has no {part} data to be evaluated on")));
        };
        let place = |chunk: usize, busy: bool| LaneStep {
            busy: u32::from(busy),
            rows: (chunk * self.rows) as u32,
            ..LaneStep::default()
        };
        let lane_steps = (0..*chunks).flat_map(|chunk| busy.iter().map(move |busy| place(chunk, *busy)));
        self.device.write(&self.lane_steps, 0, &lane_steps.collect::<Vec<_>>());
        for first in (0..*chunks).step_by(*together) {
            let rounds = first..(first + together).min(*chunks);
            for commands in self.device.encode_in(dispatches, rounds, *pieces) {
                self.device.submit(commands.finish(), &self.what);
            }
        }
        let partials = evaluate::partials(self.rows);
        let stride = self.results.size() as usize / size_of::<[f32; 2]>() / self.lanes;
        let seen: Vec<[f32; 2]> = self.device.read(&self.results, 0, self.lanes * stride)?;
        let of = |(lane, busy): (usize, &bool)| {
            let seen = &seen[lane * stride..][..chunks * partials];
            let loss: f64 = seen.iter().map(|[loss, _]| f64::from(*loss)).sum();
            let correct = seen.iter().map(|[_, correct]| *correct as u64).sum();
            busy.then_some(Evaluation { loss: loss / *samples as f64, correct, samples: *samples as u64 })
        };
        Ok(busy.iter().enumerate().map(of).collect())
    }
}
