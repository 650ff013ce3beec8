//! Rennala SGD: the server collects B gradients that were all taken at its present weights, throws away those that were
//! not, and moves by their mean. Minibatch SGD without delay, at the price of what is thrown away.
//! Source: Tyurin and Richtarik, arXiv:2305.12387.

use super::{Definition, Equation, Locality, Number, Turn};
use crate::kernels::motion::Motion;
use crate::theory::{self, DelayProcess};

pub const DEFINITION: Definition = Definition {
    name: "rennala",
    summary: "B gradients of the same weights are averaged; others are dropped",
    number: Some(Number {
        usual: 4.0,
        meaning: "B, a whole number of at least 1 [default: 4]",
        accepts: |b| b >= 1.0 && b.fract() == 0.0 && b <= 1e9,
    }),
    momentum: None,
    workers: false,
    slot_velocity: false,
    turn: |rule, arrival, collected| {
        if arrival.age > 0 {
            return Turn::drop();
        }
        // The velocity is the sum so far; the first gradient of a round overwrites the last round's.
        let sum = Motion {
            momentum: if *collected == 0 { 0.0 } else { 1.0 },
            intake: 1.0 / rule.number(),
            ..Motion::default()
        };
        *collected += 1;
        if (*collected as f64) < rule.number() {
            return Turn { motion: sum, updates: false };
        }
        *collected = 0;
        Turn::update(Motion { carried: 1.0, ..sum })
    },
    locality: Locality::Scales,
    equation: |rule, _| {
        Some(Equation { rule: theory::Rule::Sgd, process: DelayProcess::Fixed(0), averaged: rule.number() })
    },
};
