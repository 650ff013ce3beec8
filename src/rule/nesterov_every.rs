//! Delayed Nesterov of asynchronous local SGD: each of N arrivals moves the weights by its share `g / N` at once, and the momentum
//! acts at each N-th alone, with the mean of what has arrived: v = m v + (1-d) mean; x -= lr m v.
//! Source: Liu et al., *Asynchronous Local-SGD Training for Language Modeling*, arXiv:2401.09135, with their c = 0. (The rule
//! `delayed-nesterov` is another one.)

use super::{Action, Arrival, Dampening, Definition, Locality, MomentumDefaults, Rule, RuleNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

/// What stands for the number of workers.
const BY_WORKERS: f64 = 0.0;

pub const DEFINITION: Definition = Definition {
    name: "nesterov-every",
    summary: "x -= lr g/N at each arrival, Nesterov's momentum at each N-th: Delayed Nesterov of asynchronous local SGD",
    number: Some(RuleNumber {
        usual: BY_WORKERS,
        meaning: "N, a whole number of at least 1, or workers (their number) [default: workers]",
        accepts: |every| every >= 1.0 && every.fract() == 0.0 && every <= 1e9,
        words: &[("workers", BY_WORKERS)],
        second: None,
    }),
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Value(0.0)] }),
    workers: true,
    slot_velocity: false,
    update: |rule, arrival, arrived| {
        let every = every(rule, arrival.workers);
        let (first, last) = (*arrived == 0, *arrived + 1 == every);
        *arrived = if last { 0 } else { *arrived + 1 };
        let Arrival { undamped, .. } = *arrival;
        let share = 1.0 / every as f64;
        Action::update(UpdateCoefficients {
            momentum: if first { rule.momentum } else { 1.0 },
            gradient_to_velocity: if undamped { share } else { share * (1.0 - rule.dampening) },
            gradient_to_weights: share,
            velocity_to_weights: if last { rule.momentum } else { 0.0 },
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Scales,
    equation: |rule, law| match law {
        DelayLaw::Fixed(delay) => {
            let every = every(rule, u32::try_from(*delay).unwrap_or(u32::MAX).saturating_add(1)) as usize;
            let (m, d) = (rule.momentum, rule.dampening);
            // Nesterov's, whose momentum acts at some arrivals.
            let nesterov = Equation::new(law, Velocity::Server { momentum: m }, [1.0 - m * d, 1.0 + m * (1.0 - d)]);
            let momentum_every = (every > 1).then_some(every);
            Some(Equation { momentum_every, arrivals: every as f64, ..nesterov })
        }
        DelayLaw::Independent(_) | DelayLaw::RandomWorkers(_) => None,
    },
    // One worker is Nesterov's own.
    synchronous_gain: None,
};

fn every(rule: &Rule, workers: u32) -> u64 {
    match rule.number() {
        number if number == BY_WORKERS => workers.into(),
        number => number as u64,
    }
}
