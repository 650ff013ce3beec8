//! AdamW on late gradients: Adam whose weight decay acts on the server's weights, x -= lr weight_decay x, and not through
//! the preconditioner. Source: Loshchilov and Hutter, arXiv:1711.05101; PyTorch's order of operations.

use super::adam::{BETA_1, BETA_2, motion};
use super::{Definition, Locality, Turn};
use crate::kernels::motion::Motion;

pub const DEFINITION: Definition = Definition {
    name: "adamw",
    summary: "Adam with decoupled weight decay",
    number: Some(BETA_2),
    momentum: Some(BETA_1),
    workers: false,
    slot_velocity: false,
    // Shrink 1: the course multiplies it by lr and weight decay, and takes the decay out of the gradient.
    turn: |rule, arrival, _| Turn::update(Motion { shrink: 1.0, ..motion(rule, arrival) }),
    locality: Locality::Restless,
    equation: |_, _| None,
};
