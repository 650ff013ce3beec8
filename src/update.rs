//! What one update does with its gradient, as numbers: the common language of rules, kernels and engines.
//!
//! *What it is:* the slots of a step and the coefficients of its formula. *What it is not:* how a rule comes by the numbers
//! ([`crate::rule`]), the arithmetic ([`crate::kernels::step`], [`crate::kernels::finish`]), or the numbers as a device reads
//! them ([`crate::kernels::update`]).

use std::ops::Range;

/// Usual epsilon of [`Form::Adam`], outside the root, as in PyTorch.
pub const ADAM_EPSILON: f64 = 1e-8;

/// Epsilon of [`Form::CompensatedAdaptively`], inside the root, as in the authors' code.
pub const COMPENSATION_EPSILON: f64 = 1e-7;

/// Added to the norm that a gradient is clipped by, as in PyTorch's `clip_grad_norm_`.
pub const CLIPPING_EPSILON: f64 = 1e-6;

/// The slots of a step: of the ring of weights the one that is read and the one that is written; of the velocities, where every
/// slot has one, that of this step, that of the weights that were read, and the one that was written last before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepSlots {
    pub read: usize,
    pub write: usize,
    pub velocity: usize,
    pub velocity_read: usize,
    pub newest: usize,
    /// A second slot of the ring of weights that is written, from which backward passes read where they see other weights.
    pub backward_write: Option<usize>,
}

/// A matrix among the parameters, row by row: the weights of a dense layer, or the filters of a convolution as outputs x the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its first parameter.
    pub first: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Matrix {
    /// Where its parameters lie.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.rows * self.columns
    }

    /// What an update whose singular values are near 1 is multiplied by: `sqrt(max(1, rows/columns))`, or `by_rms`
    /// `0.2 sqrt(max(rows, columns))`.
    pub fn scale(&self, by_rms: bool) -> f64 {
        let (rows, columns) = (self.rows as f64, self.columns as f64);
        if by_rms { 0.2 * rows.max(columns).sqrt() } else { (rows / columns).max(1.0).sqrt() }
    }
}

/// What a step does beyond linear combination, parameter by parameter: x the server's weights, y those that were read, x'
/// the next, s a second moment that the lane keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Form {
    /// g
    #[default]
    Linear,
    /// g + compensation g^2 (x - y)
    Compensated { compensation: f64 },
    /// s = second_moment_decay s + (1 - second_moment_decay) g^2; g + compensation / sqrt(s + epsilon) g^2 (x - y)
    CompensatedAdaptively { compensation: f64, second_moment_decay: f64 },
    /// g + compensation h (x - y) with h the diagonal of the Hessian
    CompensatedExactly { compensation: f64 },
    /// g / (1 + |x - y| / c) with c = lr sqrt(bias_correction s) the typical move of a step,
    /// s = second_moment_decay s + (1 - second_moment_decay) v^2 (g^2 at momentum 0), v as it was before this step
    GapAware { second_moment_decay: f64, bias_correction: f64 },
    /// u = (gradient_to_weights g + velocity_to_weights v) / (sqrt(bias_correction s) + epsilon) with
    /// s = second_moment_decay s + (1 - second_moment_decay) g^2
    Adam { second_moment_decay: f64, bias_correction: f64, epsilon: f64 },
    /// u = sign(gradient_to_weights g + velocity_to_weights v) with v as it was before this step
    Sign,
    /// u = s NS(gradient_to_weights g + velocity_to_weights v) of a whole matrix, with NS [`crate::math::orthogonalise`] and s
    /// [`Matrix::scale`]: [`crate::kernels::spectral`] renews v and leaves u where the gradient was, before the step
    Spectral { by_rms: bool },
    /// v = (1 - share) v_n + share (momentum v_r + lr gradient_to_velocity g), x' = x + share (y - x - momentum v_r -
    /// lr gradient_to_velocity g), with v_n and v_r the velocities of the newest slot and of the one that was read
    Mixing { share: f64 },
    /// A step of Adam at the weights that were read, with the state of that slot, of which a share is taken in:
    /// m = momentum v_r + gradient_to_velocity g, k = second_moment_decay s_r + (1 - second_moment_decay) g^2,
    /// v = v_n + share (m - v_n), s = s_n + share (k - s_n),
    /// x' = x + share (y - decoupled_decay y - lr velocity_to_weights m / (sqrt(bias_correction k) + epsilon) - x),
    /// with v_n, s_n of the newest slot and v_r, s_r of the one that was read
    MixingAdam { share: f64, second_moment_decay: f64, bias_correction: f64, epsilon: f64 },
}

impl Form {
    /// Whether it keeps a second moment of every parameter.
    pub const fn has_second_moment(&self) -> bool {
        matches!(
            self,
            Self::CompensatedAdaptively { .. } | Self::GapAware { .. } | Self::Adam { .. } | Self::MixingAdam { .. }
        )
    }

    /// Share of a worker's result that the server takes in, where it takes in results and no gradients.
    pub const fn share(&self) -> Option<f64> {
        match *self {
            Self::Mixing { share } | Self::MixingAdam { share, .. } => Some(share),
            _ => None,
        }
    }

    /// Whether it changes the gradient before the update sees it ([`crate::kernels::finish`]).
    const fn is_compensation(&self) -> bool {
        matches!(self, Self::Compensated { .. } | Self::CompensatedAdaptively { .. } | Self::CompensatedExactly { .. })
    }

    /// Epsilon beside the second moment; 0 where the form has none.
    pub const fn epsilon(&self) -> f64 {
        match *self {
            Self::Adam { epsilon, .. } | Self::MixingAdam { epsilon, .. } => epsilon,
            _ => 0.0,
        }
    }

    /// compensation, second_moment_decay, bias_correction, share; 0 where the form has none.
    pub const fn numbers(&self) -> [f64; 4] {
        match *self {
            Self::Linear | Self::Sign | Self::Spectral { .. } => [0.0; 4],
            Self::Compensated { compensation } | Self::CompensatedExactly { compensation } => {
                [compensation, 0.0, 0.0, 0.0]
            }
            Self::CompensatedAdaptively { compensation, second_moment_decay } => {
                [compensation, second_moment_decay, 0.0, 0.0]
            }
            Self::GapAware { second_moment_decay, bias_correction }
            | Self::Adam { second_moment_decay, bias_correction, .. } => {
                [0.0, second_moment_decay, bias_correction, 0.0]
            }
            Self::Mixing { share } => [0.0, 0.0, 0.0, share],
            Self::MixingAdam { share, second_moment_decay, bias_correction, .. } => {
                [0.0, second_moment_decay, bias_correction, share]
            }
        }
    }
}

/// The coefficients of one update of the formula in [`crate::kernels::step`]. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateCoefficients {
    pub lr: f64,
    pub momentum: f64,
    /// Share of the gradient that enters the velocity.
    pub gradient_to_velocity: f64,
    /// Share of the gradient that moves the weights at once.
    pub gradient_to_weights: f64,
    /// Share of the velocity that moves the weights.
    pub velocity_to_weights: f64,
    /// Displacements by which the stored version runs ahead of the server's weights.
    pub lookahead: f64,
    /// Displacements of the step before, -lr v as it was before this one, that the stored version runs behind.
    pub lookback: f64,
    /// Weight decay that is part of the gradient.
    pub decay: f64,
    /// Share of the weights that an update takes away (AdamW's decay, with the learning rate in it).
    pub decoupled_decay: f64,
    pub form: Form,
    /// Largest norm of the gradient; a longer one is shortened ([`crate::kernels::finish`]).
    pub clip_norm: Option<f64>,
    /// Whether the gradient at the minimum is subtracted ([`crate::kernels::finish`]).
    pub centred: bool,
}

impl UpdateCoefficients {
    /// Whether twice the gradient moves the weights twice as far.
    pub fn is_homogeneous(&self) -> bool {
        let by_form = match self.form {
            Form::Linear | Form::CompensatedExactly { .. } | Form::GapAware { .. } | Form::Mixing { .. } => true,
            Form::Compensated { compensation } | Form::CompensatedAdaptively { compensation, .. } => {
                compensation == 0.0
            }
            Form::Adam { .. } | Form::Sign | Form::Spectral { .. } | Form::MixingAdam { .. } => false,
        };
        by_form && self.clip_norm.is_none()
    }

    /// Whether [`crate::kernels::finish`] must go over the gradient before the step; it then adds the weight decay as well.
    pub fn wants_finish(&self) -> bool {
        self.clip_norm.is_some() || self.centred || self.form.is_compensation()
    }
}

/// What becomes of the parameters of one stage; of all of them where there are no stages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartialUpdate {
    pub slots: StepSlots,
    pub coefficients: UpdateCoefficients,
}
