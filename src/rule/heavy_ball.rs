//! Heavy-ball momentum on the server: v = m v + (1-d) g; x -= lr v (PyTorch's SGD with momentum and dampening).

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, heavy_ball_equation, synchronous_heavy_ball};

pub const DEFINITION: Definition = Definition {
    name: "heavy-ball",
    summary: "v = m v + (1-d) g; x -= lr v, one velocity on the server",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Value(0.0), Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| Action::update(rule.heavy_ball(arrival)),
    locality: Locality::Scales,
    equation: |rule, law| Some(heavy_ball_equation(rule, law)),
    synchronous_gain: Some(synchronous_heavy_ball),
};
