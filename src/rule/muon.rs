//! Muon on late gradients: hidden matrices move along an averaged gradient whose singular values are brought near 1,
//!
//! ```text
//! v = m v + (1-m) g; u = (1-m) g + m v; W -= lr s NS(u), with decoupled weight decay
//! ```
//!
//! NS five Newton-Schulz steps ([`crate::math::orthogonalise`]) in the precision of the engine, convolution filters flattened to
//! outputs x (inputs height width), and s a scale by the shape: `sqrt(max(1, rows/columns))`, or with `muon:rms`
//! `0.2 sqrt(max(rows, columns))`, whose entries are as large as AdamW's. All else (first and last layer, biases, norms) moves by
//! AdamW with beta1 0.9, beta2 0.95, epsilon 1e-10 and a learning rate of its own.
//!
//! Source: Jordan et al., *Muon: an optimizer for hidden layers in neural networks* (2024), and its code as of 2025, whose
//! velocity is an average (its scale does not matter but beside the epsilon of the norm). That code works in bfloat16 and takes
//! s of a convolution from height and width of its kernel. `rms`: Liu et al., *Muon is scalable for LLM training*,
//! arXiv:2502.16982.

use super::{Action, Dampening, Definition, Locality, Modifiers, MomentumDefaults, Rule, RuleKind, RuleNumber};
use crate::update::{Form, UpdateCoefficients};

/// Learning rate of AdamW without `--muon-adam-lr`, as in the published code.
const ADAM_LR: f64 = 3e-4;

/// Epsilon of AdamW, as there.
const ADAM_EPSILON: f64 = 1e-10;

/// What stands for the words.
const SPECTRAL: f64 = -1.0;
const RMS: f64 = -2.0;

pub const DEFINITION: Definition = Definition {
    name: "muon",
    summary: "hidden matrices along an orthogonalised average of gradients, all else by AdamW (--muon-adam-lr)",
    number: Some(RuleNumber {
        usual: SPECTRAL,
        meaning: "the scale of a matrix: spectral, sqrt(max(1, rows/columns)), or rms, 0.2 sqrt(max(rows, columns)) [default: spectral]",
        accepts: |_| false,
        words: &[("spectral", SPECTRAL), ("rms", RMS)],
        second: None,
    }),
    momentum: Some(MomentumDefaults { momentum: 0.95, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, _, _| {
        let (kept, new) = (rule.momentum, 1.0 - rule.momentum);
        Action::update(UpdateCoefficients {
            momentum: kept,
            gradient_to_velocity: new,
            gradient_to_weights: new,
            velocity_to_weights: kept,
            decoupled_decay: 1.0,
            form: Form::Spectral { by_rms: rule.number() == RMS },
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};

/// AdamW of the parameters that are no hidden matrices, and its learning rate.
pub(super) fn companion(rule: &Rule) -> (Rule, f64) {
    let Modifiers { extrapolate, clip, adam_lr, .. } = rule.modifiers;
    let adam = Rule {
        kind: RuleKind::AdamW,
        momentum: 0.9,
        dampening: 0.9,
        number: Some(0.95),
        second_number: None,
        modifiers: Modifiers { eps: Some(ADAM_EPSILON), extrapolate, clip, adam_lr: None },
    };
    (adam, adam_lr.unwrap_or(ADAM_LR))
}
