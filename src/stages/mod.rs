//! Stages stages: blocks of parameters, each with a delay of its own.
//!
//! *What it is:* the settings of a run ([`Stages`]), how they are typed (`text`), which parameters each stage holds (`cuts`), its
//! steps (`steps`), and the rank-one estimate of its threshold (`energies`). *What it is not:* the arithmetic of an update
//! ([`crate::kernels::step`]), nor the threshold on a whole Hessian ([`crate::theory::stages`]).
//!
//! A gradient is taken at a composite point: the parameters of stage i as they were tau_i updates ago (weight stashing). No kernel
//! has to gather it: every update writes the parameters of stage i into the slot that is read tau_i updates later, so that the
//! slot whose turn it is holds the composite point. Without stashing a second ring holds in the same way what backward passes read.
//!
//! Sources: Harlap et al., *PipeDream*, arXiv:1806.03377; Narayanan et al., *Memory-efficient stages-parallel DNN training*
//! (2BW), arXiv:2006.09503; Yang et al., *PipeMare*, arXiv:1910.05124, which leaves the stashing out.

mod cuts;
mod energies;
mod steps;
mod text;

pub use cuts::{NamedLayer, blocks};
pub use energies::{StageEnergies, rank_one};
pub use steps::{Stage, StageRun, StageSteps};
pub use text::{StageCuts, StageDelays, StageLr, StageMomentum};

use crate::rule::Rule;
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;
use text::slashes;

/// Stages of a pipeline, at most.
pub const MOST_STAGES: usize = 1024;

/// The stages of a run, with nothing left open but which parameters they hold. Vectors have one entry for each stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stages {
    /// Updates between reading the parameters of a stage and the update that is made of it.
    pub delays: Vec<u32>,
    /// The same of what backward passes read; none where that is what forward passes have read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward_delays: Option<Vec<u32>>,
    pub lr: StageLr,
    pub momentum: StageMomentum,
    pub cuts: StageCuts,
}

/// The cells that tell of stages in a row of a table, empty where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageColumns {
    pub stages: Option<u32>,
    pub stage_delays: Option<String>,
    pub stage_lr: Option<String>,
    pub stage_momentum: Option<String>,
    pub stage_cuts: Option<String>,
    pub stashing: Option<String>,
    pub backward_delays: Option<String>,
}

impl Stages {
    pub fn count(&self) -> usize {
        self.delays.len()
    }

    /// The longest delay of a stage, forward or backward, updates.
    pub fn longest(&self) -> u32 {
        self.delays.iter().chain(self.backward_delays.iter().flatten()).copied().max().unwrap_or(0)
    }

    /// Whether backward passes read other weights than forward ones.
    pub fn is_split(&self) -> bool {
        self.backward_delays.is_some()
    }

    /// Where the parameters of each stage lie, as [`blocks`].
    ///
    /// # Errors
    /// As [`blocks`].
    pub fn blocks(&self, layers: &[NamedLayer], parameters: usize) -> Result<Vec<Range<usize>>, String> {
        blocks(layers, parameters, self.count(), &self.cuts)
    }

    /// What the learning rate of a stage is multiplied by.
    pub fn lr_factor(&self, stage: usize) -> f64 {
        self.lr.at(stage, &self.delays)
    }

    /// The rule of a stage, with its momentum.
    pub fn rule(&self, rule: &Rule, stage: usize) -> Rule {
        let momentum = self.momentum.at(stage, &self.delays, rule.momentum);
        // A dampening by the momentum goes with it.
        let is_average = rule.momentum > 0.0 && rule.dampening == rule.momentum;
        let dampening = if is_average { momentum } else { rule.dampening };
        Rule { momentum, dampening, ..*rule }
    }

    /// The stages of a run of `rule`, whose parameters lie in `blocks`.
    pub fn of_run(&self, rule: &Rule, blocks: &[Range<usize>]) -> Arc<[Stage]> {
        let stage = |(stage, block): (usize, &Range<usize>)| Stage {
            end: block.end,
            delay: self.delays[stage],
            backward_delay: self.backward_delays.as_ref().map(|delays| delays[stage]),
            rule: self.rule(rule, stage),
            lr: self.lr_factor(stage),
        };
        blocks.iter().enumerate().map(stage).collect()
    }

    /// As tables write it.
    pub fn columns(&self) -> StageColumns {
        StageColumns {
            stages: Some(self.count() as u32),
            stage_delays: Some(slashes(&self.delays)),
            stage_lr: (self.lr != StageLr::Same).then(|| self.lr.to_string()),
            stage_momentum: (self.momentum != StageMomentum::Same).then(|| self.momentum.to_string()),
            stage_cuts: (self.cuts != StageCuts::ByParameters).then(|| self.cuts.to_string()),
            stashing: self.is_split().then(|| "off".to_owned()),
            backward_delays: self.backward_delays.as_deref().map(slashes),
        }
    }

    /// As a person would say it, after a comma; other stages have another name.
    pub fn name(&self) -> String {
        let StageColumns { stage_delays, stage_lr, stage_momentum, stage_cuts, backward_delays, .. } = self.columns();
        let part =
            |words: &str, value: Option<String>| value.map_or(String::new(), |value| format!(", {words} {value}"));
        format!(
            "{}{}{}{}{}",
            part("stage delays", stage_delays),
            part("stage learning rates times", stage_lr),
            part("stage momenta", stage_momentum),
            part("cut at", stage_cuts),
            part("backward delays", backward_delays)
        )
    }
}
