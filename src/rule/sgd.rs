//! sgd: x -= lr g.

use super::{Definition, Locality, Turn, known};
use crate::kernels::motion::Motion;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "sgd",
    summary: "x -= lr g",
    number: None,
    momentum: None,
    workers: false,
    slot_velocity: false,
    turn: |_, _, _| Turn::update(Motion { direct: 1.0, ..Motion::default() }),
    locality: Locality::Scales,
    equation: |_, process| known(theory::Rule::Sgd, process),
};
