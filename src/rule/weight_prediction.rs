//! Linear weight prediction: workers read x + s (x - x_before), the weights expected s updates later, with s the mean delay
//! of the process; the server makes the heavy-ball step. Since x - x_before = -lr v this is SpecTrain's w - s lr v.
//! Source: Chen, Yang and Cheng, *SpecTrain*, arXiv:1809.02839.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, synchronous_heavy_ball};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "weight-prediction",
    summary: "heavy-ball whose workers read x + s (x - x_before), s the mean delay: SpecTrain",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { lookahead: arrival.mean_delay, ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^tau, N = (1-d) ((1+tau) z - tau); a weight decay acts on the weights that are there, not on those
    // predicted, so that its N is heavy-ball's.
    equation: |rule, law| match law {
        DelayLaw::Fixed(delay) => {
            let (m, d, tau) = (rule.momentum, rule.dampening, *delay as f64);
            let numerator = [1.0 - d, (1.0 - d) * (1.0 + tau)];
            let equation = Equation::new(law, Velocity::Server { momentum: m }, numerator);
            Some(Equation { decay_numerator: Some([1.0 - d; 2]), ..equation })
        }
        DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => None,
    },
    synchronous_gain: Some(synchronous_heavy_ball),
};
