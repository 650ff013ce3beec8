//! Nesterov momentum on the server, as PyTorch writes it: v = m v + (1-d) g; x -= lr (g + m v).

use super::{Action, Dampening, Definition, Locality, MomentumDefaults};
use crate::theory::{Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "nesterov",
    summary: "v = m v + (1-d) g; x -= lr (g + m v), one velocity on the server",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients {
            gradient_to_weights: 1.0,
            velocity_to_weights: rule.momentum,
            ..rule.heavy_ball(arrival)
        })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^tau, N = (z-m) + m (1-d) z
    equation: |rule, law| {
        let (m, d) = (rule.momentum, rule.dampening);
        Some(Equation::new(law, Velocity::Server { momentum: m }, [1.0 - m * d, 1.0 + m * (1.0 - d)]))
    },
    synchronous_gain: Some(|rule| {
        let (m, d) = (rule.momentum, rule.dampening);
        2.0 * (1.0 + m) / (1.0 + 2.0 * m - m * d)
    }),
};
