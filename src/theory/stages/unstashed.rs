//! The eigenproblem of stages whose backward passes use other weights than their forward passes, on a subspace.
//!
//! With `B` the derivative of the gradient with respect to the weights of the backward passes, `A = H - B` that with respect to the
//! weights of the forward passes, and responses `f` and `b` of the stages to the two, `(A F + B G) x = mu x` has `F` and `G` the
//! diagonal matrices of `f` and `b`. On orthonormal vectors `U` that is `sum_i f_i (HU)^T P_i U + (b_i - f_i) U^T B P_i U`; `B` is not
//! symmetric, so that every stage needs its products with `B`, but for those whose responses are the same.
//!
//! Not here: which angles are of interest.

use nalgebra::DMatrix;
use num_complex::Complex64;

use super::super::TheoryError;
use super::basis::{Basis, Operator, columns_of, multiplied, side_by_side};
use super::eigen::eigenvector;
use super::response::{Stage, StageResponse};
use super::scan::{Crossing, MatrixOnCircle};
use super::search::Projection;

/// The problem on the subspace.
pub(super) struct Unstashed<'a, F, G> {
    stages: &'a [Stage],
    backward: &'a [StageResponse],
    hessian: Operator<F>,
    /// B
    derivative: Operator<G>,
    /// U
    basis: Basis,
    /// H U, P x k
    images: DMatrix<f64>,
    /// B P_i U for every stage, P x k
    backward_images: Vec<DMatrix<f64>>,
    /// (HU)^T P_i U for every stage, k x k
    parts: Vec<DMatrix<f64>>,
    /// U^T B P_i U for every stage, k x k
    backward_parts: Vec<DMatrix<f64>>,
    /// Norms of all of H and of all of B on the subspace, about.
    sizes: [f64; 2],
    /// Smallest curvature on the subspace.
    smallest: f64,
}

impl<'a, F, G> Unstashed<'a, F, G>
where
    F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
    G: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
{
    /// # Errors
    /// Where a product is not finite.
    pub fn new(
        stages: &'a [Stage],
        backward: &'a [StageResponse],
        hessian: Operator<F>,
        derivative: Operator<G>,
        start: &DMatrix<f64>,
    ) -> Result<Self, TheoryError> {
        let empty = || DMatrix::zeros(start.nrows(), 0);
        let mut problem = Self {
            stages,
            backward,
            hessian,
            derivative,
            basis: Basis::new(start.nrows()),
            images: empty(),
            backward_images: vec![empty(); stages.len()],
            parts: Vec::new(),
            backward_parts: Vec::new(),
            sizes: [0.0; 2],
            smallest: 0.0,
        };
        problem.add(start)?;
        Ok(problem)
    }

    fn add(&mut self, columns: &DMatrix<f64>) -> Result<(), TheoryError> {
        let known = self.basis.len();
        self.basis.extend(columns);
        let fresh = self.basis.len() - known;
        if fresh == 0 {
            return Ok(());
        }
        let vectors = self.basis.vectors.columns(known, fresh).into_owned();
        let images = self.hessian.times(&vectors)?;
        self.images = side_by_side(std::mem::replace(&mut self.images, DMatrix::zeros(0, 0)), &images);
        for ((stage, backward), known) in self.stages.iter().zip(self.backward).zip(&mut self.backward_images) {
            let mut part = DMatrix::zeros(vectors.nrows(), fresh);
            if stage.response != *backward {
                let rows = stage.parameters.clone();
                part.rows_range_mut(rows.clone()).copy_from(&vectors.rows_range(rows));
                part = self.derivative.times(&part)?;
            }
            *known = side_by_side(std::mem::replace(known, DMatrix::zeros(0, 0)), &part);
        }
        self.project();
        Ok(())
    }

    fn project(&mut self) {
        let vectors = &self.basis.vectors;
        let part = |stage: &Stage| {
            let rows = stage.parameters.clone();
            self.images.rows_range(rows.clone()).tr_mul(&vectors.rows_range(rows))
        };
        self.parts = self.stages.iter().map(part).collect();
        self.backward_parts = self.backward_images.iter().map(|images| vectors.tr_mul(images)).collect();
        let curvature = vectors.tr_mul(&self.images);
        self.smallest = (0.5 * (&curvature + curvature.transpose())).symmetric_eigenvalues().min();
        let norm = |parts: &[DMatrix<f64>]| parts.iter().map(|part| part.norm_squared()).sum::<f64>().sqrt();
        self.sizes = [norm(&self.parts), norm(&self.backward_parts)];
    }

    /// An eigenvector of the whole problem, as far as it lies in the subspace; P x 2, real and imaginary part.
    fn solution(&self, crossing: Crossing) -> DMatrix<f64> {
        &self.basis.vectors * columns_of(&eigenvector(&self.matrix(crossing.angle), crossing.value()))
    }

    /// `(A F + B G) x - mu x`, by products of its own, and its relative norm.
    fn rest(&mut self, crossing: Crossing) -> Result<(DMatrix<f64>, f64), TheoryError> {
        let x = self.solution(crossing);
        let pairs = || self.stages.iter().zip(self.backward);
        let responses = pairs().map(|(stage, _)| (&stage.parameters, stage.response.at(crossing.angle)));
        let forward = multiplied(&x, responses);
        let differences =
            pairs().map(|(stage, backward)| (&stage.parameters, difference(stage, backward, crossing.angle)));
        let late = multiplied(&x, differences);
        let value = crossing.value().re;
        let rest = self.hessian.times(&forward)? + self.derivative.times(&late)? - value * &x;
        let norm = rest.norm() / (value.abs() * x.norm());
        Ok((rest, norm))
    }
}

fn difference(stage: &Stage, backward: &StageResponse, angle: f64) -> Complex64 {
    backward.at(angle) - stage.response.at(angle)
}

impl<F, G> MatrixOnCircle for Unstashed<'_, F, G> {
    fn matrix(&self, angle: f64) -> DMatrix<Complex64> {
        let size = self.basis.len();
        let mut matrix = DMatrix::zeros(size, size);
        let mut add = |part: &DMatrix<f64>, factor: Complex64| {
            matrix.zip_apply(part, |sum: &mut Complex64, entry| *sum += factor * entry);
        };
        for (index, (stage, backward)) in self.stages.iter().zip(self.backward).enumerate() {
            add(&self.parts[index], stage.response.at(angle));
            add(&self.backward_parts[index], difference(stage, backward, angle));
        }
        matrix
    }

    /// No cone holds the eigenvalues: only the size of the matrix bounds them.
    fn reach(&self, angle: f64) -> f64 {
        let largest = |responses: &mut dyn Iterator<Item = Complex64>| responses.map(|r| r.norm()).fold(0.0, f64::max);
        let pairs = || self.stages.iter().zip(self.backward);
        let forward = largest(&mut self.stages.iter().map(|stage| stage.response.at(angle)));
        let late = largest(&mut pairs().map(|(stage, backward)| difference(stage, backward, angle)));
        // By the inequality of Cauchy and Schwarz over the stages.
        (self.stages.len() as f64).sqrt() * (self.sizes[0] * forward + self.sizes[1] * late)
    }
}

impl<F, G> Projection for Unstashed<'_, F, G>
where
    F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
    G: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>,
{
    fn dimension(&self) -> usize {
        self.basis.len()
    }

    fn products(&self) -> usize {
        self.hessian.products + self.derivative.products
    }

    fn least_curvature(&self) -> f64 {
        self.smallest
    }

    fn expand(&mut self, crossing: Crossing) -> Result<f64, TheoryError> {
        let (rest, norm) = self.rest(crossing)?;
        self.add(&rest)?;
        Ok(norm)
    }

    /// An eigenvector of the product is one.
    fn gradient(&self, crossing: Crossing) -> DMatrix<f64> {
        self.solution(crossing)
    }

    fn residual(&mut self, crossing: Crossing) -> Result<f64, TheoryError> {
        Ok(self.rest(crossing)?.1)
    }
}
