//! `renew`: gives lanes the state of other lanes, and draws states towards the minimum or away from it.
//!
//! ```text
//! state[lane] = state[source]                                       where source is another lane
//! x = minimum + factor (x - minimum)                                server and every slot
//! v = factor v; s = factor^2 s                                      velocities and second moment
//! ```
//!
//! Near a minimum the dynamics are linear in all of these together, so that a run goes on as it would have, at another
//! scale: growth can be followed for as long as one likes. Copies and scalings are two passes, since a source may be
//! scaled too; within a pass no lane is both read as a source and written.
//!
//! Bindings of `renew.wgsl`, one invocation per parameter:
//! - `lane_steps`: lanes; `busy` says whether the lane takes part, `read` is its source
//! - `factors`: lanes
//! - `landmarks`: 3 x P, the first of which is the minimum
//! - `server`: lanes x P
//! - `history`: lanes x slots x length, a part of the ring: of P where it is whole
//! - `state`: lanes x (velocities, then the second moment if any) x length, of the same part

use super::step::State;
use super::{Call, Kernel, LANE_STEP, LaneStep, grid, read, read_write, shader, shared_struct};
use crate::math::Real;

shared_struct! {
    /// Immediates of `renew.wgsl`.
    pub struct Params {
        pub step: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part of the ring that is bound.
        pub first: u32,
        /// Parameters of that part, P where the ring is whole.
        pub length: u32,
        pub slots: u32,
        pub velocities: u32,
        /// Second moments: 0 or 1.
        pub seconds: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "renew",
    files: &[shader!("renew.wgsl"), LANE_STEP],
    bindings: &[
        read("lane_steps"),
        read("factors"),
        read("landmarks"),
        read_write("server"),
        read_write("history"),
        read_write("state"),
    ],
    structs: &[LaneStep::LAYOUT, Params::LAYOUT],
    codes: &[],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// For `lanes` lanes. `buffers`: lane_steps, factors, landmarks, server, history, state.
pub fn call<B>(params: &Params, lanes: usize, buffers: [B; 6]) -> Call<B> {
    let workgroups = grid((params.length as usize).div_ceil(WORKGROUP), lanes);
    let iterations = params.slots + params.velocities + params.seconds;
    Call::new(&KERNEL, &[], buffers, params, workgroups, iterations as usize)
}

/// Scales one lane's state; copying it is `clone_from`.
pub fn cpu<T: Real>(factor: f64, minimum: &[T], state: &mut State<T>) {
    let scale = T::of(factor);
    let State { server, history, velocity, second } = state;
    for version in std::iter::once(&mut server[..]).chain(history.chunks_exact_mut(minimum.len())) {
        for (x, m) in version.iter_mut().zip(minimum) {
            *x = *m + scale * (*x - *m);
        }
    }
    velocity.iter_mut().for_each(|v| *v *= scale);
    second.iter_mut().for_each(|s| *s *= scale * scale);
}
