//! One wave: its lanes go through their epochs together, are looked at on the way, and those that diverge are retired.
//!
//! A run has diverged when a weight or its loss is no longer finite, or when the mean objective of an epoch exceeds
//! [`BLOWN_UP`] times that of its first step. Both depend on its own steps alone, however they are cut into blocks.
//!
//! Not here: which runs share a wave, nor what happens after the device has failed ([`super`]).

use super::checkpoint::Keeper;
use super::sharpness::Sharpness;
use super::task::Training;
use crate::engine::pump::{BLOCK, Pump};
use crate::engine::{Engine, EngineError, Evaluation, Observation, Part, Wave, WaveSpec};
use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Objective of an epoch, relative to that of the first step, at which a run has diverged.
pub const BLOWN_UP: f64 = 1e4;

/// Time that a block should take at most, where a single step does not take longer: a signal is answered after a block.
const BLOCK_TIME: Duration = Duration::from_secs(1);

/// What became of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps made: all, or up to and with the one at which it diverged.
    pub steps: u64,
    pub diverged: bool,
    /// Evaluations, the first of them of the start; those that are not finite left out.
    pub looks: Vec<Look>,
    /// Where it was asked for.
    pub sharpness: Vec<Sharp>,
    /// Of a run that did not diverge.
    pub last: Option<Last>,
}

/// One evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub step: u64,
    pub epoch: u64,
    /// Mean over the steps of the latest epoch of the objective that they saw; none before the first.
    pub objective: Option<f64>,
    pub train: Evaluation,
    pub test: Evaluation,
}

/// Sharpness after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharp {
    pub step: u64,
    pub value: f64,
    pub residual: f64,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// P
    pub weights: Vec<f64>,
    /// Running statistics of batch norms, where they are to be kept.
    pub statistics: Vec<f64>,
}

/// What the host knows of a run in a lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    pub outcome: Outcome,
    /// Objective of its first step.
    pub first: Option<f64>,
    /// Sum over the steps of the present epoch, and mean of the latest whole one.
    pub sum: f64,
    pub objective: Option<f64>,
    /// Eigenvector of the latest sharpness.
    #[serde(skip)]
    pub near: Option<Vec<f64>>,
}

/// How far a wave has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach<'a> {
    /// Lanes that were busy in the last block, and steps that it made, summed over them.
    pub lanes: usize,
    pub steps: u64,
    /// Whole epochs made by every lane.
    pub epoch: u64,
    /// Steps still to come, summed over the lanes.
    pub left: u64,
    /// What a user should know of the checkpoints.
    pub told: &'a [String],
}

/// Runs that share a wave.
#[derive(Clone, Debug)]
pub(super) struct WaveRuns {
    pub spec: WaveSpec,
    /// One for each lane.
    pub runs: Vec<usize>,
    /// Steps that they have made, as the checkpoint has them; 0 where they begin.
    pub step: u64,
}

/// Watches a wave; where it breaks, the wave ends.
pub(super) type Watch<'a> = &'a mut dyn FnMut(Reach) -> ControlFlow<()>;

struct Ride<'a, 'b> {
    training: &'a Training,
    runs: &'a [usize],
    keeper: &'a mut Keeper<'b>,
    sharpness: Option<Sharpness>,
    wave: Box<dyn Wave>,
    lanes: Vec<Lane>,
    /// Steps that every busy lane has made.
    step: u64,
    /// Of an epoch, and in all.
    epoch: u64,
    end: u64,
    /// Steps from one look at sharpness to the next, where there are any before the end.
    track: Option<u64>,
    /// Steps of the next block, at most.
    block: usize,
}

/// Trains the runs of `group`, one in each lane of a wave, from where they are to the end. Makes checkpoints where they are
/// due, and one where `watch` breaks, which ends the wave.
pub(super) fn ride(
    training: &Training,
    engine: &dyn Engine,
    group: &WaveRuns,
    keeper: &mut Keeper,
    watch: Watch,
) -> Result<ControlFlow<(), Vec<Outcome>>> {
    let WaveRuns { spec, runs, step } = group;
    let (rows, step) = (spec.batch, *step);
    let mut wave = engine.open(spec.clone())?;
    let mut lanes = Vec::new();
    for (lane, run) in runs.iter().enumerate() {
        let its = training.run(*run);
        lanes.push(if step == 0 {
            wave.start(lane, its)?;
            Lane::default()
        } else {
            keeper.take(*run, |state| wave.restore(lane, its, step, state))?
        });
    }
    let options = &training.plan.options;
    let (epoch, end) = (training.steps_of_epoch(rows), training.steps(rows));
    let plan = options.sharpness;
    let sharpness = plan.map(|plan| {
        let seed = training.plan.problem.seed_data;
        Sharpness::new(training.network(), plan.samples, rows, seed)
    });
    let track = plan.and_then(|plan| plan.every(end));
    let mut ride = Ride { training, runs, keeper, sharpness, wave, lanes, step, epoch, end, track, block: 1 };
    // Checkpoints are made before a look: what was to be seen after their last step was not seen yet.
    ride.look()?;
    while ride.step < end && ride.lanes.iter().any(|lane| !lane.outcome.diverged) {
        if ride.advance(watch)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        ride.look()?;
    }
    Ok(ControlFlow::Continue(ride.finish()?))
}

impl Ride<'_, '_> {
    /// Steps from one evaluation to the next.
    fn pace(&self) -> u64 {
        self.training.plan.options.evaluate_every.saturating_mul(self.epoch)
    }

    /// Goes on to the next step at which something is to be looked at.
    fn advance(&mut self, watch: Watch) -> Result<ControlFlow<()>> {
        let next = |period: u64| (self.step / period + 1).saturating_mul(period);
        let goal = [Some(next(self.pace())), self.track.map(next)].into_iter().flatten().fold(self.end, u64::min);
        let (mut submitted, mut pump): (u64, Pump<u64>) = (self.step, Pump::default());
        let (mut ended, mut stopped, mut halts) = (Instant::now(), false, false);
        loop {
            pump.fill(self.wave.ahead(), |_| {
                let steps = if halts { 0 } else { (goal - submitted).min(self.block as u64) };
                if steps == 0 {
                    return Ok(None);
                }
                self.wave.submit(steps as usize)?;
                submitted += steps;
                Ok::<_, EngineError>(Some(steps))
            })?;
            match pump.take() {
                Some((_, steps)) => {
                    stopped |= self.collect(steps, watch)?.is_break();
                    halts |= stopped || self.keeper.is_due();
                    self.adapt(ended.elapsed());
                    ended = Instant::now();
                }
                // A checkpoint waits until nothing is in flight.
                None if halts => {
                    self.save(watch)?;
                    if stopped {
                        return Ok(ControlFlow::Break(()));
                    }
                    halts = false;
                }
                None => return Ok(ControlFlow::Continue(())),
            }
        }
    }

    /// Makes blocks longer or shorter after one that took `taken`.
    fn adapt(&mut self, taken: Duration) {
        if taken > BLOCK_TIME {
            self.block = (self.block / 2).max(1);
        } else if taken < BLOCK_TIME / 4 {
            self.block = (2 * self.block).min(BLOCK);
        }
    }

    /// Takes in the oldest block in flight, of `steps` steps.
    fn collect(&mut self, steps: u64, watch: Watch) -> Result<ControlFlow<()>> {
        let seen = self.wave.collect()?;
        let mut lanes = 0;
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.outcome.diverged) {
            lanes += 1;
            seen.lane(index).iter().for_each(|observation| lane.see(observation, self.epoch));
            if lane.outcome.diverged {
                self.wave.retire(index);
            }
        }
        self.step += steps;
        Ok(watch(self.reach(lanes, lanes as u64 * steps)))
    }

    fn reach(&self, lanes: usize, steps: u64) -> Reach<'_> {
        let busy = self.lanes.iter().filter(|lane| !lane.outcome.diverged).count() as u64;
        let (epoch, left) = (self.step / self.epoch, busy * (self.end - self.step));
        Reach { lanes, steps, epoch, left, told: self.keeper.told() }
    }

    /// Makes a checkpoint; nothing is in flight.
    fn save(&mut self, watch: Watch) -> Result<()> {
        let Self { wave, keeper, lanes, runs, step, .. } = self;
        let told = keeper.told().len();
        keeper.write(|content| {
            for (index, (run, lane)) in runs.iter().zip(lanes).enumerate() {
                let over = lane.outcome.diverged;
                content.add(*run, *step, lane, |out| if over { Ok(()) } else { wave.save(index, out) })?;
            }
            Ok(())
        })?;
        if self.keeper.told().len() > told {
            // Whoever stops now must hear of it too.
            let _ = watch(self.reach(0, 0));
        }
        Ok(())
    }

    /// What there is to look at after the present step.
    fn look(&mut self) -> Result<(), EngineError> {
        let last = self.step == self.end;
        if last || self.step.is_multiple_of(self.pace()) {
            self.evaluate()?;
        }
        if last || self.track.is_some_and(|period| self.step.is_multiple_of(period)) {
            self.sharpen()?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), EngineError> {
        let (train, test) = (self.wave.evaluate(Part::Train)?, self.wave.evaluate(Part::Test)?);
        let (step, epoch) = (self.step, self.step / self.epoch);
        for ((lane, train), test) in self.lanes.iter_mut().zip(train).zip(test) {
            if let (false, Some(train), Some(test)) = (lane.outcome.diverged, train, test)
                && train.loss.is_finite()
                && test.loss.is_finite()
            {
                lane.outcome.looks.push(Look { step, epoch, objective: lane.objective, train, test });
            }
        }
        Ok(())
    }

    fn sharpen(&mut self) -> Result<(), EngineError> {
        let Some(sharpness) = &self.sharpness else { return Ok(()) };
        let mut weights = Vec::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            weights.push(if lane.outcome.diverged { None } else { Some(self.wave.weights(index)?) });
        }
        let step = self.step;
        self.lanes.par_iter_mut().zip(weights).for_each(|(lane, weights)| {
            let found = weights.and_then(|weights| sharpness.at(&weights, lane.near.as_deref()));
            if let Some(pair) = found {
                lane.outcome.sharpness.push(Sharp { step, value: pair.value, residual: pair.residual });
                lane.near = Some(pair.vector);
            }
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Outcome>, EngineError> {
        let statistics = self.training.plan.save_weights && self.training.network().model.statistics() > 0;
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.outcome.diverged) {
            let weights = self.wave.weights(index)?;
            let statistics = if statistics { self.wave.statistics(index)? } else { Vec::new() };
            lane.outcome.last = Some(Last { weights, statistics });
        }
        Ok(self.lanes.into_iter().map(|lane| lane.outcome).collect())
    }
}

impl Lane {
    /// Takes in a step, unless it has diverged before.
    fn see(&mut self, observation: &Observation, epoch: u64) {
        let Self { outcome, first, sum, objective, .. } = self;
        if outcome.diverged {
            return;
        }
        outcome.steps += 1;
        let first = *first.get_or_insert(observation.loss);
        *sum += observation.loss;
        outcome.diverged = !observation.finite;
        if outcome.steps.is_multiple_of(epoch) {
            let mean = *sum / epoch as f64;
            outcome.diverged |= mean > BLOWN_UP * first;
            (*objective, *sum) = (Some(mean), 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(losses: &[f64]) -> Lane {
        let mut lane = Lane::default();
        for loss in losses {
            lane.see(&Observation { loss: *loss, finite: loss.is_finite(), ..Observation::default() }, 2);
        }
        lane
    }

    #[test]
    fn a_run_diverges_when_it_is_not_finite_or_its_epoch_blows_up() {
        let calm = seen(&[2.0, 1.0, 0.5, 0.25]);
        assert_eq!((calm.outcome.steps, calm.outcome.diverged, calm.objective), (4, false, Some(0.375)));
        let overflown = seen(&[2.0, 1.0, f64::NAN, 1.0, 1.0]);
        assert_eq!((overflown.outcome.steps, overflown.outcome.diverged, overflown.objective), (3, true, Some(1.5)));
        // One wild step is no divergence, an epoch beyond 1e4 times the start is.
        let wild = seen(&[2.0, 3e4, 5.0, 5.0]);
        assert_eq!((wild.outcome.steps, wild.outcome.diverged), (4, false));
        let blown_up = seen(&[2.0, 1.0, 2.1e4, 2.1e4, 1.0]);
        assert_eq!((blown_up.outcome.steps, blown_up.outcome.diverged), (4, true));
    }
}
