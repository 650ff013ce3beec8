//! The calls that evaluate every lane's server weights on a chunk of samples. Chunks are made one after the other by the same
//! calls, as steps are.
//!
//! Not here: when they run, nor the sums over chunks (`wave::evaluator`).

use super::buffers::Name;
use super::{Call, WaveLayout};
use crate::batch::Augmentation;
use crate::data::Dataset;
use crate::engine::Part;
use crate::kernels::{evaluate, gather};
use crate::layer::device::BufferRole;
use crate::problem::Network;

impl<'a> WaveLayout<'a> {
    /// The parts of the data that a network has.
    pub fn parts(&self, network: &'a Network) -> impl Iterator<Item = (Part, &'a Dataset)> {
        let test = network.test.as_ref().map(|data| (Part::Test, data));
        std::iter::once((Part::Train, &network.data)).chain(test)
    }

    /// Those that the wave may be asked to evaluate.
    pub fn evaluated_parts(&self) -> Vec<Part> {
        let network = self.network().filter(|_| self.spec.needs.evaluation);
        network.into_iter().flat_map(|network| self.parts(network)).map(|(part, _)| part).collect()
    }

    pub fn chunks(&self, data: &Dataset) -> usize {
        data.samples().div_ceil(self.sizes.chunk)
    }

    /// Chunks of the part that has the most.
    pub fn most_chunks(&self, network: &'a Network) -> usize {
        self.parts(network).map(|(_, data)| self.chunks(data)).max().unwrap_or(0)
    }

    /// Floating-point operations of a chunk.
    pub fn chunk_work(&self, network: &Network) -> u64 {
        2 * (self.lanes * self.sizes.chunk * network.model.graph.products()).max(1) as u64
    }

    /// The calls of a chunk; none where there is no such part.
    pub fn evaluation(&self, part: Part) -> Vec<Call> {
        let Some(network) = self.network() else { return Vec::new() };
        let Some((_, data)) = self.parts(network).find(|(other, _)| *other == part) else { return Vec::new() };
        let (lanes, rows) = (self.lanes, self.sizes.chunk);
        let pass = self.evaluation_pass(network);
        let plain = Augmentation::default();
        let params = gather::params(lanes, rows, data.shape, plain);
        let params = gather::Params { stride: self.sample_stride(data) as u32, ..params };
        let inputs = Name::Evaluation(pass.inputs());
        let buffers =
            [Name::ChunkSteps, Name::ChunkRows(part), Name::Data(part), Name::Labels(part), inputs, Name::ChunkLabels];
        let mut calls = vec![gather::call(plain, &params, buffers)];
        calls.extend(pass.forward().into_iter().map(|call| call.map(name)));
        let params = evaluate::Params {
            step: 0,
            lanes: lanes as u32,
            rows: rows as u32,
            samples: data.samples() as u32,
            classes: data.classes as u32,
            partials: evaluate::partials(rows) as u32,
            stride: (self.most_chunks(network) * evaluate::partials(rows)) as u32,
        };
        let outputs = Name::Evaluation(pass.outputs());
        let buffers = [Name::ChunkSteps, Name::ChunkLabels, outputs, Name::Results];
        calls.push(evaluate::call(network.loss, &params, buffers));
        calls
    }
}

/// The server's weights are evaluated, whatever the lane's ring holds.
fn name(buffer: BufferRole) -> Name {
    match buffer {
        BufferRole::LaneSteps => Name::ChunkSteps,
        BufferRole::Versions => Name::Server,
        BufferRole::Statistics => Name::Statistics,
        own => Name::Evaluation(own),
    }
}
