//! A preconditioner that stands still: second moments from a file, and what they make of the Hessian at the minimum.
//!
//! With P = diag(sqrt(v) + epsilon) the update of Adam and its kin is linear, and the thresholds are those of P^-1 H. The weights
//! themselves are those of the problem: a run goes through the engine as any other of its rule, but with second moments that no
//! gradient changes ([`crate::rule::steps::StepSource::with_frozen_second_moment`]).
//!
//! Not here: the equation ([`crate::rule::Rule::frozen_equation`]).

use crate::curvature::{self, Eigenpair};
use crate::math::ordered_sum;
use crate::minimum::Minimum;
use crate::plan::SweepPlan;
use crate::problem::Problem;
use crate::problem::network::FullBatch;
use crate::problem::weights::load_second_moments;
use crate::rule::SecondMomentScale;
use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// What the file brought.
#[derive(Clone, Debug)]
pub struct SecondMoments {
    pub values: Arc<Vec<f64>>,
    /// Second moments that are 0, whose parameters are divided by epsilon alone.
    zeros: usize,
    file: String,
}

/// The Hessian at a minimum under second moments that stand still.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub second_moments: Arc<Vec<f64>>,
    /// The largest eigenvalue of P^-1/2 H P^-1/2, with its residual.
    pub largest: Eigenpair,
    /// Unit eigenvectors of P^-1 H and of its transpose: the direction in which runs leave, and the one that sees it alone.
    right: Vec<f64>,
    pub left: Vec<f64>,
    /// Curvature of the objective along `right`.
    along: f64,
}

/// What run.json says of the preconditioner.
#[derive(Clone, Debug, Serialize)]
pub struct PreconditionerFacts {
    file: String,
    /// The largest eigenvalue of P^-1 H; its residual is that of P^-1/2 H P^-1/2.
    lambda_max: Eigenpair,
    zeros: usize,
}

impl SecondMoments {
    /// Those of the plan's file, where it names one.
    ///
    /// # Errors
    /// A file that cannot be read or does not suit the model; a second moment that is negative or not finite.
    pub fn load(plan: &SweepPlan, problem: &Problem) -> Result<Option<Self>> {
        let Some(path) = &plan.problem.preconditioner else { return Ok(None) };
        Self::read(problem, path).map(Some)
    }

    fn read(problem: &Problem, path: &Path) -> Result<Self> {
        let values = load_second_moments(problem, path).map_err(|error| anyhow!("--preconditioner {error}"))?;
        let zeros = values.iter().filter(|value| **value == 0.0).count();
        Ok(Self { values: Arc::new(values), zeros, file: path.display().to_string() })
    }

    /// What the preconditioner came to, in a line.
    pub fn describe(&self, frozen: &Frozen) -> String {
        let (value, residual, all) = (frozen.largest.value, frozen.largest.residual, self.values.len());
        format!(
            "lambda_max {value:.6} of P^-1 H (residual {residual:.1e}), second moments of {}, {} of {all} of them 0 (epsilon alone counts)",
            self.file, self.zeros
        )
    }

    pub fn facts(&self, frozen: &Frozen) -> PreconditionerFacts {
        PreconditionerFacts { file: self.file.clone(), lambda_max: frozen.largest.clone(), zeros: self.zeros }
    }
}

impl Frozen {
    /// What second moments make of the Hessian at a minimum; `scale` is how the rules divide by them.
    ///
    /// # Errors
    /// An eigenvalue that Lanczos does not bring to the accuracy of a minimum's, or that is not positive.
    pub fn new(
        problem: &Problem,
        minimum: &Minimum,
        moments: &SecondMoments,
        scale: SecondMomentScale,
    ) -> Result<Self> {
        let root = SecondMomentScale { bias_correction: 1.0, ..scale }.inverse_root(&moments.values);
        let effort = curvature::Effort { iterations: 2000, ..curvature::Effort::default() };
        let mut batch = match problem {
            Problem::Network(network) => Some(FullBatch::new(network)),
            Problem::Quadratic(_) | Problem::Dense(_) => None,
        };
        let mut product = |v: &[f64], hv: &mut [f64]| match (problem, &mut batch) {
            (Problem::Quadratic(quadratic), _) => {
                hv.iter_mut().zip(v).zip(&quadratic.eigenvalues).for_each(|((hv, v), lambda)| *hv = lambda * v);
            }
            (Problem::Dense(quadratic), _) => quadratic.hessian_product(v, hv),
            (Problem::Network(_), Some(batch)) => batch.hessian_product(&minimum.weights, v, hv),
            (Problem::Network(_), None) => unreachable!("a network has its batch"),
        };
        let found = curvature::largest_preconditioned(&root, effort, None, &mut product);
        let Some(largest) = found.filter(|pair| pair.converged && pair.value > 0.0) else {
            bail!(
                "--preconditioner {}: the largest eigenvalue of P^-1 H is not found to the accuracy that thresholds need; accepted: second \
                 moments of a smaller range",
                moments.file
            );
        };
        let right = unit(largest.vector.iter().zip(&root).map(|(w, root)| w * root).collect());
        let left = unit(largest.vector.iter().zip(&root).map(|(w, root)| w / root).collect());
        let mut image = vec![0.0; right.len()];
        product(&right, &mut image);
        let along = dot(&right, &image);
        Ok(Self { second_moments: Arc::clone(&moments.values), largest, right, left, along })
    }

    /// The minimum with the direction in which runs leave in the place of its top eigenvector, and the curvature along it: from
    /// where runs start.
    pub fn seen_from(&self, minimum: &Minimum) -> Minimum {
        let largest = Eigenpair { value: self.along, vector: self.right.clone(), ..minimum.largest.clone() };
        Minimum { largest, ..minimum.clone() }
    }
}

fn unit(vector: Vec<f64>) -> Vec<f64> {
    let norm = dot(&vector, &vector).sqrt();
    vector.into_iter().map(|x| x / norm).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ordered_sum(a.len(), |i| a[i] * b[i])
}
