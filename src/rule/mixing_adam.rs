//! Mixing around Adam. Every slot keeps Adam's state, M and S, beside the weights X, and a count K of the steps behind it. A worker
//! reads all of them and makes one step of Adam (PyTorch's order of operations):
//! m = b1 M_read + (1-b1) g; s = b2 S_read + (1-b2) g^2; y = X_read - lr m^ / (sqrt(s^) + 1e-8), m^ and s^ divided by 1 - b^(K_read + 1).
//! The server takes in the share A of where that led: X <- (1-A) X + A y, M <- (1-A) M + A m, S <- (1-A) S + A s,
//! K <- (1-A) K + A (K_read + 1). At A = 1 every worker has an Adam of its own.
//!
//! b1 is the momentum, b2 the second number; A is written as for `mixing`. Beside synchronous Adam: docs/best-tuning.md.

use super::adam::{BETA_1, bias_correction};
use super::mixing::{BY_AGE, BY_WORKERS, SHARES, share};
use super::{Action, Arrival, Definition, Locality, Rule, RuleNumber, SecondNumber};
use crate::update::{ADAM_EPSILON, Form, UpdateCoefficients};

const USUAL_BETA_2: f64 = 0.999;

pub(super) const SHARE_AND_BETA_2: RuleNumber = RuleNumber {
    usual: BY_WORKERS,
    meaning: "A, above 0 and at most 1, or 1/T (T = mean delay + 1), or age (1 / (age + 1) of each arrival), and behind a slash \
              beta2, from 0 to below 1 [default: 1/T/0.999]",
    accepts: SHARES,
    words: &[("1/T", BY_WORKERS), ("age", BY_AGE)],
    second: Some(SecondNumber::Usual(USUAL_BETA_2, |beta| (0.0..1.0).contains(&beta))),
};

pub const DEFINITION: Definition = Definition {
    name: "mixing-adam",
    summary: "a worker's own step of Adam, whose result and state the server mixes in by the share A; the momentum is beta1",
    number: Some(SHARE_AND_BETA_2),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: true,
    update: |rule, arrival, _| Action::update(coefficients(rule, arrival)),
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};

pub(super) fn coefficients(rule: &Rule, arrival: &Arrival) -> UpdateCoefficients {
    let correction = |beta| bias_correction(beta, arrival.state_steps + 1.0);
    let second_moment_decay = rule.second_number.unwrap_or(USUAL_BETA_2);
    UpdateCoefficients {
        momentum: rule.momentum,
        gradient_to_velocity: 1.0 - rule.momentum,
        velocity_to_weights: correction(rule.momentum),
        form: Form::MixingAdam {
            share: share(rule, arrival),
            second_moment_decay,
            bias_correction: correction(second_moment_decay),
            epsilon: ADAM_EPSILON,
        },
        ..UpdateCoefficients::default()
    }
}
