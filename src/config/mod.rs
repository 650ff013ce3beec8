//! What may be typed after a flag: the grammar of values, and the flags of the commands that make plans.
//!
//! - [`ProblemArgs`], [`GridArgs`], [`EngineArgs`], [`JobArgs`]: flags that commands share, each written once
//! - [`SweepArgs`], [`TrainArgs`]: these together with the flags of one command
//! - [`one_line`]: what is said of flags that are wrong
//! - values with a grammar of their own: [`ModelSpec`], [`Delays`], [`RegimeSpec`], ...
//!
//! Not here: the subcommands ([`crate::cli`]), rules and delay processes, which say themselves how they are typed
//! ([`crate::rule`], [`crate::delay`]), plan files and what the flags come to ([`crate::plan`]).

mod axis;
mod engine;
mod interval;
mod outer;
mod regime;
mod scaling;
mod shard;
mod shared;
mod spaced;
mod spec;
mod stages;
mod sweep;
mod train;
mod tuned;
mod usage;

pub use axis::{Delays, Momenta, Rates, Seeds, non_negative, positive};
pub use engine::{EngineArgs, EngineChoice, Precision};
pub use interval::Interval;
pub use outer::OuterArgs;
pub use regime::RegimeSpec;
pub use scaling::{Reference, Scaling};
pub use shard::{Shard, ShardFlag};
pub use shared::{GridArgs, JobArgs, ProblemArgs};
pub use spec::{Batch, ModelSpec, Samples};
pub use stages::{StageArgs, Stashing};
pub use sweep::SweepArgs;
pub use train::{Track, TrainArgs};
pub use tuned::TunedRuleSpec;
pub use usage::{one_line, plain};
