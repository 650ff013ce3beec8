//! Ringmaster ASGD: a gradient younger than R updates is applied; an older one is thrown away and its worker starts again
//! from the server's present weights. Source: Maranjyan, Tyurin and Richtarik, arXiv:2501.16168.

use super::{Dampening, Definition, Locality, Number, Rule, Action, Usual, as_heavy_ball};
use crate::theory::DelayProcess;

pub const DEFINITION: Definition = Definition {
    name: "ringmaster",
    summary: "gradients of age R or more are dropped",
    number: Some(Number {
        usual: 4.0,
        meaning: "R, a whole number of at least 1 [default: 4]",
        accepts: |r| r >= 1.0 && r.fract() == 0.0 && r <= 1e9,
    }),
    momentum: Some(Usual { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        if (arrival.age as f64) < rule.number() { Action::update(rule.heavy_ball()) } else { Action::drop() }
    },
    locality: Locality::Scales,
    equation: |rule, process| without_drops(rule, process),
};

/// Known where nothing is ever dropped.
fn without_drops(rule: &Rule, process: DelayProcess) -> Option<super::Equation> {
    let longest = match &process {
        DelayProcess::Fixed(delay) => Some(*delay),
        DelayProcess::Independent(pmf) => Some(pmf.longest()),
        DelayProcess::RandomWorkers(_) => None,
    };
    longest.filter(|longest| (*longest as f64) < rule.number()).and_then(|_| as_heavy_ball(rule, process))
}
