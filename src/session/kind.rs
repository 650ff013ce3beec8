//! Kinds of long jobs: their names in files, and the words for them in messages.
//!
//! Not here: what a job must be able to do ([`super::job`]).

use serde::{Deserialize, Serialize};

/// Which job a results folder is from, as run.json and plan.json name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobName {
    /// What run.json of earlier versions, which named no job, was written by where it names a shard.
    #[default]
    Sweep,
    Training,
    Rates,
}

/// The words for a kind of job in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub name: JobName,
    /// `sweep`
    pub job: &'static str,
    /// `cell`
    pub unit: &'static str,
    /// `cells`
    pub units: &'static str,
    /// `measured`, as in "its cell is measured again"
    pub again: &'static str,
    /// What an interruption leaves of unfinished units, as the end of a sentence.
    pub unfinished: &'static str,
}

/// Units of every kind of job have checkpoints.
const UNFINISHED: &str = ", the others go on from their checkpoint";

impl Kind {
    pub const SWEEP: Self = Self {
        name: JobName::Sweep,
        job: "sweep",
        unit: "cell",
        units: "cells",
        again: "measured",
        unfinished: UNFINISHED,
    };
    pub const RATES: Self = Self {
        name: JobName::Rates,
        job: "sweep of rates",
        unit: "rate",
        units: "rates",
        again: "measured",
        unfinished: UNFINISHED,
    };
    pub const TRAINING: Self = Self {
        name: JobName::Training,
        job: "training",
        unit: "run",
        units: "runs",
        again: "trained",
        unfinished: UNFINISHED,
    };
}
