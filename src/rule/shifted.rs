//! Shifted momentum: one velocity per worker, v_w = m v_w + (1-d) g; x -= lr v_w, so that the velocity is as old as the
//! gradient. Source: Giladi et al., arXiv:1909.12340, section 4.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, synchronous_heavy_ball};
use crate::theory::{Equation, Velocity};

pub const DEFINITION: Definition = Definition {
    name: "shifted",
    summary: "v = m v + (1-d) g; x -= lr v, one velocity per worker",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: true,
    slot_velocity: true,
    update: |rule, arrival, _| Action::update(rule.heavy_ball(arrival)),
    locality: Locality::Scales,
    // D = (z-1)(z^(tau+1) - m), N = (1-d) z
    equation: |rule, law| {
        let (m, d) = (rule.momentum, rule.dampening);
        Some(Equation::new(law, Velocity::Worker { momentum: m }, [1.0 - d; 2]))
    },
    synchronous_gain: Some(synchronous_heavy_ball),
};
