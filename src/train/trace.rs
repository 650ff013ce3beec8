//! Traces of finished runs, on request: the draws of every step, made again from the seed, so that a run that was resumed has
//! them whole. Losses are none of them: those that a checkpoint has passed are gone.
//!
//! Not here: what stands in a row ([`crate::session::traces`]).

use super::task::Training;
use crate::files::write_whole;
use crate::problem::weights::to_safetensors;
use crate::session::traces::{self, Retraced};
use crate::table::{CsvWriter, TraceRow};
use anyhow::{Context, Result};
use std::path::Path;

impl Training {
    /// Bytes that the trace of a run is expected to take.
    pub(super) fn trace_bytes(&self, run: usize) -> u64 {
        let rows = self.rows(run);
        traces::bytes(self.steps(run), rows, &self.problem)
    }

    /// Writes the samples and the weights that a replay begins with, these by seed.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn write_starts(&self, traces: &Path) -> Result<()> {
        traces::write_samples(&self.problem, traces)?;
        // The first group has every seed once.
        for run in 0..self.plan.seeds.len().min(self.runs.len()) {
            let path = traces.join(format!("start-{}.safetensors", self.seed(run)));
            let start = self.run(run);
            let statistics = start.statistics.map_or_else(|| self.problem.fresh_statistics(), |given| given.to_vec());
            write_whole(&path, &to_safetensors(&self.problem, &start.start, &statistics))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes the trace of a run that made so many steps into the folder `traces`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn trace(&self, run: usize, steps: u64, traces: &Path) -> Result<()> {
        let run_id = self.run_id(run);
        let mut writer = CsvWriter::<TraceRow>::create(&traces::file(traces, &run_id))?;
        let mut retraced = Retraced::new(run_id, &[self.run(run)], &self.wave_spec(self.rows(run), &[run]));
        (0..steps).try_for_each(|_| writer.write(&retraced.next(0, None)))?;
        writer.finish()
    }
}
