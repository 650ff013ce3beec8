//! Training from scratch under delay: what generalises, what diverges, and how sharp the minima are that are found.
//!
//! - [`Training`]: a plan with its data, its model and its runs
//! - `wave`: the runs of one wave, epoch by epoch, and what becomes of each (`outcome`)
//! - `checkpoint`: where those runs are, and how they go on from there
//! - [`Sharpness`]: lambda_max of the objective, at the end or along the way
//! - `rows`: outcomes as the rows of the results folder, and the groups that repeat under several seeds
//!
//! Not here: thresholds of stability around a minimum ([`crate::sweep`]), nor files.

mod checkpoint;
mod job;
mod outcome;
mod rows;
mod sharpness;
mod tables;
mod task;
mod trace;
mod wave;

pub use job::TrainJob;
pub use outcome::{BLOWN_UP, EvaluationRecord, FinalWeights, Outcome, SharpnessRecord};
pub use sharpness::Sharpness;
pub use tables::{TrainEntry, TrainTables, TrainTotals};
pub use task::{Member, Training};

use crate::engine::pump::block;
use crate::engine::{Engine, EngineError, Needs, WaveSpec};
use crate::outer::WorkShape;
use crate::session::checkpoint::Checkpoints;
use crate::session::progress::{Progress, StepsLeft};
use crate::session::recovery::Recovery;
use anyhow::Result;
use checkpoint::RunCheckpoints;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use wave::WaveRuns;

impl Training {
    /// Trains the runs `asked`, given by their places in [`Training::runs`], on `engine`. `finished` is called once for each of
    /// them, in the order in which they end. `watched` is called after every block; where it breaks, the rest is left.
    ///
    /// With `checkpoints`, runs go on from the newest checkpoint that there is, as far as it holds them; another one is made
    /// whenever it is due, and when `watched` breaks. After a device has failed, runs go on from the newest one too. Whoever
    /// keeps the results leaves finished runs out of `asked` when a training is resumed, and removes the checkpoints at the end.
    ///
    /// # Errors
    /// Where the runs do not fit the device, the device fails, or `finished` does; where a checkpoint cannot be read, or belongs
    /// to something else.
    pub fn train(
        &self,
        engine: &dyn Engine,
        asked: &[usize],
        checkpoints: Option<&mut Checkpoints>,
        finished: &mut dyn FnMut(usize, Outcome) -> Result<()>,
        watched: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut recovery = Recovery::new(engine);
        let mut checkpoints = RunCheckpoints::new(checkpoints);
        let mut pending: BTreeSet<usize> = asked.iter().copied().collect();
        checkpoints.read(&pending)?;
        let mut waves = self.waves(engine, &pending, &checkpoints)?;
        let (mut config_steps, mut waiting) = (0, self.steps_of(&waves));
        while let Some(group) = waves.pop_front() {
            let spec = WaveSpec { lanes: group.runs.len(), ..group.spec.clone() };
            let lanes = recovery.lanes(recovery.engine().capacity(&spec)?, 1);
            let (now, later) = group.runs.split_at(lanes);
            let of = |runs: &[usize]| WaveRuns {
                spec: WaveSpec { lanes: runs.len(), ..spec.clone() },
                runs: runs.into(),
                ..group
            };
            let present = of(now);
            if !later.is_empty() {
                waves.push_front(of(later));
            }
            let theirs = self.steps_of([&present]);
            let mut watch = |now: wave::WaveProgress| {
                config_steps += now.steps;
                let left = waiting - theirs + now.left;
                watched(Progress {
                    alive: now.lanes,
                    config_steps,
                    left: Some(&|| StepsLeft::exactly(left)),
                    epoch: Some((now.epoch, self.plan.options.epochs)),
                    mended: recovery.mended(),
                    warnings: now.warnings,
                })
            };
            match wave::train(self, recovery.engine(), &present, &mut checkpoints, &mut watch) {
                Ok(ControlFlow::Continue(outcomes)) => {
                    for (run, outcome) in now.iter().zip(outcomes) {
                        finished(*run, outcome)?;
                        pending.remove(run);
                    }
                    waiting -= theirs;
                }
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) => {
                    recovery.mend(error, lanes, 1)?;
                    checkpoints.read(&pending)?;
                    waves = self.waves(recovery.engine(), &pending, &checkpoints)?;
                    waiting = self.steps_of(&waves);
                }
            }
        }
        Ok(())
    }

    /// Runs that share a wave; those that go on from a checkpoint come first.
    fn waves(
        &self,
        engine: &dyn Engine,
        pending: &BTreeSet<usize>,
        checkpoints: &RunCheckpoints,
    ) -> Result<VecDeque<WaveRuns>, EngineError> {
        let mut waves = Vec::new();
        for (spec, runs) in self.groups(engine, &pending.iter().copied().collect::<Vec<_>>())? {
            let mut by_step: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for run in runs {
                by_step.entry(checkpoints.step(run)).or_default().push(run);
            }
            waves.extend(by_step.into_iter().map(|(step, runs)| WaveRuns { spec: spec.clone(), runs, step }));
        }
        waves.sort_by_key(|group| std::cmp::Reverse(group.step > 0));
        Ok(waves.into())
    }

    /// Steps to come, if no run diverges.
    fn steps_of<'a>(&self, waves: impl IntoIterator<Item = &'a WaveRuns>) -> u64 {
        let of = |group: &WaveRuns| {
            group.runs.len() as u64
                * group.spec.needs.work.gradients as u64
                * (self.pace(group.spec.batch, group.spec.needs.work).updates(self.plan.options.epochs) - group.step)
        };
        waves.into_iter().map(of).fold(0, u64::saturating_add)
    }

    /// Bytes of a checkpoint, about, by engine: most that the runs of one wave write. Two are kept, and a third is written
    /// before the older one is removed.
    ///
    /// # Errors
    /// As [`Engine::capacity`].
    pub fn checkpoint_bytes(&self, engine: &dyn Engine) -> Result<u64, EngineError> {
        let mut most = 0;
        for (spec, runs) in self.groups(engine, &self.all())? {
            let lanes = engine.capacity(&spec)?;
            let bytes = |run: usize| engine.checkpoint_bytes(&WaveSpec { needs: self.needs(run), ..spec.clone() });
            let waves = runs.chunks(lanes).map(|runs| runs.iter().map(|run| bytes(*run)).sum());
            most = waves.fold(most, u64::max);
        }
        Ok(most)
    }

    /// The places of all runs.
    pub fn all(&self) -> Vec<usize> {
        (0..self.runs.len()).collect()
    }

    /// Steps of these runs, if none diverges.
    pub fn config_steps(&self, runs: &[usize]) -> u64 {
        runs.iter()
            .map(|run| self.steps(*run).saturating_mul(self.group(*run).work().pieces.len() as u64))
            .fold(0, u64::saturating_add)
    }

    /// Those of `asked` that can share a wave, with its kind. Those whose gradients have equally many rows do, if the engine has room for
    /// all at once; else those that also need equal room do, so that a long delay takes no lanes from a short one.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where a kind does not fit.
    pub fn groups(&self, engine: &dyn Engine, asked: &[usize]) -> Result<Vec<(WaveSpec, Vec<usize>)>, EngineError> {
        let mut by_kind: BTreeMap<(Option<usize>, WorkShape), Vec<usize>> = BTreeMap::new();
        for &run in asked {
            by_kind.entry((self.rows(run), self.group(run).work_shape())).or_default().push(run);
        }
        let mut groups = Vec::new();
        for ((rows, _), runs) in by_kind {
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
        let needs = runs.iter().map(|run| self.needs(*run)).fold(Needs::default(), Needs::and);
        WaveSpec {
            problem: Arc::clone(&self.problem),
            batch: rows,
            sampling: self.plan.options.sampling,
            minimum: Arc::clone(&zeros),
            direction: zeros,
            lanes: runs.len(),
            together: 1,
            needs,
            block: block(needs.work.gradients),
        }
    }
}
