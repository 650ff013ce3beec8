//! Largest and smallest eigenvalue of a Hessian by Lanczos, each with its residual.
//!
//! Not here: the Hessian-vector product itself ([`crate::problem`]).

mod bulk;
pub mod generalised;
mod gram;
mod noise;

pub use bulk::{Bulk, bulk};
pub use noise::{curvature_noise, sample_hessians};

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
/// reorthogonalisation (Golub and Van Loan, Matrix Computations, section 10.1). `product(v, hv)` must fill `hv` with H v. `None`
/// where a product is not finite.
pub fn extremes(dimension: usize, effort: Effort, product: impl FnMut(&[f64], &mut [f64])) -> Option<Extremes> {
    lanczos(start(dimension), effort, product)
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

/// Computes the largest eigenpair of P^-1 H for a diagonal P with positive entries, whose P^-1/2 is `inverse_root`: by Lanczos on
/// P^-1/2 H P^-1/2, which has the same eigenvalues and, with y = P^1/2 x, the inner product x^T P x. The eigenvector w and the
/// residual ||P^-1/2 H P^-1/2 w - value w|| are those in y; P^-1/2 w is the eigenvector of P^-1 H. `None` where a product is not
/// finite.
pub fn largest_preconditioned(
    inverse_root: &[f64],
    effort: Effort,
    near: Option<&[f64]>,
    mut product: impl FnMut(&[f64], &mut [f64]),
) -> Option<Eigenpair> {
    let mut scaled = vec![0.0; inverse_root.len()];
    largest(inverse_root.len(), effort, near, |v, hv| {
        scaled.iter_mut().zip(v).zip(inverse_root).for_each(|((x, v), root)| *x = v * root);
        product(&scaled, hv);
        hv.iter_mut().zip(inverse_root).for_each(|(hv, root)| *hv *= root);
    })
}

/// Computes the `count` largest eigenpairs, from the largest on, of which `first` is known. Eigenvalues that coincide are found as
/// often as they are there: Lanczos is repeated on what is left after deflation, until that holds nothing as large as the smallest
/// of those found. `None` where a product is not finite.
///
/// Eigenpairs that Lanczos could not bring to the required residual are there too, marked as not converged.
pub fn leading(
    first: Eigenpair,
    count: usize,
    effort: Effort,
    mut product: impl FnMut(&[f64], &mut [f64]),
) -> Option<Vec<Eigenpair>> {
    let dimension = first.vector.len();
    let (count, scale) = (count.min(dimension), first.value.abs());
    let effort = Effort { smallest_residual: f64::INFINITY, iterations: effort.iterations.max(3 * count), ..effort };
    let mut found = vec![first];
    while found.len() < dimension {
        let mut start = start(dimension);
        deflate(&mut start, &found);
        let norm = dot(&start, &start).sqrt();
        start.iter_mut().for_each(|x| *x /= norm);
        let wanted = LanczosRequest { pairs: (count - found.len().min(count)).max(1), known: &found, scale };
        let Spectrum { largest: new, .. } = lanczos_deflated(start, effort, wanted, &mut product)?;
        let smallest = found[found.len().min(count) - 1].value;
        let is_complete = found.len() >= count && new[0].value <= smallest + 10.0 * effort.largest_residual * scale;
        if is_complete {
            break;
        }
        found.extend(new);
        found.sort_by(|a, b| b.value.total_cmp(&a.value));
    }
    found.truncate(count);
    Some(found)
}

/// Removes from a vector its components along eigenvectors.
fn deflate(vector: &mut [f64], known: &[Eigenpair]) {
    for _ in 0..2 {
        for Eigenpair { vector: known, .. } in known {
            let overlap = dot(known, vector);
            vector.iter_mut().zip(known).for_each(|(w, v)| *w -= overlap * v);
        }
    }
}

/// Length of the random part added to a unit vector that a search starts near.
const RANDOM_PART: f64 = 0.1;

/// Computes both pairs from the unit vector `first`, which must have a component along both eigenvectors. `None` where a
/// product is not finite.
fn lanczos(first: Vec<f64>, effort: Effort, product: impl FnMut(&[f64], &mut [f64])) -> Option<Extremes> {
    let wanted = LanczosRequest { pairs: 1, known: &[], scale: f64::MIN_POSITIVE };
    let Spectrum { mut largest, smallest } = lanczos_deflated(first, effort, wanted, product)?;
    Some(Extremes { largest: largest.swap_remove(0), smallest })
}

/// What is asked of a run of Lanczos.
#[derive(Clone, Copy)]
struct LanczosRequest<'a> {
    /// Number of the largest eigenpairs.
    pairs: usize,
    /// Eigenpairs whose vectors are left out of the operator.
    known: &'a [Eigenpair],
    /// Size of the whole operator, as far as it is known.
    scale: f64,
}

/// What a run of Lanczos found.
struct Spectrum {
    /// From the largest on; fewer than wanted where its start reached no more.
    largest: Vec<Eigenpair>,
    smallest: Eigenpair,
}

/// Computes the largest pairs and the smallest of the operator without its known eigenvectors, to which `first` is orthogonal.
fn lanczos_deflated(
    first: Vec<f64>,
    effort: Effort,
    wanted: LanczosRequest,
    mut product: impl FnMut(&[f64], &mut [f64]),
) -> Option<Spectrum> {
    let dimension = first.len();
    let limit = effort.iterations.min(dimension - wanted.known.len());
    let mut basis: Vec<Vec<f64>> = vec![first];
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::new());
    let mut image = vec![0.0; dimension];
    loop {
        let newest = basis.last().expect("the basis holds at least its start");
        product(newest, &mut image);
        deflate(&mut image, wanted.known);
        diagonal.push(dot(newest, &image));
        // Twice is enough (Kahan, Parlett): the second pass removes what the first left by rounding.
        for _ in 0..2 {
            // Where little is left of the image, what is left of known vectors in it would be a large part.
            deflate(&mut image, wanted.known);
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
        let scale = diagonal.iter().fold(wanted.scale, |scale, d| d.abs().max(scale));
        let exhausted = steps == limit || beta <= 1e-14 * scale;
        if exhausted || steps % 10 == 0 {
            let ritz = Ritz::new(&diagonal, &off_diagonal);
            let reached = |index: usize, tolerance: f64| beta * ritz.last_entry(index) <= tolerance * scale;
            let largest: Vec<usize> = ritz.order.iter().rev().take(wanted.pairs).copied().collect();
            let bottom = ritz.order[0];
            let done = steps >= wanted.pairs
                && largest.iter().all(|index| reached(*index, effort.largest_residual))
                && reached(bottom, effort.smallest_residual);
            if exhausted || done {
                let mut pair = |index: usize, tolerance: f64| {
                    let vector = ritz.vector(index, &basis);
                    let value = ritz.values[index];
                    product(&vector, &mut image);
                    deflate(&mut image, wanted.known);
                    let residual = image.iter().zip(&vector).map(|(w, v)| (w - value * v).powi(2)).sum::<f64>().sqrt();
                    Eigenpair {
                        value,
                        residual,
                        iterations: steps,
                        converged: residual <= 10.0 * tolerance * scale,
                        vector,
                    }
                };
                return Some(Spectrum {
                    largest: largest.iter().map(|index| pair(*index, effort.largest_residual)).collect(),
                    smallest: pair(bottom, effort.smallest_residual),
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
    /// Indices, by value.
    order: Vec<usize>,
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
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        Self { vectors: eigenvectors, order, values }
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

    #[test]
    fn a_preconditioned_eigenvalue_is_the_dense_one() {
        let size = 30;
        let factor = DMatrix::from_fn(size, size, |i, j| (1.3 * i as f64 + 0.7 * (j * j) as f64).sin());
        let hessian = &factor * factor.transpose() - DMatrix::identity(size, size);
        let scale: Vec<f64> = (0..size).map(|i| 10f64.powi(i as i32 % 7 - 3)).collect();
        let inverse_root: Vec<f64> = scale.iter().map(|p| p.sqrt().recip()).collect();
        // Eigenvalues of a matrix that is not symmetric: another way than the one under test.
        let dense = DMatrix::from_fn(size, size, |i, j| hessian[(i, j)] / scale[i]);
        let expected = dense.complex_eigenvalues().iter().map(|value| value.re).fold(f64::MIN, f64::max);
        let product = |v: &[f64], hv: &mut [f64]| {
            hv.copy_from_slice((&hessian * nalgebra::DVector::from_column_slice(v)).as_slice());
        };
        let effort = Effort { largest_residual: 1e-9, ..Effort::default() };
        let found = largest_preconditioned(&inverse_root, effort, None, product).unwrap();
        assert!((found.value / expected - 1.0).abs() < 1e-9 && found.converged, "{} and {expected}", found.value);
        assert!(found.residual < 1e-7 * expected, "{}", found.residual);
        assert_eq!(largest_preconditioned(&[1.0; 3], effort, None, |_, hv| hv.fill(f64::NAN)), None);
    }

    #[test]
    fn the_largest_eigenvalues_come_in_order_and_as_often_as_they_are_there() {
        let mut entries: Vec<f64> = (1..=60).map(|i| f64::from(i) / 10.0).collect();
        entries.extend([7.0, 7.0, 7.0, 6.5, 6.5]);
        let effort = Effort::default();
        let first = extremes(entries.len(), effort, diagonal(&entries)).unwrap().largest;
        let found = leading(first, 7, effort, diagonal(&entries)).unwrap();
        let expected = [7.0, 7.0, 7.0, 6.5, 6.5, 6.0, 5.9];
        assert_eq!(found.len(), expected.len());
        for (pair, value) in found.iter().zip(expected) {
            assert!((pair.value - value).abs() < 1e-9 && pair.converged && pair.residual < 1e-8, "{pair:?}");
        }
        for (i, a) in found.iter().enumerate() {
            for b in &found[..i] {
                assert!(dot(&a.vector, &b.vector).abs() < 1e-8, "eigenvectors are orthogonal");
            }
        }
        // More than there are: all of them, once each.
        let all = leading(found[0].clone(), 100, effort, diagonal(&entries)).unwrap();
        entries.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(all.len(), 65);
        assert!(all.iter().zip(&entries).all(|(pair, value)| (pair.value - value).abs() < 1e-9));
        assert_eq!(leading(found[0].clone(), 2, effort, |_, hv| hv.fill(f64::NAN)), None);
    }
}
