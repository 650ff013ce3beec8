//! run.json: how a results folder came to be. The only file of it with times.

use crate::config::Shard;
use crate::curvature::Eigenpair;
use crate::engine::EngineInfo;
use crate::minimum::Minimum;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What run.json says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    pub version: String,
    pub commit: String,
    pub command: Vec<String>,
    pub started: String,
    pub finished: String,
    /// Of the process that finished it; of all shards' together, where they were merged.
    pub seconds: f64,
    pub plan_hash: String,
    pub plan: Value,
    pub engine: EngineInfo,
    /// Why this engine was taken.
    pub engine_choice: String,
    /// How the engine makes the steps of the plan's waves ([`crate::engine::Engine::path`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    pub parameters: usize,
    pub minimum: MinimumSummary,
    /// Distance of every run's start from the minimum.
    pub start_distance: f64,
    /// Distance at which a run has escaped, under the escape criterion.
    pub escape_radius: Option<f64>,
    #[serde(flatten)]
    pub totals: Totals,
    /// The commit that began the sweep, where another one resumed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by_commit: Option<String>,
    /// What failed on the way and was mended: a wave that did not fit, a device that was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Which part of the plan's cells this folder holds; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The folders that this one was merged from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRun>,
}

/// How much is in the tables; the same for the same rows, however often the sweep was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub cells: usize,
    pub runs: usize,
    /// Steps that the runs in runs.csv took, every member of an ensemble counted.
    pub config_steps: u64,
}

/// The evidence for the minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinimumSummary {
    pub loss: f64,
    pub gradient_max: f64,
    pub gradient_evaluations: u64,
    pub lambda_max: Eigenpair,
    pub lambda_min: Eigenpair,
}

/// A cell of the plan, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRow {
    pub cell_id: String,
    /// From 1.
    pub shard: u32,
    /// As a person would say it.
    pub name: String,
}

/// One of the folders that a merged one came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShardRun {
    pub shard: Shard,
    pub folder: String,
    pub cells: usize,
    pub commit: String,
    pub started: String,
    pub finished: String,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
}

impl From<&Minimum> for MinimumSummary {
    fn from(minimum: &Minimum) -> Self {
        Self {
            loss: minimum.loss,
            gradient_max: minimum.gradient_max,
            gradient_evaluations: minimum.evaluations,
            lambda_max: minimum.largest.clone(),
            lambda_min: minimum.smallest.clone(),
        }
    }
}

impl RunFile {
    /// Reads a folder's run.json.
    ///
    /// # Errors
    /// Where it cannot be read, or is none of this version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(super::RUN);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no run.json of this version", path.display()))
    }
}
