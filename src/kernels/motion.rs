//! What one step does with its gradient, as numbers: the common language of rules, kernels and engines.
//!
//! Not here: how a rule comes by these numbers ([`crate::rule`]), nor the arithmetic ([`super::finish`], [`super::step`]).

use super::shared_struct;

/// Epsilon of [`Form::Adam`], outside the root, as in PyTorch.
pub const ADAM_EPSILON: f64 = 1e-8;

/// Epsilon of [`Form::CompensatedAdaptively`], inside the root, as in the authors' code.
pub const COMPENSATION_EPSILON: f64 = 1e-7;

/// Added to the norm that a gradient is clipped by, as in PyTorch's `clip_grad_norm_`.
pub const CLIPPING_EPSILON: f64 = 1e-6;

shared_struct! {
    /// A lane's [`Motion`] at one step, as the shaders read it.
    pub struct Update {
        pub lr: f32,
        pub momentum: f32,
        pub intake: f32,
        pub direct: f32,
        pub carried: f32,
        pub ahead: f32,
        pub decay: f32,
        pub shrink: f32,
        /// [`Form::code`].
        pub form: u32,
        pub strength: f32,
        pub memory: f32,
        pub correction: f32,
        /// Largest norm of a gradient; 0 where there is no limit.
        pub ceiling: f32,
        /// 1 where the gradient at the minimum is subtracted.
        pub centred: u32,
    }
}

/// What a step does beyond linear combination, parameter by parameter: x the server's weights, y those that were read, x'
/// the next, s a second moment that the lane keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Form {
    /// g
    #[default]
    Linear,
    /// g + strength g^2 (x - y)
    Compensated { strength: f64 },
    /// s = memory s + (1 - memory) g^2; g + strength / sqrt(s + epsilon) g^2 (x - y)
    CompensatedAdaptively { strength: f64, memory: f64 },
    /// g + strength h (x - y) with h the diagonal of the Hessian
    CompensatedExactly { strength: f64 },
    /// g / (1 + |x - y| / c) with c = lr sqrt(correction s) the typical move of a step, s = memory s + (1 - memory) v^2
    /// (g^2 at momentum 0), v as it was before this step
    GapAware { memory: f64, correction: f64 },
    /// u = carried v / (sqrt(correction s) + epsilon) with s = memory s + (1 - memory) g^2
    Adam { memory: f64, correction: f64 },
    /// u = sign(direct g + carried v) with v as it was before this step
    Sign,
}

impl Form {
    pub const COMPENSATED: u32 = 1;
    pub const COMPENSATED_ADAPTIVELY: u32 = 2;
    pub const COMPENSATED_EXACTLY: u32 = 3;
    pub const GAP_AWARE: u32 = 4;
    pub const ADAM: u32 = 5;
    pub const SIGN: u32 = 6;

    /// As the shaders' constants number them.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Linear => 0,
            Self::Compensated { .. } => Self::COMPENSATED,
            Self::CompensatedAdaptively { .. } => Self::COMPENSATED_ADAPTIVELY,
            Self::CompensatedExactly { .. } => Self::COMPENSATED_EXACTLY,
            Self::GapAware { .. } => Self::GAP_AWARE,
            Self::Adam { .. } => Self::ADAM,
            Self::Sign => Self::SIGN,
        }
    }

    /// Whether it keeps a second moment of every parameter.
    pub const fn has_second_moment(&self) -> bool {
        matches!(self, Self::CompensatedAdaptively { .. } | Self::GapAware { .. } | Self::Adam { .. })
    }

    /// Whether it changes the gradient before the update sees it ([`super::finish`]).
    const fn is_compensation(&self) -> bool {
        matches!(self, Self::Compensated { .. } | Self::CompensatedAdaptively { .. } | Self::CompensatedExactly { .. })
    }

    /// strength, memory, correction; 0 where the form has none.
    pub(super) const fn numbers(&self) -> [f64; 3] {
        match *self {
            Self::Linear | Self::Sign => [0.0; 3],
            Self::Compensated { strength } | Self::CompensatedExactly { strength } => [strength, 0.0, 0.0],
            Self::CompensatedAdaptively { strength, memory } => [strength, memory, 0.0],
            Self::GapAware { memory, correction } | Self::Adam { memory, correction } => [0.0, memory, correction],
        }
    }
}

/// What one step does with its gradient (see the formula of [`super::step`]). The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    pub lr: f64,
    pub momentum: f64,
    pub intake: f64,
    pub direct: f64,
    pub carried: f64,
    pub ahead: f64,
    pub decay: f64,
    pub shrink: f64,
    pub form: Form,
    /// Largest norm of the gradient; a longer one is shortened ([`super::finish`]).
    pub ceiling: Option<f64>,
    /// Whether the gradient at the minimum is subtracted ([`super::finish`]).
    pub centred: bool,
}

impl Motion {
    /// Whether [`super::finish`] must go over the gradient before the step; it then adds the weight decay as well.
    pub fn wants_finish(&self) -> bool {
        self.ceiling.is_some() || self.centred || self.form.is_compensation()
    }

    /// As the shaders read it.
    pub fn update(&self) -> Update {
        let [strength, memory, correction] = self.form.numbers();
        Update {
            lr: self.lr as f32,
            momentum: self.momentum as f32,
            intake: self.intake as f32,
            direct: self.direct as f32,
            carried: self.carried as f32,
            ahead: self.ahead as f32,
            decay: self.decay as f32,
            shrink: self.shrink as f32,
            form: self.form.code(),
            strength: strength as f32,
            memory: memory as f32,
            correction: correction as f32,
            ceiling: self.ceiling.unwrap_or(0.0) as f32,
            centred: u32::from(self.centred),
        }
    }
}
