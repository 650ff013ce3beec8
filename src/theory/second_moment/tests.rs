//! The map of second moments against the full state of the rules, update by update, and against what others have derived.

use super::*;
use crate::theory::Velocity;
use nalgebra::{Cholesky, DMatrix, SymmetricEigen};

/// A rule as it is run: v = m v + (1-d) g; x -= lr (direct g + by_velocity v); workers read x + ahead (x - x_before).
#[derive(Clone, Copy, Debug)]
struct Run {
    momentum: f64,
    dampening: f64,
    direct: f64,
    by_velocity: f64,
    ahead: f64,
    /// One velocity for each worker.
    each: bool,
}

const HEAVY_BALL: Run = Run { momentum: 0.0, dampening: 0.0, direct: 0.0, by_velocity: 1.0, ahead: 0.0, each: false };

impl Run {
    fn equation(self, delay: usize) -> Equation {
        let Self { momentum: m, dampening: d, ahead, .. } = self;
        let law = DelayLaw::Fixed(delay);
        let numerator =
            if self.direct > 0.0 { [1.0 - m * d, 1.0 + m * (1.0 - d)] } else { [1.0 - d, (1.0 - d) * (1.0 + ahead)] };
        let velocity = match (self.each, m) {
            (true, momentum) => Velocity::Worker { momentum },
            (false, momentum) => Velocity::Server { momentum },
        };
        Equation::new(&law, velocity, numerator)
    }

    /// One update as a matrix on x, the stored versions from the newest on, and the velocities from the newest on.
    fn update(self, delay: usize, lr: f64, hessian: &DMatrix<f64>) -> DMatrix<f64> {
        let Self { momentum, dampening, direct, by_velocity, ahead, each } = self;
        let (size, versions) = (hessian.nrows(), delay + 1);
        let velocities = if each { delay + 1 } else { 1 };
        let blocks = 1 + versions + velocities;
        let block = |place: usize| {
            let mut block = DMatrix::zeros(size, blocks * size);
            block.view_mut((0, place * size), (size, size)).fill_with_identity();
            block
        };
        let gradient = hessian * block(versions);
        let velocity = block(blocks - 1) * momentum + &gradient * (1.0 - dampening);
        let weights = block(0) - (&gradient * direct + &velocity * by_velocity) * lr;
        let version = &weights + (&weights - block(0)) * ahead;
        let mut update = DMatrix::zeros(blocks * size, blocks * size);
        let mut set = |place: usize, block: &DMatrix<f64>| {
            update.view_mut((place * size, 0), (size, blocks * size)).copy_from(block);
        };
        set(0, &weights);
        set(1, &version);
        (2..=versions).for_each(|place| set(place, &block(place - 1)));
        set(versions + 1, &velocity);
        (versions + 2..blocks).for_each(|place| set(place, &block(place - 1)));
        update
    }
}

/// Small numbers without pattern.
fn hessians(count: usize, size: usize, seed: u64) -> Vec<DMatrix<f64>> {
    let mut state = seed;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31) * 2.0 - 0.5
    };
    let one = |_| {
        let factor = DMatrix::from_fn(size, 2, |_, _| number());
        &factor * factor.transpose() + DMatrix::identity(size, size) * 0.05
    };
    (0..count).map(one).collect()
}

fn mean(hessians: &[DMatrix<f64>]) -> DMatrix<f64> {
    hessians.iter().sum::<DMatrix<f64>>() / hessians.len() as f64
}

/// Mean Hessians of all batches of `rows` distinct samples.
fn batches(hessians: &[DMatrix<f64>], rows: usize) -> Vec<DMatrix<f64>> {
    let sets = (0u32..1 << hessians.len()).filter(|set| set.count_ones() as usize == rows);
    sets.map(|set| {
        let members: Vec<_> = (0..hessians.len()).filter(|i| set >> i & 1 == 1).map(|i| hessians[i].clone()).collect();
        mean(&members)
    })
    .collect()
}

fn noise(hessians: &[DMatrix<f64>], leading: usize) -> CurvatureNoise {
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(mean(hessians));
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
    let basis = DMatrix::from_fn(order.len(), order.len(), |i, j| eigenvectors[(i, order[j])]);
    let within = |hessian: &DMatrix<f64>| (basis.transpose() * hessian * &basis).columns(0, leading).into_owned();
    let curvatures = order.iter().map(|place| eigenvalues[*place]).collect();
    CurvatureNoise::new(curvatures, hessians.iter().map(within).collect())
}

fn share(samples: usize, rows: usize) -> f64 {
    (samples - rows) as f64 / (rows * (samples - 1)) as f64
}

/// Growth per update of the second moments of the full state, the mean of `A S A^T` over all batches.
fn lifted_growth(run: Run, delay: usize, lr: f64, batches: &[DMatrix<f64>]) -> f64 {
    let updates: Vec<_> = batches.iter().map(|hessian| run.update(delay, lr, hessian)).collect();
    let size = updates[0].nrows();
    let mut moment = DMatrix::identity(size, size);
    let (mut growth, steps) = (0.0, 4000);
    for step in 0..steps {
        moment = updates.iter().map(|update| update * &moment * update.transpose()).sum::<DMatrix<f64>>();
        moment /= batches.len() as f64;
        // Their oscillation averages out.
        growth += if step < steps / 2 { 0.0 } else { moment.trace().ln() };
        moment /= moment.trace();
    }
    growth / f64::from(steps / 2)
}

#[test]
fn the_full_state_grows_above_the_threshold_and_decays_below_it() {
    let sgd = HEAVY_BALL;
    let heavy = Run { momentum: 0.6, dampening: 0.2, ..HEAVY_BALL };
    let slow = Run { momentum: 0.9, ..HEAVY_BALL };
    let nesterov = Run { momentum: 0.7, dampening: 0.3, direct: 1.0, by_velocity: 0.7, ..HEAVY_BALL };
    let ahead = Run { momentum: 0.5, dampening: 0.5, ahead: 0.5, ..HEAVY_BALL };
    let predicted = Run { momentum: 0.8, dampening: 0.8, ahead: 2.0, ..HEAVY_BALL };
    let each = Run { momentum: 0.6, dampening: 0.2, each: true, ..HEAVY_BALL };
    let steady = Run { momentum: 0.9, dampening: 0.9, each: true, ..HEAVY_BALL };
    let samples = hessians(6, 3, 12_345);
    for (run, delay, rows) in [
        (sgd, 0, 1),
        (sgd, 3, 2),
        (heavy, 2, 2),
        (slow, 0, 2),
        (slow, 3, 1),
        (nesterov, 2, 5),
        (ahead, 1, 2),
        (predicted, 2, 2),
        (each, 2, 2),
        (steady, 4, 1),
    ] {
        let threshold = second_moment_threshold(&run.equation(delay), &noise(&samples, 3), share(6, rows)).unwrap();
        assert_eq!(threshold.error, None);
        let batches = batches(&samples, rows);
        let [below, above] = [0.999, 1.001].map(|factor| lifted_growth(run, delay, factor * threshold.lr, &batches));
        assert!(below < 0.0 && above > 0.0, "{run:?} at delay {delay}: {below:e}, {above:e} around {threshold:?}");
        let zero = 0.999 - 0.002 * below / (above - below);
        assert!((zero - 1.0).abs() < 1e-5, "{run:?} at delay {delay}: the full state changes its sign at {zero}");
    }
}

#[test]
fn noise_that_returns_from_every_direction_alike_counts_alike_across_the_top_eigenvector() {
    // z z^T with |z|^2 = 2 and z at angles all around: C(1) = 1 in two dimensions.
    let around = |i: i32| {
        let angle = f64::from(i) * std::f64::consts::PI / 5.0;
        let z = DVector::from_vec(vec![2f64.sqrt() * angle.cos(), 2f64.sqrt() * angle.sin()]);
        &z * z.transpose()
    };
    let round: Vec<DMatrix<f64>> = (0..5).map(around).collect();
    let across = |samples: &[DMatrix<f64>], size, share| {
        second_moment_threshold(&HEAVY_BALL.equation(0), &noise(samples, size), share).unwrap().across
    };
    assert!((across(&round, 2, 0.5) - 1.0).abs() < 1e-6);
    assert_eq!(across(&round, 2, 0.0), 0.0, "without noise");
    let one = [0.5, 1.5].map(|h| DMatrix::from_element(1, 1, h));
    assert_eq!(across(&one, 1, 1.0), 1.0, "nothing is across a single direction");
    let apart = [1.5, 0.3].map(|h| DMatrix::from_diagonal(&DVector::from_vec(vec![1.0, h])));
    let found = second_moment_threshold(&HEAVY_BALL.equation(0), &noise(&apart, 2), 1.0).unwrap();
    // 2 mean / mean square along the second axis, which has all the noise.
    assert!((found.lr - 1.8 / 1.17).abs() < 1e-6 && found.across > 100.0 && found.along < 1e-3, "{found:?}");
}

/// `2 / lambda_max(C^-1 D)`, `C = (H x I + I x H)/2`, `D = (1-p) H x H + p mean H_i x H_i`: arXiv:2306.07850.
#[test]
fn without_delay_and_momentum_it_is_the_threshold_of_mulayoff_and_michaeli() {
    let samples = hessians(7, 3, 99);
    let (h, identity) = (mean(&samples), DMatrix::identity(3, 3));
    let c = (h.kronecker(&identity) + identity.kronecker(&h)) * 0.5;
    let second = samples.iter().map(|sample| sample.kronecker(sample)).sum::<DMatrix<f64>>() / 7.0;
    let root = Cholesky::new(c).unwrap().l();
    for rows in [1, 3, 6] {
        let p = share(7, rows);
        let d = h.kronecker(&h) * (1.0 - p) + &second * p;
        let left = root.solve_lower_triangular(&d).unwrap();
        let both = root.solve_lower_triangular(&left.transpose()).unwrap();
        let expected = 2.0 / SymmetricEigen::new(both).eigenvalues.max();
        let found = second_moment_threshold(&HEAVY_BALL.equation(0), &noise(&samples, 3), p).unwrap().lr;
        assert!((found / expected - 1.0).abs() < 1e-8, "batches of {rows}: {found}, expected {expected}");
    }
}

#[test]
fn with_fewer_leading_directions_the_error_is_told() {
    let samples = hessians(24, 12, 5);
    for (run, delay) in [
        (HEAVY_BALL, 0),
        (Run { momentum: 0.9, ..HEAVY_BALL }, 4),
        (Run { momentum: 0.9, each: true, ..HEAVY_BALL }, 3),
    ] {
        let equation = run.equation(delay);
        let exact = second_moment_threshold(&equation, &noise(&samples, 12), share(24, 2)).unwrap();
        let near = second_moment_threshold(&equation, &noise(&samples, 8), share(24, 2)).unwrap();
        let (off, told) = ((near.lr / exact.lr - 1.0).abs(), near.error.unwrap());
        assert!(off <= told && off < 3e-3, "{run:?}: off by {off:e}, {told:e} told");
    }
}

#[test]
fn without_noise_it_is_the_threshold_of_the_mean() {
    let alike = vec![mean(&hessians(5, 3, 1)); 4];
    let equation = Run { momentum: 0.9, ..HEAVY_BALL }.equation(5);
    let expected = first_crossing(&equation.characteristic(5, WeightDecay::None).unwrap()).unwrap().gain;
    let quiet = [(noise(&alike, 3), 0.5), (noise(&hessians(5, 3, 1), 3), 0.0), (noise(&hessians(5, 3, 1), 3), 1e-13)];
    for (noise, share) in quiet {
        let found = second_moment_threshold(&equation, &noise, share).unwrap().lr * noise.curvatures[0];
        assert!((found / expected - 1.0).abs() < 1e-6, "{found}, expected {expected}");
    }
    let flat = CurvatureNoise::new(vec![1.0, 0.0], vec![DMatrix::identity(2, 2)]);
    assert_eq!(second_moment_threshold(&equation, &flat, 0.5), Err(TheoryError::Curvature(0.0)));
}
