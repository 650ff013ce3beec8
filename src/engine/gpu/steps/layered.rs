//! The layered path: a step of all lanes is a dispatch for every product, and some more. It serves every problem of any size.

use super::Workspace;
use super::gradient::Gradient;
use crate::engine::gpu::device::Dispatch;
use crate::kernels::{grid, observe, step};

/// One step of the whole wave.
pub fn dispatches(wave: &Workspace) -> Vec<Dispatch> {
    let Workspace { device, spec, plan, .. } = wave;
    let gradient = wave.per_lane("gradient", plan.parameters);
    let loss_partials = wave.per_lane("loss_partials", plan.loss_partials);
    let moment_partials = wave.per_lane("moment_partials", 4 * plan.moment_partials);

    let mut dispatches = Gradient { wave, gradient: &gradient, loss_partials: &loss_partials }.dispatches();
    let update = step::Params {
        step: 0,
        lanes: wave.lanes(),
        parameters: plan.parameters as u32,
        history_stride: (spec.needs.slots * plan.parameters) as u32,
        state_stride: (spec.needs.memories() * plan.parameters) as u32,
        second_offset: (spec.needs.velocities() * plan.parameters) as u32,
        partials: plan.moment_partials as u32,
    };
    let Workspace { lane_steps, updates, landmarks, server, history, state, observations, .. } = wave;
    dispatches.push(device.dispatch(
        &device.pipeline(&step::KERNEL, &[]),
        &[lane_steps, updates, &gradient, landmarks, server, history, state, &moment_partials],
        &update,
        grid(plan.moment_partials, spec.lanes),
    ));
    let seen = observe::Params {
        step: 0,
        lanes: wave.lanes(),
        loss_partials: plan.loss_partials as u32,
        moment_partials: plan.moment_partials as u32,
        weight_decay: spec.problem.weight_decay() as f32,
    };
    dispatches.push(device.dispatch(
        &device.pipeline(&observe::KERNEL, &[]),
        &[lane_steps, &loss_partials, &moment_partials, observations],
        &seen,
        [wave.lanes(), 1, 1],
    ));
    dispatches
}
