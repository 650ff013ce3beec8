//! Training from scratch under delay: what generalises, what diverges, and how sharp the minima are that are found.
//!
//! - [`Training`]: a plan with its data, its model and its runs
//! - `ride`: the runs of one wave, epoch by epoch
//! - [`Sharpness`]: lambda_max of the objective, at the end or along the way
//! - [`rows`]: outcomes as the rows of the results folder, and the groups that repeat under several seeds
//!
//! Not here: thresholds of stability around a minimum ([`crate::sweep`]), nor files.

mod job;
mod ride;
mod rows;
mod sharpness;
mod tables;
mod task;

pub use job::TrainJob;
pub use ride::{BLOWN_UP, Last, Look, Outcome, Sharp};
pub use sharpness::Sharpness;
pub use tables::{TrainEntry, TrainTables, TrainTotals};
pub use task::{Member, Training};

use crate::engine::pump::BLOCK;
use crate::engine::{Engine, EngineError, Needs, WaveSpec};
use crate::session::progress::Progress;
use crate::session::recovery::Recovery;
use anyhow::{Error, Result};
use ride::ride;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Training {
    /// Trains the runs `asked`, given by their places in [`Training::runs`], on `engine`. `finished` is called once for every
    /// run, in the order in which they end. `watched` is called after every block; where it breaks, the rest is left.
    ///
    /// # Errors
    /// Where the runs do not fit the device, the device fails, or `finished` does.
    pub fn train(
        &self,
        engine: &dyn Engine,
        asked: &[usize],
        finished: &mut dyn FnMut(usize, Outcome) -> Result<()>,
        watched: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut recovery = Recovery::new(engine);
        let (mut config_steps, mut waiting) = (0, self.config_steps(asked));
        for (spec, runs) in self.groups(engine, asked)? {
            let mut rest = &runs[..];
            while !rest.is_empty() {
                let spec = WaveSpec { lanes: rest.len(), ..spec.clone() };
                let lanes = recovery.lanes(recovery.engine().capacity(&spec)?, 1);
                let (now, later) = rest.split_at(lanes);
                let theirs = self.steps(spec.batch) * lanes as u64;
                let mut watch = |reach: ride::Reach| {
                    config_steps += reach.steps;
                    let left = waiting - theirs + reach.left;
                    watched(Progress {
                        alive: reach.lanes,
                        config_steps,
                        left: Some(left),
                        epoch: Some((reach.epoch, self.plan.options.epochs)),
                        mended: recovery.mended(),
                    })
                };
                match ride(self, recovery.engine(), WaveSpec { lanes, ..spec }, now, &mut watch) {
                    Ok(ControlFlow::Continue(outcomes)) => {
                        now.iter().zip(outcomes).try_for_each(|(run, outcome)| finished(*run, outcome))?;
                        waiting -= theirs;
                        rest = later;
                    }
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(error) => recovery.mend(Error::new(error), lanes, 1)?,
                }
            }
        }
        Ok(())
    }

    /// The places of all runs.
    pub fn all(&self) -> Vec<usize> {
        (0..self.runs.len()).collect()
    }

    /// Steps of these runs, if none diverges.
    pub fn config_steps(&self, runs: &[usize]) -> u64 {
        runs.iter().map(|run| self.steps(self.rows(*run))).fold(0, u64::saturating_add)
    }

    /// Those of `asked` that can share a wave, with its kind. Those whose gradients have equally many rows do, if the engine has room for
    /// all at once; else those that also need equal room do, so that a long delay takes no lanes from a short one.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where a kind does not fit.
    pub fn groups(&self, engine: &dyn Engine, asked: &[usize]) -> Result<Vec<(WaveSpec, Vec<usize>)>, EngineError> {
        let mut by_rows: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for &run in asked {
            by_rows.entry(self.rows(run)).or_default().push(run);
        }
        let mut groups = Vec::new();
        for (rows, runs) in by_rows {
            let all = self.wave_spec(rows, &runs);
            if engine.capacity(&all).is_ok_and(|lanes| lanes == runs.len()) {
                groups.push((all, runs));
                continue;
            }
            let mut by_needs: Vec<(Needs, Vec<usize>)> = Vec::new();
            for run in runs {
                let needs = self.needs(run);
                match by_needs.iter_mut().find(|(other, _)| *other == needs) {
                    Some((_, members)) => members.push(run),
                    None => by_needs.push((needs, vec![run])),
                }
            }
            groups.extend(by_needs.into_iter().map(|(_, runs)| (self.wave_spec(rows, &runs), runs)));
        }
        for (spec, _) in &groups {
            engine.capacity(spec)?;
        }
        Ok(groups)
    }

    /// What an engine must be able to hold for these runs, whose gradients all have `rows` rows. Distances are none of its
    /// business, as every seed has a start of its own.
    fn wave_spec(&self, rows: Option<usize>, runs: &[usize]) -> WaveSpec {
        let zeros = Arc::new(vec![0.0; self.problem.dimension()]);
        WaveSpec {
            problem: Arc::clone(&self.problem),
            batch: rows,
            sampling: self.plan.options.sampling,
            minimum: Arc::clone(&zeros),
            direction: zeros,
            lanes: runs.len(),
            together: 1,
            needs: runs.iter().map(|run| self.needs(*run)).fold(Needs::default(), Needs::and),
            block: BLOCK,
        }
    }
}
