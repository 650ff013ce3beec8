//! NAdamW on late gradients: [`super::nadam`] whose weight decay acts on the server's weights, x -= lr weight_decay x, and not
//! through the preconditioner. Source: Dozat (2016) with the decay of Loshchilov and Hutter, arXiv:1711.05101; optax's `nadamw`.

use super::adam::BETA_1;
use super::nadam::{BETA_2_OR_TORCH, coefficients};
use super::{Action, Definition, Locality};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "nadamw",
    summary: "NAdam with decoupled weight decay",
    number: Some(BETA_2_OR_TORCH),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    // decoupled_decay 1: as for AdamW.
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { decoupled_decay: 1.0, ..coefficients(rule, arrival) })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};
