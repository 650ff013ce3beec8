//! The vectors that a subspace begins with.
//!
//! The first solution need not belong to the largest curvatures: a stage that is hardly late bears a hundred times the curvature
//! of one that is late. With `K_i` the gain that stage i bears alone, the largest eigenvalues of `D H D`, `D = K_i^(-1/2)` in
//! block i, are the directions in which learning rates are small; where all stages are alike they are those of `H`. They need not be
//! exact, for the subspace grows from there.
//!
//! Not here: how it grows.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::super::TheoryError;
use super::basis::{Basis, Operator, side_by_side};
use super::response::Stage;

/// Steps of Lanczos, at most.
const STEPS: usize = 40;

/// Eigenvalues of `D H D` from this share of the largest on are of interest.
const SHARE: f64 = 0.3;

/// Eigenvectors, at most.
const MOST: usize = 10;

/// Residual, relative to the largest eigenvalue, at which an eigenvector is good enough to begin with.
const ROUGH: f64 = 0.05;

/// Vectors `y` with which `x = H y` is about a solution, as columns: those `near` solutions that are given, and the leading directions of
/// `D H D`. `gains` are the `K_i`.
///
/// # Errors
/// Where a product is not finite.
pub(super) fn start<F: FnMut(&[Vec<f64>]) -> Vec<Vec<f64>>>(
    stages: &[Stage],
    gains: &[f64],
    near: &DMatrix<f64>,
    hessian: &mut Operator<F>,
) -> Result<DMatrix<f64>, TheoryError> {
    let rows = near.nrows();
    let mut scale = DVector::zeros(rows);
    for (stage, gain) in stages.iter().zip(gains) {
        scale.rows_range_mut(stage.parameters.clone()).fill(gain.sqrt().recip());
    }
    let scaled =
        |vectors: &DMatrix<f64>| DMatrix::from_fn(vectors.nrows(), vectors.ncols(), |i, j| scale[i] * vectors[(i, j)]);
    let mut basis = Basis::new(rows);
    let mut next = DMatrix::from_fn(rows, 1, |i, _| number(i));
    let mut images = DMatrix::zeros(rows, 0);
    loop {
        let known = basis.len();
        basis.extend(&next);
        if basis.len() > known {
            let newest = basis.vectors.columns(known, 1).into_owned();
            next = scaled(&hessian.times(&scaled(&newest))?);
            images = side_by_side(images, &next);
        }
        let projected = basis.vectors.tr_mul(&images);
        let SymmetricEigen { eigenvalues, eigenvectors } =
            SymmetricEigen::new(0.5 * (&projected + projected.transpose()));
        let mut order: Vec<usize> = (0..basis.len()).collect();
        order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
        let largest = eigenvalues[order[0]];
        order.retain(|index| eigenvalues[*index] >= SHARE * largest);
        order.truncate(MOST);
        let leading = eigenvectors.select_columns(&order);
        let is_rough = |(column, index): (usize, &usize)| {
            let vector = leading.column(column);
            let residual = &images * vector - eigenvalues[*index] * (&basis.vectors * vector);
            residual.norm() <= ROUGH * largest.abs()
        };
        let is_done = basis.len() >= 4 && order.iter().enumerate().all(is_rough);
        if is_done || basis.len() == known || basis.len() == STEPS.min(rows) {
            return Ok(side_by_side(near.clone(), &scaled(&(&basis.vectors * leading))));
        }
    }
}

/// A number from -1 to 1 for every index, the same on every call and without a pattern (splitmix64).
fn number(index: usize) -> f64 {
    let mut bits = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}
