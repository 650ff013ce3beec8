//! `peak`: fused multiply-adds on registers and nothing else. No run needs it: it says what an adapter computes at best.
//!
//! Every invocation goes through [`CHAINS`] chains of x' = factor x + (1 - factor), which stay close to 1 and depend on a
//! number that no compiler knows.
//!
//! Bindings of `peak.wgsl`:
//! - `lane_steps`: steps x lanes
//! - `sums`: one vec4 for each invocation, so that the chains are computed at all

use super::{Call, Kernel, LANE_STEP, LaneStep, read, read_write, shader, shared_struct};

shared_struct! {
    /// Immediates of `peak.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Rounds of the loop, each of which lengthens every chain by [`UNROLLED`].
        pub links: u32,
        /// Between 0 and 1.
        pub factor: f32,
    }
}

/// Invocations of a workgroup.
pub const WORKGROUP: usize = 128;

/// Chains of an invocation, each of vec4.
pub const CHAINS: u64 = 2;

/// Multiply-adds of a chain in one round of the loop.
pub const UNROLLED: u64 = 16;

pub const KERNEL: Kernel = Kernel {
    name: "peak",
    files: &[shader!("peak.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read_write("sums")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// On so many workgroups. `buffers`: lane_steps, sums.
pub fn call<B>(params: &Params, groups: u32, buffers: [B; 2]) -> Call<B> {
    Call::new(&KERNEL, &[], buffers, params, [groups, params.lanes, 1], params.links as usize)
}

/// Floating-point operations of one invocation: a multiply-add counts two.
pub fn flops(links: u32) -> u64 {
    2 * 4 * CHAINS * UNROLLED * u64::from(links)
}
