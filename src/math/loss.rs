//! Losses by name. Not here: their arithmetic ([`crate::kernels::loss`]).

use serde::{Deserialize, Serialize};

/// What the network's outputs are compared with, and how.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy of the softmax.
    Ce,
    /// Mean over samples of 1/2 ||f - onehot||^2.
    Mse,
}
