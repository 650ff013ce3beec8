//! Closed-form stability thresholds of delayed SGD: pure mathematics, imports nothing of the rest of the crate.

mod characteristic;
mod margin;
mod range;
mod rule;

pub use margin::{Margin, gain_margin};
pub use rule::Rule;

/// Why a theory question has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TheoryError {
    #[error("momentum is {0}; it must be at least 0 and less than 1")]
    Momentum(f64),
    #[error("dampening is {0}; it must be at least 0 and at most 1")]
    Dampening(f64),
    #[error("dampening 1 multiplies the gradient by 0: the rule never moves, so it has no threshold")]
    NoGradient,
    #[error("no root ever reaches the unit circle: the rule is stable at every gain")]
    Unbounded,
}
