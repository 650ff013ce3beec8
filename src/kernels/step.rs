//! `step`: the delayed update over a ring of weight versions, and the moments that are observed of it.
//!
//! At step t a run reads slot r_t, has the gradient g taken there, updates the server weights x and writes slot w_t (which
//! may be the same slot):
//!
//! ```text
//! g += decay * history[r]
//! v  = momentum * v + intake * g            v: one velocity, or the one of slot w
//! u  = direct * g + carried * v             or another Form, where the rule has one
//! x' = x - lr * u - shrink * x
//! history[w] = x' + ahead * (x' - x)
//! ```
//!
//! Every number of it may change from step to step: what a rule does with a gradient is decided on the host, by its age
//! ([`crate::rule`]), and followed by every engine.
//!
//! Bindings of `step.wgsl`, one invocation per parameter:
//! - `places`: steps x lanes
//! - `updates`: steps x lanes
//! - `gradient`: lanes x P, of the loss alone, or complete where `finish` went over it
//! - `landmarks`: 3 x P: the minimum, the direction that displacements from it are projected on, and the diagonal of the
//!   Hessian (of a quadratic; else zeros)
//! - `server`: lanes x P, the weights x
//! - `history`: lanes x slots x P
//! - `state`: lanes x (velocities, then the second moment if any) x P
//! - `moment_partials`: lanes x [`partials`] x 4: distance^2, projection, square of the weights that
//!   were read, count of weights that are not finite

use super::motion::{ADAM_EPSILON, Form, Motion, Update};
use super::real::{Real, ordered_sum};
use super::{Kernel, Place as DevicePlace, read, read_write, shared_struct};

pub const WGSL: &str = include_str!("../../shaders/step.wgsl");

shared_struct! {
    /// Immediates of `step.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// slots P.
        pub history_stride: u32,
        /// velocities P, and P more where there is a second moment.
        pub state_stride: u32,
        /// velocities P: where in a lane's state the second moment begins.
        pub second_offset: u32,
        /// Partial sums per lane.
        pub partials: u32,
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
        read_write("state"),
        read_write("moment_partials"),
    ],
    structs: &[DevicePlace::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    constants: &[
        ("WORKGROUP", WORKGROUP as f64),
        ("GAP_AWARE", Form::GAP_AWARE as f64),
        ("ADAM", Form::ADAM as f64),
        ("SIGN", Form::SIGN as f64),
        ("EPSILON", ADAM_EPSILON),
    ],
    variants: &[],
};

/// Partial sums per lane.
pub fn partials(parameters: usize) -> usize {
    parameters.div_ceil(WORKGROUP)
}

/// One lane's weights and what its rule remembers.
#[derive(Clone, Debug)]
pub struct State<T> {
    /// Server weights x, P.
    pub server: Vec<T>,
    /// Weight versions, slots x P.
    pub history: Vec<T>,
    /// Velocity, P, or slots x P where every slot has its own.
    pub velocity: Vec<T>,
    /// Second moment, P, or empty.
    pub second: Vec<T>,
}

/// Where a step reads, writes and keeps its velocity (slot numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub read: usize,
    pub write: usize,
    pub velocity: usize,
}

/// What displacements are measured by: each P long, the curvature empty where it is not known.
#[derive(Clone, Copy, Debug)]
pub struct Landmarks<'a, T> {
    pub minimum: &'a [T],
    pub direction: &'a [T],
    pub curvature: &'a [T],
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

/// One delayed update. `gradient` is P long.
pub fn cpu<T: Real>(
    motion: &Motion,
    place: Place,
    gradient: &[T],
    landmarks: Landmarks<T>,
    state: &mut State<T>,
) -> Moments<T> {
    let parameters = gradient.len();
    let State { server, history, velocity, second } = state;
    let Landmarks { minimum, direction, .. } = landmarks;
    let (read, write) = (place.read * parameters, place.write * parameters);
    let velocity = &mut velocity[place.velocity * parameters..][..parameters];
    let read_squared = ordered_sum(parameters, |i| history[read + i] * history[read + i]);

    let [lr, momentum, intake, direct, carried] =
        [motion.lr, motion.momentum, motion.intake, motion.direct, motion.carried].map(T::of);
    let [ahead, decay, shrink] = [motion.ahead, motion.decay, motion.shrink].map(T::of);
    let [_, memory, correction] = motion.form.numbers().map(T::of);
    let (one, epsilon) = (T::one(), T::of(ADAM_EPSILON));
    // x' from x, y and g, whose last stage every form shares.
    let mut run = |form: &mut dyn FnMut(usize, T, T, T, &mut T) -> T| {
        for i in 0..parameters {
            let (x, y) = (server[i], history[read + i]);
            let u = form(i, x, y, gradient[i] + decay * y, &mut velocity[i]);
            let moved = x - lr * u - shrink * x;
            server[i] = moved;
            history[write + i] = moved + ahead * (moved - x);
        }
    };
    let combine = |g: T, v: &mut T| {
        *v = momentum * *v + intake * g;
        direct * g + carried * *v
    };
    match motion.form {
        // Spelled out: the other forms may take their time, this one is every sweep's inner loop.
        Form::Linear
        | Form::Compensated { .. }
        | Form::CompensatedAdaptively { .. }
        | Form::CompensatedExactly { .. } => {
            for i in 0..parameters {
                let (x, y) = (server[i], history[read + i]);
                let u = combine(gradient[i] + decay * y, &mut velocity[i]);
                let moved = x - lr * u - shrink * x;
                server[i] = moved;
                history[write + i] = moved + ahead * (moved - x);
            }
        }
        Form::GapAware { .. } => run(&mut |i, x, y, g, v| {
            let moving = if motion.momentum == 0.0 { g } else { *v };
            second[i] = memory * second[i] + (one - memory) * moving * moving;
            let typical = lr * (second[i] * correction).sqrt();
            let gap = if typical > T::zero() { (x - y).abs() / typical } else { T::zero() };
            combine(g / (one + gap), v)
        }),
        Form::Adam { .. } => run(&mut |i, _, _, g, v| {
            second[i] = memory * second[i] + (one - memory) * g * g;
            *v = momentum * *v + intake * g;
            carried * *v / ((second[i] * correction).sqrt() + epsilon)
        }),
        Form::Sign => run(&mut |_, _, _, g, v| {
            let pull = direct * g + carried * *v;
            *v = momentum * *v + intake * g;
            if pull > T::zero() {
                one
            } else if pull < T::zero() {
                -one
            } else {
                pull // Zero, or not a number: neither is to be hidden.
            }
        }),
    }
    Moments {
        distance_squared: ordered_sum(parameters, |i| (server[i] - minimum[i]) * (server[i] - minimum[i])),
        projection: ordered_sum(parameters, |i| (server[i] - minimum[i]) * direction[i]),
        read_squared,
    }
}
