//! Traces of a finished cell's runs, on request: each run is made once more, in lanes of its own, and every step is written down.
//!
//! The same run has the same bits in any lane, so this is what was measured, whatever interrupted the measurement on its way;
//! and nothing of a run has to be kept before it is known which row of runs.csv it becomes. Not here: what stands in a row
//! ([`crate::session::traces`]).

use super::{CellResult, PreparedSweep, wave_spec};
use crate::engine::cpu::Cpu;
use crate::engine::{Engine, EngineError, EngineInfo, Renewal, Run, Wave, WaveSpec};
use crate::files::write_whole;
use crate::plan::Cell;
use crate::problem::weights::to_safetensors;
use crate::session::progress::Progress;
use crate::session::traces::{self, Retraced};
use crate::table::{CsvWriter, TraceRow};
use crate::threshold::{Change, StartPoint, WindowEnd};
use anyhow::{Context, Result, anyhow};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// In the folder of traces: where runs and the members of ensembles start, and what displacements are projected on.
const START: &str = "start.safetensors";
const FAR_START: &str = "far-start.safetensors";
const DIRECTION: &str = "direction.safetensors";

/// Whoever watches a sweep, told of traces between two blocks of the measurement.
pub(super) struct Watcher<'a> {
    watch: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    /// What the measurement said last.
    config_steps: u64,
    mended: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Watcher<'a> {
    pub fn new(watch: &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>) -> Self {
        Self { watch, config_steps: 0, mended: Vec::new(), warnings: Vec::new() }
    }

    pub fn measured(&mut self, now: Progress<'_>) -> ControlFlow<()> {
        self.config_steps = now.config_steps;
        self.mended.extend_from_slice(&now.mended[self.mended.len()..]);
        self.warnings.extend_from_slice(&now.warnings[self.warnings.len()..]);
        (self.watch)(now)
    }

    /// Steps of a trace are none of the measurement's.
    pub fn traced(&mut self, alive: usize) -> ControlFlow<()> {
        let Self { watch, config_steps, mended, warnings } = self;
        watch(Progress { alive, config_steps: *config_steps, mended, warnings, ..Progress::default() })
    }
}

impl PreparedSweep {
    /// Writes the samples and the weights that a replay begins with.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn write_starts(&self, engine: &EngineInfo, traces: &Path) -> Result<()> {
        traces::write_samples(&self.problem, traces)?;
        let write = |name: &str, weights: &[f64]| {
            let path = traces.join(name);
            write_whole(&path, &to_safetensors(&self.problem, weights, &[]))
                .with_context(|| format!("cannot write {}", path.display()))
        };
        let [near, far] = &self.start;
        write(START, near)?;
        write(FAR_START, far)?;
        write(DIRECTION, &self.minimum.largest.vector)?;
        if self.falls_back(engine) {
            let [near, far] = &self.in_f64().start;
            write(&format!("f64-{START}"), near)?;
            write(&format!("f64-{FAR_START}"), far)?;
        }
        Ok(())
    }

    /// Writes the traces of a cell's trials into the folder `traces`, until `watched` breaks, who is told how many runs advance.
    ///
    /// # Errors
    /// Where a file cannot be written, or the device fails.
    pub(super) fn trace(
        &self,
        engine: &dyn Engine,
        cell: &Cell,
        result: &CellResult,
        traces: &Path,
        watched: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if result.format != self.format {
            return self.in_f64().trace(&Cpu::<f64>::default(), cell, result, traces, watched);
        }
        let processor = Cpu::<f64>::default();
        let engine = if self.is_on_processor(engine.info()) { &processor } else { engine };
        let (cell_id, members) = (self.plan.cell_id(cell), self.plan.members(cell));
        let spec = WaveSpec {
            minimum: Arc::new(self.minimum.weights.clone()),
            direction: Arc::new(self.minimum.largest.vector.clone()),
            lanes: members,
            ..wave_spec(&self.plan, &self.problem, self.plan.rows(cell), std::iter::once(cell))
        };
        // No error of the device here may be taken for one of the measurement, which would go on without this cell.
        let device = |error: EngineError| anyhow!("the traces of cell {cell_id}: {error}");
        let mut wave = engine.open(spec.clone()).map_err(device)?;
        for (place, trial) in result.trials.iter().enumerate() {
            let run_id = format!("{cell_id}-{place}");
            let start = trial.start.unwrap_or(StartPoint::Near);
            let mut writer = CsvWriter::<TraceRow>::create(&traces::file(traces, &run_id))?;
            let runs: Vec<Run> = (0..members).map(|member| self.run(cell, trial.lr, start, member)).collect();
            let mut retraced = Retraced::new(run_id, &runs, &spec);
            if trial.steps > 0 {
                for (lane, run) in runs.into_iter().enumerate() {
                    wave.start(lane, run).map_err(device)?;
                }
            }
            let mut ensemble = self.ensemble(cell, trial.lr, Some(trial.steps));
            let mut made = 0;
            while made < trial.steps {
                let due = ensemble.as_ref().map_or(u64::MAX, |ensemble| ensemble.due());
                let steps = due.min(trial.steps - made).min(spec.block as u64) as usize;
                let seen = wave.advance(steps).map_err(device)?;
                for step in 0..steps {
                    for member in 0..members {
                        writer.write(&retraced.next(member, Some(seen.get(step, member))))?;
                    }
                    let window = ensemble
                        .as_mut()
                        .and_then(|ensemble| ensemble.push((0..members).map(|lane| seen.get(step, lane))));
                    if let Some(WindowEnd::Renew(changes)) = window {
                        retraced.renew(&changes);
                        renew(&mut *wave, &changes).map_err(device)?;
                    }
                }
                made += steps as u64;
                if watched(members).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            writer.finish()?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Renews the lanes of an ensemble whose members are in the lanes of their own numbers.
fn renew(wave: &mut dyn Wave, changes: &[Change]) -> Result<(), EngineError> {
    let renewals: Vec<Renewal> = changes
        .iter()
        .map(|change| Renewal { lane: change.member, source: change.source, factor: change.factor, seed: change.seed })
        .collect();
    wave.renew(&renewals)
}
