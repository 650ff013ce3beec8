//! Staleness-aware learning rates: heavy-ball (sgd at momentum 0) with each gradient divided by its age, at least 1.
//! Source: Zhang, Gupta, Lian and Liu, arXiv:1511.05950.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, heavy_ball_equation, synchronous_heavy_ball};
use crate::theory::Equation;
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "staleness-scaled",
    summary: "each gradient divided by its age in updates, at least 1: staleness-aware",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let coefficients = rule.heavy_ball(arrival);
        Action::update(UpdateCoefficients {
            gradient_to_velocity: coefficients.gradient_to_velocity / arrival.age.max(1) as f64,
            ..coefficients
        })
    },
    locality: Locality::Scales,
    // N is heavy-ball's over max(1, tau).
    equation: |rule, law| {
        Some(Equation { divisor: Some(|delay| (delay as f64).max(1.0)), ..heavy_ball_equation(rule, law) })
    },
    synchronous_gain: Some(synchronous_heavy_ball),
};
