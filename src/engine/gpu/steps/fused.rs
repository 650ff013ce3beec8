//! The fused path: one workgroup per lane makes many whole steps in one dispatch. It serves perceptrons that fit a workgroup.

use super::buffers::{Name, vectors};
use super::path::{FUSED, Path};
use super::{Call, WaveLayout};
use crate::engine::Part;
use crate::kernels::fused::{Params, Shape};
use crate::kernels::packing::quads;
use crate::kernels::perceptron::Perceptron;
use crate::math::Loss;

/// The kernel's call, but for the number of its steps.
pub struct Fused {
    shape: Shape,
    model: Perceptron,
    loss: Loss,
    params: Params,
}

impl Fused {
    /// None where the wave takes another path.
    pub fn of(layout: &WaveLayout) -> Option<Self> {
        let (Path::Fused(shape), Some(network)) = (layout.sizes.path, layout.network()) else { return None };
        let WaveLayout { spec, sizes, lanes, .. } = *layout;
        let model = network.model.perceptron().expect(FUSED);
        let [history_stride, state_stride, second_offset] = layout.strides(sizes.parameters / 4);
        // In vec4s.
        let [_, history, state, anchor] = vectors(layout, lanes).map(|(_, part)| part.start / 16);
        let params = Params {
            step: 0,
            lanes: lanes as u32,
            steps: 0,
            stages: spec.updates() as u32,
            rows: sizes.rows as u32,
            minibatch: u32::from(spec.batch.is_some()),
            features: quads(network.data.features()) as u32,
            classes: network.data.classes as u32,
            layers: model.layers.len() as u32,
            parameters: (sizes.parameters / 4) as u32,
            history: history as u32,
            history_stride,
            state: state as u32,
            state_stride,
            second_offset,
            anchor: anchor as u32,
            scale: 1.0 / sizes.rows as f32,
            weight_decay: network.weight_decay as f32,
        };
        Some(Self { shape, model: model.clone(), loss: network.loss, params })
    }

    /// Parameters for the first `steps` steps of the wave's tables.
    pub fn params(&self, steps: usize) -> Params {
        Params { steps: steps as u32, ..self.params }
    }

    pub fn call(&self, steps: usize) -> Call {
        let buffers = [
            Name::LaneSteps,
            Name::Updates,
            Name::Order,
            Name::Data(Part::Train),
            Name::Labels(Part::Train),
            Name::Layers,
            Name::Landmarks,
            Name::Vectors,
            Name::Observations,
        ];
        self.shape.call(&self.model, self.loss, &self.params(steps), buffers)
    }
}
