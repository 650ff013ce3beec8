//! `observe`: finishes the partial sums of a step into the one row per lane that the host reads.
//!
//! ```text
//! objective = sum loss_partials + weight_decay / 2 ||history[r]||^2
//! observations[step][lane] = (distance^2, projection, objective, 1 if all weights and sums are finite else 0)
//! ```
//!
//! Bindings of `observe.wgsl`, one workgroup per lane:
//! - `lane_steps`: steps x lanes
//! - `loss_partials`: lanes x partials, from `loss` or `quadratic`
//! - `moment_partials`: lanes x partials x 4, from `step`
//! - `observations`: steps x lanes x 4

use super::step::Moments;
use super::{Call, Kernel, LANE_STEP, LaneStep, NUMBERS, read, read_write, shader, shared_struct, sum_iterations};
use crate::math::Real;

shared_struct! {
    /// Immediates of `observe.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Partial sums of the loss per lane.
        pub loss_partials: u32,
        /// Partial sums of the moments per lane.
        pub moment_partials: u32,
        pub weight_decay: f32,
    }
}

/// Invocations that share a lane's partial sums.
pub const WORKGROUP: usize = 64;

pub const KERNEL: Kernel = Kernel {
    name: "observe",
    files: &[shader!("observe.wgsl"), LANE_STEP, NUMBERS],
    bindings: &[read("lane_steps"), read("loss_partials"), read("moment_partials"), read_write("observations")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, loss_partials, moment_partials, observations.
pub fn call<B>(params: &Params, buffers: [B; 4]) -> Call<B> {
    let [losses, moments] = [params.loss_partials, params.moment_partials].map(|partials| partials as usize);
    let iterations = losses.div_ceil(WORKGROUP) + moments.div_ceil(WORKGROUP) + sum_iterations(WORKGROUP);
    Call::new(&KERNEL, &[], buffers, params, [params.lanes, 1, 1], iterations)
}

/// The objective (loss with its weight decay) and whether what is seen of a step is finite. A weight that is NaN or
/// infinite makes the squared distance so.
pub fn cpu<T: Real>(loss: T, weight_decay: T, moments: &Moments<T>) -> (T, bool) {
    let objective = loss + T::of(0.5) * weight_decay * moments.read_squared;
    (objective, moments.distance_squared.is_finite() && objective.is_finite())
}
