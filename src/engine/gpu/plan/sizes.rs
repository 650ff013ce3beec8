//! What a wave has in a device's memory: every buffer, by name and size, as `wave` and those whom it asks make them.
//!
//! Not here: staging buffers, which are the host's, nor what the sizes are held to (`plan`).

use super::path::{FUSED, Path};
use super::{Plan, rows};
use crate::data::Dataset;
use crate::engine::WaveSpec;
use crate::engine::gpu::layers::Pass;
use crate::engine::gpu::wave::starts;
use crate::kernels::fused::Layer;
use crate::kernels::packing::padded;
use crate::kernels::update::Update;
use crate::kernels::{LaneStep, evaluate};
use crate::problem::{Network, Problem};

/// Bytes of an f32 or u32.
pub const WORD: u64 = 4;

/// A buffer's bytes, but for the number of lanes.
#[derive(Clone, Debug)]
pub struct Size {
    pub name: &'static str,
    pub shared: u64,
    pub per_lane: u64,
}

impl Size {
    fn shared(name: &'static str, words: usize) -> Self {
        Self { name, shared: words as u64 * WORD, per_lane: 0 }
    }

    fn per_lane(name: &'static str, words: usize) -> Self {
        Self { name, shared: 0, per_lane: words as u64 * WORD }
    }

    /// What would make it smaller.
    pub fn remedy(&self) -> &'static str {
        match self.name {
            "history" | "state" => "shorter delays, another rule or a smaller model",
            "landmarks" | "server" | "gradient" | "anchor" | "starts" => "a smaller model",
            "data" | "labels" | "test data" | "eigenvalues" => "fewer samples",
            _ => "smaller batches or a smaller model",
        }
    }
}

/// Of a wave of so many lanes.
pub fn sizes(plan: &Plan, spec: &WaveSpec, lanes: usize) -> Vec<Size> {
    let (shared, per_lane) = (Size::shared, Size::per_lane);
    let words = |bytes: usize| bytes / WORD as usize;
    let (place, update) = (words(size_of::<LaneStep>()), words(size_of::<Update>()));
    let mut sizes = vec![
        shared("landmarks", 3 * plan.parameters),
        shared("starts", starts::ROOM.min(lanes) * plan.parameters),
        per_lane("history", spec.needs.slots * plan.parameters),
        per_lane("state", spec.needs.memories() * plan.parameters),
        per_lane("server", plan.parameters),
        per_lane("statistics", spec.problem.fresh_statistics().len()),
        per_lane("observations", 4 * plan.room),
        per_lane("updates", update * plan.room),
        per_lane("order", spec.batch.unwrap_or(0) * plan.room),
        per_lane("lane_steps", place * plan.room),
        // Where each begins and goes on from, and at what scale.
        per_lane("beginnings", 2 * place + 1),
    ];
    if spec.needs.centred {
        sizes.push(per_lane("anchor", plan.parameters));
    }
    if plan.path == Path::Layered {
        sizes.extend([
            per_lane("gradient", plan.parameters),
            per_lane("loss_partials", plan.loss_partials),
            per_lane("moment_partials", 4 * plan.moment_partials),
        ]);
    }
    match &*spec.problem {
        Problem::Quadratic(_) => sizes.push(shared("eigenvalues", plan.parameters)),
        Problem::Network(network) => {
            sizes.extend(data(["data", "labels"], &network.data, plan));
            sizes.extend(network_sizes(plan, spec, network));
            if spec.needs.evaluation {
                sizes.extend(evaluation(plan, network));
            }
        }
    }
    sizes
}

/// Of samples and labels.
fn data([inputs, labels]: [&'static str; 2], data: &Dataset, plan: &Plan) -> [Size; 2] {
    let stride = if plan.pads_samples() { padded(data.features()) } else { data.features() };
    [Size::shared(inputs, data.samples() * stride), Size::shared(labels, data.samples())]
}

/// What gradients of a network take.
fn network_sizes(plan: &Plan, spec: &WaveSpec, network: &Network) -> Vec<Size> {
    let rows = rows(network, spec);
    let (shared, per_lane) = (Size::shared, Size::per_lane);
    if let (Path::Fused(shape), Some(model)) = (plan.path, network.model.perceptron()) {
        return vec![shared("layers", shape.layers(model).len() * size_of::<Layer>() / WORD as usize)];
    }
    let Some(model) = network.model.perceptron() else {
        let mut sizes = pass(&plan.training(spec, network, 1));
        sizes.push(per_lane("labels", rows));
        if spec.batch.is_none() {
            sizes.push(shared("order", rows));
        }
        return sizes;
    };
    let mut sizes = Vec::new();
    if spec.batch.is_some() {
        sizes.extend([per_lane("inputs", rows * network.data.features()), per_lane("labels", rows)]);
    }
    let (_, hidden) = model.layers.split_last().expect(FUSED);
    sizes.extend(model.layers.iter().map(|layer| per_lane("values", rows * layer.outputs)));
    sizes.extend(hidden.iter().map(|layer| per_lane("slopes", rows * layer.outputs)));
    sizes.extend(hidden.iter().map(|layer| per_lane("deltas", rows * layer.outputs)));
    sizes
}

/// What evaluations take.
fn evaluation(plan: &Plan, network: &Network) -> Vec<Size> {
    let rows = plan.chunk;
    let parts = std::iter::once(&network.data).chain(&network.test);
    let chunks = |part: &Dataset| part.samples().div_ceil(rows);
    let most = parts.clone().map(chunks).max().unwrap_or(0);
    let mut sizes = pass(&plan.evaluation(network, 1));
    sizes.extend(parts.map(|part| Size::shared("order", chunks(part) * rows)));
    sizes.extend(network.test.iter().flat_map(|test| data(["test data", "labels"], test, plan)));
    sizes.extend([
        Size::per_lane("labels", rows),
        Size::per_lane("results", most * evaluate::partials(rows) * 2),
        Size::per_lane("lane_steps", most * size_of::<LaneStep>() / WORD as usize),
    ]);
    sizes
}

/// The buffers of one lane's pass.
fn pass(pass: &Pass) -> Vec<Size> {
    pass.buffers().into_iter().map(|(_, name, words)| Size::per_lane(name, words)).collect()
}
