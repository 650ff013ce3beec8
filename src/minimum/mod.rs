//! Search for a minimum, and its certificate.
//!
//! A minimum here comes with evidence: the largest gradient entry over the full batch and the largest and smallest
//! eigenvalue of the Hessian, all in f64. Without it there is an error, never a warning: thresholds measured around a point
//! that is no minimum mean nothing.

mod descent;
mod error;
mod infinity;
mod objective;
mod vector;

pub use error::{Cause, Hints, MinimumError};

use crate::curvature::{self, Effort, Eigenpair};
use crate::kernels::pool::Pooling;
use crate::layer::{ActivationOp, Op, PoolOp};
use crate::math::{Activation, Loss};
use crate::problem::network::{FullBatch, Network};
use crate::problem::{DenseQuadratic, Problem};
use descent::End;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Largest |gradient entry| that counts as zero, unless asked otherwise.
pub const GRADIENT_TOLERANCE: f64 = 1e-8;

/// Most gradient evaluations of a search, unless asked otherwise.
pub const EVALUATIONS: u64 = 50_000;

/// Fraction of lambda_max: a lambda_min below its negative is a direction of descent and not rounding.
const NEGATIVE_CURVATURE: f64 = 1e-6;

/// Weights at which the full gradient is numerically zero, with the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minimum {
    /// Weights, P.
    pub weights: Vec<f64>,
    /// Objective, weight decay included.
    pub loss: f64,
    /// Largest |gradient entry|.
    pub gradient_max: f64,
    pub largest: Eigenpair,
    pub smallest: Eigenpair,
    /// Number of gradient evaluations (0 where the weights were given).
    pub evaluations: u64,
}

/// Weights that a descent begins with.
#[derive(Clone, Copy, Debug)]
pub enum DescentStart<'a> {
    /// Those that training would start from, drawn with this seed.
    Seed(u64),
    /// The user's own.
    Given(&'a [f64]),
}

/// What a search shows while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// The latest point of the descent.
    Descent { evaluations: u64, gradient_max: f64, loss: f64 },
    /// The eigenvalues of what was found are computed: products with the Hessian so far.
    Certificate { products: u64 },
}

/// What an interrupted search goes on from.
#[derive(Clone, Copy, Debug)]
pub struct KeptSearch<'a> {
    /// The weights of the smallest loss so far.
    pub best: &'a [f64],
    /// Their largest |gradient entry|.
    pub gradient_max: f64,
    /// The search itself, for [`MinimumSearch::kept`].
    pub state: &'a [u8],
}

/// A search for a minimum.
pub struct MinimumSearch<'a> {
    pub start: DescentStart<'a>,
    /// Largest |gradient entry| that counts as zero.
    pub tolerance: f64,
    /// Most gradient evaluations.
    pub evaluations: u64,
    /// What an interrupted search of the same problem has kept; bytes that are none start from the beginning.
    pub kept: Option<&'a [u8]>,
    /// Called after every evaluation; where it breaks, the search keeps what it has and ends.
    pub watch: &'a mut dyn FnMut(&Seen) -> ControlFlow<()>,
    /// Called where there is something new to keep, at least every half minute.
    pub keep: &'a mut dyn FnMut(&KeptSearch),
}

impl Minimum {
    /// All of it as bytes, eigenvectors included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let all = (self, &self.largest.vector, &self.smallest.vector);
        ciborium::into_writer(&all, &mut bytes).expect("memory can be written");
        bytes
    }

    /// What [`Self::to_bytes`] made bytes of; None of others.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mut minimum, largest, smallest): (Self, _, _) = ciborium::from_reader(bytes).ok()?;
        (minimum.largest.vector, minimum.smallest.vector) = (largest, smallest);
        Some(minimum)
    }
}

impl DescentStart<'_> {
    fn weights(&self, network: &Network) -> Vec<f64> {
        match self {
            Self::Seed(seed) => network.model.init(*seed),
            Self::Given(weights) => weights.to_vec(),
        }
    }

    fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

impl MinimumSearch<'_> {
    /// Descends with L-BFGS over the full batch, and certifies the result. None where it was asked to stop.
    ///
    /// # Errors
    /// Where there is no minimum, the descent does not reach the tolerance, or it ends at a saddle. A quadratic always succeeds: its
    /// minimum is 0.
    pub fn run(&mut self, problem: &Problem) -> Result<Option<Minimum>, MinimumError> {
        let network = match problem {
            Problem::Quadratic(quadratic) => return Ok(Some(of_quadratic(&quadratic.eigenvalues))),
            Problem::Dense(quadratic) => return of_dense(quadratic).map(Some),
            Problem::Network(network) => network,
        };
        let (point, evaluations) = match descent::descend(network, self) {
            Ok(End::Flat(point, evaluations)) => (point, evaluations),
            Ok(End::Stopped) => return Ok(None),
            Err(error) => return Err(error),
        };
        let hints = Hints { given: self.start.is_given(), undecayed: network.weight_decay == 0.0 };
        let found = evidence(network, point.weights, self.tolerance, hints, self.watch)?;
        Ok(found.map(|minimum| Minimum { evaluations, ..minimum }))
    }
}

/// Searches from the seeded start to max|gradient| <= `tolerance`, unwatched; see [`MinimumSearch::run`].
///
/// # Errors
/// As [`MinimumSearch::run`].
pub fn find(problem: &Problem, seed_init: u64, tolerance: f64) -> Result<Minimum, MinimumError> {
    let found = MinimumSearch {
        start: DescentStart::Seed(seed_init),
        tolerance,
        evaluations: EVALUATIONS,
        kept: None,
        watch: &mut |_| ControlFlow::Continue(()),
        keep: &mut |_| (),
    }
    .run(problem)?;
    Ok(found.expect("nothing stops this search"))
}

/// Certifies given weights, unwatched; see [`certify_watched`].
///
/// # Errors
/// As [`certify_watched`].
pub fn certify(problem: &Problem, weights: Vec<f64>, tolerance: f64) -> Result<Minimum, MinimumError> {
    let certified = certify_watched(problem, weights, tolerance, &mut |_| ControlFlow::Continue(()))?;
    Ok(certified.expect("nothing stops this"))
}

/// Certifies given weights: gradient, lambda_max with its eigenvector, lambda_min. None where `watch` breaks.
///
/// # Errors
/// Where the gradient is too large, the curvature clearly negative, or lambda_max has not converged.
pub fn certify_watched(
    problem: &Problem,
    weights: Vec<f64>,
    tolerance: f64,
    watch: &mut dyn FnMut(&Seen) -> ControlFlow<()>,
) -> Result<Option<Minimum>, MinimumError> {
    match problem {
        Problem::Quadratic(quadratic) => Ok(Some(of_quadratic(&quadratic.eigenvalues))),
        Problem::Dense(quadratic) => of_dense(quadratic).map(Some),
        Problem::Network(network) => {
            let hints = Hints { given: true, undecayed: network.weight_decay == 0.0 };
            evidence(network, weights, tolerance, hints, watch)
        }
    }
}

fn evidence(
    network: &Network,
    weights: Vec<f64>,
    tolerance: f64,
    hints: Hints,
    watch: &mut dyn FnMut(&Seen) -> ControlFlow<()>,
) -> Result<Option<Minimum>, MinimumError> {
    let mut batch = FullBatch::new(network);
    let mut gradient = vec![0.0; weights.len()];
    let loss = batch.loss_and_gradient(&weights, &mut gradient);
    let gradient_max = max_abs(&gradient);
    if !(loss.is_finite() && gradient_max.is_finite()) {
        return Err(not_finite(network, "the loss or its gradient", "at these weights"));
    }
    if gradient_max > tolerance {
        return Err(MinimumError::GivenNotFlat { gradient_max, tolerance });
    }
    if infinity::is_separated(network, loss) {
        return Err(MinimumError::Separated { loss });
    }
    if let Some((far, grown)) = infinity::falls_for_ever(network, &mut batch, &weights, loss) {
        return Err(MinimumError::Endless { loss, far, grown });
    }
    let (mut products, mut stopped) = (0, false);
    let spectrum = curvature::extremes(weights.len(), Effort::default(), |v, hv| {
        products += 1;
        stopped |= watch(&Seen::Certificate { products }).is_break();
        // A product that is not finite ends the iteration.
        if stopped { hv.fill(f64::NAN) } else { batch.hessian_product(&weights, v, hv) }
    });
    if stopped {
        return Ok(None);
    }
    let Some(curvature::Extremes { largest, smallest }) = spectrum else {
        let largest_weight = max_abs(&weights);
        // Weights that nothing holds back are the cause, unless the inputs are larger still.
        let runaway = network.loss == Loss::Ce && largest_weight > largest_input(network);
        return Err(match runaway {
            true => MinimumError::Runaway { largest_weight, weight_decay: network.weight_decay },
            false => not_finite(network, "the Hessian", "at the minimum"),
        });
    };
    if !largest.converged {
        let Eigenpair { value, residual, iterations, .. } = largest;
        return Err(MinimumError::Unsure { value, residual, iterations });
    }
    if smallest.value < -NEGATIVE_CURVATURE * largest.value {
        return Err(MinimumError::Saddle { smallest: smallest.value, largest: largest.value, hints });
    }
    Ok(Some(Minimum { weights, loss, gradient_max, largest, smallest, evaluations: 0 }))
}

/// Returns the minimum of a diagonal quadratic, which is known exactly.
fn of_quadratic(eigenvalues: &[f64]) -> Minimum {
    let by_value = |a: &usize, b: &usize| eigenvalues[*a].total_cmp(&eigenvalues[*b]);
    let pair = |index: usize| {
        let mut vector = vec![0.0; eigenvalues.len()];
        vector[index] = 1.0;
        Eigenpair { value: eigenvalues[index], residual: 0.0, iterations: 0, converged: true, vector }
    };
    Minimum {
        weights: vec![0.0; eigenvalues.len()],
        loss: 0.0,
        gradient_max: 0.0,
        largest: pair((0..eigenvalues.len()).max_by(by_value).expect("a quadratic has an eigenvalue")),
        smallest: pair((0..eigenvalues.len()).min_by(by_value).expect("a quadratic has an eigenvalue")),
        evaluations: 0,
    }
}

/// Returns the minimum of a dense quadratic, 0, with the ends of its spectrum.
fn of_dense(quadratic: &DenseQuadratic) -> Result<Minimum, MinimumError> {
    let dimension = quadratic.dimension();
    // As many products as there are dimensions find every eigenvalue.
    let usual = Effort::default();
    let effort = Effort { iterations: usual.iterations.max(dimension), ..usual };
    let spectrum = curvature::extremes(dimension, effort, |v, hv| quadratic.hessian_product(v, hv));
    let curvature::Extremes { largest, smallest } = spectrum.expect("the entries of a quadratic are finite");
    if !largest.converged {
        let Eigenpair { value, residual, iterations, .. } = largest;
        return Err(MinimumError::Unsure { value, residual, iterations });
    }
    Ok(Minimum { weights: vec![0.0; dimension], loss: 0.0, gradient_max: 0.0, largest, smallest, evaluations: 0 })
}

fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, g| if g.is_nan() { f64::NAN } else { g.abs().max(largest) })
}

/// Whether gradients of a network jump somewhere.
fn has_kinks(network: &Network) -> bool {
    network.model.graph.nodes.iter().any(|node| match node.op {
        Op::ActivationOp(ActivationOp(Activation::Relu | Activation::LeakyRelu)) => true,
        Op::PoolOp(PoolOp { kind, .. }) => kind == Pooling::Max,
        _ => false,
    })
}

/// The error of numbers that are not finite.
fn not_finite(network: &Network, what: &'static str, place: &'static str) -> MinimumError {
    MinimumError::NotFinite { what, place, largest_input: largest_input(network) }
}

/// Largest |input| of all samples.
fn largest_input(network: &Network) -> f64 {
    network.data.inputs.iter().fold(0.0, |largest, x| f64::from(x.abs()).max(largest))
}
