//! Delay-compensated ASGD, constant: g + lambda g^2 (x - y) with y the weights that the gradient was taken at, a first-order
//! correction in which the elementwise square of the gradient stands for the Hessian; then heavy-ball (sgd at momentum 0).
//! At a minimum of the full batch g^2 is of second order in the displacement, so that the threshold there is that of the
//! rule without it; minibatch gradients do not vanish there. Source: Zheng et al., arXiv:1609.08326.

use super::{
    Action, Dampening, Definition, Locality, MomentumDefaults, RuleNumber, heavy_ball_equation, synchronous_heavy_ball,
};
use crate::update::{Form, UpdateCoefficients};

pub const DEFINITION: Definition = Definition {
    name: "dc-asgd",
    summary: "g + lambda g^2 (x - y), y the weights that were read: delay-compensated",
    number: Some(RuleNumber::one(0.04, "lambda, at least 0 [default: 0.04]", |lambda| lambda >= 0.0)),
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients {
            form: Form::Compensated { compensation: rule.number() },
            ..rule.heavy_ball(arrival)
        })
    },
    locality: Locality::Scales,
    equation: |rule, law| Some(heavy_ball_equation(rule, law)),
    synchronous_gain: Some(synchronous_heavy_ball),
};
