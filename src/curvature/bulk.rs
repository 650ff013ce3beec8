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

/// How near to the floor a curvature counts as lying on it, over the floor.
const ON_THE_FLOOR: f64 = 0.1;

/// Where the bulk of a spectrum ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bulk {
    /// The curvature above which directions hold the share that was asked for.
    pub smallest: f64,
    /// The part of all directions whose curvature is within a tenth of the floor: the plateau that weight decay makes. 0 without a floor.
    pub on_the_floor: f64,
}

/// Returns the curvature above which directions hold this share of the trace of a positive operator of dimension P, as far as it exceeds
/// `floor`, a multiple of the identity that the operator contains (weight decay; 0 for none); none where a product is not finite or nothing is
/// curved more than the floor.
///
/// The floor is taken off because P directions of weight decay alone would otherwise hold a share that grows with P, and the end of the bulk
/// would be the decay whatever the data say.
pub fn bulk(dimension: usize, share: f64, floor: f64, mut product: impl FnMut(&[f64], &mut [f64])) -> Option<Bulk> {
    let mut nodes: Vec<(f64, f64)> = Vec::new();
    for seed in 0..VECTORS {
        nodes.extend(quadrature(dimension, seed, &mut product)?);
    }
    let near = nodes.iter().filter(|(value, _)| (value - floor).abs() < ON_THE_FLOOR * floor);
    let on_the_floor = near.map(|(_, weight)| weight).sum::<f64>() / VECTORS as f64;
    // What rounding leaves of the floor is not curved.
    nodes.retain(|(value, weight)| value - floor > 1e-9 * floor && *weight > 0.0);
    nodes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let trace: f64 = nodes.iter().map(|(value, weight)| (value - floor) * weight).sum();
    let mut held = 0.0;
    let smallest = nodes.into_iter().find_map(|(value, weight)| {
        held += (value - floor) * weight;
        // The last node alone may miss the whole by rounding.
        (held >= (share - 1e-12) * trace).then_some(value)
    })?;
    Some(Bulk { smallest, on_the_floor })
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
            let found = bulk(5, share, 0.0, diagonal(few.clone())).unwrap();
            assert_eq!(found.on_the_floor, 0.0);
            let found = found.smallest;
            assert!((found / expected - 1.0).abs() < 1e-9, "{share}: {found}");
        }
        // i^-2: the first k hold 1 - about 1/(k zeta(2)) of the trace.
        let many: Vec<f64> = (1..=2000).map(|i| f64::from(i).powi(-2)).collect();
        let trace: f64 = many.iter().sum();
        let mut held = 0.0;
        let exact = many.iter().find(|value| (held += **value, held >= 0.99 * trace).1).unwrap();
        let found = bulk(2000, 0.99, 0.0, diagonal(many.clone())).unwrap().smallest;
        assert!((found / exact).ln().abs() < 0.5, "{found}, exactly {exact}");
        assert_eq!(bulk(3, 0.9, 0.0, |_, hv| hv.fill(f64::NAN)), None);
        assert_eq!(bulk(3, 0.9, 0.0, |_, hv| hv.fill(0.0)), None);
    }

    /// 20 directions of data among 2,000 of weight decay: without the floor the decay holds most of the trace.
    #[test]
    fn a_plateau_of_weight_decay_is_taken_off_and_counted() {
        let decay = 1e-2;
        let entries: Vec<f64> = (0..2000).map(|i| decay + if i < 20 { 0.5_f64.powi(i) } else { 0.0 }).collect();
        let product = |v: &[f64], hv: &mut [f64]| (0..v.len()).for_each(|i| hv[i] = entries[i] * v[i]);
        let with_decay = bulk(2000, 0.99, 0.0, product).unwrap();
        assert!((with_decay.smallest / decay - 1.0).abs() < 1e-3, "{with_decay:?}");
        // Signs weigh all directions alike, and Lanczos ends after 21 products: 1 - 2^-7 of the rest is the first beyond .99.
        let found = bulk(2000, 0.99, decay, product).unwrap();
        assert!((found.smallest - decay - 0.5_f64.powi(6)).abs() < 1e-6, "{found:?}");
        // 2^-i is less than a tenth of the decay from i = 10 on.
        assert!((found.on_the_floor - 1990.0 / 2000.0).abs() < 2e-3, "{found:?}");
        assert_eq!(bulk(4, 0.9, 0.5, |v, hv| hv.iter_mut().zip(v).for_each(|(h, v)| *h = 0.5 * v)), None);
    }
}
