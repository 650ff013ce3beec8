//! Where the runs of a sweep start: how far from the minimum, and in which direction.
//!
//! The distance must be small enough for the dynamics to be linear, and must stand far above what the run's numbers cannot
//! tell: the rounding of its weights and gradients, and what the search has left of the gradient at the minimum. Where there is
//! no such distance, there is no sweep in this precision. Not here: what is observed of a run ([`crate::threshold`]), nor the
//! size of the updates that rounding leaves alone ([`super::floor`]).

use crate::math::{FloatFormat, ordered_sum};
use crate::minimum::Minimum;
use crate::problem::Problem;
use crate::threshold::StartPoint;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Distance of the start from the minimum, relative to the scale of the weights. In f32 a tenth of this already lets updates
/// drown in rounding at long delays (thresholds off by 1 % at delay 32 on the default problem).
fn displacement(format: FloatFormat) -> f64 {
    match format {
        FloatFormat::F32 => 1e-4,
        FloatFormat::F64 => 1e-7,
    }
}

/// Distance of the far start, in units of that of the near one.
const FAR: f64 = 4.0;

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

/// The distances of a sweep's runs from the minimum, and what they stand above.
#[derive(Clone, Copy, Debug)]
pub struct Distances {
    /// Distance of the near start, where ensembles and runs under the escape criterion begin too.
    pub near: f64,
    /// Distance of the far start.
    pub far: f64,
    /// Distance at which a run under the escape criterion has escaped.
    pub escape: f64,
    /// Distance up to which the dynamics are linear.
    pub linear: f64,
    /// Norm of what the search has left of the gradient at the minimum.
    pub gradient: f64,
    /// Error of the gradient along the top eigenvector: rounding, and what it is at the minimum.
    error: f64,
    /// Largest eigenvalue of the Hessian.
    curvature: f64,
}

/// A start that the error of the gradient hides.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{}; accepted: --precision f64, or a smaller --gradient-tolerance", self.why())]
pub struct HiddenStart {
    error: f64,
    start: f64,
    gradient: f64,
}

impl HiddenStart {
    /// The same without what would be accepted.
    pub fn why(&self) -> String {
        let Self { error, start, gradient } = self;
        format!(
            "the gradient at the minimum is known to {error:.1e} in this precision, which hides a start at distance {start:.1e}, \
             where it is {gradient:.1e}"
        )
    }
}

impl Distances {
    /// Chooses the distances for runs in this format of numbers.
    pub fn choose(problem: &Problem, minimum: &Minimum, format: FloatFormat, seed: u64) -> Self {
        let (scale, curvature) = (scale(problem, minimum, seed), minimum.largest.value);
        let usual = displacement(format) * scale;
        let left = match problem {
            Problem::Quadratic(_) | Problem::Dense(_) => Vec::new(),
            Problem::Network(network) => network.gradient(&minimum.weights),
        };
        let error = error(problem, minimum, &left, format, usual, seed);
        let clear = CLEAR * error / curvature;
        let is_bent = |distance: f64| bend(problem, minimum, distance, seed) > BENT;
        let mut near = if clear > usual { clear.min(FARTHEST * scale) } else { usual };
        while near > usual && is_bent(near) {
            near = (0.5 * near).max(usual);
        }
        // Where nothing farther is straight, the other start is a closer one.
        let (near, far) = if is_bent(FAR * near) { (near / FAR, near) } else { (near, FAR * near) };
        let (escape, linear) = match problem {
            Problem::Quadratic(_) | Problem::Dense(_) => (ESCAPE_RADIUS * scale, f64::INFINITY),
            Problem::Network(_) => (ESCAPE_RADIUS * scale, ESCAPE_RADIUS * scale),
        };
        Self { near, far, escape, linear, gradient: norm(&left), error, curvature }
    }

    /// Distance of a start.
    pub fn of(&self, start: StartPoint) -> f64 {
        match start {
            StartPoint::Near => self.near,
            StartPoint::Far => self.far,
        }
    }

    /// Size of the weights on which the objective changes its shape.
    pub(crate) fn scale(&self) -> f64 {
        self.escape / ESCAPE_RADIUS
    }

    /// Displacement at which the gradient is that of the displacement, and not its error.
    pub fn clear_projection(&self) -> f64 {
        HIDDEN * self.error / self.curvature
    }

    /// Refuses a start at which verdicts would be those of rounding.
    ///
    /// # Errors
    /// Where the gradient's error hides the displacement.
    pub fn check(&self) -> Result<(), HiddenStart> {
        let gradient = self.curvature * self.near;
        if gradient >= HIDDEN * self.error {
            return Ok(());
        }
        Err(HiddenStart { error: self.error, start: self.near, gradient })
    }
}

/// Size of the weights on which the objective changes its shape: that of the minimum, or of weights as training starts from
/// where the minimum is closer to 0 (a norm of 1e-12 is 0 and no scale). A quadratic is the same on every scale.
fn scale(problem: &Problem, minimum: &Minimum, seed: u64) -> f64 {
    match problem {
        Problem::Quadratic(_) | Problem::Dense(_) => 1.0,
        Problem::Network(network) => norm(&minimum.weights).max(norm(&network.model.init(seed))),
    }
}

/// Largest error of the gradient along the top eigenvector at points around the minimum. `left`: the gradient at the minimum.
fn error(problem: &Problem, minimum: &Minimum, left: &[f64], format: FloatFormat, distance: f64, seed: u64) -> f64 {
    let Problem::Network(network) = problem else { return 0.0 };
    let along = |gradient: &[f64]| dot(gradient, &minimum.largest.vector).abs();
    let left = along(left);
    match format {
        FloatFormat::F64 => left,
        FloatFormat::F32 => {
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
/// seeded random direction perpendicular to it, so that growth in any other direction shows in the distance. All of it along
/// the top eigenvector, where there is no other direction.
pub fn displaced(minimum: &Minimum, distance: f64, seed: u64) -> Vec<f64> {
    displaced_along(minimum, &minimum.largest.vector, distance, seed)
}

/// The same with another unit vector in the place of the top eigenvector.
pub fn displaced_along(minimum: &Minimum, top: &[f64], distance: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1); // stream 0 drew the initial weights
    let weights = &minimum.weights;
    let random: Vec<f64> = weights.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
    let along = dot(&random, top);
    let across: Vec<f64> = random.iter().zip(top).map(|(random, v)| random - along * v).collect();
    let norm = norm(&across);
    if weights.len() == 1 || norm < f64::EPSILON.sqrt() * along.abs() {
        return weights.iter().zip(top).map(|(x, v)| x + distance * v).collect();
    }
    let mix = distance * std::f64::consts::FRAC_1_SQRT_2;
    weights.iter().zip(top).zip(&across).map(|((x, v), across)| x + mix * (v + across / norm)).collect()
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
    use crate::minimum;
    use crate::problem::Quadratic;

    #[test]
    fn a_start_that_the_gradients_error_hides_is_refused() {
        let distances =
            Distances { near: 1e-4, far: 4e-4, escape: 0.05, linear: 0.05, gradient: 0.0, error: 1e-7, curvature: 2.0 };
        assert!(distances.check().is_ok());
        let hidden = Distances { error: 1e-5, ..distances }.check().unwrap_err().to_string();
        assert!(hidden.contains("accepted: --precision f64"), "{hidden}");
    }

    /// One parameter leaves no other direction, and a random one would cancel the displacement or double it.
    #[test]
    fn a_start_lies_at_its_distance_whatever_the_seed() {
        for eigenvalues in [vec![1.0], vec![0.3, 1.0], vec![0.3, 1.0, 0.2, 0.1]] {
            let problem = Problem::Quadratic(Quadratic { eigenvalues });
            let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
            for seed in 0..20 {
                let start = displaced(&minimum, 1e-4, seed);
                let along = dot(&start, &minimum.largest.vector);
                assert!((norm(&start) / 1e-4 - 1.0).abs() < 1e-12 && along > 0.7e-4, "seed {seed}: {start:?}");
            }
        }
    }
}
