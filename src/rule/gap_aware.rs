//! Gap-aware: each parameter's gradient is divided by 1 + |x - y| / c, with y the weights that it was taken at and c the
//! typical move of one step, c = lr sqrt(mean of s^2), s the velocity (the gradient at momentum 0), averaged with memory
//! 0.999 and bias correction; then heavy-ball (sgd at momentum 0). It penalises how far the weights have moved, not how long
//! it took.
//!
//! Source: Barkai, Hakimi and Schuster, arXiv:1909.10802, read in the code of FTPipe (`sgd_gap_aware.py`), which adds 1e-8 to
//! the root; here nothing is added, so that it acts alike at every scale.

use super::{Action, Dampening, Definition, Locality, MomentumDefaults};
use crate::update::{Form, UpdateCoefficients};

/// How much of the mean square stays from step to step.
const MEMORY: f64 = 0.999;

pub const DEFINITION: Definition = Definition {
    name: "gap-aware",
    summary: "gradients divided, parameter by parameter, by 1 + distance moved / typical step",
    number: None,
    momentum: Some(MomentumDefaults { momentum: 0.0, dampenings: &[Dampening::Value(0.0)] }),
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, _| {
        let bias_correction = -1.0 / ((arrival.updates + 1) as f64 * MEMORY.ln()).exp_m1();
        Action::update(UpdateCoefficients {
            form: Form::GapAware { second_moment_decay: MEMORY, bias_correction },
            ..rule.heavy_ball(arrival)
        })
    },
    locality: Locality::Scales,
    equation: |_, _| None,
    synchronous_gain: None,
};
