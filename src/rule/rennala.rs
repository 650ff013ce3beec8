//! Rennala SGD: the server collects B gradients that were all taken at its present weights, throws away those that were
//! not, and moves by their mean. Minibatch SGD without delay, at the price of what is thrown away.
//! Source: Tyurin and Richtarik, arXiv:2305.12387.

use super::{Action, Definition, Locality, RuleNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "rennala",
    summary: "B gradients of the same weights are averaged; others are dropped",
    number: Some(RuleNumber {
        usual: 4.0,
        meaning: "B, a whole number of at least 1 [default: 4]",
        accepts: |b| b >= 1.0 && b.fract() == 0.0 && b <= 1e9,
    }),
    momentum: None,
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, collected| {
        if arrival.age > 0 {
            return Action::drop();
        }
        // The velocity is the sum so far; the first gradient of a round overwrites the last round's.
        let sum = UpdateCoefficients {
            momentum: if *collected == 0 { 0.0 } else { 1.0 },
            gradient_to_velocity: 1.0 / rule.number(),
            ..UpdateCoefficients::default()
        };
        *collected += 1;
        if (*collected as f64) < rule.number() {
            return Action { coefficients: sum, moves_weights: false };
        }
        *collected = 0;
        Action::update(UpdateCoefficients { velocity_to_weights: 1.0, ..sum })
    },
    locality: Locality::Scales,
    // sgd without delay, on the mean of B gradients.
    equation: |rule, _| {
        let synchronous = Equation::new(&DelayLaw::Fixed(0), Velocity::None, [1.0, 0.0]);
        Some(Equation { averaged: rule.number(), ..synchronous })
    },
    synchronous_gain: Some(|_| 2.0),
};
