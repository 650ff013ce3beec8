//! Largest and smallest eigenvalue of a Hessian by Lanczos, each with its residual.
//!
//! Not here: the Hessian-vector product itself ([`crate::problem`]).

use crate::math::ordered_sum;
use nalgebra::{DMatrix, SymmetricEigen};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// Eigenvalue with its eigenvector and residual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eigenpair {
    pub value: f64,
    /// ||H v - value v|| for the unit vector v, computed from a product of its own: an eigenvalue lies within this distance.
    pub residual: f64,
    /// Number of Hessian-vector products.
    pub iterations: usize,
    /// Whether the residual fell below the required tolerance.
    pub converged: bool,
    /// Unit eigenvector, P; its largest entry (in magnitude) is positive.
    #[serde(skip)]
    pub vector: Vec<f64>,
}

/// Largest and smallest eigenpair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extremes {
    pub largest: Eigenpair,
    pub smallest: Eigenpair,
}

/// Required accuracy. Residuals are relative to the largest eigenvalue.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub largest_residual: f64,
    pub smallest_residual: f64,
    pub iterations: usize,
}

impl Default for Effort {
    /// Ten digits of the largest eigenvalue, enough of the smallest to know its sign, at most 600 products.
    fn default() -> Self {
        Self { largest_residual: 1e-10, smallest_residual: 1e-7, iterations: 600 }
    }
}

/// Computes the largest and smallest eigenpair of a symmetric operator of dimension P by Lanczos with full
/// reorthogonalisation (Golub and Van Loan, Matrix Computations, section 10.1). `product(v, hv)` must fill `hv` with H v.
///
/// # Panics
/// Where a product is not finite.
pub fn extremes(dimension: usize, effort: Effort, product: impl FnMut(&[f64], &mut [f64])) -> Extremes {
    lanczos(start(dimension), effort, product).expect("a finite Hessian")
}

/// Computes the largest eigenpair alone, starting near the vector `near` where one is known. `None` where a product is not
/// finite.
pub fn largest(
    dimension: usize,
    effort: Effort,
    near: Option<&[f64]>,
    product: impl FnMut(&[f64], &mut [f64]),
) -> Option<Eigenpair> {
    let mut first = start(dimension);
    if let Some(near) = near {
        // Starting at an eigenvector exactly would never find another one whose eigenvalue has become larger.
        first.iter_mut().zip(near).for_each(|(x, near)| *x = near + RANDOM_PART * *x);
        let norm = dot(&first, &first).sqrt();
        first.iter_mut().for_each(|x| *x /= norm);
    }
    let effort = Effort { smallest_residual: f64::INFINITY, ..effort };
    lanczos(first, effort, product).map(|extremes| extremes.largest)
}

/// Length of the random part added to a unit vector that a search starts near.
const RANDOM_PART: f64 = 0.1;

/// Computes both pairs from the unit vector `first`, which must have a component along both eigenvectors. `None` where a
/// product is not finite.
fn lanczos(first: Vec<f64>, effort: Effort, mut product: impl FnMut(&[f64], &mut [f64])) -> Option<Extremes> {
    let dimension = first.len();
    let limit = effort.iterations.min(dimension);
    let mut basis: Vec<Vec<f64>> = vec![first];
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::new());
    let mut image = vec![0.0; dimension];
    loop {
        let newest = basis.last().expect("the basis holds at least its start");
        product(newest, &mut image);
        diagonal.push(dot(newest, &image));
        // Twice is enough (Kahan, Parlett): the second pass removes what the first left by rounding.
        for _ in 0..2 {
            for vector in &basis {
                let overlap = dot(vector, &image);
                image.iter_mut().zip(vector).for_each(|(w, v)| *w -= overlap * v);
            }
        }
        let beta = dot(&image, &image).sqrt();
        if !beta.is_finite() {
            return None;
        }
        let steps = diagonal.len();
        let scale = diagonal.iter().fold(f64::MIN_POSITIVE, |scale, d| d.abs().max(scale));
        let exhausted = steps == limit || beta <= 1e-14 * scale;
        if exhausted || steps % 10 == 0 {
            let ritz = Ritz::new(&diagonal, &off_diagonal);
            let reached = |index: usize, tolerance: f64| beta * ritz.last_entry(index) <= tolerance * scale;
            let done = reached(ritz.top, effort.largest_residual) && reached(ritz.bottom, effort.smallest_residual);
            if exhausted || done {
                let mut pair = |index: usize, tolerance: f64| {
                    let vector = ritz.vector(index, &basis);
                    let value = ritz.values[index];
                    product(&vector, &mut image);
                    let residual = image.iter().zip(&vector).map(|(w, v)| (w - value * v).powi(2)).sum::<f64>().sqrt();
                    Eigenpair {
                        value,
                        residual,
                        iterations: steps,
                        converged: residual <= 10.0 * tolerance * scale,
                        vector,
                    }
                };
                return Some(Extremes {
                    largest: pair(ritz.top, effort.largest_residual),
                    smallest: pair(ritz.bottom, effort.smallest_residual),
                });
            }
        }
        off_diagonal.push(beta);
        basis.push(image.iter().map(|w| w / beta).collect());
    }
}

/// Eigendecomposition of the tridiagonal projection.
struct Ritz {
    values: Vec<f64>,
    vectors: DMatrix<f64>,
    top: usize,
    bottom: usize,
}

impl Ritz {
    fn new(diagonal: &[f64], off_diagonal: &[f64]) -> Self {
        let n = diagonal.len();
        let matrix = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => off_diagonal[i.min(j)],
            _ => 0.0,
        });
        let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(matrix);
        let values: Vec<f64> = eigenvalues.iter().copied().collect();
        let by_value = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
        let top = (0..n).max_by(by_value).expect("at least one step was made");
        let bottom = (0..n).min_by(by_value).expect("at least one step was made");
        Self { vectors: eigenvectors, top, bottom, values }
    }

    /// Returns |last entry| of a Ritz vector: times beta, it is the residual.
    fn last_entry(&self, index: usize) -> f64 {
        self.vectors[(self.values.len() - 1, index)].abs()
    }

    fn vector(&self, index: usize, basis: &[Vec<f64>]) -> Vec<f64> {
        let mut vector = vec![0.0; basis[0].len()];
        for (row, direction) in basis.iter().enumerate().take(self.values.len()) {
            let weight = self.vectors[(row, index)];
            vector.iter_mut().zip(direction).for_each(|(v, d)| *v += weight * d);
        }
        let largest = vector.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let scale = dot(&vector, &vector).sqrt().copysign(largest);
        vector.iter_mut().for_each(|v| *v /= scale);
        vector
    }
}

/// Returns a random unit vector, the same on every call, with a component along every eigenvector.
fn start(dimension: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let vector: Vec<f64> = (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
    let norm = dot(&vector, &vector).sqrt();
    vector.iter().map(|v| v / norm).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ordered_sum(a.len(), |i| a[i] * b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product with a diagonal matrix.
    fn diagonal(entries: &[f64]) -> impl Fn(&[f64], &mut [f64]) {
        move |v, hv| hv.iter_mut().zip(v).zip(entries).for_each(|((hv, v), entry)| *hv = entry * v)
    }

    #[test]
    fn the_largest_is_found_from_an_eigenvector_that_is_no_longer_the_largest() {
        let entries: Vec<f64> = (1..=50).map(f64::from).collect();
        let effort = Effort { largest_residual: 1e-9, ..Effort::default() };
        let cold = largest(50, effort, None, diagonal(&entries)).unwrap();
        assert!((cold.value - 50.0).abs() < 1e-9 && cold.converged && cold.residual < 1e-7, "{cold:?}");
        let mut other = vec![0.0; 50];
        other[10] = 1.0;
        let warm = largest(50, effort, Some(&other), diagonal(&entries)).unwrap();
        assert!((warm.value - 50.0).abs() < 1e-9, "{warm:?}");
        let again = largest(50, effort, Some(&warm.vector), diagonal(&entries)).unwrap();
        assert!(again.iterations <= cold.iterations, "{} and {}", again.iterations, cold.iterations);
        assert_eq!(largest(50, effort, None, |_, hv| hv.fill(f64::NAN)), None);
    }
}
