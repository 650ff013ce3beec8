//! Lion on late gradients: u = sign(b1 v + (1-b1) g); x -= lr (u + weight_decay x); v = b2 v + (1-b2) g. b1 is the momentum, b2
//! the rule's number. Source: Chen et al., arXiv:2302.06675, algorithm 2.

use super::adam::BETA_1;
use super::{Action, Definition, Locality, RuleNumber};
use crate::update::{Form, UpdateCoefficients};

pub const DEFINITION: Definition = Definition {
    name: "lion",
    summary: "the sign of an interpolated velocity; the momentum is beta1",
    number: Some(RuleNumber::one(0.99, "beta2, from 0 to below 1 [default: 0.99]", |beta| (0.0..1.0).contains(&beta))),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    update: |rule, _, _| {
        let (beta_1, beta_2) = (rule.momentum, rule.number());
        Action::update(UpdateCoefficients {
            momentum: beta_2,
            gradient_to_velocity: 1.0 - beta_2,
            gradient_to_weights: 1.0 - beta_1,
            velocity_to_weights: beta_1,
            decoupled_decay: 1.0,
            form: Form::Sign,
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};
