//! The eigenproblem of stages whose backward passes use the weights of their forward passes, on a subspace.
//!
//! `H W x = mu x` has its eigenvectors in the range of H: `x = H y` makes of it the symmetric `H W H y = mu H y`. On vectors `V`
//! that is `sum_i w_i (HV)^T P_i (HV)` against `V^T H V`, which takes one product with H for each vector whatever the number of
//! stages, and keeps two properties of the whole problem: the matrix of every stage is positive semidefinite, so that all
//! eigenvalues lie in the cone that the responses span; and the error of an eigenvalue is of second order in the residual. Directions
//! of `V` without curvature, and of a negative one, are left out.
//!
//! Not here: which angles are of interest.

use nalgebra::{DMatrix, SymmetricEigen};
use num_complex::Complex64;

use super::super::TheoryError;
use super::basis::{Basis, Operator, columns_of, multiplied, side_by_side};
use super::eigen::eigenvector;
use super::response::Stage;
use super::scan::{Crossing, MatrixOnCircle};
use super::search::Projection;

/// Curvatures on the subspace below this share of the largest are rounding.
const ROUNDING: f64 = 1e-12;

/// How far from the negative real axis a response is clearly on one side of it, radians: more than it turns between two angles of
/// the grid.
const CLEAR: f64 = 0.3;

/// The problem on the subspace.
pub(super) struct Stashed<'a, F> {
    stages: &'a [Stage],
    hessian: Operator<F>,
    /// V
    basis: Basis,
    /// H V, P x k
    images: DMatrix<f64>,
    /// From eigenvectors of the small matrix to coefficients of V, k x r.
    scaled: DMatrix<f64>,
    /// The small matrix is the sum of these, each times the response of its stage; r x r.
    parts: Vec<DMatrix<f64>>,
    /// Largest eigenvalue of their sum.
    largest: f64,
    /// Smallest curvature on the subspace.
    smallest: f64,
}

impl<'a, F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>> Stashed<'a, F> {
    /// # Errors
    /// Where a product is not finite, or the Hessian has no positive curvature on the vectors.
    pub fn new(stages: &'a [Stage], hessian: Operator<F>, start: &DMatrix<f64>) -> Result<Self, TheoryError> {
        let mut problem = Self {
            stages,
            hessian,
            basis: Basis::new(start.nrows()),
            images: DMatrix::zeros(start.nrows(), 0),
            scaled: DMatrix::zeros(0, 0),
            parts: Vec::new(),
            largest: 0.0,
            smallest: 0.0,
        };
        problem.add(start)?;
        Ok(problem)
    }

    /// Adds vectors to the subspace; returns their coefficients in V.
    fn add(&mut self, columns: &DMatrix<f64>) -> Result<DMatrix<f64>, TheoryError> {
        let known = self.basis.len();
        let coefficients = self.basis.extend(columns);
        let fresh = self.basis.len() - known;
        if fresh > 0 {
            let images = self.hessian.times(&self.basis.vectors.columns(known, fresh).into_owned())?;
            self.images = side_by_side(std::mem::replace(&mut self.images, DMatrix::zeros(0, 0)), &images);
            self.project()?;
        }
        Ok(coefficients)
    }

    fn project(&mut self) -> Result<(), TheoryError> {
        let curvature = self.basis.vectors.tr_mul(&self.images);
        let SymmetricEigen { eigenvalues, eigenvectors } =
            SymmetricEigen::new(0.5 * (&curvature + curvature.transpose()));
        let largest = eigenvalues.max();
        if largest <= 0.0 || largest.is_nan() {
            return Err(TheoryError::Stages(format!("the largest curvature found is {largest}; it must be positive")));
        }
        let kept: Vec<usize> = (0..eigenvalues.len()).filter(|i| eigenvalues[*i] > ROUNDING * largest).collect();
        self.scaled = DMatrix::from_fn(self.basis.len(), kept.len(), |row, column| {
            eigenvectors[(row, kept[column])] / eigenvalues[kept[column]].sqrt()
        });
        let images = &self.images * &self.scaled;
        let part = |stage: &Stage| {
            let rows = images.rows_range(stage.parameters.clone());
            rows.tr_mul(&rows)
        };
        self.parts = self.stages.iter().map(part).collect();
        let sum = self.parts.iter().fold(DMatrix::zeros(kept.len(), kept.len()), |sum, part| sum + part);
        self.largest = SymmetricEigen::new(sum).eigenvalues.max();
        self.smallest = eigenvalues.min();
        Ok(())
    }

    /// An eigenvector of the whole problem, as far as it lies in the subspace: `y` as coefficients of V (k x 2) and `x = H y` (P x 2),
    /// real and imaginary parts.
    fn solution(&self, crossing: Crossing) -> [DMatrix<f64>; 2] {
        let vector = columns_of(&eigenvector(&self.matrix(crossing.angle), crossing.value()));
        let y = &self.scaled * vector;
        let x = &self.images * &y;
        [y, x]
    }

    fn responded(&self, x: &DMatrix<f64>, angle: f64) -> DMatrix<f64> {
        multiplied(x, self.stages.iter().map(|stage| (&stage.parameters, stage.response.at(angle))))
    }
}

impl<F> MatrixOnCircle for Stashed<'_, F> {
    fn matrix(&self, angle: f64) -> DMatrix<Complex64> {
        let size = self.scaled.ncols();
        let mut matrix = DMatrix::zeros(size, size);
        for (part, stage) in self.parts.iter().zip(self.stages) {
            let response = stage.response.at(angle);
            matrix.zip_apply(part, |sum: &mut Complex64, entry| *sum += response * entry);
        }
        matrix
    }

    fn reach(&self, angle: f64) -> f64 {
        let responses: Vec<Complex64> = self.stages.iter().map(|stage| stage.response.at(angle)).collect();
        let is_clear = |response: &Complex64, side: f64| response.im * side > 0.0 && (-response).arg().abs() > CLEAR;
        if [1.0, -1.0].iter().any(|side| responses.iter().all(|response| is_clear(response, *side))) {
            return 0.0;
        }
        self.largest * responses.iter().map(|response| response.norm()).fold(0.0, f64::max)
    }
}

impl<F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>> Projection for Stashed<'_, F> {
    fn dimension(&self) -> usize {
        self.basis.len()
    }

    fn products(&self) -> usize {
        self.hessian.products
    }

    fn least_curvature(&self) -> f64 {
        self.smallest
    }

    /// The residual of `x` is H times that of `y`, with whose parts the subspace grows.
    fn expand(&mut self, crossing: Crossing) -> Result<f64, TheoryError> {
        let [y, x] = self.solution(crossing);
        let value = crossing.value().re;
        let rest = self.responded(&x, crossing.angle) - value * (&self.basis.vectors * y);
        let coefficients = self.add(&rest)?;
        Ok((&self.images * coefficients).norm() / (value.abs() * x.norm()))
    }

    fn gradient(&self, crossing: Crossing) -> DMatrix<f64> {
        let [_, x] = self.solution(crossing);
        x
    }

    fn residual(&mut self, crossing: Crossing) -> Result<f64, TheoryError> {
        let [_, x] = self.solution(crossing);
        let value = crossing.value().re;
        let image = self.hessian.times(&self.responded(&x, crossing.angle))?;
        Ok((image - value * &x).norm() / (value.abs() * x.norm()))
    }
}
