//! `hessian`: the gradient of f(x) = mean over a batch of 1/2 x^T H x, H the Hessian of a sample, and f itself.
//!
//! ```text
//! gradient = mean over rows r of H_r x        f = 1/2 x . gradient
//! ```
//!
//! Bindings of `hessian.wgsl`, one invocation per parameter:
//! - `lane_steps`: steps x lanes
//! - `order`: numbers of Hessians, batch after batch, at most steps x lanes x rows; the batch that all lanes share where it is full
//! - `hessians`: samples x P x P, each symmetric
//! - `history`: lanes x slots x P, read at the lane's read slot
//! - `gradient`: lanes x P
//! - `loss_partials`: lanes x [`partials`], whose sum is f

use super::{Batch, Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct, sum_iterations};
use crate::math::{Real, ordered_sum};

shared_struct! {
    /// Immediates of `hessian.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// Hessians of a batch.
        pub rows: u32,
        /// Numbers from one lane's weight versions to the next one's, and from one version to the next.
        pub lane_stride: u32,
        pub slot_stride: u32,
        /// Partial sums per lane.
        pub partials: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 64;

pub const KERNEL: Kernel = Kernel {
    name: "hessian",
    files: &[shader!("hessian.wgsl"), LANE_STEP],
    bindings: &[
        read("lane_steps"),
        read("order"),
        read("hessians"),
        read("history"),
        read_write("gradient"),
        read_write("loss_partials"),
    ],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, order, hessians, history, gradient, loss_partials.
pub fn call<B>(batch: Batch, buffers: [B; 6]) -> Call<B> {
    let Batch { lanes, rows, parameters, .. } = batch;
    let [lane_stride, slot_stride] = batch.version_strides();
    let params = Params {
        step: 0,
        lanes: lanes as u32,
        parameters: parameters as u32,
        rows: rows as u32,
        lane_stride,
        slot_stride,
        partials: partials(parameters) as u32,
    };
    let workgroups = [params.partials, params.lanes, 1];
    Call::new(&KERNEL, &[], buffers, &params, workgroups, rows * parameters + sum_iterations(WORKGROUP))
}

/// Partial sums per lane.
pub fn partials(parameters: usize) -> usize {
    parameters.div_ceil(WORKGROUP)
}

/// Fills `gradient` (P) and returns f at `weights` (P), of the Hessians with these numbers.
pub fn cpu<T: Real>(rows: &[u32], hessians: &[T], weights: &[T], gradient: &mut [T]) -> T {
    let parameters = weights.len();
    gradient.fill(T::zero());
    for row in rows {
        let hessian = &hessians[*row as usize * parameters * parameters..][..parameters * parameters];
        for (g, row) in gradient.iter_mut().zip(hessian.chunks_exact(parameters)) {
            *g += ordered_sum(parameters, |j| row[j] * weights[j]);
        }
    }
    let count = T::of(rows.len() as f64);
    gradient.iter_mut().for_each(|g| *g /= count);
    T::of(0.5) * ordered_sum(parameters, |i| gradient[i] * weights[i])
}
