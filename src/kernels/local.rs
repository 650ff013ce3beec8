//! `local`: what becomes of a gradient that is part of an update of an outer loop ([`crate::outer`]).
//!
//! ```text
//! g += decay * history[at]
//! w  = history[at] - local_lr * g                            the worker's weights after a local step, or what AdamW makes of it
//!                                                            (on the processor alone)
//! LOCAL:  history[local] = (1 - merged) * w + merged * x     x: the server's weights
//! else:   d = share * (history[base] - w), or share * g where local_lr is 0
//!         d += history[local + 1]                            where it joins others
//! ADD:    history[local + 1] = d
//! APPLY:  history[local] = w, where the local weights go on; gradient = d
//! ```
//!
//! Only after an APPLY the kernel [`super::step`] moves the server, by the gradient that is left here.
//!
//! Bindings of `local.wgsl`, one invocation per parameter:
//! - `lane_steps`: steps x lanes
//! - `updates`: steps x lanes entries, then coefficients ([`super::update`])
//! - `server`: lanes x P
//! - `history`: lanes x versions x length, a part of the ring, of P where it is whole: its slots, and behind a run's slots its local weights and its sum
//! - `gradient`: lanes x P

use super::step::State;
use super::update::{Update, UpdateStep};
use super::{Call, Kernel, LANE_STEP, LaneStep, UPDATE, codes, grid, read, read_write, shader, shared_struct};
use crate::math::{Number, Real, ordered_sum};
use crate::outer::{LOCAL_BETAS, LocalAdam, PlacedPiece, Role};
use crate::update::ADAM_EPSILON;

shared_struct! {
    /// Immediates of `local.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// P.
        pub parameters: u32,
        /// The first parameter of the part of the ring that is bound.
        pub first: u32,
        /// Parameters of that part, P where the ring is whole.
        pub length: u32,
        /// versions length.
        pub history_stride: u32,
    }
}

/// Parameters per workgroup.
pub const WORKGROUP: usize = 128;

codes!(Role { NO_ROLE: Self::Plain, LOCAL: Self::Local, ADD: Self::Add, APPLY: Self::Apply });

pub const KERNEL: Kernel = Kernel {
    name: "local",
    files: &[shader!("local.wgsl"), LANE_STEP, UPDATE],
    bindings: &[read("lane_steps"), read("updates"), read("server"), read_write("history"), read_write("gradient")],
    structs: &[LaneStep::LAYOUT, UpdateStep::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    codes: &[Role::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, updates, server, history, gradient.
pub fn call<B>(params: &Params, buffers: [B; 5]) -> Call<B> {
    let workgroups = grid((params.length as usize).div_ceil(WORKGROUP), params.lanes as usize);
    Call::new(&KERNEL, &[], buffers, params, workgroups, 1)
}

/// Returns, after the last gradient of an update, the square of the weights that it was taken at; of local weights that go on,
/// where they then are. `gradient` is P long.
#[inline(always)]
pub fn cpu<T: Real>(placed: &PlacedPiece, decay: f64, state: &mut State<T>, gradient: &mut [T]) -> T {
    let length = gradient.len();
    let PlacedPiece { piece, at, base, local, adam } = *placed;
    let [local_lr, share, merged] = [piece.local_lr, piece.share, piece.merged].map(T::of);
    let decay = T::of(if adam.is_some() { 0.0 } else { decay });
    let State { server, history, .. } = state;
    let slot = |slot: usize| slot * length..(slot + 1) * length;
    let square = |weights: &[T]| ordered_sum(length, |i| weights[i] * weights[i]);
    let before = if piece.role == Role::Apply { square(&history[slot(at)]) } else { T::zero() };
    if decay != T::zero() {
        gradient.iter_mut().zip(&history[slot(at)]).for_each(|(g, y)| *g += decay * *y);
    }
    // The local step. Its result is kept in the slot of the local weights, where it is one of theirs.
    let steps_in_place = piece.role == Role::Local || at == local;
    if steps_in_place {
        if at != local {
            history.copy_within(slot(at), local * length);
        }
        match adam {
            None => step_down(&mut history[slot(local)], local_lr, gradient),
            Some(adam) => Adam::new(adam, length).step(history, local * length, local_lr, gradient),
        }
    }
    if piece.role == Role::Local {
        if piece.merged != 0.0 {
            let kept = T::one() - merged;
            let weights = history[slot(local)].iter_mut().zip(&server[..]);
            weights.for_each(|(w, x)| *w = kept * *w + merged * *x);
        }
        return before;
    }
    if piece.local_lr != 0.0 {
        if let (Some(adam), false) = (adam, steps_in_place) {
            // A single step, whose result is nobody's weights: its difference stands in the place of the local ones.
            history.copy_within(slot(at), local * length);
            Adam::new(adam, length).step(history, local * length, local_lr, gradient);
        }
        let (from, began) = (if adam.is_some() { local } else { at }, &history[slot(base)]);
        let ended = &history[slot(from)];
        let differences = gradient.iter_mut().zip(began.iter().zip(ended));
        match steps_in_place || adam.is_some() {
            true => differences.for_each(|(g, (x, w))| *g = *x - *w),
            false => differences.for_each(|(g, (x, y))| *g = *x - (*y - local_lr * *g)),
        }
    }
    gradient.iter_mut().for_each(|g| *g *= share);
    if piece.joins {
        gradient.iter_mut().zip(&history[slot(local + 1)]).for_each(|(g, sum)| *g += *sum);
    }
    if piece.role == Role::Add {
        history[slot(local + 1)].copy_from_slice(gradient);
    }
    // On a device the step reads them after they went on.
    if piece.keeps_local { square(&history[slot(local)]) } else { before }
}

/// Moves weights by one step of gradient descent.
#[inline(always)]
fn step_down<T: Real>(weights: &mut [T], lr: T, gradient: &[T]) {
    weights.iter_mut().zip(gradient).for_each(|(w, g)| *w -= lr * *g);
}

/// A local step of AdamW in numbers of the engine, as PyTorch has it.
struct Adam<T> {
    /// Where its moments begin in the history.
    first: usize,
    second: usize,
    /// Whether nothing is in them yet.
    is_new: bool,
    betas: [T; 2],
    corrections: [T; 2],
    epsilon: T,
    decay: T,
}

impl<T: Real> Adam<T> {
    fn new(LocalAdam { moments, step, decay }: LocalAdam, length: usize) -> Self {
        let correction = |beta: f64| 1.0 / (1.0 - beta.powf(step as f64));
        Self {
            first: moments * length,
            second: (moments + 1) * length,
            is_new: step == 1,
            betas: LOCAL_BETAS.map(T::of),
            corrections: LOCAL_BETAS.map(|beta| T::of(correction(beta))),
            epsilon: T::of(ADAM_EPSILON),
            decay: T::of(decay),
        }
    }

    /// Renews the moments by a gradient, and moves the weights that begin at `weights` of the history.
    fn step(&self, history: &mut [T], weights: usize, lr: T, gradient: &[T]) {
        let [b1, b2] = self.betas;
        for (i, g) in gradient.iter().copied().enumerate() {
            let [first, second] = [self.first + i, self.second + i];
            let before = |at: usize| if self.is_new { T::zero() } else { history[at] };
            let (m, s) = (b1 * before(first) + (T::one() - b1) * g, b2 * before(second) + (T::one() - b2) * g * g);
            (history[first], history[second]) = (m, s);
            let direction = self.corrections[0] * m / (Number::sqrt(self.corrections[1] * s) + self.epsilon);
            let w = history[weights + i];
            history[weights + i] = w - lr * direction - self.decay * w;
        }
    }
}
