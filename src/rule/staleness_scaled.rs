//! Staleness-aware learning rates: heavy-ball (sgd at momentum 0) with each gradient divided by its age, at least 1.
//! Source: Zhang, Gupta, Lian and Liu, arXiv:1511.05950.

use super::{Dampening, Definition, Locality, Rule, Turn, Usual, known};
use crate::kernels::motion::Motion;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "staleness-scaled",
    summary: "each gradient divided by its age in updates, at least 1: staleness-aware",
    number: None,
    momentum: Some(Usual { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    turn: |rule, arrival, _| {
        let motion = rule.heavy_ball();
        Turn::update(Motion { intake: motion.intake / arrival.age.max(1) as f64, ..motion })
    },
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::StalenessScaled { momentum: *momentum, dampening: *dampening }, process)
    },
};
