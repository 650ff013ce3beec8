//! Closed-form stability thresholds of delayed SGD: pure mathematics, imports nothing of the rest of the crate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    Sgd,
    HeavyBall { momentum: f64, dampening: f64 },
    Nesterov { momentum: f64, dampening: f64 },
    Shifted { momentum: f64, dampening: f64 },
}
