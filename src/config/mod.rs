//! What may be typed after a flag: the grammar of values, and the flags that a plan is resolved from.
//!
//! Not here: the subcommands ([`crate::cli`]), nor defaults that depend on other flags ([`crate::plan`]).

mod axis;
mod regime;
mod scaling;
mod schedule;
mod spec;
mod sweep;
mod train;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use axis::{Delays, Momenta, NamedPmf, Rates, Seeds, non_negative, positive};
pub use regime::RegimeSpec;
pub use scaling::{Reference, Scaling};
pub use schedule::{Means, PmfSpec, ScheduleSpec};
pub use spec::{Batch, ModelSpec, Samples};
pub use sweep::SweepArgs;
pub use train::{Track, TrainArgs};

/// `--engine`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    Auto,
    Cpu,
    Gpu,
}

/// `--precision`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    F32,
    F64,
}
