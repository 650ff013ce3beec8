//! Closed-form stability thresholds of delayed SGD: pure mathematics, imports nothing of the rest of the crate.

mod binomial;
mod characteristic;
mod error;
mod growth;
mod margin;
mod mean_square;
mod mixture;
mod range;
mod rule;
mod state_space;

pub use error::TheoryError;
pub use growth::{DominantRoot, dominant_root};
pub use margin::{Margin, gain_margin, gain_margin_with_decay};
pub use mean_square::mean_square_margin;
pub use rule::{MAX_DELAY, Rule, WeightDecay};
pub use state_space::state_space;
