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
use super::{Kernel, LaneStep, read, read_write, shared_struct};
use crate::math::Real;

pub const WGSL: &str = include_str!("../../shaders/observe.wgsl");

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
    source: WGSL,
    bindings: &[read("lane_steps"), read("loss_partials"), read("moment_partials"), read_write("observations")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// The objective (loss with its weight decay) and whether what is seen of a step is finite. A weight that is NaN or
/// infinite makes the squared distance so.
pub fn cpu<T: Real>(loss: T, weight_decay: T, moments: &Moments<T>) -> (T, bool) {
    let objective = loss + T::of(0.5) * weight_decay * moments.read_squared;
    (objective, moments.distance_squared.is_finite() && objective.is_finite())
}
