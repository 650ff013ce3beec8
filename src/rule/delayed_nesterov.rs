//! Delayed Nesterov look-ahead: workers read y = x + m (x - x_before), and the server makes the heavy-ball step
//! v = m v + (1-d) g(y, late); x -= lr v. In EMA form (d = m) it is the asynchronous NAG of pipeline training,
//! x' = x + m (x - x_before) - lr (1-m) g. Source: Ajanthan et al., arXiv:2505.01099.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults};
use crate::theory::{Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "delayed-nesterov",
    summary: "heavy-ball whose workers read x + m (x - x_before): asynchronous NAG",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { lookahead: rule.momentum, ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^tau, N = (1-d) ((1+m) z - m)
    equation: |rule, law| {
        let (m, d) = (rule.momentum, rule.dampening);
        Some(Equation::new(law, Velocity::Server { momentum: m }, [1.0 - d, (1.0 - d) * (1.0 + m)]))
    },
    synchronous_gain: Some(|rule| {
        let (m, d) = (rule.momentum, rule.dampening);
        2.0 * (1.0 + m) / ((1.0 - d) * (1.0 + 2.0 * m))
    }),
};
