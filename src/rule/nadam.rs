//! NAdam on late gradients: Adam that looks one step ahead along its own velocity. v = b1 v + (1-b1) g; s = b2 s + (1-b2) g^2;
//! x -= lr (b1 v / (1 - b1^(t+1)) + (1-b1) g / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + 1e-8) at update t = 1, 2, ...
//! b1 is the momentum, b2 the rule's number; weight decay is part of g. Source: Dozat, *Incorporating Nesterov momentum into
//! Adam* (2016), with b1 constant as in optax's `nadam`.
//!
//! `nadam:torch` has PyTorch's schedule of b1, m_t = b1 (1 - 0.96^(0.004 t) / 2), in the look-ahead and its corrections:
//! x -= lr (m_(t+1) v / (1 - M_(t+1)) + (1-m_t) g / (1 - M_t)) / ..., M_t = m_1 m_2 ... m_t; v keeps the constant b1, and b2 is
//! 0.999. Source: `torch.optim.NAdam`, momentum_decay 0.004 (in PyTorch 1.13 with foreach, whose other path has m_t twice in
//! M_(t+1)).

use super::adam::{self, BETA_1};
use super::{Action, Arrival, Definition, Locality, Rule, RuleNumber};
use crate::update::{ADAM_EPSILON, Form, UpdateCoefficients};

/// Stands for the word `torch`; no value of beta2.
const TORCH: f64 = -1.0;

const TORCH_BETA_2: f64 = 0.999;

/// How slowly PyTorch's schedule goes: ln of 0.96^0.004.
const LN_DECAY: f64 = -0.040_821_994_520_255_166 * 0.004;

pub(super) const BETA_2_OR_TORCH: RuleNumber = RuleNumber {
    usual: 0.999,
    meaning: "beta2, from 0 to below 1 [default: 0.999], or torch for PyTorch's schedule of beta1 beside beta2 0.999",
    accepts: |beta| (0.0..1.0).contains(&beta),
    words: &[("torch", TORCH)],
    second: None,
};

pub const DEFINITION: Definition = Definition {
    name: "nadam",
    summary: "Adam with a look ahead along its velocity, as in optax; the momentum is beta1",
    number: Some(BETA_2_OR_TORCH),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| Action::update(coefficients(rule, arrival)),
    locality: Locality::Restless,
    equation: |_, _| None,
    synchronous_gain: None,
};

pub(super) fn coefficients(rule: &Rule, arrival: &Arrival) -> UpdateCoefficients {
    let is_torch = has_schedule(rule);
    let beta_1 = rule.momentum;
    let second_moment_decay = if is_torch { TORCH_BETA_2 } else { rule.number() };
    let update = (arrival.updates + 1) as f64;
    let [gradient_to_weights, velocity_to_weights] = if is_torch {
        let [present, next] = [update, update + 1.0].map(|update| scheduled(beta_1, update));
        let product = product_of_scheduled(beta_1, update);
        [(1.0 - present) / (1.0 - product), next / (1.0 - product * next)]
    } else {
        let correction = |update| adam::bias_correction(beta_1, update);
        [(1.0 - beta_1) * correction(update), beta_1 * correction(update + 1.0)]
    };
    UpdateCoefficients {
        momentum: beta_1,
        gradient_to_velocity: 1.0 - beta_1,
        gradient_to_weights,
        velocity_to_weights,
        form: Form::Adam {
            second_moment_decay,
            bias_correction: adam::bias_correction(second_moment_decay, update),
            epsilon: ADAM_EPSILON,
        },
        ..UpdateCoefficients::default()
    }
}

/// Whether beta1 follows PyTorch's schedule.
pub(super) fn has_schedule(rule: &Rule) -> bool {
    rule.number() == TORCH
}

/// m_t.
fn scheduled(beta_1: f64, update: f64) -> f64 {
    beta_1 * (1.0 - 0.5 * (update * LN_DECAY).exp())
}

/// M_t. Without a loop over the updates, so that any step of a run can be had by itself: the sum over i = 1..t of
/// ln(1 - r^i / 2) is minus the sum over k of 2^-k / k times the geometric series of r^k.
fn product_of_scheduled(beta_1: f64, update: f64) -> f64 {
    let of_constants = update * beta_1.ln();
    // Nothing of it is left beside 1; the schedule makes it smaller still. So it is at a beta1 of 0.
    if of_constants < -40.0 {
        return 0.0;
    }
    let term = |k: i32| {
        let rate = f64::from(k) * LN_DECAY;
        rate.exp() * (update * rate).exp_m1() / rate.exp_m1() * 0.5_f64.powi(k) / f64::from(k)
    };
    (of_constants - (1..=60).map(term).sum::<f64>()).exp()
}
