//! `copy`: one buffer into another. No run needs it: it says what an adapter's memory moves at best.
//!
//! Bindings of `copy.wgsl`, elements `stride` apart for each invocation:
//! - `lane_steps`: steps x lanes
//! - `source`, `copied`: `elements` vec4

use super::{Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct};

shared_struct! {
    /// Immediates of `copy.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// vec4, 16 bytes each.
        pub elements: u32,
        /// Invocations in all.
        pub stride: u32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "copy",
    files: &[shader!("copy.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read("source"), read_write("copied")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// As many invocations as `params.stride` says. `buffers`: lane_steps, source, copied.
pub fn call<B>(params: &Params, buffers: [B; 3]) -> Call<B> {
    let workgroups = [params.stride / WORKGROUP as u32, params.lanes, 1];
    Call::new(&KERNEL, &[], buffers, params, workgroups, params.elements.div_ceil(params.stride) as usize)
}
