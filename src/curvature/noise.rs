//! The Hessians of single samples around a minimum, as far as the noise of minibatches is felt.
//!
//! A problem of few parameters is taken whole. Of a larger one a subspace is: the top eigenvector, the principal directions of
//! the noise that samples make of it, and what the Hessian makes of these. The Hessian within the subspace gives the directions
//! of curvature there, in which the Hessians of all samples are computed.
//!
//! Not here: what follows for thresholds ([`crate::theory::second_moment_threshold`]).

use super::{Eigenpair, dot};
use crate::problem::Problem;
use crate::theory::CurvatureNoise;
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Parameters up to which a problem is taken whole.
const WHOLE: usize = 64;

/// Directions of noise, and as many that the Hessian makes of them.
const DIRECTIONS: usize = 64;

/// Directions that are looked for beyond those that are kept.
const SPARE: usize = 8;

/// Passes over the samples in which the directions of noise are found.
const PASSES: usize = 3;

/// Directions among which the noise is known in both ways.
const LEADING: usize = 64;

/// What is left of a vector outside those before it, relative to its length, below which it is none of its own.
const DEPENDENT: f64 = 1e-7;

/// Most multiplications that are spent.
const BUDGET: f64 = 4e10;

/// Noise of minibatches around the minimum at `parameters`, of which `largest` is the top eigenpair. None where there are
/// no samples, where gradients of batches are no means over samples, or where it would take too long.
pub fn curvature_noise(problem: &Problem, parameters: &[f64], largest: &Eigenpair) -> Option<CurvatureNoise> {
    let (samples, size) = (problem.samples()?, problem.dimension());
    if !problem.is_mean_of_samples() || work(samples, size) > BUDGET {
        return None;
    }
    let hessian = |vectors: &[Vec<f64>]| problem.hessian_products(parameters, vectors);
    let basis = if size <= WHOLE {
        unit_vectors(size)
    } else {
        let mut basis = vec![largest.vector.clone()];
        let noise = noise_directions(problem, parameters, largest);
        let first = extend(&mut basis, noise);
        let next = hessian(&basis[first..]);
        extend(&mut basis, next);
        basis
    };
    // Directions of curvature within the subspace, from the largest on.
    let products = hessian(&basis);
    let within = DMatrix::from_fn(basis.len(), basis.len(), |i, j| {
        0.5 * (dot(&basis[i], &products[j]) + dot(&basis[j], &products[i]))
    });
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(within);
    let mut order: Vec<usize> = (0..basis.len()).collect();
    order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
    let direction = |place: &usize| combined(&basis, &eigenvectors.column(*place).into_owned());
    let directions: Vec<Vec<f64>> = order.iter().map(direction).collect();
    let curvatures = order.iter().map(|place| eigenvalues[*place]).collect();
    let leading = if basis.len() == size { size } else { LEADING.min(basis.len() - 1).max(1) };
    let rows = DMatrix::from_fn(directions.len(), size, |row, column| directions[row][column]);
    let compressed = |products: Vec<Vec<f64>>| {
        let products = DMatrix::from_fn(size, products.len(), |row, column| products[column][row]);
        &rows * products
    };
    let samples = problem.sample_products(parameters, &directions[..leading], compressed)?;
    Some(CurvatureNoise::new(curvatures, samples))
}

/// The Hessians of all samples at `parameters`, of a problem of few parameters; none where [`curvature_noise`] has none.
pub fn sample_hessians(problem: &Problem, parameters: &[f64]) -> Option<Vec<DMatrix<f64>>> {
    let size = problem.dimension();
    if size > WHOLE || !problem.is_mean_of_samples() {
        return None;
    }
    let dense = |products: Vec<Vec<f64>>| DMatrix::from_fn(size, size, |i, j| 0.5 * (products[i][j] + products[j][i]));
    problem.sample_products(parameters, &unit_vectors(size), dense)
}

fn unit_vectors(size: usize) -> Vec<Vec<f64>> {
    (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect()
}

/// Multiplications that the Hessians of all samples take.
fn work(samples: usize, size: usize) -> f64 {
    let directions = size.min(1 + 2 * DIRECTIONS) as f64;
    let leading = if size <= WHOLE { size } else { LEADING } as f64;
    samples as f64 * size as f64 * leading * (directions + 20.0)
}

/// Principal directions of (H_i - H) v over the samples, v the top eigenvector: subspace iteration from random vectors (Halko,
/// Martinsson and Tropp, arXiv:0909.4061).
fn noise_directions(problem: &Problem, parameters: &[f64], largest: &Eigenpair) -> Vec<Vec<f64>> {
    let size = largest.vector.len();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let random = |_| (0..size).map(|_| rng.random_range(-1.0..1.0)).collect();
    let mut found: Vec<Vec<f64>> = (0..DIRECTIONS + SPARE).map(random).collect();
    for _ in 0..PASSES {
        let wanted = DMatrix::from_fn(size, found.len(), |row, column| found[column][row]);
        let seen = |mut products: Vec<Vec<f64>>| {
            let mut noise = products.swap_remove(0);
            noise.iter_mut().zip(&largest.vector).for_each(|(noise, v)| *noise -= largest.value * v);
            let noise = DVector::from_vec(noise);
            (wanted.tr_mul(&noise), noise)
        };
        let samples = problem.sample_products(parameters, std::slice::from_ref(&largest.vector), seen);
        let mut sum = DMatrix::zeros(size, found.len());
        for (overlaps, noise) in samples.into_iter().flatten() {
            sum.ger(1.0, &noise, &overlaps, 1.0);
        }
        // Orthonormal, from the most of it on.
        let gram = SymmetricEigen::new(sum.tr_mul(&sum));
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|a, b| gram.eigenvalues[*b].total_cmp(&gram.eigenvalues[*a]));
        let most = gram.eigenvalues.max();
        order.retain(|place| gram.eigenvalues[*place] > DEPENDENT * DEPENDENT * most);
        found = order.iter().map(|place| (&sum * gram.eigenvectors.column(*place)).data.into()).collect();
        let mut orthonormal = Vec::new();
        extend(&mut orthonormal, found);
        found = orthonormal;
    }
    found.truncate(DIRECTIONS);
    found
}

/// Adds what is new in `vectors` to an orthonormal `basis`. Gives back where it begins.
fn extend(basis: &mut Vec<Vec<f64>>, vectors: Vec<Vec<f64>>) -> usize {
    let first = basis.len();
    for mut vector in vectors {
        let length = dot(&vector, &vector).sqrt();
        for _ in 0..2 {
            for known in &*basis {
                let overlap = dot(known, &vector);
                vector.iter_mut().zip(known).for_each(|(x, known)| *x -= overlap * known);
            }
        }
        let left = dot(&vector, &vector).sqrt();
        if left > DEPENDENT * length {
            vector.iter_mut().for_each(|x| *x /= left);
            basis.push(vector);
        }
    }
    first
}

fn combined(basis: &[Vec<f64>], weights: &DVector<f64>) -> Vec<f64> {
    let mut sum = vec![0.0; basis[0].len()];
    for (vector, weight) in basis.iter().zip(weights.iter()) {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curvature::{Effort, extremes};
    use crate::problem::DenseQuadratic;
    use crate::rule::Rule;
    use crate::theory::{DelayLaw, second_moment_threshold};

    /// Sgd without delay in all directions: L_jk = lr^2 / (1 - (1 - lr lambda_j) (1 - lr lambda_k)).
    fn radius(lr: f64, share: f64, hessians: &[DMatrix<f64>]) -> f64 {
        let mean = hessians.iter().sum::<DMatrix<f64>>() / hessians.len() as f64;
        let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(mean.clone());
        let within = |hessian: &DMatrix<f64>| eigenvectors.transpose() * (hessian - &mean) * &eigenvectors;
        let deviations: Vec<_> = hessians.iter().map(within).collect();
        let size = mean.nrows();
        let kept = |j: usize| 1.0 - lr * eigenvalues[j];
        let answer = DMatrix::from_fn(size, size, |j, k| share * lr * lr / (1.0 - kept(j) * kept(k)));
        let (mut moment, mut radius) = (DMatrix::identity(size, size), 0.0);
        for _ in 0..25 {
            let noise = deviations.iter().map(|d| d * &moment * d).sum::<DMatrix<f64>>() / hessians.len() as f64;
            let next = noise.component_mul(&answer);
            radius = noise.dot(&next) / noise.dot(&moment);
            moment = &next / next.norm();
        }
        radius
    }

    #[test]
    fn a_subspace_gives_the_threshold_of_all_directions_within_the_error_that_is_told() {
        let (size, count, rows) = (110, 10, 2);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let sample = |_| {
            let factor = DMatrix::from_fn(size, 4, |i, _| rng.random_range(-1.0..1.0) / (1.0 + i as f64 / 8.0));
            &factor * factor.transpose() + DMatrix::identity(size, size) * 0.02
        };
        let hessians: Vec<DMatrix<f64>> = (0..count).map(sample).collect();
        let entries = hessians.iter().flat_map(|hessian| hessian.iter().copied()).collect();
        let quadratic = DenseQuadratic::new(size, Some(count), entries).unwrap();
        let effort = Effort::default();
        let largest = extremes(size, effort, |v, hv| quadratic.hessian_product(v, hv)).unwrap().largest;
        let problem = Problem::Dense(quadratic);
        let noise = curvature_noise(&problem, &vec![0.0; size], &largest).unwrap();
        let share = (count - rows) as f64 / (rows * (count - 1)) as f64;
        let equation = Rule::SGD.equation(&DelayLaw::Fixed(0)).unwrap();
        let found = second_moment_threshold(&equation, &noise, share).unwrap();
        let told = found.error.unwrap();
        assert!(told < 2e-2, "{told}");
        let [below, above] = [-1.0, 1.0].map(|side| radius(found.lr * (1.0 + side * told.max(1e-5)), share, &hessians));
        assert!(below < 1.0 && above > 1.0, "radius {below} to {above} around {found:?}");
    }

    #[test]
    fn few_parameters_are_taken_whole_and_a_problem_without_samples_has_no_noise() {
        let entries = [2.0, 0.5, 0.5, 1.0, 1.0, 0.0, 0.0, 3.0];
        let quadratic = |samples: Option<usize>| {
            let count = samples.map_or(4, |_| 8);
            Problem::Dense(DenseQuadratic::new(2, samples, entries[..count].to_vec()).unwrap())
        };
        let found = sample_hessians(&quadratic(Some(2)), &[0.0; 2]).unwrap();
        assert_eq!(found, [DMatrix::from_row_slice(2, 2, &entries[..4]), DMatrix::from_row_slice(2, 2, &entries[4..])]);
        assert!(sample_hessians(&quadratic(None), &[0.0; 2]).is_none());
    }
}
