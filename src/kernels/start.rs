//! `start`: puts lanes at the beginning of their runs.
//!
//! ```text
//! server[lane] = history[lane][slot] = starts[read]                 for every slot
//! state[lane]  = 0                                                  velocities and second moment
//! ```
//!
//! Most runs of a sweep start from the same weights: the device keeps them, and a lane names its own.
//!
//! Bindings of `start.wgsl`, one invocation per parameter:
//! - `lane_steps`: lanes; `busy` says whether the lane starts now, `read` is the number of its start
//! - `starts`: starts x P
//! - `server`: lanes x P
//! - `history`: lanes x slots x length, a part of the ring: of P where it is whole
//! - `state`: lanes x memories x length, of the same part

use super::{Call, Kernel, LANE_STEP, LaneStep, grid, read, read_write, shader, shared_struct};

shared_struct! {
    /// Immediates of `start.wgsl`.
    pub struct Params {
        pub step: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part of the ring that is bound.
        pub first: u32,
        /// Parameters of that part, P where the ring is whole.
        pub length: u32,
        pub slots: u32,
        /// Velocities and second moment.
        pub memories: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "start",
    files: &[shader!("start.wgsl"), LANE_STEP],
    bindings: &[read("lane_steps"), read("starts"), read_write("server"), read_write("history"), read_write("state")],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// For `lanes` lanes. `buffers`: lane_steps, starts, server, history, state.
pub fn call<B>(params: &Params, lanes: usize, buffers: [B; 5]) -> Call<B> {
    let workgroups = grid((params.length as usize).div_ceil(WORKGROUP), lanes);
    Call::new(&KERNEL, &[], buffers, params, workgroups, (params.slots + params.memories) as usize)
}
