//! `finish`: what some rules do to a whole gradient before the update sees it.
//!
//! ```text
//! g += weight_decay * history[r]             unless it is decoupled
//! c  = what the Form adds to it by the distance x - history[r], if anything
//! g -= anchor + weight_decay * minimum      where centred: the gradient of the same batch at the minimum
//! g += c
//! g *= min(1, clip_norm / (||g|| + epsilon))  where there is one
//! ```
//!
//! Centred gradients leave the minimum where it is under every batch, so that the batches act on displacements alone: the
//! linearised dynamics that stability in mean square is about. Lanes that want nothing of this are left as they are; for
//! the others the update's own `decay` is 0.
//!
//! Bindings of `finish.wgsl`, one workgroup per lane:
//! - `lane_steps`: steps x lanes
//! - `updates`: steps x lanes x stages entries, then coefficients ([`super::update`])
//! - `history`: lanes x slots x P, read at the lane's read slot; or lanes x P
//! - `landmarks`: 3 x P: the minimum, a direction, the diagonal of the Hessian
//! - `server`: lanes x P
//! - `anchor`: lanes x P, the gradient of the loss at the minimum; unspecified where no lane is centred
//! - `state`: lanes x (velocities, then the second moment if any) x P
//! - `gradient`: lanes x P

use super::step::{Landmarks, State};
use super::update::{Update, UpdateStep};
use super::{Call, Kernel, LANE_STEP, LaneStep, UPDATE, read, read_write, shader, shared_struct, sum_iterations};
use crate::math::{Number, Real, ordered_sum};
use crate::update::{CLIPPING_EPSILON, COMPENSATION_EPSILON, Form, StepSlots, UpdateCoefficients};

shared_struct! {
    /// Immediates of `finish.wgsl`.
    pub struct Params {
        pub step: u32,
        pub lanes: u32,
        /// Updates of each lane at every step: one for each of its stages.
        pub stages: u32,
        /// P.
        pub parameters: u32,
        /// From one lane's weights to the next, slots P in a ring.
        pub history_stride: u32,
        /// From one version to the next: P in a ring, 0 where a lane has one version.
        pub slot_stride: u32,
        /// As in [`super::step::Params`].
        pub state_stride: u32,
        pub second_offset: u32,
        pub weight_decay: f32,
    }
}

/// Invocations that share a lane's gradient.
pub const WORKGROUP: usize = 128;

pub const KERNEL: Kernel = Kernel {
    name: "finish",
    files: &[shader!("finish.wgsl"), LANE_STEP, UPDATE],
    bindings: &[
        read("lane_steps"),
        read("updates"),
        read("history"),
        read("landmarks"),
        read("server"),
        read("anchor"),
        read_write("state"),
        read_write("gradient"),
    ],
    structs: &[LaneStep::LAYOUT, UpdateStep::LAYOUT, Update::LAYOUT, Params::LAYOUT],
    codes: &[Form::CODES],
    constants: &[
        ("WORKGROUP", WORKGROUP as f64),
        ("COMPENSATION_EPSILON", COMPENSATION_EPSILON),
        ("CLIPPING_EPSILON", CLIPPING_EPSILON),
    ],
    variants: &[],
};

/// `buffers`: lane_steps, updates, history, landmarks, server, anchor, state, gradient.
pub fn call<B>(params: &Params, buffers: [B; 8]) -> Call<B> {
    let iterations = 2 * (params.parameters as usize).div_ceil(WORKGROUP) + sum_iterations(WORKGROUP);
    Call::new(&KERNEL, &[], buffers, params, [params.lanes, 1, 1], iterations)
}

/// One lane's gradient, P long. `anchor` is the gradient of the loss at the minimum, where centred.
#[inline(always)]
pub fn cpu<T: Real>(
    coefficients: &UpdateCoefficients,
    weight_decay: T,
    slots: StepSlots,
    landmarks: Landmarks<T>,
    state: &mut State<T>,
    anchor: Option<&[T]>,
    gradient: &mut [T],
) {
    let State { server, history, second, .. } = state;
    let weights = &history[slots.read * gradient.len()..][..gradient.len()];
    let Landmarks { minimum, curvature, .. } = landmarks;
    let [strength, second_moment_decay, ..] = coefficients.form.numbers().map(T::of);
    let weight_decay = if coefficients.decoupled_decay > 0.0 { T::zero() } else { weight_decay };
    let mut over = |compensation: &mut dyn FnMut(usize, T, T) -> T| {
        for (i, gradient) in gradient.iter_mut().enumerate() {
            let g = *gradient + weight_decay * weights[i];
            let centre = anchor.map_or(T::zero(), |anchor| anchor[i] + weight_decay * minimum[i]);
            *gradient = g - centre + compensation(i, g, server[i] - weights[i]);
        }
    };
    match coefficients.form {
        Form::Compensated { .. } => over(&mut |_, g, behind| strength * g * g * behind),
        Form::CompensatedAdaptively { .. } => over(&mut |i, g, behind| {
            second[i] = second_moment_decay * second[i] + (T::one() - second_moment_decay) * g * g;
            strength / Number::sqrt(second[i] + T::of(COMPENSATION_EPSILON)) * g * g * behind
        }),
        Form::CompensatedExactly { .. } => over(&mut |i, _, behind| strength * curvature[i] * behind),
        // Spelled out: centred minibatches are the inner loop of every ensemble.
        Form::Linear
        | Form::GapAware { .. }
        | Form::Adam { .. }
        | Form::Sign
        | Form::Spectral { .. }
        | Form::Mixing { .. }
        | Form::MixingAdam { .. } => match anchor {
            Some(anchor) => {
                for (((g, y), anchor), minimum) in gradient.iter_mut().zip(weights).zip(anchor).zip(minimum) {
                    *g = *g + weight_decay * *y - (*anchor + weight_decay * *minimum);
                }
            }
            None => gradient.iter_mut().zip(weights).for_each(|(g, y)| *g += weight_decay * *y),
        },
    }
    if let Some(clip_norm) = coefficients.clip_norm {
        let norm = Number::sqrt(ordered_sum(gradient.len(), |i| gradient[i] * gradient[i]));
        let scale = T::of(clip_norm) / (norm + T::of(CLIPPING_EPSILON));
        if scale < T::one() {
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
    }
}
