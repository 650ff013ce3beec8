//! Delay compensation with the true Hessian of a quadratic: g + lambda H (x - y). With lambda = 1 that is the gradient at the
//! server's weights, and the threshold that of synchronous training: what `dc-asgd` approximates, and a check on it.

use super::{
    Action, Dampening, Definition, Locality, MomentumDefaults, RuleNumber, heavy_ball_equation, synchronous_heavy_ball,
};
use crate::theory::DelayLaw;
use crate::update::{Form, UpdateCoefficients};

pub const DEFINITION: Definition = Definition {
    name: "dc-asgd-exact",
    summary: "g + lambda H (x - y) with the true Hessian, on quadratic:EIGENVALUES",
    number: Some(RuleNumber::one(1.0, "lambda, at least 0 [default: 1]", |lambda| lambda >= 0.0)),
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients {
            form: Form::CompensatedExactly { compensation: rule.number() },
            ..rule.heavy_ball(arrival)
        })
    },
    locality: Locality::ScalesWithHessian,
    equation: |rule, law| match rule.number() {
        0.0 => Some(heavy_ball_equation(rule, law)),
        1.0 => Some(heavy_ball_equation(rule, &DelayLaw::Fixed(0))),
        _ => None,
    },
    synchronous_gain: Some(synchronous_heavy_ball),
};
