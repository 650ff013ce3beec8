//! Singular values of a part of a vector that is a matrix, and functions of them.
//!
//! Not here: what they are good for ([`super::generalised`]).

use crate::update::Matrix;
use nalgebra::{DMatrix, SymmetricEigen};

/// Squares of singular values below this share of the largest count as this share.
const FLAT: f64 = 1e-12;

/// Singular values of a matrix and the singular vectors of its shorter side.
pub(super) struct Gram {
    /// In the order of the vectors; those of almost 0 are raised, so that they can be divided by.
    pub values: Vec<f64>,
    vectors: DMatrix<f64>,
}

impl Gram {
    pub fn of(matrix: &Matrix, vector: &[f64]) -> Self {
        let whole = DMatrix::from_row_slice(matrix.rows, matrix.columns, &vector[matrix.range()]);
        let gram = if matrix.rows <= matrix.columns { &whole * whole.transpose() } else { whole.transpose() * &whole };
        let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(gram);
        let least = (FLAT * eigenvalues.max()).max(f64::MIN_POSITIVE);
        let values = eigenvalues.iter().map(|value| value.max(least).sqrt()).collect();
        Self { values, vectors: eigenvectors }
    }

    /// The symmetric matrix with these vectors and a function of the values.
    pub fn function(&self, of: impl Fn(f64) -> f64) -> DMatrix<f64> {
        let mut scaled = self.vectors.clone();
        for (mut column, value) in scaled.column_iter_mut().zip(&self.values) {
            column *= of(*value);
        }
        scaled * self.vectors.transpose()
    }
}

/// The product of a matrix of `vector` with a symmetric one on its shorter side, into the same place of `out`.
pub(super) fn multiply(matrix: &Matrix, side: &DMatrix<f64>, vector: &[f64], out: &mut [f64]) {
    let whole = DMatrix::from_row_slice(matrix.rows, matrix.columns, &vector[matrix.range()]);
    let product = if matrix.rows <= matrix.columns { side * whole } else { whole * side };
    // Columns of the transpose are the rows.
    out[matrix.range()].copy_from_slice(product.transpose().as_slice());
}
