//! `fetch`: the weights that every lane's step reads, copied out of a ring that is cut into parts.
//!
//! ```text
//! weights[lane][first + i] = history[lane][slot][i]     slot: the one that the step reads, or that its way back reads
//! ```
//!
//! A ring that is larger than one binding lies in several buffers, each with a range of every version's numbers
//! (`engine::gpu::plan`). Layers want a whole version, so it is put together for them.
//!
//! Bindings of `fetch.wgsl`, one invocation per parameter of the part:
//! - `lane_steps`: steps x lanes
//! - `history`: lanes x slots x length, a part of the ring
//! - `weights`: lanes x P

use super::{Call, Kernel, LANE_STEP, LaneStep, grid, read, read_write, shader, shared_struct};

shared_struct! {
    /// Immediates of `fetch.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part.
        pub first: u32,
        /// Parameters of the part.
        pub length: u32,
        /// slots length.
        pub history_stride: u32,
        /// 1 where the weights are those of the way back, else 0.
        pub backward: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "fetch",
    files: &[shader!("fetch.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read("history"), read_write("weights")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, history, weights.
pub fn call<B>(params: &Params, buffers: [B; 3]) -> Call<B> {
    let workgroups = grid((params.length as usize).div_ceil(WORKGROUP), params.lanes as usize);
    Call::new(&KERNEL, &[], buffers, params, workgroups, 1)
}
