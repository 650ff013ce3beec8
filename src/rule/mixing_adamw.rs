//! Mixing around AdamW: as `mixing-adam`, with a weight decay that acts on the weights that were read,
//! y = X_read - lr weight_decay X_read - ..., and not through the preconditioner.

use super::adam::BETA_1;
use super::mixing_adam::{SHARE_AND_BETA_2, coefficients};
use super::{Action, Definition, Locality};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "mixing-adamw",
    summary: "mixing-adam with decoupled weight decay",
    number: Some(SHARE_AND_BETA_2),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: true,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { decoupled_decay: 1.0, ..coefficients(rule, arrival) })
    },
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};
