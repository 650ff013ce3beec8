//! The steps of a run: a delay process and a rule together, as the slots and the coefficients of every step.
//!
//! Made on the host and followed by every engine. Not here: the arithmetic of a step ([`crate::kernels`]).

use super::regime::LearningRate;
use super::{Arrival, Rule};
use crate::delay::{Schedule, SlotStream, Slots};
use crate::update::{Form, StepSlots, UpdateCoefficients};

/// One step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunStep {
    pub slots: StepSlots,
    pub coefficients: UpdateCoefficients,
    /// Updates made between reading the weights and now.
    pub age: u64,
}

impl RunStep {
    /// Whether its gradient is used at all.
    pub fn applies(&self) -> bool {
        self.coefficients.gradient_to_velocity != 0.0 || self.coefficients.gradient_to_weights != 0.0
    }
}

/// Updates after which no bias correction is left.
const LONG: u64 = u64::MAX / 4;

/// The steps of one run, one after the other.
#[derive(Clone, Debug)]
pub struct StepSource {
    rule: Rule,
    lr: LearningRate,
    /// What learning rates are multiplied by.
    factor: f64,
    /// Whether second moments stay what they are and bias corrections are over.
    frozen: bool,
    /// Steps made.
    step: u64,
    weight_decay: f64,
    centred: bool,
    /// By velocity: whether its next gradient is its first, and enters undamped. Empty where all gradients are dampened.
    untouched: Vec<bool>,
    stream: SlotStream,
    workers: u32,
    mean_delay: f64,
    /// Updates that the server had made when it wrote each slot.
    versions: Vec<u64>,
    /// By slot: steps behind its state, where the rule mixes states.
    state_steps: Vec<f64>,
    /// Slot that was written last.
    newest: usize,
    updates: u64,
    tally: u64,
}

impl StepSource {
    /// `weight_decay` is that of the problem; `centred` whether the gradient at the minimum is to be subtracted.
    pub fn new(rule: Rule, lr: LearningRate, schedule: &Schedule, seed: u64, weight_decay: f64, centred: bool) -> Self {
        let slots = schedule.slots();
        Self {
            rule,
            lr,
            factor: 1.0,
            frozen: false,
            step: 0,
            weight_decay,
            centred,
            untouched: Vec::new(),
            stream: schedule.start(seed),
            workers: schedule.workers().unwrap_or(slots),
            mean_delay: schedule.mean_delay(),
            versions: vec![0; slots as usize],
            state_steps: vec![0.0; slots as usize],
            newest: 0,
            updates: 0,
            tally: 0,
        }
    }

    /// The same steps, but that the first gradient of every velocity enters it undamped ([`Arrival::undamped`]).
    #[must_use]
    pub fn with_undamped_start(self) -> Self {
        let velocities = if self.rule.definition().slot_velocity { self.versions.len() } else { 1 };
        Self { untouched: vec![true; velocities], ..self }
    }

    /// The same steps with a second moment that stays what the lane begins with, taken as it is, and with bias corrections that are over.
    #[must_use]
    pub fn with_frozen_second_moment(self) -> Self {
        Self { frozen: true, ..self }
    }

    /// The same steps at learning rates that are `factor` times as large.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// The next step.
    pub fn advance(&mut self) -> RunStep {
        let Slots { read, write } = self.stream.next();
        let (read, write) = (read as usize, write as usize);
        let age = self.updates - self.versions[read];
        let definition = self.rule.definition();
        let velocity = if definition.slot_velocity { write } else { 0 };
        let arrival = Arrival {
            age,
            updates: if self.frozen { LONG } else { self.updates },
            workers: self.workers,
            mean_delay: self.mean_delay,
            undamped: self.untouched.get(velocity).copied().unwrap_or(false),
            state_steps: self.state_steps[read],
        };
        let action = self.rule.act(&arrival, &mut self.tally);
        self.updates += u64::from(action.moves_weights);
        self.versions[write] = self.updates;

        let mut coefficients = action.coefficients;
        if let Form::Adam { second_moment_decay, bias_correction, .. } = &mut coefficients.form
            && self.frozen
        {
            (*second_moment_decay, *bias_correction) = (1.0, 1.0);
        }
        if coefficients.gradient_to_velocity != 0.0
            && let Some(untouched) = self.untouched.get_mut(velocity)
        {
            *untouched = false;
        }
        coefficients.lr *= self.factor * self.lr.at(self.step);
        self.step += 1;
        coefficients.centred = self.centred;
        // Decoupled decay takes the place of the one in the gradient, and where `finish` goes over the gradient it adds it.
        let decoupled = coefficients.decoupled_decay > 0.0;
        coefficients.decoupled_decay *= coefficients.lr * self.weight_decay;
        if decoupled && self.weight_decay > 0.0 {
            // Too small to move a weight: `finish` sees by it that the decay is decoupled, also where the learning rate is 0.
            coefficients.decoupled_decay = coefficients.decoupled_decay.max(f64::from(f32::MIN_POSITIVE));
        }
        coefficients.decay = if decoupled || coefficients.wants_finish() { 0.0 } else { self.weight_decay };
        let newest = std::mem::replace(&mut self.newest, write);
        if let Some(share) = coefficients.form.share() {
            let before = self.state_steps[newest];
            self.state_steps[write] = before + share * (self.state_steps[read] + 1.0 - before);
        }
        RunStep {
            slots: StepSlots { read, write, velocity, velocity_read: read, newest, backward_write: None },
            coefficients,
            age,
        }
    }

    /// The same past, another future: later draws come from `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.stream.reseed(seed);
    }
}
