//! The quadratic f(x) = mean over samples of 1/2 x^T H_i x, by the Hessians of its samples or by one Hessian alone.
//!
//! Not here: the file that Hessians come from ([`crate::data::Hessians`]), nor its gradient on an engine
//! ([`crate::kernels::hessian`]).

use crate::math::ordered_sum;
use nalgebra::{Cholesky, DMatrix, SymmetricEigen};

/// Largest difference between an entry and its mirror image, relative to the largest entry: what f32 leaves of a symmetric
/// matrix.
const ASYMMETRY: f64 = 1e-6;

/// Sizes of the largest entry that leave squares and sums in range.
const SIZES: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// A quadratic with its minimum at 0, whose Hessian is positive definite.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseQuadratic {
    dimension: usize,
    /// None where there is one Hessian of everything.
    samples: Option<usize>,
    /// The Hessians of the samples one after the other, each P x P; the only one where there are no samples.
    hessians: Vec<f64>,
    /// P x P
    mean: Vec<f64>,
}

impl DenseQuadratic {
    /// Takes n x P x P numbers as the Hessians of n samples; P x P as one Hessian without samples where `samples` is `None`.
    ///
    /// # Errors
    /// An entry that is not finite or differs from its mirror image, and a mean that is not positive definite; the message, the
    /// second half of a sentence, has the entry or the eigenvalue. Differences of rounding in f32 are averaged.
    ///
    /// # Panics
    /// Where there are no numbers, or of another count.
    pub fn new(dimension: usize, samples: Option<usize>, mut hessians: Vec<f64>) -> Result<Self, String> {
        let (count, size) = (samples.unwrap_or(1), dimension * dimension);
        assert!(size > 0 && count > 0 && hessians.len() == count * size, "{} numbers", hessians.len());
        let entry = |sample: usize, i: usize, j: usize| match samples {
            Some(_) => format!("h[{sample}, {i}, {j}]"),
            None => format!("h[{i}, {j}]"),
        };
        if let Some(place) = hessians.iter().position(|number| !number.is_finite()) {
            let (sample, i, j) = (place / size, place % size / dimension, place % dimension);
            return Err(format!("{} is {}; accepted: finite numbers", entry(sample, i, j), hessians[place]));
        }
        let largest = largest_of(&hessians);
        if !SIZES.contains(&largest) {
            return Err(format!(
                "its largest entry is {largest:e}; accepted: {:e} to {:e}",
                SIZES.start(),
                SIZES.end()
            ));
        }
        for (sample, hessian) in hessians.chunks_exact_mut(size).enumerate() {
            let rounding = ASYMMETRY * largest_of(hessian);
            for i in 0..dimension {
                for j in 0..i {
                    let (a, b) = (hessian[i * dimension + j], hessian[j * dimension + i]);
                    if (a - b).abs() > rounding {
                        let (here, there) = (entry(sample, i, j), entry(sample, j, i));
                        return Err(format!("{here} is {a} and {there} is {b}; accepted: symmetric matrices"));
                    }
                    let mean = a + 0.5 * (b - a);
                    hessian[i * dimension + j] = mean;
                    hessian[j * dimension + i] = mean;
                }
            }
        }
        let share = 1.0 / count as f64;
        let mean_of = |place: usize| ordered_sum(count, |sample| hessians[sample * size + place]) * share;
        let mean: Vec<f64> = if count == 1 { hessians.clone() } else { (0..size).map(mean_of).collect() };
        let quadratic = Self { dimension, samples, hessians, mean };
        quadratic.check_minimum()?;
        Ok(quadratic)
    }

    /// Whether every eigenvalue of the mean is positive, by more than rounding.
    fn check_minimum(&self) -> Result<(), String> {
        let matrix = DMatrix::from_row_slice(self.dimension, self.dimension, &self.mean);
        let rounding = self.dimension as f64 * f64::EPSILON * matrix.trace().abs();
        let mut lowered = matrix.clone();
        (0..self.dimension).for_each(|i| lowered[(i, i)] -= rounding);
        if Cholesky::new(lowered).is_some() {
            return Ok(());
        }
        let eigenvalues = SymmetricEigen::new(matrix).eigenvalues;
        let (smallest, largest) = (eigenvalues.min(), eigenvalues.max());
        let of = if self.samples.is_some() { "the mean of the Hessians" } else { "the Hessian" };
        Err(format!(
            "{of} has eigenvalues from {smallest:.6e} to {largest:.6e}; accepted: all positive, so that there is a minimum"
        ))
    }

    /// P
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of samples that batches are drawn of; none where there is one Hessian of everything.
    pub fn samples(&self) -> Option<usize> {
        self.samples
    }

    /// The Hessians of the samples, n x P x P; P x P where there are no samples.
    pub fn hessians(&self) -> &[f64] {
        &self.hessians
    }

    /// The Hessian of f, P x P.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Fills `product` with H v, H the Hessian of f.
    pub fn hessian_product(&self, vector: &[f64], product: &mut [f64]) {
        let rows = self.mean.chunks_exact(self.dimension);
        product.iter_mut().zip(rows).for_each(|(product, row)| *product = dot(row, vector));
    }

    /// v^T H_i v for every sample i.
    pub fn curvatures(&self, vector: &[f64]) -> Vec<f64> {
        self.sample_products(&[vector.to_vec()], |products| dot(&products[0], vector))
    }

    /// What `seen` makes of the products of a sample's Hessian with `vectors`, sample by sample.
    pub fn sample_products<R>(&self, vectors: &[Vec<f64>], seen: impl Fn(Vec<Vec<f64>>) -> R) -> Vec<R> {
        let product = |hessian: &[f64], vector: &[f64]| {
            hessian.chunks_exact(self.dimension).map(|row| dot(row, vector)).collect()
        };
        let hessians = self.hessians.chunks_exact(self.dimension * self.dimension);
        hessians.map(|hessian| seen(vectors.iter().map(|vector| product(hessian, vector)).collect())).collect()
    }
}

fn largest_of(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ordered_sum(a.len(), |i| a[i] * b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(dimension: usize, samples: Option<usize>, hessians: &[f64]) -> String {
        DenseQuadratic::new(dimension, samples, hessians.to_vec()).unwrap_err()
    }

    #[test]
    fn what_is_no_hessian_of_a_minimum_is_refused_with_its_entry_or_eigenvalue() {
        for (samples, hessians, part) in [
            (None, vec![1.0, f64::NAN, 0.0, 1.0], "h[0, 1] is NaN; accepted: finite"),
            (Some(2), vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, f64::INFINITY], "h[1, 1, 1] is inf; accepted: finite"),
            (None, vec![1.0, 0.5, 0.25, 1.0], "h[1, 0] is 0.25 and h[0, 1] is 0.5; accepted: symmetric"),
            (Some(2), vec![1.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 9.0], "h[1, 1, 0] is 3 and h[1, 0, 1] is 2"),
            (
                None,
                vec![1.0, 2.0, 2.0, 1.0],
                "the Hessian has eigenvalues from -1.000000e0 to 3.000000e0; accepted: all positive",
            ),
            (
                Some(2),
                vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, -1.0],
                "the mean of the Hessians has eigenvalues from 0.0",
            ),
            // Rank 1, which rounding may take for positive definite.
            (None, vec![0.01, 0.03, 0.03, 0.09], "the Hessian has eigenvalues from"),
            (None, vec![1e-200, 0.0, 0.0, 1e-200], "its largest entry is 1e-200; accepted: 1e-100 to 1e100"),
            (None, vec![0.0; 4], "its largest entry is 0e0"),
        ] {
            let error = refused(2, samples, &hessians);
            assert!(error.contains(part), "{hessians:?}: {error}");
        }
    }

    #[test]
    fn samples_need_not_be_positive_definite_and_rounding_of_f32_is_averaged() {
        let hessians = vec![3.0, 1.0, 1.0, -1.0, 1.0, 0.5, 0.5 + 1e-7, 5.0];
        let quadratic = DenseQuadratic::new(2, Some(2), hessians).unwrap();
        assert_eq!((quadratic.dimension(), quadratic.samples()), (2, Some(2)));
        let between = quadratic.hessians()[5];
        assert!(between == quadratic.hessians()[6] && (between - 0.5).abs() < 1e-7, "{between}");
        assert!(quadratic.mean().iter().zip([2.0, 0.75, 0.75, 2.0]).all(|(mean, exact)| (mean - exact).abs() < 1e-7));
        let mut product = [0.0; 2];
        quadratic.hessian_product(&[2.0, -1.0], &mut product);
        assert!((product[0] - 3.25).abs() < 1e-6 && (product[1] + 0.5).abs() < 1e-6, "{product:?}");
        let along = quadratic.curvatures(&[2.0, -1.0]);
        assert!((along[0] - 7.0).abs() < 1e-6 && (along[1] - 7.0).abs() < 1e-6, "{along:?}");
    }
}
