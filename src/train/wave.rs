//! One wave of a training: its runs go through their epochs together and are evaluated on the way; those that diverge are
//! retired, and checkpoints are made between two blocks of steps.
//!
//! Not here: which runs share a wave, nor what happens after the device has failed ([`super`]).

use super::checkpoint::{RunCheckpoints, add};
use super::outcome::{EvaluationRecord, FinalWeights, GeneralisedRecord, Outcome, RunInProgress, SharpnessRecord};
use super::sharpness::Sharpness;
use super::task::{Pace, Training};
use crate::curvature::generalised::{Ball, Generalised};
use crate::engine::pump::Pump;
use crate::engine::{Engine, EngineError, Part, Wave, WaveSpec};
use crate::plan::SharpnessPlan;
use anyhow::Result;
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Time that a block should take at most, where a single step does not take longer: a signal is answered after a block.
const BLOCK_TIME: Duration = Duration::from_secs(1);

/// How far a wave has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaveProgress<'a> {
    /// Lanes that were busy in the last block, and steps that it made, summed over them.
    pub lanes: usize,
    pub steps: u64,
    /// Whole epochs made by every lane.
    pub epoch: u64,
    /// Steps still to come, summed over the lanes.
    pub left: u64,
    /// What a user should know of the checkpoints.
    pub warnings: &'a [String],
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
pub(super) type Watch<'a> = &'a mut dyn FnMut(WaveProgress) -> ControlFlow<()>;

struct WaveTraining<'a, 'b> {
    training: &'a Training,
    runs: &'a [usize],
    checkpoints: &'a mut RunCheckpoints<'b>,
    sharpness: Option<Sharpness>,
    /// The samples of preconditioned sharpness, with their weight decay and without.
    preconditioned: Option<[Sharpness; 2]>,
    /// Those of generalised sharpness, alike.
    generalised: Option<[Sharpness; 2]>,
    wave: Box<dyn Wave>,
    /// One for each lane.
    progress: Vec<RunInProgress>,
    /// Steps that every busy lane has made.
    step: u64,
    pace: Pace,
    /// Gradients of an update.
    gradients: u64,
    /// Updates over which the objective is averaged: those of an epoch.
    averaged: u64,
    /// Steps of a run.
    end: u64,
    /// Steps from one evaluation to the next.
    evaluation_period: u64,
    /// Steps from one sharpness to the next, where it is tracked.
    sharpness_period: Option<u64>,
    preconditioned_period: Option<u64>,
    generalised_period: Option<u64>,
    /// Steps of the next block, at most.
    block: usize,
    /// The same whatever they take.
    longest: usize,
}

/// Trains the runs of `group`, one in each lane of a wave, from where they are to the end. Makes checkpoints where they are
/// due, and one where `watch` breaks, which ends the wave.
pub(super) fn train(
    training: &Training,
    engine: &dyn Engine,
    group: &WaveRuns,
    checkpoints: &mut RunCheckpoints,
    watch: Watch,
) -> Result<ControlFlow<(), Vec<Outcome>>> {
    let WaveRuns { spec, runs, step } = group;
    let (rows, step) = (spec.batch, *step);
    let mut wave = engine.open(spec.clone())?;
    let mut progress = Vec::new();
    for (lane, index) in runs.iter().enumerate() {
        let run = training.run(*index);
        progress.push(if step == 0 {
            wave.start(lane, run)?;
            RunInProgress::default()
        } else {
            checkpoints.take(*index, |state| wave.restore(lane, run, step, state))?
        });
    }
    let (options, seed) = (&training.plan.options, training.plan.problem.seed_data);
    let pace = training.pace(rows, spec.needs.work);
    let end = pace.updates(options.epochs);
    let taken = |plan: SharpnessPlan| Sharpness::new(training.network(), plan.samples, rows, seed);
    let both = |with_decay: Sharpness| {
        let without = with_decay.without_decay();
        [with_decay, without]
    };
    let mut training = WaveTraining {
        training,
        runs,
        checkpoints,
        sharpness: options.sharpness.map(taken),
        preconditioned: options.preconditioned.map(taken).map(both),
        generalised: options.generalised.map(taken).map(both),
        wave,
        progress,
        step,
        pace,
        gradients: spec.needs.work.gradients as u64,
        averaged: pace.updates(1),
        end,
        evaluation_period: pace.updates(options.evaluate_every),
        sharpness_period: options.sharpness.and_then(|plan| plan.every(end)),
        preconditioned_period: options.preconditioned.and_then(|plan| plan.every(end)),
        generalised_period: options.generalised.and_then(|plan| plan.every(end)),
        block: 1,
        longest: spec.block,
    };
    // A checkpoint is made before what is due after its last step.
    training.measure()?;
    while training.step < end && training.progress.iter().any(RunInProgress::goes_on) {
        if training.advance(watch)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        training.measure()?;
    }
    Ok(ControlFlow::Continue(training.finish()?))
}

impl WaveTraining<'_, '_> {
    /// Goes on to the next step after which something is measured.
    fn advance(&mut self, watch: Watch) -> Result<ControlFlow<()>> {
        let next = |period: u64| (self.step / period + 1).saturating_mul(period);
        let tracked = [self.sharpness_period, self.preconditioned_period, self.generalised_period];
        let periods = [Some(self.evaluation_period)].into_iter().chain(tracked);
        let goal = periods.flatten().map(next).fold(self.end, u64::min);
        let (mut submitted, mut pump): (u64, Pump<u64>) = (self.step, Pump::default());
        let (mut since, mut stops, mut saves) = (Instant::now(), false, false);
        loop {
            pump.fill(self.wave.ahead(), |_| {
                let steps = if saves { 0 } else { (goal - submitted).min(self.block as u64) };
                if steps == 0 {
                    return Ok(None);
                }
                self.wave.submit(steps as usize)?;
                submitted += steps;
                Ok::<_, EngineError>(Some(steps))
            })?;
            match pump.take() {
                Some((_, steps)) => {
                    stops |= self.collect(steps, watch)?.is_break();
                    saves |= stops || self.checkpoints.is_due();
                    self.adapt_block(since.elapsed());
                    since = Instant::now();
                }
                // A checkpoint waits until nothing is in flight.
                None if saves => {
                    self.save(watch)?;
                    if stops {
                        return Ok(ControlFlow::Break(()));
                    }
                    saves = false;
                }
                None => return Ok(ControlFlow::Continue(())),
            }
        }
    }

    /// Makes blocks longer or shorter after one that took `taken`.
    fn adapt_block(&mut self, taken: Duration) {
        if taken > BLOCK_TIME {
            self.block = (self.block / 2).max(1);
        } else if taken < BLOCK_TIME / 4 {
            self.block = (2 * self.block).min(self.longest);
        }
    }

    /// Takes in the oldest block in flight, of `steps` steps.
    fn collect(&mut self, steps: u64, watch: Watch) -> Result<ControlFlow<()>> {
        let seen = self.wave.collect()?;
        let mut lanes = 0;
        for (lane, run) in self.progress.iter_mut().enumerate().filter(|(_, run)| run.goes_on()) {
            lanes += 1;
            seen.lane(lane).iter().for_each(|observation| run.observe(observation, self.averaged));
            if run.outcome.diverged {
                self.wave.retire(lane);
            }
        }
        self.step += steps;
        Ok(watch(self.wave_progress(lanes, lanes as u64 * steps * self.gradients)))
    }

    fn wave_progress(&self, lanes: usize, steps: u64) -> WaveProgress<'_> {
        let busy = self.progress.iter().filter(|run| run.goes_on()).count() as u64;
        let (epoch, left) = (self.pace.epochs(self.step) as u64, busy * (self.end - self.step) * self.gradients);
        WaveProgress { lanes, steps, epoch, left, warnings: self.checkpoints.warnings() }
    }

    /// Makes a checkpoint; nothing is in flight.
    fn save(&mut self, watch: Watch) -> Result<()> {
        let Self { wave, checkpoints, progress, runs, step, .. } = self;
        let warnings = checkpoints.warnings().len();
        checkpoints.write(|content| {
            for (lane, (index, run)) in runs.iter().zip(progress).enumerate() {
                let goes_on = run.goes_on();
                add(content, *index, *step, run, |out| if goes_on { wave.save(lane, out) } else { Ok(()) })?;
            }
            Ok(())
        })?;
        if self.checkpoints.warnings().len() > warnings {
            // Whoever stops now must hear of it too.
            let _ = watch(self.wave_progress(0, 0));
        }
        Ok(())
    }

    /// Measures what is due after the present step.
    fn measure(&mut self) -> Result<(), EngineError> {
        let last = self.step == self.end;
        if last || self.step.is_multiple_of(self.evaluation_period) {
            self.evaluate()?;
        }
        let is_due = |period: Option<u64>| last || period.is_some_and(|period| self.step.is_multiple_of(period));
        let (plain, preconditioned) = (is_due(self.sharpness_period), is_due(self.preconditioned_period));
        let generalised = is_due(self.generalised_period);
        if plain {
            self.measure_sharpness()?;
        }
        if preconditioned {
            self.measure_preconditioned()?;
        }
        if generalised {
            self.measure_generalised()?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), EngineError> {
        let (train, test) = (self.wave.evaluate(Part::Train)?, self.wave.evaluate(Part::Test)?);
        let (step, epoch) = (self.step, self.pace.epochs(self.step) as u64);
        for ((run, train), test) in self.progress.iter_mut().zip(train).zip(test) {
            if let (true, Some(train), Some(test)) = (run.goes_on(), train, test)
                && train.loss.is_finite()
                && test.loss.is_finite()
            {
                let objective = run.objective;
                run.outcome.evaluations.push(EvaluationRecord { step, epoch, objective, train, test });
            }
        }
        Ok(())
    }

    fn measure_sharpness(&mut self) -> Result<(), EngineError> {
        let Some(sharpness) = &self.sharpness else { return Ok(()) };
        let mut weights = Vec::new();
        for (lane, run) in self.progress.iter().enumerate() {
            weights.push(if run.goes_on() { Some(self.wave.weights(lane)?) } else { None });
        }
        let step = self.step;
        self.progress.par_iter_mut().zip(weights).for_each(|(run, weights)| {
            let found = weights.and_then(|weights| sharpness.at(&weights, run.eigenvector.as_deref()));
            if let Some(pair) = found {
                run.outcome.sharpness.push(SharpnessRecord::new(step, &pair));
                run.eigenvector = Some(pair.vector);
            }
        });
        Ok(())
    }

    /// Before the first update there is no second moment to divide by, and nothing is measured.
    fn measure_preconditioned(&mut self) -> Result<(), EngineError> {
        let Some([with_decay, without_decay]) = &self.preconditioned else { return Ok(()) };
        let mut states = Vec::new();
        for (lane, (run, index)) in self.progress.iter().zip(self.runs).enumerate() {
            let rule = &self.training.group(*index).rule;
            states.push(match rule.second_moment_scale(self.step).filter(|_| run.goes_on()) {
                Some(scale) => {
                    let sharpness = if rule.has_decoupled_decay() { without_decay } else { with_decay };
                    let root = scale.inverse_root(&self.wave.second_moment(lane)?);
                    Some((sharpness, self.wave.weights(lane)?, root))
                }
                None => None,
            });
        }
        let step = self.step;
        self.progress.par_iter_mut().zip(states).for_each(|(run, state)| {
            let near = run.preconditioned_eigenvector.as_deref();
            let found = state.and_then(|(sharpness, weights, root)| sharpness.preconditioned_at(&weights, &root, near));
            if let Some(pair) = found {
                run.outcome.preconditioned.push(SharpnessRecord::new(step, &pair));
                run.preconditioned_eigenvector = Some(pair.vector);
            }
        });
        Ok(())
    }

    fn measure_generalised(&mut self) -> Result<(), EngineError> {
        let Some([with_decay, without_decay]) = &self.generalised else { return Ok(()) };
        let model = &self.training.network().model;
        let (parameters, matrices) = (self.training.network().dimension(), model.hidden_matrices());
        let mut states = Vec::new();
        for (lane, (run, index)) in self.progress.iter().zip(self.runs).enumerate() {
            let rule = &self.training.group(*index).rule;
            let sharpness = if rule.has_decoupled_decay() { without_decay } else { with_decay };
            let ball = Ball::of(rule, parameters, &matrices).filter(|_| run.goes_on());
            states.push(match ball {
                Some(ball) => Some((sharpness, ball, self.wave.weights(lane)?)),
                None => None,
            });
        }
        let step = self.step;
        self.progress.par_iter_mut().zip(states).for_each(|(run, state)| {
            let near = run.direction.as_deref();
            let found = state.and_then(|(sharpness, ball, weights)| sharpness.generalised_at(&weights, &ball, near));
            if let Some(Generalised { lower, upper, direction }) = found {
                run.outcome.generalised.push(GeneralisedRecord { step, lower, upper });
                run.direction = Some(direction);
            }
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Outcome>, EngineError> {
        let statistics = self.training.plan.save_weights && self.training.network().model.statistics() > 0;
        for (lane, run) in self.progress.iter_mut().enumerate().filter(|(_, run)| run.goes_on()) {
            let weights = self.wave.weights(lane)?;
            let statistics = if statistics { self.wave.statistics(lane)? } else { Vec::new() };
            let rule = &self.training.group(self.runs[lane]).rule;
            let scale = rule.second_moment_scale(self.step).filter(|_| self.training.plan.save_state);
            let second_moment = match scale {
                Some(scale) => self.wave.second_moment(lane)?.iter().map(|v| scale.bias_correction * v).collect(),
                None => Vec::new(),
            };
            run.outcome.last = Some(FinalWeights { weights, statistics, second_moment });
        }
        Ok(self.progress.into_iter().map(|run| run.outcome).collect())
    }
}
