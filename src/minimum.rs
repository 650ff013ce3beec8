//! Search for a minimum, and its certificate.
//!
//! A minimum here comes with evidence: the largest gradient entry over the full batch and the largest and smallest
//! eigenvalue of the Hessian, all in f64. Without it there is an error, never a warning: thresholds measured around a point
//! that is no minimum mean nothing.

use crate::curvature::{self, Effort, Eigenpair};
use crate::problem::Problem;
use crate::problem::network::{FullBatch, Network};
use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use std::cell::RefCell;

/// Largest |gradient entry| that counts as zero, unless asked otherwise.
pub const GRADIENT_TOLERANCE: f64 = 1e-8;

/// Fraction of lambda_max: a lambda_min below its negative is a direction of descent and not rounding.
const NEGATIVE_CURVATURE: f64 = 1e-6;

/// Most iterations of L-BFGS.
const ITERATIONS: u64 = 20_000;

/// Weights at which the full gradient is numerically zero, with the evidence.
#[derive(Clone, Debug)]
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

/// Reason why there is no minimum, or why given weights are none.
#[derive(Debug, thiserror::Error)]
pub enum MinimumError {
    #[error(
        "no minimum: max|gradient| is {gradient_max:.3e} after {evaluations} evaluations of L-BFGS, and must be at most \
         {tolerance:.1e}; try another --seed-init, a larger --weight-decay, a smooth --activation (tanh, gelu), or a \
         larger --gradient-tolerance"
    )]
    NotFlat { gradient_max: f64, tolerance: f64, evaluations: u64 },
    #[error(
        "not a minimum: max|gradient| is {gradient_max:.3e} and must be at most {tolerance:.1e}; train it further on \
         exactly this problem (data, samples, loss, weight decay), or raise --gradient-tolerance"
    )]
    GivenNotFlat { gradient_max: f64, tolerance: f64 },
    #[error(
        "not a minimum but a saddle: the Hessian's smallest eigenvalue is {smallest:.3e} (largest {largest:.3e}); try \
         another --seed-init or a larger --weight-decay"
    )]
    Saddle { smallest: f64, largest: f64 },
    #[error(
        "the Hessian's largest eigenvalue did not converge: {value:.6e} with residual {residual:.1e} after {iterations} \
         iterations of Lanczos"
    )]
    Unsure { value: f64, residual: f64, iterations: usize },
}

/// Trains from the seeded start to max|gradient| <= `tolerance` with L-BFGS over the full batch, and certifies the result.
///
/// # Errors
/// Where the search does not reach the tolerance, or ends at a saddle. A quadratic always succeeds: its minimum is 0.
pub fn find(problem: &Problem, seed_init: u64, tolerance: f64) -> Result<Minimum, MinimumError> {
    let network = match problem {
        Problem::Quadratic(quadratic) => return Ok(of_quadratic(&quadratic.eigenvalues)),
        Problem::Network(network) => network,
    };
    let objective = Objective::new(network);
    let search = LBFGS::new(MoreThuenteLineSearch::new(), 20)
        .with_tolerance_grad(0.5 * tolerance)
        .and_then(|search| search.with_tolerance_cost(0.0))
        .expect("the tolerances are not negative");
    let start = network.model.init(seed_init);
    // A line search that can make no more progress ends the run with an error; the objective remembers the flattest
    // point it saw, and whether that is flat enough is judged below.
    let _ = Executor::new(&objective, search).configure(|state| state.param(start).max_iters(ITERATIONS)).run();
    let Memory { flattest, evaluations, .. } = objective.memory.into_inner();
    let EvaluatedPoint { weights, gradient_max, .. } = flattest;
    if gradient_max > tolerance || gradient_max.is_nan() {
        return Err(MinimumError::NotFlat { gradient_max, tolerance, evaluations });
    }
    Ok(Minimum { evaluations, ..certify(problem, weights, tolerance)? })
}

/// Certifies given weights: gradient, lambda_max with its eigenvector, lambda_min.
///
/// # Errors
/// Where the gradient is too large, the curvature clearly negative, or lambda_max has not converged.
pub fn certify(problem: &Problem, weights: Vec<f64>, tolerance: f64) -> Result<Minimum, MinimumError> {
    let network = match problem {
        Problem::Quadratic(quadratic) => return Ok(of_quadratic(&quadratic.eigenvalues)),
        Problem::Network(network) => network,
    };
    let mut batch = FullBatch::new(network);
    let mut gradient = vec![0.0; weights.len()];
    let loss = batch.loss_and_gradient(&weights, &mut gradient);
    let gradient_max = max_abs(&gradient);
    if gradient_max > tolerance || gradient_max.is_nan() {
        return Err(MinimumError::GivenNotFlat { gradient_max, tolerance });
    }
    let spectrum =
        curvature::extremes(weights.len(), Effort::default(), |v, hv| batch.hessian_product(&weights, v, hv));
    let curvature::Extremes { largest, smallest } = spectrum;
    if !largest.converged {
        let Eigenpair { value, residual, iterations, .. } = largest;
        return Err(MinimumError::Unsure { value, residual, iterations });
    }
    if smallest.value < -NEGATIVE_CURVATURE * largest.value {
        return Err(MinimumError::Saddle { smallest: smallest.value, largest: largest.value });
    }
    Ok(Minimum { weights, loss, gradient_max, largest, smallest, evaluations: 0 })
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

fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, g| if g.is_nan() { f64::NAN } else { g.abs().max(largest) })
}

/// Full-batch objective for argmin, which asks for cost and gradient one after the other; both are computed once.
struct Objective<'a> {
    batch: RefCell<FullBatch<'a>>,
    memory: RefCell<Memory>,
}

struct Memory {
    latest: EvaluatedPoint,
    flattest: EvaluatedPoint,
    evaluations: u64,
}

#[derive(Clone)]
struct EvaluatedPoint {
    weights: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    gradient_max: f64,
}

impl<'a> Objective<'a> {
    fn new(network: &'a Network) -> Self {
        let nowhere =
            EvaluatedPoint { weights: Vec::new(), loss: f64::NAN, gradient: Vec::new(), gradient_max: f64::INFINITY };
        let memory = Memory { latest: nowhere.clone(), flattest: nowhere, evaluations: 0 };
        Self { batch: RefCell::new(FullBatch::new(network)), memory: RefCell::new(memory) }
    }

    fn at<R>(&self, weights: &[f64], read: impl FnOnce(&EvaluatedPoint) -> R) -> R {
        let mut memory = self.memory.borrow_mut();
        if memory.latest.weights != weights {
            let mut gradient = vec![0.0; weights.len()];
            let loss = self.batch.borrow_mut().loss_and_gradient(weights, &mut gradient);
            let gradient_max = max_abs(&gradient);
            memory.latest = EvaluatedPoint { weights: weights.to_vec(), loss, gradient, gradient_max };
            memory.evaluations += 1;
            if gradient_max < memory.flattest.gradient_max {
                memory.flattest = memory.latest.clone();
            }
        }
        read(&memory.latest)
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, weights: &Self::Param) -> Result<f64, Error> {
        Ok(self.at(weights, |point| point.loss))
    }
}

impl Gradient for &Objective<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, weights: &Self::Param) -> Result<Vec<f64>, Error> {
        Ok(self.at(weights, |point| point.gradient.clone()))
    }
}
