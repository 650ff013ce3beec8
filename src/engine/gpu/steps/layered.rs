//! The layered path: a step of all lanes is a dispatch for every product, and some more. It serves every problem of any size.

use super::buffers::Name;
use super::{Call, WaveLayout, gradient};
use crate::kernels::{local, observe, step};

/// The calls of one step of the whole wave.
pub fn calls(layout: &WaveLayout) -> Vec<Call> {
    let WaveLayout { spec, sizes, lanes, .. } = *layout;
    let [history_stride, state_stride, second_offset] = layout.strides(1);
    let mut calls = gradient::calls(layout);
    if spec.needs.work.is_outer {
        let (parameters, lanes) = (sizes.parameters as u32, lanes as u32);
        let params = local::Params { step: 0, lanes, parameters, history_stride };
        let buffers = [Name::LaneSteps, Name::Updates, Name::Server, Name::History, Name::Gradient];
        calls.push(local::call(&params, buffers));
    }
    let update = step::Params {
        step: 0,
        lanes: lanes as u32,
        stages: spec.needs.work.stages as u32,
        parameters: sizes.parameters as u32,
        history_stride,
        state_stride,
        second_offset,
        partials: sizes.moment_partials as u32,
    };
    let buffers = [
        Name::LaneSteps,
        Name::Updates,
        Name::Gradient,
        Name::Landmarks,
        Name::Server,
        Name::History,
        Name::State,
        Name::MomentPartials,
    ];
    calls.push(step::call(&update, buffers));
    let sums = observe::Params {
        step: 0,
        lanes: lanes as u32,
        loss_partials: sizes.loss_partials as u32,
        moment_partials: sizes.moment_partials as u32,
        weight_decay: spec.problem.weight_decay() as f32,
    };
    let buffers = [Name::LaneSteps, Name::LossPartials, Name::MomentPartials, Name::Observations];
    calls.push(observe::call(&sums, buffers));
    calls
}
