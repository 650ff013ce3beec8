//! Linear weight prediction: workers read x + s (x - x_before), the weights expected s updates later, with s the mean delay
//! of the process; the server makes the heavy-ball step. Since x - x_before = -lr v this is SpecTrain's w - s lr v.
//! Source: Chen, Yang and Cheng, *SpecTrain*, arXiv:1809.02839.

use super::{Dampening, Definition, Locality, Rule, Action, Usual, known};
use crate::update::UpdateCoefficients;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "weight-prediction",
    summary: "heavy-ball whose workers read x + s (x - x_before), s the mean delay: SpecTrain",
    number: None,
    momentum: Some(Usual { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| Action::update(UpdateCoefficients { lookahead: arrival.mean_delay, ..rule.heavy_ball() }),
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::WeightPrediction { momentum: *momentum, dampening: *dampening }, process)
    },
};
