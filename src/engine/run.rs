//! A run as engines take it, and what it needs room for.
//!
//! Not here: its steps ([`super::host_run`]).

use super::WaveSpec;
use super::blocks::{Block, blocks};
use crate::delay::Schedule;
use crate::outer::{OuterLoop, Work, WorkShape};
use crate::rule::Rule;
use crate::rule::regime::LearningRate;
use crate::rule::steps::StepSource;
use crate::stages::{Stage, StageRun, StageSteps};
use std::sync::Arc;

/// One simulated training.
#[derive(Clone, Debug)]
pub struct Run {
    pub rule: Rule,
    pub lr: LearningRate,
    pub schedule: Schedule,
    /// Seed of the minibatch order and of the delay process.
    pub seed: u64,
    /// x_0, P: the server weights and every slot start here; velocities start at 0.
    pub start: Arc<Vec<f64>>,
    /// Running statistics to start with; those of a model that has seen nothing where `None`.
    pub statistics: Option<Arc<Vec<f64>>>,
    /// Whether the gradient of each minibatch at the minimum is subtracted from its gradient.
    pub centred: bool,
    /// Whether the first gradient of every velocity enters it undamped ([`crate::rule::Arrival::undamped`]), as a training does
    /// that follows PyTorch. Stability does not depend on it.
    pub undamped_start: bool,
    /// Second moments that stay what they are, P, with bias correction, of a rule of Adam's kind; its bias corrections are then
    /// over from the start. None where they follow the gradients.
    pub second_moment: Option<Arc<Vec<f64>>>,
    /// What stands between a worker's read and the gradient that is applied.
    pub outer: OuterLoop,
    /// Stages of a pipeline, whose delays take the place of the schedule's: that has as many slots as the longest of them needs.
    /// Empty where all parameters go together.
    pub stages: Arc<[Stage]>,
}

impl Run {
    /// The gradients of an update; `minibatch`: whether they are taken of some rows alone.
    pub(super) fn work(&self, minibatch: bool) -> Work {
        self.outer.work(minibatch, self.schedule.workers().unwrap_or(self.schedule.slots()))
    }

    /// What it needs room for; `minibatch`: whether gradients are taken of some rows alone.
    pub fn needs(&self, minibatch: bool) -> Needs {
        let is_split = self.stages.iter().any(|stage| stage.backward_delay.is_some());
        let shape = self.work(minibatch).shape().with_stages(self.stages.len(), is_split);
        Needs::of(&self.rule, &self.schedule, self.centred).with(shape)
    }

    /// Where the parameters of each stage end in the flat vector.
    pub(super) fn ends(&self, spec: &WaveSpec) -> Vec<usize> {
        match (self.blocks(spec), self.stages.is_empty()) {
            (blocks, true) if !blocks.is_empty() => blocks.iter().map(|block| block.end).collect(),
            (_, true) => vec![spec.problem.dimension()],
            (_, false) => self.stages.iter().map(|stage| stage.end).collect(),
        }
    }

    /// Its blocks, where its rule moves hidden matrices as wholes; else none.
    pub(super) fn blocks(&self, spec: &WaveSpec) -> Vec<Block> {
        if self.rule.companion().is_some() { blocks(&spec.problem) } else { Vec::new() }
    }

    /// Steps of the parameters that are no hidden matrices, where they have some of their own.
    pub(super) fn companion_steps(&self, spec: &WaveSpec) -> Option<StepSource> {
        let (rule, lr) = self.rule.companion()?;
        let lr = LearningRate { base: lr, ..self.lr.clone() };
        Some(StepSource::new(rule, lr, &self.schedule, self.seed, spec.problem.weight_decay(), self.centred))
    }

    /// None where all parameters go together.
    pub(super) fn stage_steps(&self, spec: &WaveSpec) -> Option<StageSteps> {
        let run = StageRun {
            lr: self.lr.clone(),
            seed: self.seed,
            weight_decay: spec.problem.weight_decay(),
            centred: self.centred,
            undamped_start: self.undamped_start,
        };
        (!self.stages.is_empty()).then(|| StageSteps::new(&self.stages, self.schedule.slots() as usize, &run))
    }

    /// Running statistics at the start.
    pub(super) fn statistics(&self, spec: &WaveSpec) -> Vec<f64> {
        self.statistics.as_ref().map_or_else(|| spec.problem.fresh_statistics(), |statistics| statistics.to_vec())
    }

    pub(super) fn steps(&self, spec: &WaveSpec) -> StepSource {
        let (lr, decay) = (self.lr.clone(), spec.problem.weight_decay());
        let source = StepSource::new(self.rule, lr, &self.schedule, self.seed, decay, self.centred);
        let source = if self.undamped_start { source.with_undamped_start() } else { source };
        if self.second_moment.is_some() { source.with_frozen_second_moment() } else { source }
    }
}

/// What runs need room for beyond their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Slots of the history ring.
    pub slots: usize,
    /// A velocity for every slot.
    pub slot_velocity: bool,
    /// A second moment of every parameter.
    pub second_moment: bool,
    /// A second moment for every slot.
    pub slot_second_moment: bool,
    /// Gradients that are gone over before they are applied ([`crate::kernels::finish`]).
    pub finish: bool,
    /// The gradient of every batch at the minimum.
    pub centred: bool,
    /// Loss and accuracy over the whole data, of which [`super::Wave::evaluate`] tells.
    pub evaluation: bool,
    /// The gradients of an update; the same for all runs of a wave.
    pub work: WorkShape,
}

impl Needs {
    pub fn of(rule: &Rule, schedule: &Schedule, centred: bool) -> Self {
        Self {
            slots: schedule.slots() as usize,
            slot_velocity: rule.definition().slot_velocity,
            second_moment: rule.has_second_moment(),
            slot_second_moment: rule.has_slot_second_moment(),
            finish: centred || rule.wants_finish(),
            centred,
            evaluation: false,
            work: WorkShape::default().with_matrices(rule.companion().is_some()),
        }
    }

    /// The same for updates of several gradients.
    #[must_use]
    pub fn with(self, work: WorkShape) -> Self {
        Self { work: work.with_matrices(self.work.is_spectral), ..self }
    }

    /// Room for both.
    pub fn and(self, other: Self) -> Self {
        Self {
            slots: self.slots.max(other.slots),
            slot_velocity: self.slot_velocity || other.slot_velocity,
            second_moment: self.second_moment || other.second_moment,
            slot_second_moment: self.slot_second_moment || other.slot_second_moment,
            finish: self.finish || other.finish,
            centred: self.centred || other.centred,
            evaluation: self.evaluation || other.evaluation,
            work: self.work.and(other.work),
        }
    }

    /// Versions of the weights that a lane keeps: the slots of its ring, of another one for backward passes that read other
    /// weights, and behind them its local weights and a sum.
    pub fn versions(&self) -> usize {
        self.slots * (1 + usize::from(self.work.is_split)) + self.work.extra_slots
    }

    /// Velocities that a lane keeps.
    pub fn velocities(&self) -> usize {
        if self.slot_velocity { self.slots } else { 1 }
    }

    /// Second moments that a lane keeps.
    pub fn second_moments(&self) -> usize {
        match (self.slot_second_moment, self.second_moment) {
            (true, _) => self.slots,
            (false, kept) => usize::from(kept),
        }
    }

    /// Vectors as long as the weights that a lane's rule remembers: velocities and second moments.
    pub fn memories(&self) -> usize {
        self.velocities() + self.second_moments()
    }
}
