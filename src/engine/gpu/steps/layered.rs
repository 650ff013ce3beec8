//! The layered path: a step of all lanes is a dispatch for every product, and some more. It serves every problem of any size.

use super::buffers::Name;
use super::{Call, WaveLayout, gradient, matrices};
use crate::kernels::{fetch, local, observe, step};
use std::ops::Range;

/// The calls of one step of the whole wave.
pub fn calls(layout: &WaveLayout) -> Vec<Call> {
    let mut calls = fetches(layout);
    calls.extend(gradient::calls(layout));
    if layout.spec.needs.work.is_outer {
        calls.extend(layout.ring_parts().enumerate().map(|(part, range)| outer(layout, part, range)));
    }
    calls.extend(matrices::calls(layout));
    calls.extend(layout.ring_parts().enumerate().map(|(part, range)| update(layout, part, range)));
    calls.push(observation(layout));
    calls
}

/// Puts together the weights that the step reads, where the ring has several parts.
fn fetches(layout: &WaveLayout) -> Vec<Call> {
    if !layout.is_cut() {
        return Vec::new();
    }
    let of = |weights: Name, backward: u32| {
        layout.ring_parts().enumerate().map(move |(part, range)| {
            let params = fetch::Params {
                step: 0,
                lanes: layout.lanes as u32,
                parameters: layout.sizes.parameters as u32,
                first: range.start as u32,
                length: range.len() as u32,
                history_stride: layout.strides(range.len())[0],
                backward,
            };
            fetch::call(&params, [Name::LaneSteps, Name::History(part), weights])
        })
    };
    let mut calls: Vec<Call> = of(layout.weights().0, 0).collect();
    if layout.backward_weights() != layout.weights().0 {
        calls.extend(of(layout.backward_weights(), 1));
    }
    calls
}

/// What becomes of a gradient that is part of an update of an outer loop, in a part of the ring.
fn outer(layout: &WaveLayout, part: usize, range: Range<usize>) -> Call {
    let params = local::Params {
        step: 0,
        lanes: layout.lanes as u32,
        parameters: layout.sizes.parameters as u32,
        first: range.start as u32,
        length: range.len() as u32,
        history_stride: layout.strides(range.len())[0],
    };
    let buffers = [Name::LaneSteps, Name::Updates, Name::Server, Name::History(part), Name::Gradient];
    local::call(&params, buffers)
}

/// The delayed update of a part of the ring.
fn update(layout: &WaveLayout, part: usize, range: Range<usize>) -> Call {
    let [history_stride, state_stride, second_offset] = layout.strides(range.len());
    let params = step::Params {
        step: 0,
        lanes: layout.lanes as u32,
        stages: layout.spec.updates() as u32,
        parameters: layout.sizes.parameters as u32,
        first: range.start as u32,
        length: range.len() as u32,
        history_stride,
        state_stride,
        second_offset,
        partials: layout.sizes.moment_partials as u32,
    };
    let buffers = [
        Name::LaneSteps,
        Name::Updates,
        Name::Gradient,
        Name::Landmarks,
        Name::Server,
        Name::History(part),
        Name::State(part),
        Name::MomentPartials,
    ];
    step::call(&params, buffers)
}

/// What the host sees of the step.
fn observation(layout: &WaveLayout) -> Call {
    let params = observe::Params {
        step: 0,
        lanes: layout.lanes as u32,
        loss_partials: layout.sizes.loss_partials as u32,
        moment_partials: layout.sizes.moment_partials as u32,
        weight_decay: layout.spec.problem.weight_decay() as f32,
    };
    let buffers = [Name::LaneSteps, Name::LossPartials, Name::MomentPartials, Name::Observations];
    observe::call(&params, buffers)
}
