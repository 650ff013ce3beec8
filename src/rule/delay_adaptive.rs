//! Delay-adaptive step sizes: the gradient times M / max(M, age), M the concurrency (mean delay + 1), so that only gradients
//! later than usual are shortened; then heavy-ball (sgd at momentum 0). Source: Mishchenko et al., arXiv:2206.07638, in the
//! form of the authors' notebook (`konstmish/asynchronous_sgd`).

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, heavy_ball_equation, synchronous_heavy_ball};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "delay-adaptive",
    summary: "gradients later than usual times M / age, M the mean delay + 1",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let (coefficients, concurrency) = (rule.heavy_ball(arrival), arrival.mean_delay + 1.0);
        Action::update(UpdateCoefficients {
            gradient_to_velocity: coefficients.gradient_to_velocity * concurrency / concurrency.max(arrival.age as f64),
            ..coefficients
        })
    },
    locality: Locality::Scales,
    equation: |rule, law| law.is_fixed().then(|| heavy_ball_equation(rule, law)), // never later than usual
    synchronous_gain: Some(synchronous_heavy_ball),
};
