//! `reduce`: adds up the slices of a layer's gradient, in their order.
//!
//! Bindings of `reduce.wgsl`, one invocation per element of a slice:
//! - `lane_steps`: steps x lanes
//! - `partials`: lanes x slices x rows x (columns and, where there is a bias, one more)
//! - `gradient`: lanes x P

use super::{Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct};

shared_struct! {
    /// Immediates of `reduce.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        pub slices: u32,
        pub rows: u32,
        /// Columns of the weight.
        pub columns: u32,
        /// 1 where one more column is the bias gradient.
        pub biased: u32,
        /// Where the gradients of weight and bias begin in a lane.
        pub weight: u32,
        pub bias: u32,
        /// P.
        pub parameters: u32,
    }
}

/// Elements per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "reduce",
    files: &[shader!("reduce.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read("partials"), read_write("gradient")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, partials, gradient.
pub fn call<B>(params: &Params, buffers: [B; 3]) -> Call<B> {
    let Params { lanes, slices, rows, columns, biased, .. } = *params;
    let workgroups = [(rows * (columns + biased)).div_ceil(WORKGROUP as u32), lanes, 1];
    Call::new(&KERNEL, &[], buffers, params, workgroups, slices as usize)
}
