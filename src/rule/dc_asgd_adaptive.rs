//! Delay-compensated ASGD, adaptive: as `dc-asgd`, with lambda / sqrt(s + 1e-7) in place of lambda, s = 0.95 s + 0.05 g^2
//! elementwise. Source: Zheng et al., arXiv:1609.08326, where it is DC-ASGD-a.

use super::{
    Action, Dampening, Definition, Locality, MomentumDefaults, RuleNumber, heavy_ball_equation, synchronous_heavy_ball,
};
use crate::update::{Form, UpdateCoefficients};

/// How much of the mean square stays from step to step.
const MEMORY: f64 = 0.95;

pub const DEFINITION: Definition = Definition {
    name: "dc-asgd-adaptive",
    summary: "dc-asgd with lambda divided by the root mean square of the gradient",
    number: Some(RuleNumber::one(2.0, "lambda, at least 0 [default: 2]", |lambda| lambda >= 0.0)),
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let form = Form::CompensatedAdaptively { compensation: rule.number(), second_moment_decay: MEMORY };
        Action::update(UpdateCoefficients { form, ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    equation: |rule, law| Some(heavy_ball_equation(rule, law)),
    synchronous_gain: Some(synchronous_heavy_ball),
};
