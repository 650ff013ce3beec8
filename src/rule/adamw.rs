//! AdamW on late gradients: Adam whose weight decay acts on the server's weights, x -= lr weight_decay x, and not through
//! the preconditioner. Source: Loshchilov and Hutter, arXiv:1711.05101; PyTorch's order of operations.

use super::adam::{BETA_1, BETA_2, coefficients};
use super::{Action, Definition, Locality};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "adamw",
    summary: "Adam with decoupled weight decay",
    number: Some(BETA_2),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    // decoupled_decay 1: the step source multiplies it by lr and weight decay, and takes the decay out of the gradient.
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { decoupled_decay: 1.0, ..coefficients(rule, arrival) })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};
