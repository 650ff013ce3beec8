//! `step`: the delayed update over a ring of weight versions, and the moments that are observed of it.
//!
//! At step t a run reads slot r_t, has the gradient g taken there, updates the server weights x and writes them into
//! slot w_t (which may be the same slot):
//!
//! ```text
//! g += weight_decay * history[r]
//! v  = momentum * v + intake * g            v: one velocity, or the one of slot w
//! x -= lr * (direct * g + carried * v)
//! history[w] = x
//! ```
//!
//! The four coefficients make it sgd, heavy-ball, nesterov or shifted ([`crate::rule`]).

//!
//! Bindings of `step.wgsl`, one invocation per parameter:
//! - `places`: steps x lanes
//! - `updates`: lanes
//! - `gradient`: lanes x P, of the loss alone
//! - `landmarks`: 2 x P, the minimum and the direction that displacements from it are projected on
//! - `server`: lanes x P, the weights x
//! - `history`: lanes x slots x P
//! - `velocity`: lanes x P, or lanes x slots x P
//! - `moment_partials`: lanes x [`partials`] x 4: distance^2, projection, square of the weights that
//!   were read, count of weights that are not finite

use super::real::{Real, ordered_sum};
use super::{Kernel, Place as DevicePlace, read, read_write, shared_struct};

pub const WGSL: &str = include_str!("../../shaders/step.wgsl");

shared_struct! {
    /// How one lane moves: its learning rate and its rule's [`Coefficients`].
    pub struct Update {
        pub lr: f32,
        pub momentum: f32,
        pub intake: f32,
        pub direct: f32,
        pub carried: f32,
    }
}

shared_struct! {
    /// Immediates of `step.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// slots P.
        pub history_stride: u32,
        /// P, or slots P.
        pub velocity_stride: u32,
        /// Partial sums per lane.
        pub partials: u32,
        pub weight_decay: f32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "step",
    source: WGSL,
    bindings: &[
        read("places"),
        read("updates"),
        read("gradient"),
        read("landmarks"),
        read_write("server"),
        read_write("history"),
        read_write("velocity"),
        read_write("moment_partials"),
    ],
    structs: &[DevicePlace::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// Partial sums per lane.
pub fn partials(parameters: usize) -> usize {
    parameters.div_ceil(WORKGROUP)
}

/// What a rule does to a gradient, as numbers (see the module's formula).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients<T> {
    pub momentum: T,
    /// 1 - dampening.
    pub intake: T,
    pub direct: T,
    pub carried: T,
}

impl Coefficients<f64> {
    /// The same coefficients in precision T.
    pub fn narrow<T: Real>(&self) -> Coefficients<T> {
        let Self { momentum, intake, direct, carried } = *self;
        Coefficients {
            momentum: T::of(momentum),
            intake: T::of(intake),
            direct: T::of(direct),
            carried: T::of(carried),
        }
    }

    /// With a learning rate, as the shader reads them.
    pub fn update(&self, lr: f64) -> Update {
        let Coefficients { momentum, intake, direct, carried } = self.narrow();
        Update { lr: lr as f32, momentum, intake, direct, carried }
    }
}

/// One lane's weights and velocity.
#[derive(Clone, Debug)]
pub struct State<T> {
    /// Server weights x, P.
    pub server: Vec<T>,
    /// Weight versions, slots x P.
    pub history: Vec<T>,
    /// Velocity, P, or slots x P where every slot has its own.
    pub velocity: Vec<T>,
}

/// Where a step reads, writes and keeps its velocity (slot numbers).
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub read: usize,
    pub write: usize,
    pub velocity: usize,
}

/// What is seen of the server weights after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments<T> {
    /// ||x - minimum||^2
    pub distance_squared: T,
    /// (x - minimum) . direction
    pub projection: T,
    /// Square of the weights that the gradient was taken at, for the weight-decay term of the loss.
    pub read_squared: T,
}

/// One delayed update. `gradient` (P) is that of the loss alone; weight decay is added here.
#[allow(clippy::too_many_arguments, reason = "mirrors the bindings of step.wgsl, in their order")]
pub fn cpu<T: Real>(
    coefficients: &Coefficients<T>,
    lr: T,
    weight_decay: T,
    place: Place,
    gradient: &[T],
    minimum: &[T],
    direction: &[T],
    state: &mut State<T>,
) -> Moments<T> {
    let parameters = gradient.len();
    let State { server, history, velocity } = state;
    let (read, write) = (place.read * parameters, place.write * parameters);
    let velocity = &mut velocity[place.velocity * parameters..][..parameters];
    let Coefficients { momentum, intake, direct, carried } = *coefficients;
    let read_squared = ordered_sum(parameters, |i| history[read + i] * history[read + i]);
    for i in 0..parameters {
        let g = gradient[i] + weight_decay * history[read + i];
        let v = momentum * velocity[i] + intake * g;
        velocity[i] = v;
        server[i] -= lr * (direct * g + carried * v);
    }
    history[write..][..parameters].copy_from_slice(server);
    Moments {
        distance_squared: ordered_sum(parameters, |i| (server[i] - minimum[i]) * (server[i] - minimum[i])),
        projection: ordered_sum(parameters, |i| (server[i] - minimum[i]) * direction[i]),
        read_squared,
    }
}
