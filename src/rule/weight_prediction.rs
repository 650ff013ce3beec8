//! Linear weight prediction: workers read x + H (x - x_before), the weights expected H updates later; the server makes the
//! heavy-ball step. The horizon H is a number, or the mean delay of the process: since x - x_before = -lr v this is then
//! SpecTrain's w - s lr v. Source: Chen, Yang and Cheng, *SpecTrain*, arXiv:1809.02839.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, Rule, RuleNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

/// What stands for a horizon of the mean delay.
const BY_DELAY: f64 = -1.0;

pub const DEFINITION: Definition = Definition {
    name: "weight-prediction",
    summary: "heavy-ball whose workers read x + H (x - x_before); SpecTrain's with H the mean delay",
    number: Some(RuleNumber {
        usual: BY_DELAY,
        meaning: "H, from 0 to 10000 updates, or delay (the mean delay) [default: delay]",
        accepts: |horizon| (0.0..=1e4).contains(&horizon),
        words: &[("delay", BY_DELAY)],
        second: None,
    }),
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients { lookahead: horizon(rule, arrival.mean_delay), ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^tau, N = (1-d) ((1+H) z - H); a weight decay acts on the weights that are there, not on those
    // predicted, so that its N is heavy-ball's.
    equation: |rule, law| match law {
        DelayLaw::Fixed(delay) => {
            let (m, d, ahead) = (rule.momentum, rule.dampening, horizon(rule, *delay as f64));
            let numerator = [1.0 - d, (1.0 - d) * (1.0 + ahead)];
            let equation = Equation::new(law, Velocity::Server { momentum: m }, numerator);
            Some(Equation { decay_numerator: Some([1.0 - d; 2]), ..equation })
        }
        DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => None,
    },
    synchronous_gain: Some(|rule| {
        // The crossing at z = -1: 2 (1+m) / ((1-d) (1+2H)).
        2.0 * (1.0 + rule.momentum) / (1.0 - rule.dampening) / (1.0 + 2.0 * horizon(rule, 0.0))
    }),
};

fn horizon(rule: &Rule, mean_delay: f64) -> f64 {
    match rule.number() {
        number if number == BY_DELAY => mean_delay,
        horizon => horizon,
    }
}
