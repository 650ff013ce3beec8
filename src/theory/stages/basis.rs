//! Vectors of all parameters that a subspace is made of, and products with them.
//!
//! Not here: what is projected on the subspace.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

use super::super::TheoryError;

/// A matrix that is known by its products with vectors, as many at a time as are at hand.
pub(super) struct Operator<F> {
    product: F,
    /// Products so far.
    pub products: usize,
}

impl<F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>> Operator<F> {
    pub fn new(product: F) -> Self {
        Self { product, products: 0 }
    }

    /// The products with the columns of a matrix.
    ///
    /// # Errors
    /// Where one is not finite.
    pub fn times(&mut self, columns: &DMatrix<f64>) -> Result<DMatrix<f64>, TheoryError> {
        let vectors: Vec<Vec<f64>> = columns.column_iter().map(|column| column.iter().copied().collect()).collect();
        let images = (self.product)(&vectors);
        self.products += vectors.len();
        if images.iter().flatten().any(|x| !x.is_finite()) {
            return Err(TheoryError::Stages("a product with the Hessian is not finite".into()));
        }
        let mut matrix = DMatrix::zeros(columns.nrows(), columns.ncols());
        matrix.column_iter_mut().zip(images).for_each(|(mut column, image)| column.copy_from_slice(&image));
        Ok(matrix)
    }
}

/// Orthonormal vectors.
pub(super) struct Basis {
    /// P x k
    pub vectors: DMatrix<f64>,
}

impl Basis {
    /// No vectors of so many numbers.
    pub fn new(rows: usize) -> Self {
        Self { vectors: DMatrix::zeros(rows, 0) }
    }

    pub fn len(&self) -> usize {
        self.vectors.ncols()
    }

    /// Adds what the columns have outside of the span (nothing where that is rounding). Returns the coefficients of the columns in the
    /// vectors that there are then.
    pub fn extend(&mut self, columns: &DMatrix<f64>) -> DMatrix<f64> {
        /// Share of a vector outside of the span that is rounding.
        const ROUNDING: f64 = 1e-12;
        let mut coefficients: Vec<DVector<f64>> = Vec::with_capacity(columns.ncols());
        for column in columns.column_iter() {
            let mut rest: DVector<f64> = column.into_owned();
            let norm = rest.norm();
            let mut along = DVector::zeros(self.len());
            // Twice is enough for orthogonality to the last digit.
            for _ in 0..2 {
                let overlap = self.vectors.tr_mul(&rest);
                rest.gemv(-1.0, &self.vectors, &overlap, 1.0);
                along += overlap;
            }
            let length = rest.norm();
            if length > ROUNDING * norm {
                let at = self.len();
                let vectors = std::mem::replace(&mut self.vectors, DMatrix::zeros(0, 0));
                self.vectors = vectors.insert_column(at, 0.0);
                self.vectors.set_column(at, &(rest / length));
                along = along.insert_row(at, length);
            }
            coefficients.push(along);
        }
        DMatrix::from_fn(self.len(), columns.ncols(), |i, j| coefficients[j].get(i).copied().unwrap_or(0.0))
    }
}

/// The columns of `left` and then those of `right`.
pub(super) fn side_by_side(left: DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let at = left.ncols();
    let mut both = left.insert_columns(at, right.ncols(), 0.0);
    both.columns_mut(at, right.ncols()).copy_from(right);
    both
}

/// Real and imaginary part as two columns.
pub(super) fn columns_of(vector: &DVector<Complex64>) -> DMatrix<f64> {
    DMatrix::from_fn(vector.len(), 2, |i, part| if part == 0 { vector[i].re } else { vector[i].im })
}

/// Multiplies the rows of every range of a complex vector in two columns by its factor.
pub(super) fn multiplied<'a>(
    columns: &DMatrix<f64>,
    factors: impl Iterator<Item = (&'a Range<usize>, Complex64)>,
) -> DMatrix<f64> {
    let mut product = DMatrix::zeros(columns.nrows(), 2);
    for (range, factor) in factors {
        for row in range.clone() {
            let value = factor * Complex64::new(columns[(row, 0)], columns[(row, 1)]);
            (product[(row, 0)], product[(row, 1)]) = (value.re, value.im);
        }
    }
    product
}
