//! What the host sees of a lane: observations of every step, and evaluations of whole parts of the data.
//!
//! Not here: what they mean for a run ([`crate::threshold`], [`crate::train`]).

use serde::{Deserialize, Serialize};

/// What the host sees of one lane after one step.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Observation {
    /// ||x - minimum||^2
    pub distance_squared: f64,
    /// (x - minimum) . direction
    pub projection: f64,
    /// Objective (weight decay included) over the step's batch, at the weights that the step's gradient was taken at.
    pub loss: f64,
    /// Whether every weight and the loss are finite.
    pub finite: bool,
}

/// What a model makes of a part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean over the samples, without weight decay.
    pub loss: f64,
    /// Samples whose largest output is that of their class; of equal ones the first counts.
    pub correct: u64,
    pub samples: u64,
}

impl Evaluation {
    /// Fraction of the samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

/// Observations of a block of steps; lanes that are idle hold unspecified values.
#[derive(Clone, Debug)]
pub struct Observations {
    steps: usize,
    /// lanes x steps
    values: Vec<Observation>,
}

impl Observations {
    /// `values` is lanes x steps, row-major.
    pub fn new(steps: usize, values: Vec<Observation>) -> Self {
        assert!(values.len().is_multiple_of(steps.max(1)), "{} observations of {steps} steps", values.len());
        Self { steps, values }
    }

    /// Those after whole updates alone, of which each takes so many gradients.
    #[must_use]
    pub fn of_updates(self, gradients: usize) -> Self {
        if gradients == 1 {
            return self;
        }
        let values = self.values.iter().skip(gradients - 1).step_by(gradients).copied().collect();
        Self { steps: self.steps / gradients, values }
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    pub fn get(&self, step: usize, lane: usize) -> &Observation {
        &self.lane(lane)[step]
    }

    /// One lane's observations, step by step.
    pub fn lane(&self, lane: usize) -> &[Observation] {
        &self.values[lane * self.steps..][..self.steps]
    }
}
