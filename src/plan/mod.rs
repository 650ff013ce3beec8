//! From flags or a plan file to a plan: every default resolved, axes expanded, limits checked, serialisable and hashed.
//!
//! - [`SweepPlan`]: the cells of a sweep; [`TrainPlan`]: the groups of runs of a training
//! - [`axes`]: what both grids are made of
//! - [`file`](mod@file): TOML files with several grids
//! - [`scaling`]: what a delay does to a learning rate
//!
//! Not here: what the flags look like ([`crate::config`]), and anything that computes.

pub mod axes;
mod cell;
pub mod file;
mod preconditioned;
mod problem;
pub mod scaling;
mod sweep;
mod tracked;
mod train;

pub use axes::Setting;
pub use cell::Cell;
pub use problem::SweepProblem;
pub use sweep::{Grid, Limits, SweepPlan};
pub use train::{Group, SharpnessPlan, TrainOptions, TrainPlan, TrainProblem, When};

use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// Flags that make no plan. The message names the flag, the value and what would be accepted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub(crate) String);

impl From<String> for PlanError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

macro_rules! refuse {
    ($($message:tt)*) => { return Err($crate::plan::PlanError(format!($($message)*))) };
}
pub(crate) use refuse;

/// A letter and the first 12 digits of the hash of the content's JSON. Digits alone can look like a number to whoever reads
/// a table, and `7092658e9254` becomes infinite in pandas.
fn short_hash(letter: char, content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).expect("plans hold nothing that JSON cannot");
    format!("{letter}{}", &blake3::hash(&json).to_hex()[..12])
}

/// A path as text, also where it is not UTF-8: what a file holds counts, and its name is only shown.
#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn shown<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}
