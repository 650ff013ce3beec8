//! The results folder of a training: written beside its final name, and renamed when whole.

use super::{Draft, Existing, RUN, write};
use crate::engine::EngineInfo;
use crate::plot;
use crate::problem::Problem;
use crate::problem::weights::to_safetensors;
use crate::table::{CsvWriter, MetricRow, SummaryRow, TrainRow, write_csv};
use crate::train::{Last, Outcome, Training, rows};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The folder in it with the last weights of every run, where they are kept.
const WEIGHTS: &str = "weights";

/// What run.json says. The only file of the folder with times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainFile {
    pub version: String,
    pub commit: String,
    pub command: Vec<String>,
    pub started: String,
    pub finished: String,
    pub seconds: f64,
    pub plan_hash: String,
    pub plan: Value,
    pub engine: EngineInfo,
    /// Why this engine was taken.
    pub engine_choice: String,
    /// How the engine makes the steps of the plan's waves ([`crate::engine::Engine::path`]).
    pub paths: Vec<String>,
    pub parameters: usize,
    pub samples: usize,
    pub test_samples: usize,
    pub runs: usize,
    pub diverged: usize,
    /// Steps of single runs that are in the results.
    pub config_steps: u64,
    /// When a run counts as diverged.
    pub divergence: String,
    /// What lambda_max is taken of, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_max: Option<String>,
    /// What failed on the way and was mended: a wave that did not fit, a device that was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
}

/// The folder of a training that runs.
#[derive(Debug)]
pub struct TrainFolder {
    draft: Draft,
}

impl TrainFolder {
    /// Makes `DIR.partial`, with a folder for weights where they are kept.
    ///
    /// # Errors
    /// See [`super::check`]; or where another process is at work there, or the folder cannot be written.
    pub fn open(target: &Path, existing: Existing, weights: bool) -> Result<Self> {
        let draft = Draft::open(target, existing)?;
        if weights {
            let path = draft.dir().join(WEIGHTS);
            fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Self { draft })
    }

    /// Keeps the last weights of a run.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn keep(&self, problem: &Problem, run_id: &str, last: &Last) -> Result<()> {
        let path = self.draft.dir().join(WEIGHTS).join(format!("{run_id}.safetensors"));
        write(&path, &to_safetensors(problem, &last.weights, &last.statistics))
    }

    /// Writes the tables of all runs, which come in the order of the plan, their pictures and run.json, and gives the folder
    /// its name. Gives back the groups.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(
        self,
        training: &Training,
        runs: &[TrainRow],
        outcomes: &[Outcome],
        file: &TrainFile,
    ) -> Result<Vec<SummaryRow>> {
        let dir = self.draft.dir();
        let summaries = rows::summaries(runs);
        write_csv(&dir.join("runs.csv"), runs)?;
        write_csv(&dir.join("summary.csv"), &summaries)?;
        let mut metrics = CsvWriter::<MetricRow>::create(&dir.join("metrics.csv"))?;
        for (run, outcome) in outcomes.iter().enumerate() {
            rows::metrics(training, run, outcome).iter().try_for_each(|row| metrics.write(row))?;
        }
        metrics.finish()?;
        plot::training(dir)?;
        write(&dir.join(RUN), &[serde_json::to_vec_pretty(file)?, b"\n".to_vec()].concat())?;
        self.draft.publish()?;
        Ok(summaries)
    }

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// Where the folder cannot be removed.
    pub fn discard(self) -> Result<()> {
        self.draft.discard()
    }
}
