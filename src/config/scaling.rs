//! `--lr-scaling` and `--lr-reference`: what a delay does to a learning rate, and whose learning rate it is.
//!
//! Not here: the factors ([`crate::plan::scaling`]).

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// `--lr-scaling`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Scaling {
    /// as it is
    None,
    /// divided by the mean delay + 1
    InverseDelay,
    /// so that the minima that stay accessible are those of synchronous training, as theory has it
    Preserve,
}

/// `--lr-reference`: whose synchronous learning rate is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Reference {
    /// that of the same rule, with its momentum and dampening
    Same,
    /// that of plain SGD
    Sgd,
}
