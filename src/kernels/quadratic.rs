//! `quadratic`: the gradient of f(x) = 1/2 sum_i lambda_i x_i^2, elementwise lambda_i x_i, and f itself.

//!
//! Bindings of `quadratic.wgsl`, one invocation per parameter:
//! - `lane_steps`: steps x lanes
//! - `eigenvalues`: P
//! - `history`: lanes x slots x P, read at the lane's read slot; or lanes x P
//! - `gradient`: lanes x P
//! - `loss_partials`: lanes x [`partials`], whose sum is f

use super::{Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct, sum_iterations};
use crate::math::{Real, ordered_sum};

shared_struct! {
    /// Immediates of `quadratic.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// From one lane's weights to the next, slots P in a ring.
        pub history_stride: u32,
        /// From one version to the next: P in a ring, 0 where a lane has one version.
        pub slot_stride: u32,
        /// Partial sums per lane.
        pub partials: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "quadratic",
    files: &[shader!("quadratic.wgsl"), LANE_STEP],
    bindings: &[
        read("lane_steps"),
        read("eigenvalues"),
        read("history"),
        read_write("gradient"),
        read_write("loss_partials"),
    ],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, eigenvalues, history, gradient, loss_partials.
pub fn call<B>(params: &Params, buffers: [B; 5]) -> Call<B> {
    let workgroups = [params.partials, params.lanes, 1];
    Call::new(&KERNEL, &[], buffers, params, workgroups, sum_iterations(WORKGROUP))
}

/// Partial sums per lane.
pub fn partials(parameters: usize) -> usize {
    parameters.div_ceil(WORKGROUP)
}

/// Fills `gradient` and returns f at `weights`; all three slices have P elements.
pub fn cpu<T: Real>(eigenvalues: &[T], weights: &[T], gradient: &mut [T]) -> T {
    for ((g, lambda), x) in gradient.iter_mut().zip(eigenvalues).zip(weights) {
        *g = *lambda * *x;
    }
    T::of(0.5) * ordered_sum(weights.len(), |i| eigenvalues[i] * weights[i] * weights[i])
}
