//! Where the runs of a sweep start: how far from the minimum, and in which direction.
//!
//! The distance must be small enough for the dynamics to be linear, and must stand far above what the run's numbers cannot
//! tell: the rounding of its weights and gradients, and what the search has left of the gradient at the minimum. Where there is
//! no such distance, there is no sweep in this precision. Not here: what is observed of a run ([`crate::threshold`]).

use crate::config::Precision;
use crate::math::ordered_sum;
use crate::minimum::Minimum;
use crate::problem::Problem;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Distance of the start from the minimum, relative to the scale of the weights. In f32 a tenth of this already lets updates
/// drown in rounding at long delays (thresholds off by 1 % at delay 32 on the default problem).
fn displacement(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F64 => 1e-6,
    }
}

/// Distance, relative to the scale of the weights, at which a run driven by minibatch noise has escaped.
const ESCAPE_RADIUS: f64 = 0.05;

/// Gradient of a displaced run over its error, along the top eigenvector, that a start is placed at. Near a threshold a run
/// multiplies the error by up to 1 / tolerance.
const CLEAR: f64 = 1e4;

/// The same, below which no start is clear enough to be measured.
const HIDDEN: f64 = 1e2;

/// Distance, relative to the scale of the weights, beyond which no start is placed for the sake of rounding.
const FARTHEST: f64 = 1e-2;

/// Largest relative difference between the gradient along the top eigenvector and that of the quadratic with the minimum's
/// curvature, at a start that is placed farther out than usual: beyond it thresholds are those of another curvature.
const BENT: f64 = 0.01;

/// Points at which the error of the gradient is looked at.
const POINTS: u64 = 8;

/// The distances of a sweep's runs from the minimum, and the error that they stand above.
#[derive(Clone, Copy, Debug)]
pub struct Distances {
    /// Distance of every run's start.
    pub start: f64,
    /// Distance at which a run under the escape criterion has escaped.
    pub escape: f64,
    /// Error of the gradient along the top eigenvector: rounding, and what it is at the minimum.
    error: f64,
    /// Largest eigenvalue of the Hessian.
    curvature: f64,
}

/// A start that the error of the gradient hides.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the gradient at the minimum is known to {error:.1e} in this precision, which hides a start at distance {start:.1e}, where it \
     is {gradient:.1e}; accepted: --precision f64, or a smaller --gradient-tolerance"
)]
pub struct HiddenStart {
    error: f64,
    start: f64,
    gradient: f64,
}

impl Distances {
    /// Chooses the distances for runs in this precision.
    pub fn choose(problem: &Problem, minimum: &Minimum, precision: Precision, seed: u64) -> Self {
        let (scale, curvature) = (scale(problem, minimum, seed), minimum.largest.value);
        let usual = displacement(precision) * scale;
        let error = error(problem, minimum, precision, usual, seed);
        let clear = CLEAR * error / curvature;
        let mut start = if clear > usual { clear.min(FARTHEST * scale) } else { usual };
        while start > usual && bend(problem, minimum, start, seed) > BENT {
            start = (0.5 * start).max(usual);
        }
        Self { start, escape: ESCAPE_RADIUS * scale, error, curvature }
    }

    /// Refuses a start at which verdicts would be those of rounding.
    ///
    /// # Errors
    /// Where the gradient's error hides the displacement.
    pub fn check(&self) -> Result<(), HiddenStart> {
        let gradient = self.curvature * self.start;
        if gradient >= HIDDEN * self.error {
            return Ok(());
        }
        Err(HiddenStart { error: self.error, start: self.start, gradient })
    }
}

/// Size of the weights on which the objective changes its shape: that of the minimum, or of weights as training starts from
/// where the minimum is closer to 0 (a norm of 1e-12 is 0 and no scale). A quadratic is the same on every scale.
fn scale(problem: &Problem, minimum: &Minimum, seed: u64) -> f64 {
    let at_minimum = norm(&minimum.weights);
    match problem {
        Problem::Quadratic(_) | Problem::Dense(_) if at_minimum > 0.0 => at_minimum,
        Problem::Quadratic(_) | Problem::Dense(_) => 1.0,
        Problem::Network(network) => at_minimum.max(norm(&network.model.init(seed))),
    }
}

/// Largest error of the gradient along the top eigenvector at points around the minimum.
fn error(problem: &Problem, minimum: &Minimum, precision: Precision, distance: f64, seed: u64) -> f64 {
    let Problem::Network(network) = problem else { return 0.0 };
    let along = |gradient: &[f64]| dot(gradient, &minimum.largest.vector).abs();
    let left = along(&network.gradient(&minimum.weights));
    match precision {
        Precision::F64 => left,
        Precision::F32 => {
            let at = |point: u64| along(&network.rounding(&displaced(minimum, distance, seed.wrapping_add(point))));
            (0..POINTS).map(at).fold(left, f64::max)
        }
    }
}

/// Relative difference between the gradient along the top eigenvector and that of the quadratic, in f64, at a start at this
/// distance or at its mirror image, whichever is larger.
fn bend(problem: &Problem, minimum: &Minimum, distance: f64, seed: u64) -> f64 {
    let Problem::Network(network) = problem else { return 0.0 };
    let (x, v) = (&minimum.weights, &minimum.largest.vector);
    let start = displaced(minimum, distance, seed);
    let mirrored: Vec<f64> = start.iter().zip(x).map(|(start, x)| 2.0 * x - start).collect();
    let difference = |point: &[f64]| {
        let step: Vec<f64> = point.iter().zip(x).map(|(point, x)| point - x).collect();
        let linear = minimum.largest.value * dot(&step, v);
        (dot(&network.gradient(point), v) / linear - 1.0).abs()
    };
    difference(&start).max(difference(&mirrored))
}

/// A point at `distance` from the minimum, half of the way (in squared distance) along the top eigenvector, the rest in a
/// seeded random direction, so that growth in any other direction shows in the distance.
pub fn displaced(minimum: &Minimum, distance: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1); // stream 0 drew the initial weights
    let random: Vec<f64> = minimum.weights.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
    let norm = random.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mix = distance * std::f64::consts::FRAC_1_SQRT_2;
    let top = &minimum.largest.vector;
    minimum.weights.iter().zip(top).zip(&random).map(|((x, v), r)| x + mix * (v + r / norm)).collect()
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    ordered_sum(a.len(), |i| a[i] * b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_the_gradients_error_hides_is_refused() {
        let distances = Distances { start: 1e-4, escape: 0.05, error: 1e-7, curvature: 2.0 };
        assert!(distances.check().is_ok());
        let hidden = Distances { error: 1e-5, ..distances }.check().unwrap_err().to_string();
        assert!(hidden.contains("accepted: --precision f64"), "{hidden}");
    }
}
