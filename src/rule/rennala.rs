//! Rennala SGD: the server collects B gradients that were all taken at its present weights, throws away those that were
//! not, and moves by their mean. Minibatch SGD without delay, at the price of what is thrown away.
//! Source: Tyurin and Richtarik, arXiv:2305.12387.

use super::{Action, Definition, Locality, RuleNumber};
use crate::theory::{DelayLaw, Equation, Velocity};
use crate::update::UpdateCoefficients;

pub const DEFINITION: Definition = Definition {
    name: "rennala",
    summary: "B gradients of the same weights are averaged; others are dropped",
    number: Some(RuleNumber::one(4.0, "B, a whole number of at least 1 [default: 4]", |b| {
        b >= 1.0 && b.fract() == 0.0 && b <= 1e9
    })),
    momentum: None,
    workers: false,
    slot_velocity: false,
    update: |rule, arrival, collected| {
        if arrival.age > 0 {
            return Action::drop();
        }
        // The velocity is the sum so far; the first gradient of a round overwrites the last round's.
        let sum = UpdateCoefficients {
            momentum: if *collected == 0 { 0.0 } else { 1.0 },
            gradient_to_velocity: 1.0 / rule.number(),
            ..UpdateCoefficients::default()
        };
        *collected += 1;
        if (*collected as f64) < rule.number() {
            return Action { coefficients: sum, moves_weights: false };
        }
        *collected = 0;
        Action::update(UpdateCoefficients { velocity_to_weights: 1.0, ..sum })
    },
    locality: Locality::Scales,
    // sgd without delay, on the mean of B gradients.
    equation: |rule, law| {
        let synchronous = Equation::new(&DelayLaw::Fixed(0), Velocity::None, [1.0, 0.0]);
        Some(Equation { averaged: rule.number(), arrivals: arrivals(rule.number(), law), ..synchronous })
    },
    synchronous_gain: Some(|_| 2.0),
};

/// Mean number of gradients that arrive from one update to the next, until `batch` of them were taken after the first.
fn arrivals(batch: f64, law: &DelayLaw) -> f64 {
    match law {
        // The gradients on their way are old, all later ones are not.
        DelayLaw::Fixed(delay) => *delay as f64 + batch,
        // The k-th gradient after an update is new with the probability of a delay below k.
        DelayLaw::Independent(pmf) => {
            let (mut new, mut mean) = (0.0, 0.0);
            let mut collected = vec![1.0];
            for probability in pmf.probabilities() {
                // Those that have collected the batch have made their update.
                collected.truncate(batch as usize);
                mean += collected.iter().sum::<f64>();
                new += probability;
                collected.push(0.0);
                for count in (0..collected.len()).rev() {
                    let arrived = if count > 0 { new * collected[count - 1] } else { 0.0 };
                    collected[count] = (1.0 - new) * collected[count] + arrived;
                }
            }
            // Beyond the longest delay every gradient is new.
            let left = |(count, share): (usize, &f64)| share * (batch - count as f64).max(0.0);
            mean + collected.iter().enumerate().map(left).sum::<f64>()
        }
        // One worker has the new weights at first; a gradient is new with the share of those that have them.
        DelayLaw::RandomWorkers(workers) => {
            let workers = (*workers).max(1);
            let mut shares = vec![0.0; workers + 1];
            shares[1] = 1.0;
            let (mut old, mut count) = (0.0, 0.0);
            while count < batch && shares[workers] < 1.0 - 1e-15 {
                // Old gradients until the next new one: each gives its worker the new weights.
                for with_new in 1..workers {
                    let moves = shares[with_new] * (1.0 - with_new as f64 / workers as f64);
                    old += moves;
                    shares[with_new] -= moves;
                    shares[with_new + 1] += moves;
                }
                count += 1.0;
            }
            batch + old
        }
    }
}
