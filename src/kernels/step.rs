//! `step`: the delayed update over a ring of weight versions, and the moments that are observed of it.
//!
//! At step t a run reads slot r_t, has the gradient g taken there, updates the server weights x and writes slot w_t (which
//! may be the same slot):
//!
//! ```text
//! g += decay * history[r]
//! v  = momentum * v + gradient_to_velocity * g              v: one velocity, or the one of slot w
//! u  = gradient_to_weights * g + velocity_to_weights * v
//! x' = x - lr * u - decoupled_decay * x                    or another Form, where the rule has one
//! history[w] = x' + lookahead * (x' - x) + lr * lookback * v_before
//! ```
//!
//! Where a run has stages ([`crate::stages`]), each of them has its own coefficients and its own w, and the moments are those of
//! all parameters.
//!
//! Observed is the displacement of x' from the minimum; of a rule with a lookback that of what is stored, in which oscillations
//! show that move x' by a hundredth of it and yet grow. Every number of the step may change from step to step: what a rule does with a gradient is decided on the host, by its age
//! ([`crate::rule`]), and followed by every engine.
//!
//! Bindings of `step.wgsl`, one invocation per parameter:
//! - `lane_steps`: steps x lanes
//! - `updates`: steps x lanes x stages entries, then coefficients ([`super::update`])
//! - `gradient`: lanes x P, of the loss alone, or complete where `finish` went over it
//! - `landmarks`: 3 x P: the minimum, the direction that displacements from it are projected on, and the diagonal of the
//!   Hessian (of a quadratic; else zeros)
//! - `server`: lanes x P, the weights x
//! - `history`: lanes x slots x length, a part of the ring: of P where it is whole
//! - `state`: lanes x (velocities, then second moments if any) x length, of the same part
//! - `moment_partials`: lanes x [`partials`] x 4: distance^2, projection, square of the weights that
//!   were read, count of weights that are not finite

use super::update::{Update, UpdateStep};
use super::{
    Call, Kernel, LANE_STEP, LaneStep, NUMBERS, UPDATE, grid, read, read_write, shader, shared_struct, sum_iterations,
};
use crate::math::{Number, Real, WIDTH, tree_sum};
use crate::update::{Form, StepSlots, UpdateCoefficients};
use aligned_vec::AVec;
use std::ops::{AddAssign, Range};

shared_struct! {
    /// Immediates of `step.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Updates of each lane at every step: one for each of its stages.
        pub stages: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part of the ring that is bound.
        pub first: u32,
        /// Parameters of that part, P where the ring is whole.
        pub length: u32,
        /// slots length.
        pub history_stride: u32,
        /// velocities length, and length more where there is a second moment.
        pub state_stride: u32,
        /// velocities length: where in a lane's state the second moment begins.
        pub second_offset: u32,
        /// Partial sums per lane.
        pub partials: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "step",
    files: &[shader!("step.wgsl"), LANE_STEP, UPDATE, NUMBERS],
    bindings: &[
        read("lane_steps"),
        read("updates"),
        read("gradient"),
        read("landmarks"),
        read_write("server"),
        read_write("history"),
        read_write("state"),
        read_write("moment_partials"),
    ],
    structs: &[LaneStep::LAYOUT, UpdateStep::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    codes: &[Form::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, updates, gradient, landmarks, server, history, state, moment_partials.
pub fn call<B>(params: &Params, buffers: [B; 8]) -> Call<B> {
    let workgroups = grid(partials(params.length as usize), params.lanes as usize);
    let iterations = sum_iterations(WORKGROUP) + params.stages as usize;
    Call::new(&KERNEL, &[], buffers, params, workgroups, iterations)
}

/// Partial sums per lane.
pub fn partials(parameters: usize) -> usize {
    parameters.div_ceil(WORKGROUP)
}

/// One lane's weights and what its rule remembers, each on cache lines of its own.
#[derive(Clone, Debug)]
pub struct State<T> {
    /// Server weights x, P.
    pub server: AVec<T>,
    /// Weight versions, slots x P.
    pub history: AVec<T>,
    /// Velocity, P, or slots x P where every slot has its own.
    pub velocity: AVec<T>,
    /// Second moment, P, or slots x P where every slot has its own, or empty.
    pub second: AVec<T>,
}

impl<T: Real> State<T> {
    /// At rest: `start` in the server and in every slot, and so many velocities and second moments of zero.
    pub fn at_rest(start: &[T], slots: usize, velocities: usize, seconds: usize) -> Self {
        // With the capacity that is needed: growth by doubling would be part of every lane for good.
        let copies = |count: usize, vector: &[T]| {
            let mut copies = AVec::with_capacity(0, count * vector.len());
            (0..count).for_each(|_| copies.extend_from_slice(vector));
            copies
        };
        let zeros = vec![T::zero(); start.len()];
        let (versions, zeros) = (|count| copies(count, start), |count| copies(count, &zeros));
        Self { server: versions(1), history: versions(slots), velocity: zeros(velocities), second: zeros(seconds) }
    }
}

/// What displacements are measured by: each P long, the curvature empty where it is not known.
#[derive(Clone, Copy, Debug)]
pub struct Landmarks<'a, T> {
    pub minimum: &'a [T],
    pub direction: &'a [T],
    pub curvature: &'a [T],
}

/// What is observed after a step: of the server weights x, or of what is stored where a rule has a lookback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments<T> {
    /// ||x - minimum||^2
    pub distance_squared: T,
    /// (x - minimum) . direction
    pub projection: T,
    /// Square of the weights that the gradient was taken at, for the weight-decay term of the loss.
    pub read_squared: T,
}

impl<T: Real> Default for Moments<T> {
    fn default() -> Self {
        Self { distance_squared: T::zero(), projection: T::zero(), read_squared: T::zero() }
    }
}

impl<T: Real> AddAssign for Moments<T> {
    fn add_assign(&mut self, other: Self) {
        self.distance_squared += other.distance_squared;
        self.projection += other.projection;
        self.read_squared += other.read_squared;
    }
}

/// One delayed update of the parameters in `range`. `gradient` is P long.
#[inline(always)]
pub fn cpu<T: Real>(
    coefficients: &UpdateCoefficients,
    slots: StepSlots,
    range: Range<usize>,
    gradient: &[T],
    landmarks: Landmarks<T>,
    state: &mut State<T>,
) -> Moments<T> {
    let [lr, momentum, gradient_to_velocity, gradient_to_weights, velocity_to_weights] = [
        coefficients.lr,
        coefficients.momentum,
        coefficients.gradient_to_velocity,
        coefficients.gradient_to_weights,
        coefficients.velocity_to_weights,
    ]
    .map(T::of);
    let [_, second_moment_decay, bias_correction, share] = coefficients.form.numbers().map(T::of);
    let (zero, one, epsilon) = (T::zero(), T::one(), T::of(coefficients.form.epsilon()));
    let combine = |g: T, v: &mut T| {
        *v = momentum * *v + gradient_to_velocity * g;
        gradient_to_weights * g + velocity_to_weights * *v
    };
    // One loop for each form: the choice stays outside.
    match coefficients.form {
        Form::Linear
        | Form::Compensated { .. }
        | Form::CompensatedAdaptively { .. }
        | Form::CompensatedExactly { .. } => {
            advance::<T, false, false>(coefficients, slots, range, gradient, landmarks, state, |seen, v, _| {
                lr * combine(seen.g, v)
            })
        }
        // Velocity and direction are there already.
        Form::Spectral { .. } => {
            advance::<T, false, false>(coefficients, slots, range, gradient, landmarks, state, |seen, _, _| lr * seen.g)
        }
        Form::GapAware { .. } => advance::<T, true, false>(
            coefficients,
            slots,
            range,
            gradient,
            landmarks,
            state,
            |Seen { x, y, g, .. }, v, s| {
                let moving = if coefficients.momentum == 0.0 { g } else { *v };
                *s = second_moment_decay * *s + (one - second_moment_decay) * moving * moving;
                let typical = lr * Number::sqrt(*s * bias_correction);
                let gap = if typical > zero { (x - y).abs() / typical } else { zero };
                lr * combine(g / (one + gap), v)
            },
        ),
        Form::Adam { .. } => {
            advance::<T, true, false>(coefficients, slots, range, gradient, landmarks, state, |Seen { g, .. }, v, s| {
                *s = second_moment_decay * *s + (one - second_moment_decay) * g * g;
                lr * (combine(g, v) / (Number::sqrt(*s * bias_correction) + epsilon))
            })
        }
        Form::Sign => {
            advance::<T, false, false>(
                coefficients,
                slots,
                range,
                gradient,
                landmarks,
                state,
                |Seen { g, .. }, v, _| {
                    let pull = gradient_to_weights * g + velocity_to_weights * *v;
                    *v = momentum * *v + gradient_to_velocity * g;
                    let direction = if pull > zero {
                        one
                    } else if pull < zero {
                        -one
                    } else {
                        pull // Zero, or not a number: neither is to be hidden.
                    };
                    lr * direction
                },
            )
        }
        Form::Mixing { .. } => {
            advance::<T, false, true>(coefficients, slots, range, gradient, landmarks, state, |seen, v, _| {
                let Seen { x, y, g, velocities: [newest, read], .. } = seen;
                let pull = momentum * read + lr * gradient_to_velocity * g;
                *v = (one - share) * newest + share * pull;
                share * (x - y + pull)
            })
        }
        Form::MixingAdam { .. } => {
            // The weights that were read decay, and not the server's.
            let decoupled_decay = T::of(coefficients.decoupled_decay);
            let rest = UpdateCoefficients { decoupled_decay: 0.0, ..*coefficients };
            advance::<T, true, true>(&rest, slots, range, gradient, landmarks, state, |seen, v, s| {
                let Seen { x, y, g, velocities: [newest, read], seconds: [newest_second, read_second] } = seen;
                let mean = momentum * read + gradient_to_velocity * g;
                let square = second_moment_decay * read_second + (one - second_moment_decay) * g * g;
                let step = velocity_to_weights * mean / (Number::sqrt(square * bias_correction) + epsilon);
                *v = (one - share) * newest + share * mean;
                *s = (one - share) * newest_second + share * square;
                share * (x - y + decoupled_decay * y + lr * step)
            })
        }
    }
}

/// What a form sees of one parameter.
struct Seen<T> {
    /// The server's.
    x: T,
    /// As it was read.
    y: T,
    g: T,
    /// Velocities of the newest slot and of the one that was read, of a form that MIXES; else zeros.
    velocities: [T; 2],
    /// Second moments of the same two, of one that keeps them too.
    seconds: [T; 2],
}

/// Moves every parameter by minus what `form` makes of what it sees, v, and s, which is kept where SECOND. Sums run as in
/// [`crate::math::ordered_sum`].
#[inline(always)]
fn advance<T: Real, const SECOND: bool, const MIXES: bool>(
    coefficients: &UpdateCoefficients,
    slots: StepSlots,
    range: Range<usize>,
    gradient: &[T],
    landmarks: Landmarks<T>,
    state: &mut State<T>,
    mut form: impl FnMut(Seen<T>, &mut T, &mut T) -> T,
) -> Moments<T> {
    let parameters = gradient.len();
    let State { server, history, velocity, second } = state;
    let (read, write, kept) = (slots.read * parameters, slots.write * parameters, slots.velocity * parameters);
    let others = [slots.newest * parameters, slots.velocity_read * parameters];
    let mut sums = [[T::zero(); WIDTH]; 3];
    let around = Around {
        lookahead: T::of(coefficients.lookahead),
        lookback: T::of(coefficients.lr * coefficients.lookback),
        decay: T::of(coefficients.decay),
        decoupled_decay: T::of(coefficients.decoupled_decay),
        is_written_seen: coefficients.lookback != 0.0,
    };
    // Blocks of a length that the compiler knows become vector code, whatever the instruction set.
    let rest = range.len() % WIDTH;
    let whole = range.end - rest;
    for at in (range.start..whole).step_by(WIDTH) {
        let (mut v, mut s) = (*fixed(velocity, kept + at), [T::zero(); WIDTH]);
        if SECOND {
            s = *fixed(second, kept + at);
        }
        // Spelled out: the map of an array would be a call for each block.
        let (mut velocities, mut seconds) = ([[T::zero(); WIDTH]; 2], [[T::zero(); WIDTH]; 2]);
        if MIXES {
            velocities = [*fixed(velocity, others[0] + at), *fixed(velocity, others[1] + at)];
        }
        if MIXES && SECOND {
            seconds = [*fixed(second, others[0] + at), *fixed(second, others[1] + at)];
        }
        let (x, y) = (*fixed(server, at), *fixed(history, read + at));
        let seen = Block { x, y, g: *fixed(gradient, at), velocities, seconds };
        let landmarks = [*fixed(landmarks.minimum, at), *fixed(landmarks.direction, at)];
        let [moved, written] = seen.advance(&around, &mut v, &mut s, landmarks, &mut sums, &mut form);
        *fixed_mut(server, at) = moved;
        *fixed_mut(history, write + at) = written;
        *fixed_mut(velocity, kept + at) = v;
        if SECOND {
            *fixed_mut(second, kept + at) = s;
        }
    }
    if rest > 0 {
        let (mut v, mut s) = (padded(&velocity[kept + whole..], rest), [T::zero(); WIDTH]);
        if SECOND {
            s = padded(&second[kept + whole..], rest);
        }
        let (x, y) = (padded(&server[whole..], rest), padded(&history[read + whole..], rest));
        let of_others = |kept: &[T], is_read| {
            others.map(|from| if is_read { padded(&kept[from + whole..], rest) } else { [T::zero(); WIDTH] })
        };
        let (velocities, seconds) = (of_others(velocity, MIXES), of_others(second, MIXES && SECOND));
        let seen = Block { x, y, g: padded(&gradient[whole..], rest), velocities, seconds };
        let landmarks = [padded(&landmarks.minimum[whole..], rest), padded(&landmarks.direction[whole..], rest)];
        let [moved, written] = seen.advance(&around, &mut v, &mut s, landmarks, &mut sums, &mut form);
        server[whole..range.end].copy_from_slice(&moved[..rest]);
        history[write + whole..][..rest].copy_from_slice(&written[..rest]);
        velocity[kept + whole..][..rest].copy_from_slice(&v[..rest]);
        if SECOND {
            second[kept + whole..][..rest].copy_from_slice(&s[..rest]);
        }
    }
    // Outside of the loop, whose body is then the same for all runs.
    if let Some(slot) = slots.backward_write {
        history.copy_within(write + range.start..write + range.end, slot * parameters + range.start);
    }
    let [distance_squared, projection, read_squared] = sums.map(tree_sum);
    Moments { distance_squared, projection, read_squared }
}

/// What is the same around every form.
#[derive(Clone, Copy)]
struct Around<T> {
    lookahead: T,
    /// Times the learning rate.
    lookback: T,
    decay: T,
    decoupled_decay: T,
    /// Whether the weights that are observed are those that are written, rather than the server's.
    is_written_seen: bool,
}

/// [`WIDTH`] parameters, each as in [`Seen`].
struct Block<T> {
    x: [T; WIDTH],
    y: [T; WIDTH],
    g: [T; WIDTH],
    velocities: [[T; WIDTH]; 2],
    seconds: [[T; WIDTH]; 2],
}

impl<T: Real> Block<T> {
    /// x' and what is written to the history; `sums` takes the moments.
    #[inline(always)]
    fn advance(
        self,
        around: &Around<T>,
        v: &mut [T; WIDTH],
        s: &mut [T; WIDTH],
        [minimum, direction]: [[T; WIDTH]; 2],
        [distance, projection, square]: &mut [[T; WIDTH]; 3],
        form: &mut impl FnMut(Seen<T>, &mut T, &mut T) -> T,
    ) -> [[T; WIDTH]; 2] {
        let Self { x, y, g, velocities: [newest, read], seconds: [newest_second, read_second] } = self;
        let Around { lookahead, lookback, decay, decoupled_decay, is_written_seen } = *around;
        let [mut moved, mut written] = [[T::zero(); WIDTH]; 2];
        let before = *v;
        for i in 0..WIDTH {
            let velocities = [newest[i], read[i]];
            let seconds = [newest_second[i], read_second[i]];
            let seen = Seen { x: x[i], y: y[i], g: g[i] + decay * y[i], velocities, seconds };
            moved[i] = x[i] - form(seen, &mut v[i], &mut s[i]) - decoupled_decay * x[i];
            written[i] = moved[i] + lookahead * (moved[i] - x[i]) + lookback * before[i];
            let observed = if is_written_seen { written[i] } else { moved[i] };
            let displacement = observed - minimum[i];
            distance[i] += displacement * displacement;
            projection[i] += displacement * direction[i];
            square[i] += y[i] * y[i];
        }
        [moved, written]
    }
}

#[inline(always)]
fn fixed<T>(elements: &[T], at: usize) -> &[T; WIDTH] {
    elements[at..].first_chunk().expect("a whole block")
}

#[inline(always)]
fn fixed_mut<T>(elements: &mut [T], at: usize) -> &mut [T; WIDTH] {
    elements[at..].first_chunk_mut().expect("a whole block")
}

/// The first `count` elements, with zeros beyond them: they add nothing to any sum.
#[inline(always)]
fn padded<T: Real>(elements: &[T], count: usize) -> [T; WIDTH] {
    let mut block = [T::zero(); WIDTH];
    block[..count].copy_from_slice(&elements[..count]);
    block
}
