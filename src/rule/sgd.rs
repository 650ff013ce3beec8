//! sgd: x -= lr g.

use super::{Definition, Locality, Action, known};
use crate::update::UpdateCoefficients;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "sgd",
    summary: "x -= lr g",
    number: None,
    momentum: None,
    workers: false,
    slot_velocity: false,
    update: |_, _, _| Action::update(UpdateCoefficients { gradient_to_weights: 1.0, ..UpdateCoefficients::default() }),
    locality: Locality::Scales,
    equation: |_, process| known(theory::Rule::Sgd, process),
};
