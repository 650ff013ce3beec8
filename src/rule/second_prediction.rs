//! Weight prediction by two differences: workers read y = x + H1 (x - x1) + H2 (x - 2 x1 + x2), with x1 and x2 the weights of one
//! and of two updates before; the server makes the heavy-ball step. Since x - x1 = -lr v, no vector beyond the velocity is
//! kept: y = x + (H1 + H2) (x - x1) + H2 lr v_before, which at a learning rate that changes from step to step takes the
//! difference before by the present one. H1 and H2 are numbers, or those of the parabola through the last three weights at the
//! mean delay D: H1 = D, H2 = D (D + 1) / 2. Which are best: docs/best-tuning.md.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults, Rule, RuleNumber, SecondNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

/// What stands for the horizons of the mean delay.
const BY_DELAY: f64 = -1.0;

pub const DEFINITION: Definition = Definition {
    name: "prediction-2",
    summary: "heavy-ball whose workers read x + H1 (x - x1) + H2 (x - 2 x1 + x2)",
    number: Some(RuleNumber {
        usual: BY_DELAY,
        meaning: "H1 from 0 to 10000 updates, H2 from 0 to 100000000 updates^2, or delay (H1 = D, H2 = D (D + 1) / 2, D the mean \
                  delay) [default: delay]",
        accepts: |horizon| (0.0..=1e4).contains(&horizon),
        words: &[("delay", BY_DELAY)],
        second: Some(SecondNumber::Needed(|horizon| (0.0..=1e8).contains(&horizon))),
    }),
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let [first, second] = horizons(rule, arrival.mean_delay);
        Action::update(UpdateCoefficients { lookahead: first + second, lookback: second, ..rule.heavy_ball(arrival) })
    },
    locality: Locality::Scales,
    // D = (z-1)(z-m) z^(tau+1), N = (1-d) ((1+H1+H2) z^2 - (H1 + 2 H2) z + H2); a weight decay acts on the weights that are there.
    equation: |rule, law| match law {
        DelayLaw::Fixed(delay) => {
            let (m, kept) = (rule.momentum, 1.0 - rule.dampening);
            let [first, second] = horizons(rule, *delay as f64);
            let equation = Equation::new(law, Velocity::Server { momentum: m }, [kept, kept * (1.0 + first)]);
            Some(Equation { bend: kept * second, decay_numerator: Some([kept; 2]), ..equation })
        }
        DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => None,
    },
    synchronous_gain: None,
};

fn horizons(rule: &Rule, mean_delay: f64) -> [f64; 2] {
    match rule.number() {
        number if number == BY_DELAY => [mean_delay, 0.5 * mean_delay * (mean_delay + 1.0)],
        first => [first, rule.second_number.unwrap_or(0.0)],
    }
}
