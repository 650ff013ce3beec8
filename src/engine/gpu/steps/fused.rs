//! The fused path: one workgroup per lane makes many whole steps in one dispatch. It serves networks that fit a workgroup.

use super::Workspace;
use super::samples::Samples;
use crate::engine::gpu::device::Device;
use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::plan;
use crate::kernels::fused::{self, KERNEL, Params, Shape};
use crate::kernels::packing::quads;
use crate::problem::Network;

/// The dispatch, but for the number of its steps.
pub struct Fused {
    dispatch: Dispatch,
    params: Params,
}

impl Fused {
    pub fn new(wave: &Workspace, network: &Network, shape: &Shape) -> Self {
        let Workspace { device, spec, plan, .. } = wave;
        let data = &network.data;
        let model = network.model.perceptron().expect("the fused path is a perceptron's");
        let rows = plan::rows(network, spec);
        let parameters = plan.parameters / 4;
        let params = Params {
            step: 0,
            lanes: wave.lanes(),
            steps: 0,
            rows: rows as u32,
            minibatch: u32::from(spec.batch.is_some()),
            features: quads(data.features()) as u32,
            classes: data.classes as u32,
            layers: model.layers.len() as u32,
            parameters: parameters as u32,
            history_stride: (spec.needs.slots * parameters) as u32,
            state_stride: (spec.needs.memories() * parameters) as u32,
            second_offset: (spec.needs.velocities() * parameters) as u32,
            scale: 1.0 / rows as f32,
            weight_decay: network.weight_decay as f32,
        };
        let Samples { inputs, labels, .. } = wave.samples();
        let layers: Vec<fused::Layer> = shape.layers(model);
        let layers = device.buffer_of("layers", &layers);
        let anchor = wave.per_lane("anchor", if spec.needs.centred { plan.parameters } else { 0 });
        let Workspace { lane_steps, updates, order, landmarks, server, history, state, observations, .. } = wave;
        let buffers = [
            lane_steps,
            updates,
            order,
            inputs,
            labels,
            &layers,
            landmarks,
            server,
            history,
            state,
            &anchor,
            observations,
        ];
        let pipeline = device.pipeline(&KERNEL, &shape.variant(model.activation, network.loss));
        Self { dispatch: device.dispatch(&pipeline, &buffers, &params, [wave.lanes(), 1, 1]), params }
    }

    /// The first `steps` steps of the wave's tables.
    pub fn dispatch(&self, device: &Device, steps: usize) -> Dispatch {
        device.with_params(&self.dispatch, &Params { steps: steps as u32, ..self.params })
    }

    pub fn kernel(&self) -> &'static str {
        self.dispatch.kernel
    }
}
