//! `evaluate`: the loss of every sample and whether the model has it right, summed over a chunk of the data.
//!
//! A sample is right where its largest output is that of its class. The first of equal outputs counts as the largest; none
//! does where one is not a number. A step of the block is a chunk.
//!
//! Bindings of `evaluate.wgsl`, one invocation per row:
//! - `lane_steps`: chunks x lanes
//! - `labels`: lanes x rows
//! - `outputs`: lanes x rows x classes
//! - `results`: lanes x chunks x [`partials`] x 2: sums of losses, and of samples that are right

use super::{Call, Kernel, LANE_STEP, LaneStep, NUMBERS, read, read_write, shader, shared_struct, sum_iterations};
use crate::math::Loss;

shared_struct! {
    /// Immediates of `evaluate.wgsl`.
    pub struct Params {
        /// The chunk.
        pub step: u32,
        pub lanes: u32,
        /// Rows of a chunk.
        pub rows: u32,
        /// Samples of all chunks; rows of the last chunk beyond them do not count.
        pub samples: u32,
        pub classes: u32,
        /// Partial sums of a chunk.
        pub partials: u32,
        /// Partial sums of a lane.
        pub stride: u32,
    }
}

/// Rows per workgroup.
pub const WORKGROUP: usize = 64;

pub const KERNEL: Kernel = Kernel {
    name: "evaluate",
    files: &[shader!("evaluate.wgsl"), LANE_STEP, NUMBERS],
    bindings: &[read("lane_steps"), read("labels"), read("outputs"), read_write("results")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[Loss::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &["LOSS"],
};

/// Partial sums of a chunk of `rows` rows.
pub fn partials(rows: usize) -> usize {
    rows.div_ceil(WORKGROUP)
}

/// `buffers`: lane_steps, labels, outputs, results.
pub fn call<B>(loss: Loss, params: &Params, buffers: [B; 4]) -> Call<B> {
    let iterations = 2 * params.classes as usize + sum_iterations(WORKGROUP);
    Call::new(&KERNEL, &loss.variant(), buffers, params, [params.partials, params.lanes, 1], iterations)
}
