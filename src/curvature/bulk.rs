//! The bulk of a spectrum by stochastic Lanczos: how the trace of a Hessian is shared among its eigenvalues.
//!
//! From a random unit vector Lanczos makes the nodes of a quadrature rule, whose weights are the squared first entries of the eigenvectors of the
//! tridiagonal matrix (Golub and Welsch; Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38, 2017). The mean over a few vectors is the density of
//! the spectrum, smeared over neighbours. Not here: single eigenvalues with residuals ([`super::leading`]).

use super::{Ritz, dot};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Random vectors, and products with the Hessian for each.
const VECTORS: u64 = 8;
const PRODUCTS: usize = 80;

/// Returns the curvature above which directions hold this share of the trace of a positive operator of dimension P; none where a product is not
/// finite or nothing is curved upwards.
pub fn bulk(dimension: usize, share: f64, mut product: impl FnMut(&[f64], &mut [f64])) -> Option<f64> {
    let mut nodes: Vec<(f64, f64)> = Vec::new();
    for seed in 0..VECTORS {
        nodes.extend(quadrature(dimension, seed, &mut product)?);
    }
    nodes.retain(|(value, weight)| value * weight > 0.0);
    nodes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let trace: f64 = nodes.iter().map(|(value, weight)| value * weight).sum();
    let mut held = 0.0;
    nodes.into_iter().find_map(|(value, weight)| {
        held += value * weight;
        // The last node alone may miss the whole by rounding.
        (held >= (share - 1e-12) * trace).then_some(value)
    })
}

/// Eigenvalues of the tridiagonal matrix with their weights, from one random vector.
fn quadrature(dimension: usize, seed: u64, product: &mut impl FnMut(&[f64], &mut [f64])) -> Option<Vec<(f64, f64)>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = (dimension as f64).sqrt().recip();
    let first: Vec<f64> = (0..dimension).map(|_| if rng.random::<bool>() { size } else { -size }).collect();
    let (mut basis, mut diagonal, mut off_diagonal) = (vec![first], Vec::new(), Vec::new());
    let mut image = vec![0.0; dimension];
    loop {
        let newest = basis.last().expect("the basis holds at least its start");
        product(newest, &mut image);
        diagonal.push(dot(newest, &image));
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
        let scale = diagonal.iter().fold(f64::MIN_POSITIVE, |scale: f64, d| d.abs().max(scale));
        if diagonal.len() == PRODUCTS.min(dimension) || beta <= 1e-12 * scale {
            let ritz = Ritz::new(&diagonal, &off_diagonal);
            let node = |index: usize| (ritz.values[index], ritz.vectors[(0, index)].powi(2));
            return Some((0..ritz.values.len()).map(node).collect());
        }
        off_diagonal.push(beta);
        basis.push(image.iter().map(|w| w / beta).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs as entries give every eigenvalue of a diagonal matrix the same weight, so that few of them are met exactly.
    #[test]
    fn it_is_where_the_sum_of_eigenvalues_says() {
        let diagonal =
            |entries: Vec<f64>| move |v: &[f64], hv: &mut [f64]| (0..v.len()).for_each(|i| hv[i] = entries[i] * v[i]);
        let few = vec![8.0, 4.0, 2.0, 1.0, 0.5];
        for (share, expected) in [(0.5, 8.0), (0.6, 4.0), (0.9, 2.0), (0.95, 1.0), (1.0, 0.5)] {
            let found = bulk(5, share, diagonal(few.clone())).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{share}: {found}");
        }
        // i^-2: the first k hold 1 - about 1/(k zeta(2)) of the trace.
        let many: Vec<f64> = (1..=2000).map(|i| f64::from(i).powi(-2)).collect();
        let trace: f64 = many.iter().sum();
        let mut held = 0.0;
        let exact = many.iter().find(|value| (held += **value, held >= 0.99 * trace).1).unwrap();
        let found = bulk(2000, 0.99, diagonal(many.clone())).unwrap();
        assert!((found / exact).ln().abs() < 0.5, "{found}, exactly {exact}");
        assert_eq!(bulk(3, 0.9, |_, hv| hv.fill(f64::NAN)), None);
        assert_eq!(bulk(3, 0.9, |_, hv| hv.fill(0.0)), None);
    }
}
