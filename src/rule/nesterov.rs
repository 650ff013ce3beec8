//! Nesterov momentum on the server, as PyTorch writes it: v = m v + (1-d) g; x -= lr (g + m v).

use super::{Dampening, Definition, Locality, Rule, Turn, Usual, known};
use crate::kernels::motion::Motion;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "nesterov",
    summary: "v = m v + (1-d) g; x -= lr (g + m v), one velocity on the server",
    number: None,
    momentum: Some(Usual { momentum: 0.9, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    turn: |rule, _, _| Turn::update(Motion { direct: 1.0, carried: rule.momentum, ..rule.heavy_ball() }),
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::Nesterov { momentum: *momentum, dampening: *dampening }, process)
    },
};
