//! Thresholds of rules that mix results where delays are drawn independently, and in mean square.
//!
//! Let `S = (X, P)`, `M = [[1 + m - K, -m], [1, 0]]` the synchronous step, and `j` the delay of an update. Then
//! `S[t+1] = (1 - a) S[t] + a M S[t-j] - a K xi (X[t-j], 0)`, with `xi` the relative noise of a minibatch, of variance `r`.
//!
//! **In the mean** `P(z) = sum_j p_j z^-j` takes the place of `z^-tau`: `(z - 1 + a) / P(z) = a s` with `s` a root of synchronous heavy-ball.
//! `|P| <= 1` on the circle, so that no `z` is outside while `|s| < 1`; beyond, `s = -sigma`, and the threshold is the gain margin of
//! `z - 1 + a + sigma a P(z)`.
//!
//! **In mean square** what the draw adds to the mean step is white noise of two numbers. With `C = E S S^T` and `V = E s s^T` of the mean that is read, `s =
//! sum_j p_j S[t-j]`, its covariance is
//!
//! ```text
//! Q = a^2 M (C - V) M^T + r a^2 K^2 C_xx e e^T,    e = (1, 0).
//! ```
//!
//! `C` and `V` are linear in `Q`: means over the unit circle of `G Q G*` and `|P|^2 G Q G*`, `G = (z - 1 + a - a M P(z))^-1`. So the rule is
//! stable in mean square iff it is in the mean and this map of three numbers has a spectral radius below 1. The means are sums over points of the
//! circle, twice as many until they agree.
//!
//! Not here: randomly reporting workers ([`super::workers`]), nor the mean at a fixed delay ([`super::mixed`]).

use std::f64::consts::{PI, TAU};

use nalgebra::{Matrix2, Matrix3, Vector3};
use num_complex::Complex64;

use super::TheoryError;
use super::binomial::Binomial;
use super::bisection::bisect;
use super::characteristic::Characteristic;
use super::equation::Equation;
use super::law::{DelayPmf, LONGEST_PMF};
use super::margin::{Margin, first_crossing};
use super::mixture::Mixture;

/// Points of the circle for each delay at first, and at most in all.
const POINTS: usize = 32;
const MOST_POINTS: usize = 1 << 18;

/// Change of the spectral radius with twice as many points at which they are enough: in itself, and in units of its distance from 1, for
/// the error of such a sum falls faster and faster.
const SETTLED: f64 = 1e-10;
const CLEAR: f64 = 0.01;

/// A rule that mixes, under delays of these probabilities; a fixed delay has one.
pub(super) struct MixedRule<'a> {
    pub momentum: f64,
    pub share: f64,
    /// What the gain is multiplied by in a worker's step.
    pub scale: f64,
    pub delays: &'a DelayPmf,
}

impl<'a> MixedRule<'a> {
    /// The rule of an equation that mixes results; none of another.
    pub fn of(equation: &Equation, delays: &'a DelayPmf) -> Result<Option<Self>, TheoryError> {
        let Some(share) = equation.share else { return Ok(None) };
        equation.validate()?;
        Ok(Some(Self { momentum: equation.velocity.momentum(), share, scale: equation.numerator[0], delays }))
    }

    /// Threshold gain for stability in the mean.
    pub fn margin(&self) -> Result<Margin, TheoryError> {
        let longest = self.delays.longest();
        if longest > LONGEST_PMF {
            return Err(TheoryError::LongPmf(longest));
        }
        let poles = vec![Binomial::root(1.0 - self.share), Binomial::delay(longest)];
        let terms = self.delays.probabilities().iter().enumerate().map(|(j, p)| (longest - j, *p));
        let characteristic =
            Characteristic { mixture: Some(Mixture::new(terms)), ..Characteristic::new(poles, vec![], self.share) };
        let Margin { gain: sigma, angle } = first_crossing(&characteristic)?;
        let gain = 1.0 + self.momentum + sigma + self.momentum / sigma;
        Ok(Margin { gain: gain / self.scale, angle })
    }

    /// Threshold gain for stability in mean square under gradient noise of relative variance `r`.
    pub fn mean_square_margin(&self, relative_variance: f64) -> Result<f64, TheoryError> {
        if !(relative_variance >= 0.0 && relative_variance.is_finite()) {
            return Err(TheoryError::RelativeVariance(relative_variance));
        }
        let mean = self.margin()?.gain;
        if relative_variance == 0.0 && self.delays.probabilities().iter().filter(|p| **p > 0.0).count() == 1 {
            return Ok(mean);
        }
        let circle = Circle::new(self.delays.probabilities(), POINTS * (self.delays.longest() + 1));
        let mut circles = vec![circle];
        let mut stable = |gain: f64| self.radius(gain * self.scale, relative_variance, &mut circles) < 1.0;
        // Without noise of minibatches nothing is lost up to the synchronous threshold.
        let sure =
            if relative_variance == 0.0 { (1.0 - 1e-12) * 2.0 * (1.0 + self.momentum) / self.scale } else { 0.0 };
        if sure > 0.0 && (sure >= mean || !stable(sure * (1.0 + 1e-9))) {
            return Ok(sure / (1.0 - 1e-12));
        }
        let stable = std::cell::RefCell::new(stable);
        Ok(bisect(sure, mean, |gain| (stable.borrow_mut())(gain)))
    }

    /// Spectral radius of the map of noise to the noise that comes back.
    fn radius(&self, gain: f64, relative_variance: f64, circles: &mut Vec<Circle>) -> f64 {
        let mut before = f64::NAN;
        for level in 0.. {
            if level == circles.len() {
                let points = 2 * circles[level - 1].points;
                if points > MOST_POINTS {
                    // Roots this close to the circle leave hardly anything of what comes in.
                    return before;
                }
                circles.push(Circle::new(self.delays.probabilities(), points));
            }
            let radius = self.radius_on(gain, relative_variance, &circles[level]);
            if (radius - before).abs() <= SETTLED.max(CLEAR * (radius - 1.0).abs()) {
                return radius;
            }
            before = radius;
        }
        before
    }

    fn radius_on(&self, gain: f64, relative_variance: f64, circle: &Circle) -> f64 {
        let Self { momentum, share, .. } = *self;
        let step = Matrix2::new(1.0 + momentum - gain, -momentum, 1.0, 0.0);
        let complex = step.map(|entry| Complex64::from(share * entry));
        let mut all = [Matrix3::zeros(); 2];
        for (z, read, weight) in &circle.nodes {
            let loops = Matrix2::from_diagonal_element(z - 1.0 + share) - complex * *read;
            let Some(transfer) = loops.try_inverse() else { return f64::INFINITY };
            let carried = carry(&transfer);
            all[0] += carried * *weight;
            all[1] += carried * (*weight * read.norm_sqr());
        }
        let back = carry(&step.map(Complex64::from)) * (share * share);
        let mut noisy = Matrix3::zeros();
        noisy.set_row(0, &(all[0].row(0) * (relative_variance * (share * gain).powi(2))));
        let map = back * (all[0] - all[1]) + noisy;
        map.complex_eigenvalues().iter().map(|value| value.norm()).fold(0.0, f64::max)
    }
}

/// The real part of `T Q T*` of a symmetric `Q`, as a matrix on its entries `xx`, `xp`, `pp`.
fn carry(t: &Matrix2<Complex64>) -> Matrix3<f64> {
    let column = |q: [[f64; 2]; 2]| {
        let entry = |i: usize, j: usize| -> f64 {
            (0..2)
                .flat_map(|k| (0..2).map(move |l| (k, l)))
                .map(|(k, l)| (t[(i, k)] * t[(j, l)].conj()).re * q[k][l])
                .sum()
        };
        Vector3::new(entry(0, 0), entry(0, 1), entry(1, 1))
    };
    let units = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]];
    Matrix3::from_columns(&units.map(column))
}

/// Evenly spaced points of the upper half circle, `P` there, and their weights in a mean over the whole circle.
struct Circle {
    points: usize,
    nodes: Vec<(Complex64, Complex64, f64)>,
}

impl Circle {
    fn new(probabilities: &[f64], points: usize) -> Self {
        let node = |place: usize| {
            let angle = PI * (place as f64 + 0.5) / points as f64;
            let late = Complex64::from_polar(1.0, -angle);
            let read = match probabilities.iter().rposition(|p| *p == 1.0) {
                Some(delay) => Complex64::from_polar(1.0, -(delay as f64 * angle).rem_euclid(TAU)),
                None => probabilities.iter().rev().fold(Complex64::ZERO, |sum, p| sum * late + p),
            };
            (late.conj(), read, 1.0 / points as f64)
        };
        Self { points, nodes: (0..points).map(node).collect() }
    }
}
