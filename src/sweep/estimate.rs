//! Gradients, or steps of one gradient, that a sweep is expected to take still: what is left of the runs in flight, the runs in waiting, the rounds that each
//! search has before it, and the cells that no search has begun.
//!
//! The expectations of [`crate::cost`] are corrected by how much the runs that have ended differed from theirs. Not here:
//! seconds ([`crate::session::progress`]), nor any result.

use crate::cost;
use crate::plan::{Cell, SweepPlan};
use crate::session::progress::StepsLeft;
use crate::threshold::{Criterion, Trial};
use std::collections::BTreeMap;

/// Ended runs that the expectation weighs as much as.
const TRUST: f64 = 4.0;

/// Standard deviation of the steps of one trial, relative to their mean: those of ensembles have a long tail.
const SPREAD: [f64; 2] = [0.5, 1.2];

/// The mean itself is not known better than this factor.
const BIAS: f64 = 1.3;

/// Runs of one kind: by one criterion, in the first round of their searches or a later one.
type RunKind = (Criterion, bool);

/// How much runs that have ended differed from what was expected of them.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// Trials, and the sum of actual over expected steps.
    seen: BTreeMap<RunKind, (f64, f64)>,
}

impl Experience {
    pub fn add(&mut self, plan: &SweepPlan, cell: &Cell, first: bool, trial: &Trial) {
        let (count, sum) = self.seen.entry((cell.criterion, first)).or_default();
        *count += 1.0;
        *sum += trial.steps as f64 / cost::steps_of_trial(plan, cell, first);
    }

    /// Expected steps of one run.
    fn steps(&self, plan: &SweepPlan, cell: &Cell, first: bool) -> f64 {
        let (count, sum) = self.seen.get(&(cell.criterion, first)).copied().unwrap_or_default();
        cost::steps_of_trial(plan, cell, first) * (sum + TRUST) / (count + TRUST)
    }
}

/// Adds up what is left.
pub struct Estimate<'a> {
    plan: &'a SweepPlan,
    experience: &'a Experience,
    mean: f64,
    variance: f64,
}

impl<'a> Estimate<'a> {
    pub fn new(plan: &'a SweepPlan, experience: &'a Experience) -> Self {
        Self { plan, experience, mean: 0.0, variance: 0.0 }
    }

    fn add(&mut self, cell: &Cell, trials: f64, steps: f64) {
        let members = self.plan.members(cell) as f64 * cell.work().pieces.len() as f64;
        self.mean += trials * members * steps;
        let spread = SPREAD[usize::from(cell.criterion.is_statistical())] * members * steps;
        self.variance += trials * spread * spread;
    }

    /// A run of which each member has made `made` steps. One that has taken longer than expected goes on for long.
    pub fn run(&mut self, cell: &Cell, first: bool, made: u64) {
        let (made, expected) = (made as f64, self.experience.steps(self.plan, cell, first));
        let horizon = (self.plan.limits(cell.criterion).horizon as f64) * (cell.schedule.mean_delay() + 1.0);
        let left = (expected - made).max(0.5 * made).min((horizon - made).max(0.0));
        self.add(cell, 1.0, left);
    }

    /// The rounds after number `round` of a search.
    pub fn rounds(&mut self, cell: &Cell, round: u32) {
        let steps = self.experience.steps(self.plan, cell, false);
        self.add(cell, cost::trials_to_come(cell.criterion, round), steps);
    }

    /// A cell that no search has begun.
    pub fn unopened(&mut self, cell: &Cell) {
        let steps = self.experience.steps(self.plan, cell, true);
        self.add(cell, cost::FIRST, steps);
        self.rounds(cell, 1);
    }

    pub fn left(&self) -> StepsLeft {
        let (mean, deviation) = (self.mean, self.variance.sqrt());
        let low = (mean - deviation).max(0.3 * mean) / BIAS;
        StepsLeft { low, likely: mean, high: (mean + 1.5 * deviation) * BIAS }
    }
}
