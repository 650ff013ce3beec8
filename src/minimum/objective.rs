//! The full-batch objective as argmin asks for it: cost and gradient one after the other, both computed once; with a memory of
//! the best points, and the ends that an evaluation alone can tell.
//!
//! Not here: the steps of the search ([`super::descent`]).

use super::vector::Vector;
use super::{MinimumError, Seen, infinity, max_abs, not_finite};
use crate::problem::network::{FullBatch, Network};
use argmin::core::{CostFunction, Error, Gradient};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// Relative rise of the loss that is no more than rounding.
const ROUNDING: f64 = 1e-9;

/// What a search has seen, part of what an interrupted one keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    pub latest: EvaluatedPoint,
    /// The point of the smallest max|gradient|.
    pub flattest: EvaluatedPoint,
    /// The point of the smallest loss.
    pub lowest: EvaluatedPoint,
    pub evaluations: u64,
    /// Loss at the first point.
    pub start: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvaluatedPoint {
    pub weights: Vec<f64>,
    pub loss: f64,
    pub gradient: Vec<f64>,
    pub gradient_max: f64,
}

impl Default for Memory {
    fn default() -> Self {
        let nowhere = EvaluatedPoint {
            weights: Vec::new(),
            loss: f64::INFINITY,
            gradient: Vec::new(),
            gradient_max: f64::INFINITY,
        };
        Self { latest: nowhere.clone(), flattest: nowhere.clone(), lowest: nowhere, evaluations: 0, start: f64::NAN }
    }
}

/// The objective of a search.
pub struct Objective<'a> {
    network: &'a Network,
    inner: RefCell<Inner<'a>>,
}

struct Inner<'a> {
    batch: FullBatch<'a>,
    memory: Memory,
    watch: &'a mut dyn FnMut(&Seen) -> ControlFlow<()>,
    /// Whether `watch` asked to stop.
    stopped: bool,
    /// Why there is no minimum.
    refused: Option<MinimumError>,
}

impl<'a> Objective<'a> {
    pub fn new(network: &'a Network, memory: Memory, watch: &'a mut dyn FnMut(&Seen) -> ControlFlow<()>) -> Self {
        let batch = FullBatch::new(network);
        Self { network, inner: RefCell::new(Inner { batch, memory, watch, stopped: false, refused: None }) }
    }

    pub fn remember<R>(&self, read: impl FnOnce(&Memory) -> R) -> R {
        read(&self.inner.borrow().memory)
    }

    pub fn is_stopped(&self) -> bool {
        self.inner.borrow().stopped
    }

    pub fn refused(&self) -> Option<MinimumError> {
        self.inner.borrow().refused.clone()
    }

    /// Whether nothing more is to be evaluated.
    pub fn is_over(&self) -> bool {
        self.is_stopped() || self.refused().is_some()
    }

    fn at<R>(&self, weights: &[f64], read: impl FnOnce(&EvaluatedPoint) -> R) -> Result<R, Error> {
        let mut inner = self.inner.borrow_mut();
        let Inner { batch, memory, watch, stopped, refused } = &mut *inner;
        if memory.latest.weights != weights {
            if *stopped || refused.is_some() {
                return Err(Error::msg("stopped"));
            }
            let mut gradient = vec![0.0; weights.len()];
            let loss = batch.loss_and_gradient(weights, &mut gradient);
            let gradient_max = max_abs(&gradient);
            memory.latest = EvaluatedPoint { weights: weights.to_vec(), loss, gradient, gradient_max };
            memory.evaluations += 1;
            if memory.evaluations == 1 {
                memory.start = loss;
            }
            // Far out, where a step was much too long, everything is flat and nothing a minimum.
            let is_descent = loss <= memory.start + ROUNDING * memory.start.abs();
            if is_descent && gradient_max < memory.flattest.gradient_max {
                memory.flattest = memory.latest.clone();
            }
            if loss < memory.lowest.loss {
                memory.lowest = memory.latest.clone();
            }
            if memory.evaluations == 1 && !(loss.is_finite() && gradient_max.is_finite()) {
                let what = if loss.is_finite() { "the gradient" } else { "the loss" };
                *refused = Some(not_finite(self.network, what, "at the start"));
            } else if infinity::is_separated(self.network, loss) {
                *refused = Some(MinimumError::Separated { loss });
            }
            let seen = Seen::Descent { evaluations: memory.evaluations, gradient_max, loss };
            *stopped = watch(&seen).is_break();
        }
        Ok(read(&memory.latest))
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vector;
    type Output = f64;

    fn cost(&self, weights: &Self::Param) -> Result<f64, Error> {
        self.at(&weights.numbers(), |point| point.loss)
    }
}

impl Gradient for &Objective<'_> {
    type Param = Vector;
    type Gradient = Vector;

    fn gradient(&self, weights: &Self::Param) -> Result<Vector, Error> {
        self.at(&weights.numbers(), |point| point.gradient.clone().into())
    }
}
