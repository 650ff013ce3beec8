//! Signum on late gradients: v = m v + (1-m) g; x -= lr sign(v), with m the momentum, the gradient dampened by it whatever the
//! dampening, and weight decay as part of g. Source: Bernstein et al., *signSGD*, arXiv:1802.04434, algorithm 2.

use super::adam::BETA_1;
use super::{Action, Definition, Locality};
use crate::update::{Form, UpdateCoefficients};

pub const DEFINITION: Definition = Definition {
    name: "signum",
    summary: "the sign of an averaged gradient (signSGD at momentum 0)",
    number: None,
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    // The form takes the sign of the second pair of numbers, with v as it was before: here the same as v after.
    update: |rule, _, _| {
        let (kept, new) = (rule.momentum, 1.0 - rule.momentum);
        Action::update(UpdateCoefficients {
            momentum: kept,
            gradient_to_velocity: new,
            gradient_to_weights: new,
            velocity_to_weights: kept,
            form: Form::Sign,
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};
