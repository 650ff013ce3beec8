//! Nesterov momentum on the server, as PyTorch writes it: v = m v + (1-d) g; x -= lr (g + m v).

use super::{Dampening, Definition, Locality, Rule, Action, Usual, known};
use crate::update::UpdateCoefficients;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "nesterov",
    summary: "v = m v + (1-d) g; x -= lr (g + m v), one velocity on the server",
    number: None,
    momentum: Some(Usual { momentum: 0.9, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, _, _| Action::update(UpdateCoefficients { gradient_to_weights: 1.0, velocity_to_weights: rule.momentum, ..rule.heavy_ball() }),
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::Nesterov { momentum: *momentum, dampening: *dampening }, process)
    },
};
