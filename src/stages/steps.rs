//! The steps of a run's stages: which slots each of them reads and writes, and its rule's coefficients.
//!
//! A stage is a run of its own but for the gradient: its rule sees the delay of the stage, and so does everything that depends on
//! one, as the horizon of a weight prediction. Not here: the gradient ([`crate::engine`]).

use crate::delay::Schedule;
use crate::rule::Rule;
use crate::rule::regime::LearningRate;
use crate::rule::steps::StepSource;
use crate::update::{PartialUpdate, StepSlots};

/// A stage of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Where its parameters end in the flat vector; they begin where those of the stage before end.
    pub end: usize,
    /// Updates between reading its parameters and the update that is made of it.
    pub delay: u32,
    /// The same of what backward passes read, where that is something else.
    pub backward_delay: Option<u32>,
    pub rule: Rule,
    /// What the learning rate is multiplied by.
    pub lr: f64,
}

/// What the stages of a run share in their steps.
#[derive(Clone, Debug)]
pub struct StageRun {
    pub lr: LearningRate,
    pub seed: u64,
    pub weight_decay: f64,
    pub centred: bool,
    pub undamped_start: bool,
}

/// The steps of all stages of a run, one after the other.
#[derive(Clone, Debug)]
pub struct StageSteps {
    /// Slots of a ring: one more than the longest delay.
    slots: usize,
    stages: Vec<StageSource>,
}

#[derive(Clone, Debug)]
struct StageSource {
    delay: usize,
    backward_delay: Option<usize>,
    source: StepSource,
}

impl StageSteps {
    /// The steps in rings of so many slots.
    pub fn new(stages: &[Stage], slots: usize, run: &StageRun) -> Self {
        let source = |stage: &Stage| {
            let schedule = Schedule::round_robin(stage.delay);
            let StageRun { lr, seed, weight_decay, centred, undamped_start } = run.clone();
            let source = StepSource::new(stage.rule, lr, &schedule, seed, weight_decay, centred).scaled(stage.lr);
            StageSource {
                delay: stage.delay as usize,
                backward_delay: stage.backward_delay.map(|delay| delay as usize),
                source: if undamped_start { source.with_undamped_start() } else { source },
            }
        };
        Self { slots, stages: stages.iter().map(source).collect() }
    }

    /// Fills `updates` with the next update of every stage, and returns the slot that its backward pass reads, where that is
    /// another than the slot of `step`, whose turn it is.
    pub fn advance(&mut self, step: &StepSlots, updates: &mut Vec<PartialUpdate>) -> Option<usize> {
        let Self { slots, stages } = self;
        // Read `delay` updates after the next one begins.
        let later = |delay: usize| (step.read + 1 + delay) % *slots;
        updates.clear();
        updates.extend(stages.iter_mut().map(|stage| {
            let own = stage.source.advance();
            let slots = StepSlots {
                read: step.read,
                write: later(stage.delay),
                backward_write: stage.backward_delay.map(|delay| *slots + later(delay)),
                // Velocities are those of the stage's own workers.
                velocity: own.slots.velocity,
                velocity_read: own.slots.read,
                newest: own.slots.newest,
            };
            PartialUpdate { slots, coefficients: own.coefficients }
        }));
        stages.iter().any(|stage| stage.backward_delay.is_some()).then_some(*slots + step.read)
    }

    /// The same past, another future: later draws come from `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.stages.iter_mut().for_each(|stage| stage.source.reseed(seed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Along one step of a run after the other: the slot whose turn it is holds for each stage what was written as many updates
    /// ago as the stage is late.
    #[test]
    fn the_slot_whose_turn_it_is_holds_every_stage_as_late_as_it_is() {
        let stage = |delay, backward_delay| Stage { end: 0, delay, backward_delay, rule: Rule::SGD, lr: 1.0 };
        let stages = [stage(3, Some(0)), stage(0, Some(2)), stage(1, Some(1))];
        let slots = 4;
        let run =
            StageRun { lr: LearningRate::from(0.1), seed: 0, weight_decay: 0.0, centred: false, undamped_start: false };
        let mut steps = StageSteps::new(&stages, slots, &run);
        // By slot and stage: the number of the version that lies there.
        let mut ring = vec![[0usize; 3]; 2 * slots];
        let mut updates = Vec::new();
        for step in 0..40 {
            let read = step % slots;
            let at = StepSlots { read, write: 0, velocity: 0, velocity_read: 0, newest: 0, backward_write: None };
            let backward = steps.advance(&at, &mut updates).unwrap();
            for (number, Stage { delay, backward_delay, .. }) in stages.iter().enumerate() {
                let late = |delay: u32| step.saturating_sub(delay as usize);
                assert_eq!(ring[read][number], late(*delay), "stage {number} at step {step}");
                assert_eq!(
                    ring[backward][number],
                    late(backward_delay.unwrap()),
                    "stage {number} at step {step}, back"
                );
                let PartialUpdate { slots, .. } = updates[number];
                ring[slots.write][number] = step + 1;
                ring[slots.backward_write.unwrap()][number] = step + 1;
            }
        }
    }
}
