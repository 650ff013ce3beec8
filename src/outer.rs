//! Outer loops: what a worker makes of the weights that it reads before the server hears of it, and which gradients make up one
//! update.
//!
//! *What it is:* the settings of a run ([`OuterLoop`]) and the [`Piece`]s that every update consists of, one for each gradient, which
//! engines follow. *What it is not:* the outer rule ([`crate::rule`]), which takes the pseudo-gradient as it would take a gradient;
//! nor the threshold ([`crate::theory::outer`]).

mod work;

pub use work::{LOCAL_BETAS, LocalAdam, MOMENTS, Moments, Piece, Place, PlacedPiece, Role, Work, WorkShape};

use crate::rule::Rule;
use crate::theory::outer::Round;
use crate::theory::{DelayLaw, Equation};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString};

/// Gradients that one update may consist of, at most.
pub const MOST_GRADIENTS: u64 = 100_000;

/// What stands between a worker's read of the weights and the gradient that the server applies. The default is nothing: the worker
/// sends its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OuterLoop {
    /// Local steps, whose difference the worker sends instead of a gradient.
    pub local: Option<LocalSteps>,
    /// Workers that read together, each with minibatches of its own, and whose mean is one update.
    pub replicas: u32,
    /// Share of an applied gradient that is taken at the newest weights, on the same rows.
    pub fresh_share: f64,
    /// Local steps that the result of a round comes late, and what the local weights then keep of themselves.
    pub overlap: Option<Overlap>,
    pub arrivals: Arrivals,
}

/// The cells that tell of an outer loop in a row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct OuterColumns {
    pub local_steps: Option<u32>,
    pub local_lr: Option<f64>,
    pub local_rule: Option<String>,
    pub replicas: Option<u32>,
    pub fresh_share: Option<f64>,
    pub overlap: Option<u32>,
    pub overlap_weight: Option<f64>,
    pub arrivals: Option<String>,
}

/// Steps that a worker makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalSteps {
    pub steps: u32,
    pub lr: f64,
    #[serde(default, skip_serializing_if = "LocalRule::is_sgd")]
    pub rule: LocalRule,
}

/// Rule of local steps.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    EnumIter,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LocalRule {
    /// plain gradient descent
    #[default]
    Sgd,
    /// AdamW (beta1 .9, beta2 .999), whose moments each worker keeps from round to round; in trainings on the CPU
    #[value(name = "adamw")]
    AdamW,
}

impl LocalRule {
    fn is_sgd(&self) -> bool {
        *self == Self::Sgd
    }
}

/// A round's result that comes while the next one is under way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Local steps, fewer than those of a round.
    pub steps: u32,
    /// Share of themselves that the local weights keep; 0 where the result replaces them.
    pub weight: f64,
}

/// What the server makes of a difference that arrives.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    EnumIter,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Arrivals {
    /// an update is the mean over --replicas workers that read together; delays count such rounds
    #[default]
    Mean,
    /// an update for each arrival, as the delay process has them; delays count arrivals
    Each,
    /// the same, each divided by the number of workers
    EachOverN,
}

impl Default for OuterLoop {
    fn default() -> Self {
        Self { local: None, replicas: 1, fresh_share: 0.0, overlap: None, arrivals: Arrivals::Mean }
    }
}

impl OuterLoop {
    /// As tables write it: empty cells wherever nothing is said.
    pub fn columns(&self) -> OuterColumns {
        OuterColumns {
            local_steps: self.local.map(|local| local.steps),
            local_lr: self.local.map(|local| local.lr),
            local_rule: self.local.map(|local| local.rule.to_string()),
            replicas: Some(self.replicas).filter(|replicas| *replicas > 1),
            fresh_share: Some(self.fresh_share).filter(|share| *share > 0.0),
            overlap: self.overlap.map(|overlap| overlap.steps),
            overlap_weight: self.overlap.map(|overlap| overlap.weight),
            arrivals: Some(self.arrivals)
                .filter(|arrivals| *arrivals != Arrivals::Mean)
                .map(|arrivals| arrivals.to_string()),
        }
    }

    /// The outer rule's equation under a law of delays, with the fresh share in it, where it has one. It is that of a learning rate
    /// which [`Self::weight`] is not in yet.
    pub fn equation(&self, rule: &Rule, law: &DelayLaw) -> Option<Equation> {
        self.with_fresh_share(rule.equation(law)?, law)
    }

    /// An outer rule's equation under a law of delays with the fresh share in it; none where it cannot have one.
    pub fn with_fresh_share(&self, equation: Equation, law: &DelayLaw) -> Option<Equation> {
        if self.fresh_share == 0.0 { Some(equation) } else { equation.with_fresh_share(self.fresh_share, law) }
    }

    /// The curvature up to which a minimum is kept by an outer learning rate, at the threshold gain of the outer rule, its weight
    /// left aside. None where no curvature is too large, or that is not known.
    pub fn curvature(&self, threshold_gain: f64, lr: f64) -> Option<f64> {
        let Some(LocalSteps { lr: local_lr, .. }) = self.local else { return Some(threshold_gain / lr) };
        let covered = threshold_gain / lr;
        let steps = match self.overlap {
            None => self.local_steps(),
            Some(Overlap { steps, weight: 0.0 }) => self.local_steps() - steps,
            Some(_) => return None,
        };
        // 1 - (1 - local gain)^H = covered, for a local gain below 1.
        (covered < 1.0).then(|| -((-covered).ln_1p() / f64::from(steps)).exp_m1() / local_lr)
    }

    /// Its local steps as theory takes them; one where gradients are sent.
    pub fn round(&self) -> Round {
        let (overlap, weight) = self.overlap.map_or((0, 0.0), |overlap| (overlap.steps.into(), overlap.weight));
        Round { steps: self.local_steps().max(1).into(), overlap, weight }
    }

    /// Whether the server applies gradients as they come.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Local steps of a round; 0 where gradients are sent.
    pub fn local_steps(&self) -> u32 {
        self.local.map_or(0, |local| local.steps)
    }

    /// Weight of what is sent in what the server applies.
    pub fn weight(&self, workers: u32) -> f64 {
        if self.arrivals == Arrivals::EachOverN { 1.0 / f64::from(workers) } else { 1.0 }
    }

    /// Whether every worker sends its gradient, one for each update.
    fn sends_gradients(&self) -> bool {
        self.local.is_none() && self.replicas == 1 && self.fresh_share == 0.0
    }

    /// Minibatches of one update.
    pub fn batches(&self) -> u64 {
        u64::from(self.replicas) * u64::from(self.local_steps().max(1))
    }

    /// As a person would say it, with a comma before each part; empty where gradients are applied as they come.
    pub fn name(&self) -> String {
        let mut name = String::new();
        let mut add = |part: String| {
            name += ", ";
            name += &part;
        };
        if let Some(LocalSteps { steps, lr, rule }) = self.local {
            let of = if rule == LocalRule::Sgd { String::new() } else { format!("{rule}, ") };
            let plural = if steps == 1 { "" } else { "s" };
            add(format!("{steps} local step{plural} of {of}lr {lr}"));
        }
        if self.replicas > 1 {
            add(format!("{} replicas", self.replicas));
        }
        if self.fresh_share > 0.0 {
            add(format!("fresh share {}", self.fresh_share));
        }
        if let Some(Overlap { steps, weight }) = self.overlap {
            add(format!("overlap {steps} of weight {weight}"));
        }
        if self.arrivals != Arrivals::Mean {
            add(format!("arrivals {}", self.arrivals));
        }
        name
    }

    /// How one update is made; `minibatch`: whether replicas see rows of their own, for with full batches one stands for all.
    /// `workers`: those of the delay process.
    pub fn work(&self, minibatch: bool, workers: u32) -> Work {
        let replicas = if minibatch { self.replicas } else { 1 };
        let steps = self.local_steps().max(1);
        let share = self.weight(workers) / f64::from(replicas);
        // The fresh part first, so that the last gradient is the late one, whose slot the update goes by.
        let fresh = (self.fresh_share > 0.0).then_some((Place::Newest, self.fresh_share));
        let late = (self.fresh_share < 1.0 || fresh.is_none()).then_some((Place::Read, 1.0 - self.fresh_share));
        let origins: Vec<(Place, f64)> = fresh.into_iter().chain(late).collect();
        let parts = replicas as usize * origins.len();
        let mut pieces = Vec::new();
        for replica in 0..replicas {
            for (origin, weight) in &origins {
                let is_last = pieces.len() + steps as usize == parts * steps as usize;
                for step in 0..steps {
                    let last = step + 1 == steps;
                    let first_part = pieces.len() < steps as usize;
                    let merge = self.overlap.filter(|overlap| step + 1 == overlap.steps);
                    pieces.push(Piece {
                        at: if step > 0 || self.overlap.is_some() { Place::Local } else { *origin },
                        base: *origin,
                        role: match (last, is_last) {
                            _ if self.sends_gradients() && share == 1.0 => Role::Plain,
                            (false, _) => Role::Local,
                            (true, false) => Role::Add,
                            (true, true) => Role::Apply,
                        },
                        local_lr: self.local.map_or(0.0, |local| local.lr),
                        share: share * weight,
                        joins: !first_part,
                        keeps_local: self.overlap.is_some(),
                        merged: merge.map_or(0.0, |overlap| 1.0 - overlap.weight),
                        batch: u64::from(replica * steps + step),
                        part: pieces.len() / steps as usize,
                    });
                }
            }
        }
        let moments = match self.local {
            Some(LocalSteps { rule: LocalRule::AdamW, .. }) if self.arrivals == Arrivals::Mean => {
                Moments::ByPart(parts)
            }
            Some(LocalSteps { rule: LocalRule::AdamW, .. }) => Moments::ByWorker(workers as usize),
            _ => Moments::None,
        };
        Work { pieces, batches: u64::from(replicas) * u64::from(steps), moments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_has_a_gradient_for_each_local_step_of_each_replica_and_origin() {
        let local = Some(LocalSteps { steps: 3, lr: 0.1, rule: LocalRule::Sgd });
        let outer = OuterLoop { local, replicas: 2, fresh_share: 0.25, ..OuterLoop::default() };
        let work = outer.work(true, 1);
        assert_eq!(work.pieces.len(), 12);
        assert_eq!((work.batches, outer.batches()), (6, 6));
        assert_eq!(
            work.shape(),
            WorkShape { gradients: 12, extra_slots: 2, is_outer: true, batches: 6, ..WorkShape::default() }
        );
        let ends: Vec<usize> = (0..12).filter(|i| work.pieces[*i].role != Role::Local).collect();
        assert_eq!(ends, [2, 5, 8, 11]);
        assert_eq!(work.pieces[11].role, Role::Apply);
        // Fresh and late parts of a replica see the same rows.
        assert_eq!(
            work.pieces.iter().map(|piece| piece.batch).collect::<Vec<_>>(),
            [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
        );
        let shares: f64 = ends.iter().map(|end| work.pieces[*end].share).sum();
        assert!((shares - 1.0).abs() < 1e-15);
        assert!(work.pieces[..3].iter().all(|piece| !piece.joins) && work.pieces[3..].iter().all(|piece| piece.joins));
        // Full batches are the same for all replicas.
        assert_eq!(outer.work(false, 1).pieces.len(), 6);
    }

    #[test]
    fn plain_gradients_are_one_piece() {
        let plain = OuterLoop::default();
        assert!(plain.is_plain() && plain.work(true, 7).is_plain());
        assert_eq!(plain.work(true, 7).shape(), WorkShape::default());
        let each = OuterLoop { arrivals: Arrivals::Each, ..plain };
        assert!(!each.is_plain() && each.work(true, 7).is_plain());
        let over = OuterLoop { arrivals: Arrivals::EachOverN, ..plain }.work(true, 8);
        assert_eq!((over.pieces[0].share, over.is_plain()), (0.125, false));
        // All fresh is the gradient at the newest weights.
        let fresh = OuterLoop { fresh_share: 1.0, ..plain }.work(false, 1);
        assert_eq!((fresh.pieces.len(), fresh.pieces[0].at), (1, Place::Newest));
    }
}
