//! Staleness-aware learning rates: heavy-ball (sgd at momentum 0) with each gradient divided by its age, at least 1.
//! Source: Zhang, Gupta, Lian and Liu, arXiv:1511.05950.

use super::{Dampening, Definition, Locality, Rule, Action, Usual, known};
use crate::update::UpdateCoefficients;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "staleness-scaled",
    summary: "each gradient divided by its age in updates, at least 1: staleness-aware",
    number: None,
    momentum: Some(Usual { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let coefficients = rule.heavy_ball();
        Action::update(UpdateCoefficients { gradient_to_velocity: coefficients.gradient_to_velocity / arrival.age.max(1) as f64, ..coefficients })
    },
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::StalenessScaled { momentum: *momentum, dampening: *dampening }, process)
    },
};
