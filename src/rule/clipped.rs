//! Gradient clipping: a gradient longer than c is shortened to length c, then heavy-ball (sgd at momentum 0). Small
//! displacements are not touched, so that the threshold stays; what lies beyond it is bounded instead of diverging.
//! The gradient is multiplied by min(1, c / (its length + 1e-6)).
//! Source: PyTorch's `clip_grad_norm_`, applied to each arriving gradient.

use super::{
    Action, Dampening, Definition, Locality, MomentumDefaults, RuleNumber, heavy_ball_equation, synchronous_heavy_ball,
};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "clipped",
    summary: "gradients longer than c are shortened to length c",
    number: Some(RuleNumber::one(1.0, "c, above 0 [default: 1]", |c| c > 0.0)),
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { clip_norm: Some(rule.number()), ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    equation: |rule, law| Some(heavy_ball_equation(rule, law)),
    synchronous_gain: Some(synchronous_heavy_ball),
};
