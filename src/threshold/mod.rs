//! Measures the threshold of one cell: which learning rates to try, what each run showed, when the answer is tight enough.
//!
//! - [`Watch`] follows one run and says what became of it ([`Trial`]): its growth rate gamma and a verdict.
//! - [`Ensemble`] does so for runs that differ in their randomness alone.
//! - [`Search`] asks for learning rates, several at once, and closes a bracket around the zero of gamma(lr).
//!
//! Pure logic over observations: no engine, no files, no clock. A search sees the trials of its own cell alone, so its
//! answer does not depend on what else ran beside it.

mod ensemble;
mod growth;
mod search;
mod watch;
mod zero;

use serde::{Deserialize, Serialize};

pub use ensemble::{Beat, Change, Ensemble, EnsembleSpec};
pub use search::{Bracket, Outcome, Request, Search, Step};
pub use watch::{Trial, Watch, WatchSpec};

/// In which sense a run stays at the minimum.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Criterion {
    /// without randomness: the sign of the growth rate of a small displacement
    Mean,
    /// the variance of small displacements returns, over minibatches and delays
    MeanSquare,
    /// almost every small displacement returns (the Lyapunov exponent is negative)
    AlmostSure,
    /// a run, kicked by its minibatches, stays near the minimum for the whole horizon
    Escape,
}

impl Criterion {
    /// Whether it is about an ensemble of runs.
    pub fn is_statistical(self) -> bool {
        matches!(self, Self::MeanSquare | Self::AlmostSure)
    }
}

/// A seed from two.
pub fn mix(a: u64, b: u64) -> u64 {
    // splitmix64's finaliser (Steele, Lea and Flood 2014): close seeds give streams that have nothing in common.
    let mut z = a.wrapping_add((b.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
