//! Ringmaster ASGD: a gradient younger than R updates is applied; an older one is thrown away and its worker starts again
//! from the server's present weights. Source: Maranjyan, Tyurin and Richtarik, arXiv:2501.16168.

use super::{
    Action, Dampening, Definition, Locality, MomentumDefaults, RuleNumber, heavy_ball_equation, synchronous_heavy_ball,
};
use crate::theory::DelayLaw;

pub const DEFINITION: Definition = Definition {
    name: "ringmaster",
    summary: "gradients of age R or more are dropped",
    number: Some(RuleNumber::one(4.0, "R, a whole number of at least 1 [default: 4]", |r| {
        r >= 1.0 && r.fract() == 0.0 && r <= 1e9
    })),
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        if (arrival.age as f64) < rule.number() { Action::update(rule.heavy_ball(arrival)) } else { Action::drop() }
    },
    locality: Locality::Scales,
    // Known where nothing is ever dropped.
    equation: |rule, law| {
        let longest = match law {
            DelayLaw::Fixed(delay) => *delay,
            DelayLaw::Independent(pmf) => pmf.longest(),
            DelayLaw::RandomWorkers(_) => return None,
        };
        ((longest as f64) < rule.number()).then(|| heavy_ball_equation(rule, law))
    },
    synchronous_gain: Some(synchronous_heavy_ball),
};
