//! Rates of approach: how many updates a cell takes for an e-fold of its slowest direction, at given learning rates, measured at the
//! minimum beside theory.
//!
//! - [`RatesJob`]: a plan with its cells at their learning rates, as a session works on it
//! - `wave`: the runs on an engine, each until its rate is known
//! - `expected`: what theory says of the same
//!
//! A run starts at a small displacement in all directions, and the distance from the minimum is watched: the slowest direction is what is left
//! of it. Not here: thresholds ([`crate::sweep`]), nor how a rate follows from distances ([`crate::threshold::DecayMonitor`]).

mod expected;
mod extend;
mod job;
mod rows;
mod tables;
mod wave;

pub use job::RatesJob;
pub use tables::{RateEntry, RatesTables, RatesTotals};

use crate::plan::{Cell, SweepPlan};
use crate::problem::Problem;
use crate::sweep::{PreparedSweep, displaced};
use crate::threshold::{Decay, DecayEnd};
use std::sync::Arc;

/// Distance of the start from the minimum, relative to the scale of the weights: near enough for the loss to be quadratic to a thousandth, and
/// far above what the search has left of the gradient.
const START: f64 = 1e-3;

/// A cell at a learning rate.
#[derive(Clone, Debug)]
struct RateUnit {
    cell: Cell,
    lr: f64,
}

/// Every cell of a plan at every learning rate.
fn units(plan: &SweepPlan) -> Vec<RateUnit> {
    let at = |cell: Cell| plan.rates.iter().map(move |lr| RateUnit { cell: cell.clone(), lr: *lr });
    plan.cells().into_iter().flat_map(at).collect()
}

/// What was seen of a unit.
#[derive(Clone, Copy, Debug)]
struct MeasuredRate {
    end: DecayEnd,
    decay: Option<Decay>,
    members: usize,
    steps: u64,
}

/// The start that all runs share.
struct CommonStart {
    weights: Arc<Vec<f64>>,
    distance: f64,
    /// Relative error of a rate that what is left of the gradient at the minimum may make.
    of_minimum: f64,
}

impl CommonStart {
    fn new(sweep: &PreparedSweep) -> Self {
        let PreparedSweep { minimum, problem, plan, .. } = sweep;
        let distance = START * sweep.distances.scale();
        let weights = Arc::new(displaced(minimum, distance, plan.problem.seed_init));
        let of_minimum = match &**problem {
            // The gradient moves the point that runs come to along the flattest direction most of all.
            Problem::Network(network) if minimum.smallest.value > 0.0 => {
                let gradient = network.gradient(&minimum.weights);
                let along = gradient.iter().zip(&minimum.smallest.vector).map(|(g, v)| g * v).sum::<f64>();
                along.abs() / (minimum.smallest.value * distance)
            }
            _ => 0.0,
        };
        Self { weights, distance, of_minimum }
    }
}
