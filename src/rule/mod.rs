//! Update rules: what the server does with a gradient that arrives late.
//!
//! With g the gradient read at slot r, m momentum and d dampening (PyTorch's conventions; the EMA form is d = m):
//!
//! | rule | formula | velocity |
//! | --- | --- | --- |
//! | sgd | x -= lr g | none |
//! | heavy-ball | v = m v + (1-d) g; x -= lr v | one, on the server |
//! | nesterov | v = m v + (1-d) g; x -= lr (g + m v) | one, on the server |
//! | shifted | v_w = m v_w + (1-d) g; x -= lr v_w | one per slot |
//!
//! All four are one linear update with four coefficients ([`Coefficients`]); the arithmetic stands in
//! [`crate::kernels::step`], the stability thresholds in [`crate::theory`].

use crate::kernels::step::Coefficients;
use crate::theory;
use serde::{Deserialize, Serialize};

/// The family of update rules, by the names used in flags and CSV columns.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RuleKind {
    Sgd,
    HeavyBall,
    Nesterov,
    Shifted,
}

/// An update rule with its numbers. sgd has momentum 0 and dampening 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub kind: RuleKind,
    pub momentum: f64,
    pub dampening: f64,
}

impl Rule {
    pub const SGD: Self = Self { kind: RuleKind::Sgd, momentum: 0.0, dampening: 0.0 };

    /// Whether every slot (worker) keeps a velocity of its own.
    pub fn has_slot_velocity(&self) -> bool {
        self.kind == RuleKind::Shifted
    }

    pub fn coefficients(&self) -> Coefficients<f64> {
        let (direct, carried) = match self.kind {
            RuleKind::Sgd => (1.0, 0.0),
            RuleKind::HeavyBall | RuleKind::Shifted => (0.0, 1.0),
            RuleKind::Nesterov => (1.0, self.momentum),
        };
        Coefficients { momentum: self.momentum, intake: 1.0 - self.dampening, direct, carried }
    }

    /// The same rule as a characteristic equation.
    pub fn equation(&self) -> theory::Rule {
        let Self { kind, momentum, dampening } = *self;
        match kind {
            RuleKind::Sgd => theory::Rule::Sgd,
            RuleKind::HeavyBall => theory::Rule::HeavyBall { momentum, dampening },
            RuleKind::Nesterov => theory::Rule::Nesterov { momentum, dampening },
            RuleKind::Shifted => theory::Rule::Shifted { momentum, dampening },
        }
    }
}
