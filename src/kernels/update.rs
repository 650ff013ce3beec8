//! What a lane's update does at one step, as the shaders read it: entries that say what is written ([`UpdateStep`]) and, behind
//! them in the same buffer, coefficients ([`Update`]), each set once for all the steps that share it. Most runs have the same
//! coefficients at every step.
//!
//! Not here: their meaning and their values in f64 ([`crate::update`]).

use super::{codes, shared_struct};
use crate::outer::Piece;
use crate::update::{Form, StepSlots, UpdateCoefficients};

shared_struct! {
    /// What is written by the update of one stage of a lane at one step.
    pub struct UpdateStep {
        /// Where its coefficients begin, counted in vec4s from the start of the buffer.
        pub coefficients: u32,
        /// Where the parameters that it moves end: elements of a stored vector, in the units of the shader.
        pub end: u32,
        /// Slots ([`crate::update::StepSlots`]).
        pub write: u32,
        pub velocity: u32,
        pub velocity_read: u32,
        pub newest: u32,
        /// The second slot that is written and one more; 0 where there is none.
        pub backward_write: u32,
        pub unused: u32,
    }
}

shared_struct! {
    /// The coefficients of an update.
    pub struct Update {
        pub lr: f32,
        pub momentum: f32,
        pub gradient_to_velocity: f32,
        pub gradient_to_weights: f32,
        pub velocity_to_weights: f32,
        pub lookahead: f32,
        /// With the learning rate in it.
        pub lookback: f32,
        pub decay: f32,
        pub decoupled_decay: f32,
        /// [`crate::update::Form::code`].
        pub form: u32,
        pub compensation: f32,
        pub second_moment_decay: f32,
        pub bias_correction: f32,
        /// Share of a result that is mixed in.
        pub share: f32,
        /// Largest norm of a gradient; 0 where there is no limit.
        pub clip_norm: f32,
        /// 1 where the gradient at the minimum is subtracted.
        pub centred: u32,
        /// Learning rate of a local step ([`crate::outer::Piece`]).
        pub local_lr: f32,
        /// Weight of what a worker sends.
        pub part_share: f32,
        /// Share of the server's weights that local ones take in.
        pub merged: f32,
        /// [`crate::update::Form::epsilon`].
        pub epsilon: f32,
    }
}

/// The contents of a buffer of updates, each of the parameters up to `end` and with coefficients of its own; vec4s.
pub fn table(updates: &[(StepSlots, Update)], end: usize) -> Vec<[u32; 4]> {
    let place = |number: usize| updates.len() * UpdateStep::QUADS + number * Update::QUADS;
    let entry =
        |(number, (slots, _)): (usize, &(StepSlots, Update))| UpdateStep::new(slots, end as u32, place(number) as u32);
    let entries: Vec<UpdateStep> = updates.iter().enumerate().map(entry).collect();
    let coefficients: Vec<Update> = updates.iter().map(|(_, update)| *update).collect();
    let (entries, coefficients) = (bytemuck::cast_slice(&entries), bytemuck::cast_slice(&coefficients));
    [entries, coefficients].concat()
}

codes!(Form {
    LINEAR: Self::Linear,
    COMPENSATED: Self::Compensated { .. },
    COMPENSATED_ADAPTIVELY: Self::CompensatedAdaptively { .. },
    COMPENSATED_EXACTLY: Self::CompensatedExactly { .. },
    GAP_AWARE: Self::GapAware { .. },
    ADAM: Self::Adam { .. },
    SIGN: Self::Sign,
    MIXING: Self::Mixing { .. },
    MIXING_ADAM: Self::MixingAdam { .. },
    SPECTRAL: Self::Spectral { by_rms: false },
    SPECTRAL_BY_RMS: Self::Spectral { by_rms: true },
});

impl Update {
    /// The same with what a gradient is for in an outer loop.
    #[must_use]
    pub fn joined(self, piece: &Piece) -> Self {
        Self { local_lr: piece.local_lr as f32, part_share: piece.share as f32, merged: piece.merged as f32, ..self }
    }
}

impl UpdateStep {
    /// vec4s of an entry.
    pub const QUADS: usize = size_of::<Self>() / 16;

    /// The update of the parameters up to `end`; its coefficients begin at vec4 `coefficients`.
    pub fn new(slots: &StepSlots, end: u32, coefficients: u32) -> Self {
        Self {
            coefficients,
            end,
            write: slots.write as u32,
            velocity: slots.velocity as u32,
            velocity_read: slots.velocity_read as u32,
            newest: slots.newest as u32,
            backward_write: slots.backward_write.map_or(0, |slot| slot as u32 + 1),
            unused: 0,
        }
    }
}

impl Update {
    /// vec4s of a set of coefficients.
    pub const QUADS: usize = size_of::<Self>() / 16;

    pub fn new(coefficients: &UpdateCoefficients) -> Self {
        let [compensation, second_moment_decay, bias_correction, share] = coefficients.form.numbers();
        Self {
            lr: coefficients.lr as f32,
            momentum: coefficients.momentum as f32,
            gradient_to_velocity: coefficients.gradient_to_velocity as f32,
            gradient_to_weights: coefficients.gradient_to_weights as f32,
            velocity_to_weights: coefficients.velocity_to_weights as f32,
            lookahead: coefficients.lookahead as f32,
            lookback: (coefficients.lr * coefficients.lookback) as f32,
            decay: coefficients.decay as f32,
            decoupled_decay: coefficients.decoupled_decay as f32,
            form: coefficients.form.code(),
            compensation: compensation as f32,
            second_moment_decay: second_moment_decay as f32,
            bias_correction: bias_correction as f32,
            share: share as f32,
            clip_norm: coefficients.clip_norm.unwrap_or(0.0) as f32,
            centred: u32::from(coefficients.centred),
            local_lr: 0.0,
            part_share: 0.0,
            merged: 0.0,
            epsilon: coefficients.form.epsilon() as f32,
        }
    }
}
