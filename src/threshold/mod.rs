//! Search for the threshold of one cell: which learning rates to try, what each run showed, when the bracket is narrow enough.
//!
//! - [`RunMonitor`] observes one run and returns a [`Trial`]: its growth rate gamma and a verdict.
//! - [`Ensemble`] does so for runs that differ in their random numbers alone.
//! - [`DecayMonitor`] measures how fast one run decays or grows.
//! - [`Search`] asks for learning rates, several at once, and narrows a bracket around the zero of gamma(lr).
//!
//! Pure logic over observations: no engine, no files, no clock. A search sees the trials of its own cell alone, so its
//! result does not depend on the other runs of the batch.

mod close;
mod decay;
mod ensemble;
mod growth;
mod monitor;
mod opinion;
mod rate;
mod search;
mod zero;

use serde::{Deserialize, Serialize};

pub use decay::{Decay, DecayAction, DecayEnd, DecayMonitor, DecaySpec};
pub use ensemble::{Change, Ensemble, EnsembleSpec, WindowEnd};
pub use growth::Level;
pub use monitor::{RunMonitor, RunMonitorSpec, Trial};
pub use search::{Bracket, Search, SearchOutcome, SearchStep};

/// Meaning of "stays at the minimum".
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
    /// a run, pushed about by its minibatches, stays near the minimum for the whole horizon
    Escape,
}

impl Criterion {
    /// Whether the criterion needs an ensemble of runs.
    pub fn is_statistical(self) -> bool {
        matches!(self, Self::MeanSquare | Self::AlmostSure)
    }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// The perturbation decays.
    Stable,
    /// It grows, or has left the neighbourhood of the minimum.
    Escaped,
    /// The weights or the loss are no longer finite.
    Diverged,
    /// Neither could be told within the horizon.
    Undecided,
    /// The run could not be made.
    Failed,
}

impl Verdict {
    /// Whether it leaves open on which side of the threshold the learning rate lies.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Undecided | Self::Failed)
    }
}

/// Where a run of a cell without chance begins: the dynamics near a minimum are linear, so that it makes no difference, unless
/// rounding or the bend of the loss has a say.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter, strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum StartPoint {
    /// The closer one.
    Near,
    /// Several times as far from the minimum, in the same direction.
    Far,
}

/// Why what was seen of a run, or of a search, is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    #[strum(to_string = "the growth rate did not settle within the horizon")]
    Horizon,
    #[strum(to_string = "updates are as small as the rounding of the weights or of the gradient")]
    Rounding,
    #[strum(to_string = "slow velocities took the run to where the loss is no longer quadratic")]
    Transient,
    #[strum(to_string = "the displacement neither grows nor decays: rounding or the bend of the loss holds it")]
    Held,
    #[strum(to_string = "runs that began closer to the minimum and farther from it ended differently")]
    Starts,
}

/// Learning rate at which a threshold is expected. It decides where a search looks first, not what is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    pub lr: f64,
    /// Whether theory knows it, so that the first look is at both ends of a bracket around it.
    pub is_theory: bool,
}

impl From<f64> for Guess {
    /// A guess from what is near.
    fn from(lr: f64) -> Self {
        Self { lr, is_theory: false }
    }
}

/// Run that the search asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub lr: f64,
    /// Where the run begins, where it is a single one.
    pub start: StartPoint,
    /// See [`RunMonitorSpec::agreement`].
    pub agreement: f64,
    /// See [`EnsembleSpec::steps`].
    pub steps: Option<u64>,
}

/// Combines two seeds into one.
pub fn mix(a: u64, b: u64) -> u64 {
    // splitmix64's finaliser (Steele, Lea and Flood 2014): close seeds give independent streams.
    let mut z = a.wrapping_add((b.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
