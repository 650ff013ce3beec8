//! A cell of a sweep: everything of a run but its learning rate.
//!
//! Not here: which cells a plan has ([`super::sweep`]).

use crate::config::Batch;
use crate::delay::Schedule;
use crate::outer::{OuterLoop, Work, WorkShape};
use crate::rule::Rule;
use crate::stages::Stages;
use crate::threshold::Criterion;
use serde::Serialize;

/// One row of the threshold table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub rule: Rule,
    pub schedule: Schedule,
    pub delay: Option<u32>,
    pub batch: Batch,
    pub criterion: Criterion,
    #[serde(skip_serializing_if = "OuterLoop::is_plain")]
    pub outer: OuterLoop,
    /// Stages with delays of their own; the schedule is then that of the longest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
}

impl Cell {
    /// As a person would say it; another cell has another name.
    pub fn name(&self) -> String {
        let Self { rule: Rule { momentum, dampening, .. }, schedule, delay, batch, criterion, outer, stages } = self;
        let delay = delay.map_or(String::new(), |delay| format!(" at delay {delay}"));
        format!(
            "{} with momentum {momentum} and dampening {dampening}, {}{delay}, batch {batch}, {criterion}{}{}",
            self.rule.name(),
            schedule.name(),
            outer.name(),
            stages.as_ref().map_or(String::new(), Stages::name)
        )
    }

    /// The gradients of its updates.
    pub fn work(&self) -> Work {
        self.outer.work(self.batch != Batch::Full, self.workers())
    }

    /// Where its gradients are taken, and how many stages go their own ways.
    pub fn work_shape(&self) -> WorkShape {
        let stages = self.stages.as_ref().map_or(1, Stages::count);
        self.work()
            .shape()
            .with_stages(stages, self.stages.as_ref().is_some_and(Stages::is_split))
            .with_matrices(self.rule.companion().is_some())
    }

    /// What the learning rate is multiplied by on the way to the weights along a direction of this curvature, to be the gain of the
    /// rule's equation: the curvature itself, or what local steps cover there. None where an overlap of rounds has no such factor.
    pub fn seen(&self, curvature: f64) -> Option<f64> {
        let weight = self.outer.weight(self.workers());
        let Some(local) = self.outer.local else { return Some(weight * curvature) };
        if self.outer.overlap.is_some_and(|overlap| overlap.weight > 0.0) {
            return None;
        }
        if curvature <= 0.0 {
            return Some(0.0);
        }
        Some(weight * self.outer.round().coverage(local.lr * curvature).ok()?)
    }

    /// Workers of its delay process; slots where it has none.
    pub fn workers(&self) -> u32 {
        self.schedule.workers().unwrap_or(self.schedule.slots())
    }
}
