//! `copy`: one buffer into another. No run needs it: it says what an adapter's memory moves at best.
//!
//! Bindings of `copy.wgsl`, elements `stride` apart for each invocation:
//! - `lane_steps`: steps x lanes
//! - `source`, `copied`: `elements` vec4

use super::{Kernel, LaneStep, read, read_write, shared_struct};

pub const WGSL: &str = include_str!("../../shaders/copy.wgsl");

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
    source: WGSL,
    bindings: &[read("lane_steps"), read("source"), read_write("copied")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};
