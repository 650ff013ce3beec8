//! Adam on late gradients: v = b1 v + (1-b1) g; s = b2 s + (1-b2) g^2; x -= lr v^ / (sqrt(s^) + 1e-8), v^ and s^ divided by
//! 1 - b^t (PyTorch's order of operations). b1 is the momentum, b2 the rule's number; weight decay is part of g.
//! Source: Kingma and Ba, arXiv:1412.6980.

use super::{Action, Arrival, Dampening, Definition, Locality, MomentumDefaults, Rule, RuleNumber};
use crate::update::{ADAM_EPSILON, Form, UpdateCoefficients};

pub(super) const BETA_2: RuleNumber =
    RuleNumber::one(0.999, "beta2, from 0 to below 1 [default: 0.999]", |beta| (0.0..1.0).contains(&beta));

/// beta1; the gradient enters the velocity with 1 - beta1 whatever the dampening.
pub(super) const BETA_1: MomentumDefaults = MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] };

pub const DEFINITION: Definition = Definition {
    name: "adam",
    summary: "Adam on late gradients; the momentum is beta1",
    number: Some(BETA_2),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| Action::update(coefficients(rule, arrival)),
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};

pub(super) fn coefficients(rule: &Rule, arrival: &Arrival) -> UpdateCoefficients {
    let bias_correction = |beta: f64| bias_correction(beta, (arrival.updates + 1) as f64);
    let second_moment_decay = rule.number();
    UpdateCoefficients {
        gradient_to_velocity: 1.0 - rule.momentum,
        velocity_to_weights: bias_correction(rule.momentum),
        form: Form::Adam {
            second_moment_decay,
            bias_correction: bias_correction(second_moment_decay),
            epsilon: ADAM_EPSILON,
        },
        ..rule.heavy_ball(arrival)
    }
}

/// 1 / (1 - beta^update), without the rounding of the power near 1.
pub(super) fn bias_correction(beta: f64, update: f64) -> f64 {
    match beta {
        0.0 => 1.0,
        beta => -1.0 / (update * beta.ln()).exp_m1(),
    }
}
