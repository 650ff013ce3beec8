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
//! - `updates`: steps x lanes
//! - `server`: lanes x P
//! - `history`: lanes x versions x P: the ring, and behind a run's slots its local weights and its sum
//! - `gradient`: lanes x P

use super::step::State;
use super::update::Update;
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
        /// versions P.
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
    structs: &[LaneStep::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    codes: &[Role::CODES],
    constants: &[("WORKGROUP", WORKGROUP as f64)],
    variants: &[],
};

/// `buffers`: lane_steps, updates, server, history, gradient.
pub fn call<B>(params: &Params, buffers: [B; 5]) -> Call<B> {
    let workgroups = grid((params.parameters as usize).div_ceil(WORKGROUP), params.lanes as usize);
    Call::new(&KERNEL, &[], buffers, params, workgroups, 1)
}

/// Returns the square of the weights that the gradient was taken at; of local weights that go on, where they then are.
/// `gradient` is P long.
pub fn cpu<T: Real>(placed: &PlacedPiece, decay: f64, state: &mut State<T>, gradient: &mut [T]) -> T {
    let length = gradient.len();
    let PlacedPiece { piece, at, base, local, adam } = *placed;
    let decay = if adam.is_some() { 0.0 } else { decay };
    let [decay, local_lr, share, merged] = [decay, piece.local_lr, piece.share, piece.merged].map(T::of);
    let kept = T::one() - merged;
    let mut adam = adam.map(|adam| Adam::new(adam, length));
    let place = |slot: usize| slot * length;
    let [at, base, local, sum] = [at, base, local, local + 1].map(place);
    let State { server, history, .. } = state;
    let square = |history: &[T]| ordered_sum(length, |i| history[at + i] * history[at + i]);
    let before = square(history);
    for (i, gradient) in gradient.iter_mut().enumerate() {
        let y = history[at + i];
        let g = *gradient + decay * y;
        let went = match &mut adam {
            None => y - local_lr * g,
            Some(adam) => y - local_lr * adam.direction(history, i, g) - adam.decay * y,
        };
        if piece.role == Role::Local {
            history[local + i] = if piece.merged == 0.0 { went } else { kept * went + merged * server[i] };
            continue;
        }
        let sent = if piece.local_lr == 0.0 { g } else { history[base + i] - went };
        let mut part = share * sent;
        if piece.joins {
            part += history[sum + i];
        }
        if piece.role == Role::Add {
            history[sum + i] = part;
            continue;
        }
        if piece.keeps_local {
            history[local + i] = went;
        }
        *gradient = part;
    }
    // On a device the step reads them after they went on.
    if piece.keeps_local { square(history) } else { before }
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

    /// Renews the moments of parameter `i` by its gradient; returns what moves it per unit of learning rate.
    fn direction(&self, history: &mut [T], i: usize, g: T) -> T {
        let [first, second] = [self.first + i, self.second + i];
        let [b1, b2] = self.betas;
        let before = |at: usize| if self.is_new { T::zero() } else { history[at] };
        let (m, s) = (b1 * before(first) + (T::one() - b1) * g, b2 * before(second) + (T::one() - b2) * g * g);
        (history[first], history[second]) = (m, s);
        self.corrections[0] * m / (Number::sqrt(self.corrections[1] * s) + self.epsilon)
    }
}
