//! sgd: x -= lr g.

use super::{Action, Definition, Locality};
use crate::theory::{Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "sgd",
    summary: "x -= lr g",
    number: None,
    momentum: None,
    workers: false,
    slot_velocity: false,
    update: |_, _, _| Action::update(UpdateCoefficients { gradient_to_weights: 1.0, ..UpdateCoefficients::default() }),
    locality: Locality::Scales,
    // D = (z-1) z^tau, N = 1
    equation: |_, law| Some(Equation::new(law, Velocity::None, [1.0, 0.0])),
    synchronous_gain: Some(|_| 2.0),
};
