//! Mixing results instead of adding late gradients. The server keeps the weights X and P, the mean that a worker's step has
//! momentum away from; a worker reads both, makes one heavy-ball step of its own, y = X + m (X - P) - lr (1-d) g(X), and the
//! server takes in a share of where that led: X <- (1-A) X + A y, P <- (1-A) P + A X_read. A is a number, 1/T with T the mean
//! delay plus one, or 1 / (age + 1) of each arrival.
//!
//! Every slot keeps v = P - X beside X. The step is then v <- (1-A) v + A (m v_read + lr (1-d) g) and
//! X <- X + A (X_read - X - m v_read - lr (1-d) g). At A = 1 every worker has a chain of its own; at m = 0 it is the server's
//! step of FedAsync (Xie, Koyejo and Gupta, arXiv:1903.03934).

use super::{Action, Arrival, Dampening, Definition, Locality, MomentumDefaults, Rule, RuleNumber};
use crate::theory::{Equation, Velocity};
use crate::update::{Form, UpdateCoefficients};

/// What stands for a share of 1 / (mean delay + 1), and for 1 / (age + 1).
pub(super) const BY_WORKERS: f64 = 0.0;
pub(super) const BY_AGE: f64 = -1.0;

/// The shares that are accepted as numbers.
pub(super) const SHARES: fn(f64) -> bool = |share| share > 0.0 && share <= 1.0;

pub const DEFINITION: Definition = Definition {
    name: "mixing",
    summary: "a worker's own heavy-ball step, whose result the server mixes in by the share A",
    number: Some(RuleNumber {
        usual: BY_WORKERS,
        meaning: "A, above 0 and at most 1, or 1/T (T = mean delay + 1), or age (1 / (age + 1) of each arrival) [default: 1/T]",
        accepts: SHARES,
        words: &[("1/T", BY_WORKERS), ("age", BY_AGE)],
        second: None,
    }),
    momentum: Some(MomentumDefaults { momentum: 0.9, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: true,
    update: |rule, arrival, _| {
        Action::update(UpdateCoefficients {
            form: Form::Mixing { share: share(rule, arrival) },
            momentum: rule.momentum,
            // P is no sum of gradients, so that none is its first.
            gradient_to_velocity: 1.0 - rule.dampening,
            ..UpdateCoefficients::default()
        })
    },
    locality: Locality::Scales,
    // D = (q - A)(q - A m) with q = z^tau (z - 1 + A), N = (1-d) A q.
    equation: |rule, law| {
        if rule.number() == BY_AGE && !law.is_fixed() {
            return None;
        }
        let mean_delay = law.mean_delay();
        let arrival =
            Arrival { age: mean_delay as u64, updates: 0, workers: 1, mean_delay, undamped: false, state_steps: 0.0 };
        let velocity = Velocity::Server { momentum: rule.momentum };
        let equation = Equation::new(law, velocity, [1.0 - rule.dampening; 2]);
        Some(Equation { share: Some(share(rule, &arrival)), ..equation })
    },
    synchronous_gain: None,
};

pub(super) fn share(rule: &Rule, arrival: &Arrival) -> f64 {
    match rule.number() {
        number if number == BY_WORKERS => 1.0 / (arrival.mean_delay + 1.0),
        number if number == BY_AGE => 1.0 / (arrival.age as f64 + 1.0),
        share => share,
    }
}
