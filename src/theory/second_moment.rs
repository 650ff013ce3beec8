//! Stability in mean square under minibatches, exact: all directions of curvature together.
//!
//! A minibatch sees the Hessian `H_B`, of mean `H`. Written as `H y + n` with `n = (H_B - H) y` and `y` the weights that were
//! read, its gradient is that of the full batch and white noise, for a batch that is drawn afresh at every update knows
//! nothing of the past. In the eigenbasis of `H` the rule carries the noise to the weights by `-G_j`, and the noise has the
//! second moment of the weights for its own, so that a second moment `S = E y y^T` returns as
//!
//! ```text
//! S  ->  p L o C(S),     C(S) = mean over samples of (H_i - H) S (H_i - H),
//! L_jk = lr^2 (1/2pi) int N/(D + lr lambda_j N) conj(N/(D + lr lambda_k N)) dw,
//! ```
//!
//! with `o` the product entry by entry and `p = (n-B)/(B(n-1))` the share of the variance that a batch of `B` distinct samples
//! of `n` leaves. The rule is stable in mean square iff it is stable in the mean and the spectral radius of this map is
//! below 1. Without delay and momentum that is the condition of Mulayoff and Michaeli.
//!
//! The map takes covariances to covariances, so that its spectral radius has a covariance for eigenvector (Krein and
//! Rutman), to which powers of the map converge. It is symmetric once its entries are scaled by `L`, so that the Rayleigh
//! quotient of an estimate is off by the square of what the estimate is off by. Two things follow. Where there are too many
//! directions, `S` is found on the leading ones alone, and a half step of the map from there into all the others
//! gives the radius with them. And three times the difference to the same from half as many leading ones tells how far to trust it.
//!
//! Not here: where curvatures and Hessians of samples come from ([`crate::curvature`]).

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::TheoryError;
use super::bisection::bisect;
use super::equation::{Equation, WeightDecay};
use super::law::DelayLaw;
use super::margin::first_crossing;
use super::response::response;

/// The Hessians of single samples around a minimum: what the noise of minibatches is made of.
#[derive(Clone, Debug)]
pub struct CurvatureNoise {
    /// Eigenvalues of the mean, of the leading directions first.
    curvatures: Vec<f64>,
    /// Number of leading directions, among which the whole map is known.
    leading: usize,
    /// C among them, on symmetric matrices as vectors: entry (c, d) by entry (a, b), where a <= b and c <= d.
    map: DMatrix<f64>,
    /// Deviations from the mean by sample, all directions by leading ones, over the root of the number of samples. Empty
    /// where all directions lead.
    deviations: Vec<DMatrix<f64>>,
}

/// A threshold in mean square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondMomentThreshold {
    /// Stable for learning rates from 0 up to this.
    pub lr: f64,
    /// Relative error that it is unlikely to exceed; none where all directions were taken in.
    pub error: Option<f64>,
    /// Noise that a unit of the second moment returns as across the top eigenvector, relative to a unit along it: of the second
    /// moment that grows there, among leading directions. Zero where noise decides nothing.
    pub across: f64,
    /// Share of that noise which comes from along the top eigenvector.
    pub along: f64,
}

/// Error that is told, in units of the difference that half of the leading directions make: where many directions carry the
/// noise alike, those that do not lead still make up to twice that difference.
const UNSEEN: f64 = 3.0;

/// Relative accuracy of a threshold.
const ACCURACY: f64 = 1e-9;

/// The same where not all directions lead.
const ROUGH: f64 = 1e-5;

/// Accuracy of a spectral radius, in units of that of the threshold.
const RADIUS: f64 = 0.05;

/// Largest weight of what is across the top eigenvector, and 1 / the smallest.
const MOST_ACROSS: f64 = 1e3;

/// Applications of the map until it counts as not converging.
const APPLICATIONS: usize = 20_000;

/// Multiple of the radius that is added to the map, so that an eigenvalue of the same modulus and opposite sign dies out.
const SHIFT: f64 = 0.25;

impl CurvatureNoise {
    /// From the eigenvalues of the mean Hessian, those of the leading directions first, and the Hessians of all samples in its
    /// eigenbasis: all directions by leading ones.
    ///
    /// # Panics
    /// Where there is no sample, or sizes do not fit.
    pub fn new(curvatures: Vec<f64>, mut samples: Vec<DMatrix<f64>>) -> Self {
        let leading = samples[0].ncols();
        assert!(samples.iter().all(|sample| sample.shape() == (curvatures.len(), leading)), "Hessians of one size");
        let count = samples.len() as f64;
        let mut mean = DMatrix::zeros(curvatures.len(), leading);
        samples.iter().for_each(|sample| mean += sample);
        mean /= count;
        for sample in &mut samples {
            *sample -= &mean;
            *sample /= count.sqrt();
        }
        let map = map(&samples, leading);
        if leading == curvatures.len() {
            samples.clear();
        }
        Self { curvatures, leading, map, deviations: samples }
    }

    /// The same with fewer leading directions.
    fn led_by(&self, leading: usize) -> Self {
        let deviations = self.deviations.iter().map(|deviation| deviation.columns(0, leading).into_owned()).collect();
        let places: Vec<usize> = pairs(leading).map(|(a, b)| place(a, b)).collect();
        let map = DMatrix::from_fn(places.len(), places.len(), |c, a| self.map[(places[c], places[a])]);
        Self { curvatures: self.curvatures.clone(), leading, map, deviations }
    }

    /// [`SecondMomentThreshold::along`] and [`SecondMomentThreshold::across`].
    fn origins(&self, moment: &DVector<f64>) -> (f64, f64) {
        let noise = &self.map * moment;
        let returned = |(a, b): (usize, usize)| {
            let both = noise[place(a, b)] * moment[place(a, b)];
            if a == b { both } else { 2.0 * both }
        };
        let all = pairs(self.leading).map(returned).sum::<f64>();
        if all <= 0.0 {
            return (0.0, 0.0);
        }
        let size = |a| moment[place(a, a)];
        let (along, outside) = (returned((0, 0)).clamp(0.0, all), (1..self.leading).map(size).sum::<f64>());
        let across = (all - along) * size(0) / (along * outside);
        let nothing = if outside > 0.0 { MOST_ACROSS } else { 1.0 };
        let across = if across.is_finite() { across } else { nothing };
        (along / all, across.clamp(MOST_ACROSS.recip(), MOST_ACROSS))
    }

    /// C of a second moment of the leading directions, in all directions.
    fn everywhere(&self, moment: &DMatrix<f64>) -> DMatrix<f64> {
        let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(moment.clone());
        let largest = eigenvalues.amax();
        // What rounding leaves of the others.
        let kept: Vec<usize> = (0..eigenvalues.len()).filter(|i| eigenvalues[*i] > 1e-9 * largest).collect();
        let root = DMatrix::from_fn(self.leading, kept.len(), |row, column| {
            eigenvectors[(row, kept[column])] * eigenvalues[kept[column]].sqrt()
        });
        let size = self.curvatures.len();
        let mut sum = DMatrix::zeros(size, size);
        for deviation in &self.deviations {
            let noise = deviation * &root;
            sum.gemm(1.0, &noise, &noise.transpose(), 1.0);
        }
        sum
    }
}

/// Pairs (a, b) with a <= b in the order of [`place`].
fn pairs(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).flat_map(|b| (0..=b).map(move |a| (a, b)))
}

/// Where entry (a, b) of a symmetric matrix stands in its vector; fewer directions have the beginning of it.
fn place(a: usize, b: usize) -> usize {
    let (low, high) = (a.min(b), a.max(b));
    high * (high + 1) / 2 + low
}

/// C among the leading directions, from the covariance of the entries of Hessians.
fn map(deviations: &[DMatrix<f64>], leading: usize) -> DMatrix<f64> {
    let places: Vec<(usize, usize)> = pairs(leading).collect();
    let entries = DMatrix::from_fn(places.len(), deviations.len(), |entry, sample| {
        let (a, b) = places[entry];
        0.5 * (deviations[sample][(a, b)] + deviations[sample][(b, a)])
    });
    let covariance = &entries * entries.transpose();
    DMatrix::from_fn(places.len(), places.len(), |to, from| {
        let ((c, d), (a, b)) = (places[to], places[from]);
        let one = covariance[(place(c, a), place(b, d))];
        if a == b { one } else { one + covariance[(place(c, b), place(a, d))] }
    })
}

/// Largest stable learning rate in mean square at a fixed delay, where a batch leaves the share `share` of the variance of its
/// samples.
///
/// # Errors
/// Coefficients or delay out of range, a delay that varies, a share that is negative or not finite, a direction without
/// positive curvature, or a radius that does not converge.
pub fn second_moment_threshold(
    equation: &Equation,
    noise: &CurvatureNoise,
    share: f64,
) -> Result<SecondMomentThreshold, TheoryError> {
    if !(share >= 0.0 && share.is_finite()) {
        return Err(TheoryError::RelativeVariance(share));
    }
    let DelayLaw::Fixed(delay) = equation.law else {
        return Err(TheoryError::unsupported("the noise of minibatches", &equation.law));
    };
    if let Some(flat) = noise.curvatures.iter().find(|curvature| !(**curvature > 0.0 && curvature.is_finite())) {
        return Err(TheoryError::Curvature(*flat));
    }
    equation.takes_noise()?;
    let mean = first_crossing(&equation.characteristic(delay, WeightDecay::None)?)?.gain;
    let share = share / equation.averaged;
    let threshold = |noise: &CurvatureNoise| Feedback { equation, delay, noise, share }.threshold(mean);
    let (lr, moment) = threshold(noise)?;
    let error = if noise.deviations.is_empty() || share == 0.0 {
        None
    } else {
        Some(UNSEEN * (threshold(&noise.led_by(noise.leading / 2))?.0 / lr - 1.0).abs())
    };
    let (along, across) = noise.origins(&moment);
    Ok(SecondMomentThreshold { lr, error, across, along })
}

/// The loop from noise to weights and back, at any learning rate.
struct Feedback<'a> {
    equation: &'a Equation,
    delay: usize,
    noise: &'a CurvatureNoise,
    share: f64,
}

impl Feedback<'_> {
    /// Where the radius is 1, below the threshold `mean` of the gain in the mean, and the second moment of leading directions that
    /// grows there; zero where there is no noise.
    fn threshold(&self, mean: f64) -> Result<(f64, DVector<f64>), TheoryError> {
        let CurvatureNoise { curvatures, leading, map, .. } = self.noise;
        let end = mean / curvatures.iter().copied().fold(0.0, f64::max);
        if self.share == 0.0 || map.amax() == 0.0 {
            return Ok((end, DVector::zeros(map.nrows())));
        }
        // What returns along one direction alone is a lower bound of the radius, so that its threshold is an upper one.
        let alone = |j: usize| {
            let own = self.share * map[(place(j, j), place(j, j))];
            bisect(0.0, end, |lr| own * lr * lr * response(self.equation, self.delay, [lr * curvatures[j]; 2]) < 1.0)
        };
        let high = (0..*leading).map(alone).fold(end, f64::min);
        let mut moment = DVector::zeros(map.nrows());
        let accuracy = if *leading == curvatures.len() { ACCURACY } else { ROUGH };
        let lr = root(high, end, accuracy, |lr| self.radius(lr, accuracy, &mut moment))?;
        if *leading == curvatures.len() {
            return Ok((lr, moment));
        }
        let lr = root(lr, end, ROUGH, |lr| {
            self.radius(lr, ROUGH, &mut moment)?;
            Ok(self.with_the_others(lr, &moment))
        })?;
        Ok((lr, moment))
    }

    /// L between the first `size` directions.
    fn responses(&self, lr: f64, size: usize) -> DMatrix<f64> {
        let gains: Vec<f64> = self.noise.curvatures[..size].iter().map(|curvature| lr * curvature).collect();
        let mut responses = DMatrix::zeros(size, size);
        for (j, k) in pairs(size) {
            let entry = lr * lr * response(self.equation, self.delay, [gains[j], gains[k]]);
            (responses[(j, k)], responses[(k, j)]) = (entry, entry);
        }
        responses
    }

    /// Spectral radius of the map among leading directions. `moment` is where the iteration starts, zero for anywhere, and where it ends.
    fn radius(&self, lr: f64, accuracy: f64, moment: &mut DVector<f64>) -> Result<f64, TheoryError> {
        let leading = self.noise.leading;
        let responses = self.responses(lr, leading);
        let scales = DVector::from_iterator(moment.len(), pairs(leading).map(|(a, b)| self.share * responses[(a, b)]));
        // Entries beside the diagonal count twice.
        let weights = DVector::from_iterator(moment.len(), pairs(leading).map(|(a, b)| if a == b { 1.0 } else { 2.0 }));
        let diagonal = pairs(leading).zip(scales.iter()).map(|((a, b), scale)| if a == b { *scale } else { 0.0 });
        let anywhere = DVector::from_iterator(moment.len(), diagonal);
        // Some of every direction, or the iteration could stay where it started.
        let mut now = match moment.amax() {
            0.0 => anywhere,
            largest => &*moment / largest + anywhere.scale(1e-3 / anywhere.amax()),
        };
        let (mut radius, mut change) = (0.0f64, f64::INFINITY);
        for _ in 0..APPLICATIONS {
            let noise = &self.noise.map * &now;
            let next = scales.component_mul(&noise);
            let along = weights.component_mul(&noise);
            // Rayleigh quotient of the half step.
            let found = along.dot(&next) / along.dot(&now);
            if !found.is_finite() {
                return if noise.amax() == 0.0 { Ok(0.0) } else { Err(TheoryError::OutOfRange) };
            }
            now = next + now.scale(SHIFT * found);
            now /= now.amax();
            let moved = (found - radius).abs() / found;
            let shrinks = (moved / change).min(1.0 - 1e-3);
            (radius, change) = (found, moved);
            if moved * shrinks / (1.0 - shrinks) < RADIUS * accuracy && moved < 1e-2 * accuracy.sqrt() {
                moment.copy_from(&now);
                return Ok(radius);
            }
        }
        Err(TheoryError::NotConverged(APPLICATIONS))
    }

    /// Spectral radius with the directions that do not lead, by a half step into all of them from the `moment` of those that do.
    fn with_the_others(&self, lr: f64, moment: &DVector<f64>) -> f64 {
        let leading = self.noise.leading;
        let moment = DMatrix::from_fn(leading, leading, |a, b| moment[place(a, b)]);
        let noise = self.noise.everywhere(&moment);
        let returned = noise.component_mul(&noise).dot(&self.responses(lr, noise.nrows()));
        self.share * returned / moment.dot(&noise.view((0, 0), (leading, leading)))
    }
}

/// Where a radius that grows with the learning rate is 1, to a relative `accuracy`; at `end` it is infinite or of no meaning.
/// The search starts at `high`, where the radius is likely to be 1 or more.
fn root(
    mut high: f64,
    end: f64,
    accuracy: f64,
    mut radius: impl FnMut(f64) -> Result<f64, TheoryError>,
) -> Result<f64, TheoryError> {
    let mut at = |lr: f64| {
        let logarithm = radius(lr)?.ln();
        if logarithm.is_nan() { Err(TheoryError::OutOfRange) } else { Ok(logarithm) }
    };
    high = high.min(end * (1.0 - 1e-9));
    let mut above = at(high)?;
    while above < -accuracy {
        if high >= end * (1.0 - 1e-12) {
            return Ok(end);
        }
        high = end - 0.5 * (end - high);
        above = at(high)?;
    }
    if above <= accuracy {
        return Ok(high);
    }
    // The radius grows at least as fast as the learning rate.
    let mut low = high * (-above).exp().max(1e-3);
    let mut below = at(low)?;
    while below > 0.0 {
        (high, above) = (low, below);
        low *= 0.5 * (-below).exp().max(1e-3);
        below = at(low)?;
    }
    // Regula falsi in logarithms, with the Illinois rule for an end that stays.
    let mut stayed = 0i32;
    while high / low - 1.0 > accuracy {
        let share = below / (below - above);
        let middle = (low.ln() + share * (high / low).ln()).exp();
        let middle = if middle > low && middle < high { middle } else { (low * high).sqrt() };
        if middle <= low || middle >= high {
            break;
        }
        let value = at(middle)?;
        if value.abs() <= 0.1 * accuracy {
            return Ok(middle);
        }
        if value < 0.0 {
            (low, below) = (middle, value);
            above *= if stayed < 0 { 0.5 } else { 1.0 };
            stayed = -1;
        } else {
            (high, above) = (middle, value);
            below *= if stayed > 0 { 0.5 } else { 1.0 };
            stayed = 1;
        }
    }
    Ok((low * high).sqrt())
}

#[cfg(test)]
mod tests;
