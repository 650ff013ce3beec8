//! The flags of outer loops, which sweeps and trainings share.
//!
//! Not here: what they mean for an update ([`crate::outer`]).

use super::{Rates, non_negative};
use crate::outer::{Arrivals, LocalRule, LocalSteps, MOST_GRADIENTS, OuterLoop, Overlap};
use clap::Args;

/// What workers do between reading the weights and sending something to the server.
#[derive(Clone, Debug, Default, Args)]
pub struct OuterArgs {
    /// Local steps H (sync_every, inner steps) of gradient descent with --local-lr, after which a worker sends the pseudo-gradient
    /// x_read - x_H; rule, learning rate and delays are then those of the outer loop, delays counted in rounds
    #[arg(long, value_name = "STEPS", value_delimiter = ',', num_args = 1, requires = "local_lr", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Outer loop")]
    pub local_steps: Vec<u32>,
    /// Learning rates of local steps: numbers, linspace:FIRST:LAST:COUNT, logspace:FIRST:LAST:COUNT
    #[arg(
        long,
        value_name = "LR",
        value_delimiter = ',',
        num_args = 1,
        requires = "local_steps",
        allow_negative_numbers = true,
        help_heading = "Outer loop"
    )]
    pub local_lr: Vec<Rates>,
    /// Rules of local steps [default: sgd]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        num_args = 1,
        requires = "local_steps",
        help_heading = "Outer loop"
    )]
    pub local_rule: Vec<LocalRule>,
    /// Replicas M that read together, with minibatches of their own; an update applies the mean of what they send
    #[arg(long, value_name = "COUNT", value_delimiter = ',', num_args = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Outer loop")]
    pub replicas: Vec<u32>,
    /// Share F, from 0 to 1, of an applied gradient that is taken at the newest weights: F g(x_t) + (1-F) g(x_(t-delay)). Eager
    /// updates of M replicas have F = 1/M
    #[arg(
        long,
        value_name = "F",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true,
        help_heading = "Outer loop"
    )]
    pub fresh_share: Vec<f64>,
    /// Local steps V, fewer than --local-steps, that the result of a round comes late, while the next round is under way
    /// (streaming)
    #[arg(
        long,
        value_name = "STEPS",
        value_delimiter = ',',
        num_args = 1,
        requires = "local_steps",
        help_heading = "Outer loop"
    )]
    pub overlap: Vec<u32>,
    /// Share A that the local weights keep of themselves when that result comes [default: 0, which replaces them]
    #[arg(long, value_name = "A", value_delimiter = ',', num_args = 1, requires = "overlap", allow_negative_numbers = true, value_parser = non_negative, help_heading = "Outer loop")]
    pub overlap_weight: Vec<f64>,
    /// What the server makes of what workers send [default: mean]
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, help_heading = "Outer loop")]
    pub arrivals: Vec<Arrivals>,
}

impl OuterArgs {
    /// Every combination, in the order given, each once.
    ///
    /// # Errors
    /// A value that is out of range, or two that do not go together.
    pub fn loops(&self) -> Result<Vec<OuterLoop>, String> {
        if self.local_steps.is_empty() != self.local_lr.is_empty() {
            return Err("--local-steps and --local-lr: accepted: both or neither".into());
        }
        if self.local_steps.contains(&0) || self.replicas.contains(&0) {
            return Err("--local-steps or --replicas 0: accepted: 1 or more".into());
        }
        if let Some(share) = self.fresh_share.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(format!("--fresh-share {share}: accepted: 0 to 1"));
        }
        if let Some(weight) = self.overlap_weight.iter().find(|weight| **weight >= 1.0) {
            return Err(format!(
                "--overlap-weight {weight}: the local weights would never see the server's; accepted: 0 and more, below 1"
            ));
        }
        let mut locals = Vec::new();
        for steps in &self.local_steps {
            for lr in self.local_lr.iter().flat_map(|rates| &rates.0) {
                if !(*lr > 0.0 && lr.is_finite()) {
                    return Err(format!("--local-lr {lr}: accepted: positive numbers"));
                }
                let rules = if self.local_rule.is_empty() { &[LocalRule::Sgd][..] } else { &self.local_rule };
                locals.extend(rules.iter().map(|rule| Some(LocalSteps { steps: *steps, lr: *lr, rule: *rule })));
            }
        }
        let or = |values: &[f64]| if values.is_empty() { vec![0.0] } else { values.to_vec() };
        let one = |values: &[u32], usual: u32| if values.is_empty() { vec![usual] } else { values.to_vec() };
        let locals = if locals.is_empty() { vec![None] } else { locals };
        let (replicas, shares) = (one(&self.replicas, 1), or(&self.fresh_share));
        let (overlaps, weights) = (one(&self.overlap, 0), or(&self.overlap_weight));
        let arrivals = if self.arrivals.is_empty() { vec![Arrivals::Mean] } else { self.arrivals.clone() };
        let mut loops: Vec<OuterLoop> = Vec::new();
        for local in locals {
            for replicas in &replicas {
                for fresh_share in &shares {
                    for steps in &overlaps {
                        for weight in &weights {
                            for arrivals in &arrivals {
                                let overlap = overlap(local, *steps, *weight)?;
                                let (replicas, fresh_share, arrivals) = (*replicas, *fresh_share, *arrivals);
                                let outer = OuterLoop { local, replicas, fresh_share, overlap, arrivals };
                                check(&outer)?;
                                // An overlap of 0 has no weight.
                                if !loops.contains(&outer) {
                                    loops.push(outer);
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(loops)
    }
}

fn overlap(local: Option<LocalSteps>, steps: u32, weight: f64) -> Result<Option<Overlap>, String> {
    let of_round = local.map_or(0, |local| local.steps);
    if steps > 0 && steps >= of_round {
        return Err(format!(
            "--overlap {steps}: not before the {of_round} local steps of a round are over; accepted: below --local-steps"
        ));
    }
    if steps == 0 && weight > 0.0 {
        return Err(format!(
            "--overlap-weight {weight} with --overlap 0: the result comes before the next round begins; accepted: --overlap 1 or more"
        ));
    }
    Ok((steps > 0).then_some(Overlap { steps, weight }))
}

/// Whether the parts of an outer loop go together.
fn check(outer: &OuterLoop) -> Result<(), String> {
    let OuterLoop { replicas, fresh_share, overlap, arrivals, .. } = *outer;
    if let Some(Overlap { steps, .. }) = overlap {
        let beside = match (replicas > 1, fresh_share > 0.0, arrivals) {
            (true, ..) => Some(format!("--replicas {replicas}")),
            (_, true, _) => Some(format!("--fresh-share {fresh_share}")),
            (.., Arrivals::Mean) => None,
            (.., arrivals) => Some(format!("--arrivals {arrivals}")),
        };
        if let Some(flag) = beside {
            return Err(format!(
                "--overlap {steps} with {flag}: the weights of one worker that goes on are followed; accepted: without {flag}"
            ));
        }
    }
    if replicas > 1 && arrivals != Arrivals::Mean {
        return Err(format!(
            "--arrivals {arrivals} with --replicas {replicas}: an update for each arrival has no mean over replicas, its workers are \
             those of --schedule; accepted: --replicas 1, or --arrivals mean"
        ));
    }
    let gradients = outer.batches() * if fresh_share > 0.0 { 2 } else { 1 };
    if gradients > MOST_GRADIENTS {
        return Err(format!(
            "--local-steps, --replicas: {gradients} gradients in one update; accepted: up to {MOST_GRADIENTS}"
        ));
    }
    Ok(())
}
