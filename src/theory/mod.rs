//! Closed-form stability thresholds of delayed SGD: pure mathematics, imports nothing of the rest of the crate.

mod advise;
mod binomial;
mod characteristic;
mod error;
mod growth;
mod margin;
mod mean_square;
mod mixture;
mod random_delay;
mod range;
mod rule;
mod state_space;
mod threshold;
mod workers;

pub use advise::{Advice, Choice, ChoiceKind, Recipe, Setting, advise};
pub use error::TheoryError;
pub use growth::{DominantRoot, dominant_root};
pub use margin::{Margin, gain_margin, gain_margin_with_decay};
pub use mean_square::mean_square_margin;
pub use random_delay::{DelayPmf, random_delay_margin, random_delay_mean_square_margin};
pub use rule::{MAX_DELAY, Rule, WeightDecay};
pub use state_space::state_space;
pub use threshold::{Criterion, DelayProcess, Threshold, threshold};
pub use workers::{random_workers_margin, random_workers_mean_square_margin};
