//! Delayed Nesterov look-lookahead: workers read y = x + m (x - x_before), and the server makes the heavy-ball step
//! v = m v + (1-d) g(y, late); x -= lr v. In EMA form (d = m) it is the asynchronous NAG of pipeline training,
//! x' = x + m (x - x_before) - lr (1-m) g. Source: Ajanthan et al., arXiv:2505.01099.

use super::{Dampening, Definition, Locality, Rule, Action, Usual, known};
use crate::update::UpdateCoefficients;
use crate::theory;

pub const DEFINITION: Definition = Definition {
    name: "delayed-nesterov",
    summary: "heavy-ball whose workers read x + m (x - x_before): asynchronous NAG",
    number: None,
    momentum: Some(Usual { momentum: 0.9, dampenings: &[Dampening::Ema] }),
    workers: false,
    slot_velocity: false,
    update: |rule, _, _| Action::update(UpdateCoefficients { lookahead: rule.momentum, ..rule.heavy_ball() }),
    locality: Locality::Scales,
    equation: |Rule { momentum, dampening, .. }, process| {
        known(theory::Rule::DelayedNesterov { momentum: *momentum, dampening: *dampening }, process)
    },
};
