//! Delays drawn independently at every update from one distribution `p_j`.
//!
//! With `P(z) = sum_j p_j z^-j` the mean obeys `a(z) + K n(z) P(z) = 0`, where `n/a` carries the gradient to the
//! weights. What the draw adds to the mean gradient is white noise of second moment
//! `sum_j p_j E x[t-j]^2 - E (sum_j p_j x[t-j])^2`, and multiplicative gradient noise of relative variance `r` adds `r`
//! times the first term. Both enter where the gradient does, so the loop is scalar, and mean-square stability is
//!
//! ```text
//! K^2 ( (1 + r) ||T||^2 - ||P T||^2 ) < 1,   T = n / (a + K n P) .
//! ```
//!
//! A fixed delay has `|P| = 1`, which leaves `r K^2 ||T||^2`. The norms come from the Astrom-Jury recursion, both at once, whose
//! cost is the square of the longest delay; so the threshold is sought by interpolation, in a dozen of them.

use super::TheoryError;
use super::binomial::Binomial;
use super::characteristic::Characteristic;
use super::equation::{Equation, Velocity, linear_factor};
use super::law::{DelayPmf, LONGEST_PMF};
use super::margin::{Margin, first_crossing};
use super::mixed_noise::MixedRule;
use super::mixture::Mixture;

/// The parts of a rule that do not depend on the delay, and what does: how often and how strongly each delay acts.
struct Loop {
    /// `n` as `n0 + n1 (z-1)`.
    numerator: [f64; 2],
    /// Momentum pole of `a = (z-1)(z-m)`; none for sgd, whose `a` is `z-1`.
    momentum: Option<f64>,
    /// Coefficient of `z^-j` in `P`: probability times the strength of a gradient of that delay.
    strengths: Vec<f64>,
    /// Mean of the strength squared.
    second_moment: f64,
    /// Ratio of the strengths where each is that multiple of the one before: then `P` is a fraction of low degree.
    ratio: Option<f64>,
}

/// Share of a geometric distribution that may be cut off for its norms to be those of the whole.
const NO_TAIL: f64 = 1e-15;

impl Loop {
    fn new(equation: &Equation, pmf: &DelayPmf) -> Result<Self, TheoryError> {
        equation.validate()?;
        if pmf.longest() > LONGEST_PMF {
            return Err(TheoryError::LongPmf(pmf.longest()));
        }
        let strength = |delay: usize| equation.divisor.map_or(1.0, |divisor| 1.0 / divisor(delay));
        let momentum = match equation.velocity {
            Velocity::None => None,
            Velocity::Server { momentum } => Some(momentum),
            Velocity::Worker { .. } => {
                return Err(TheoryError::unsupported("one velocity per worker", &equation.law));
            }
        };
        let probabilities = pmf.probabilities().iter().enumerate();
        let strengths: Vec<f64> = probabilities.clone().map(|(j, p)| p * strength(j)).collect();
        let second_moment = probabilities.map(|(j, p)| p * strength(j).powi(2)).sum();
        let ratio = geometric_ratio(&strengths);
        Ok(Self { numerator: equation.numerator, momentum, strengths, second_moment, ratio })
    }

    fn characteristic(&self) -> Characteristic {
        let longest = self.strengths.len() - 1;
        let mut poles = vec![Binomial::root(1.0), Binomial::delay(longest)];
        poles.extend(self.momentum.map(Binomial::root));
        let (mut zeros, scale) = linear_factor(self.numerator);
        if let Some(ratio) = self.ratio {
            // sum_j s_j z^(L-j) = s_0 (z^(L+1) - q^(L+1)) / (z - q)
            let power = longest + 1;
            zeros.push(Binomial { power, constant: ratio.powi(power as i32) });
            poles.push(Binomial::root(ratio));
            return Characteristic::new(poles, zeros, scale * self.strengths[0]);
        }
        let terms = self.strengths.iter().enumerate();
        Characteristic {
            mixture: Some(Mixture::new(terms.map(|(j, s)| (longest - j, *s)))),
            ..Characteristic::new(poles, zeros, scale)
        }
    }

    /// Gain of the mean-square loop; stable below 1.
    fn variance_gain(&self, gain: f64, relative_variance: f64) -> f64 {
        let longest = self.strengths.len() - 1;
        // Coefficients by falling powers of z.
        let [n0, n1] = self.numerator;
        let direct: Vec<f64> = match self.momentum {
            None => vec![n0],
            Some(_) => vec![n1, n0 - n1],
        };
        let free: Vec<f64> = match self.momentum {
            None => vec![1.0, -1.0],
            Some(m) => vec![1.0, -1.0 - m, m],
        };
        let whole = self.ratio.filter(|ratio| ratio.powi(longest as i32 + 1) < NO_TAIL);
        let (direct, read, mut closed) = match whole {
            // P = s_0 z / (z - q), all of it times z - q.
            Some(ratio) => {
                let [direct, free] = [direct, free].map(|side| (product(&side, &[1.0, -ratio]), side));
                (direct.0, product(&direct.1, &[self.strengths[0], 0.0]), free.0)
            }
            None => {
                let mut closed = free;
                closed.resize(closed.len() + longest, 0.0);
                let read = product(&direct, &self.strengths);
                (direct, read, closed)
            }
        };
        let offset = closed.len() - read.len();
        for (i, coefficient) in read.iter().enumerate() {
            closed[offset + i] += gain * coefficient;
        }
        let moment = (1.0 + relative_variance) * self.second_moment;
        match means_of_modulus_squared([&direct, &read], &closed) {
            Some([direct, read]) => gain * gain * (moment * direct - read),
            None => f64::INFINITY,
        }
    }
}

/// The ratio of each number to the one before, where it is the same for all, and there are enough for that to matter.
fn geometric_ratio(strengths: &[f64]) -> Option<f64> {
    const LEAST: usize = 16;
    /// By rounding alone, of numbers that were made by repeated multiplication.
    const SLACK: f64 = 1e-13;
    let ratio = (strengths.last()? / strengths.first()?).powf(1.0 / (strengths.len().max(2) - 1) as f64);
    let same = |pair: &[f64]| (pair[1] / (ratio * pair[0]) - 1.0).abs() <= SLACK;
    (strengths.len() >= LEAST && ratio < 1.0 && strengths.windows(2).all(same)).then_some(ratio)
}

/// Threshold gain under independent random delays, for stability in the mean.
///
/// # Errors
/// Coefficients out of range, delays that are too long, or one velocity per worker, whose past depends on the draws.
pub(super) fn random_delay_margin(equation: &Equation, pmf: &DelayPmf) -> Result<Margin, TheoryError> {
    if let Some(rule) = MixedRule::of(equation, pmf)? {
        return rule.margin();
    }
    first_crossing(&Loop::new(equation, pmf)?.characteristic())
}

/// Threshold gain under independent random delays and gradient noise of relative variance `r`, for stability in mean
/// square.
///
/// # Errors
/// As [`random_delay_margin`], or a relative variance that is negative or not finite.
pub(super) fn random_delay_mean_square_margin(
    equation: &Equation,
    pmf: &DelayPmf,
    relative_variance: f64,
) -> Result<f64, TheoryError> {
    if !(relative_variance >= 0.0 && relative_variance.is_finite()) {
        return Err(TheoryError::RelativeVariance(relative_variance));
    }
    if let Some(rule) = MixedRule::of(equation, pmf)? {
        return rule.mean_square_margin(relative_variance);
    }
    let feedback = Loop::new(equation, pmf)?;
    let mean = first_crossing(&feedback.characteristic())?.gain;
    Ok(edge_of_variance(mean, |gain| {
        let variance = feedback.variance_gain(gain, relative_variance);
        // Rounding leaves a delay that is certain a few ulps on either side of 0.
        if variance >= -1e-9 { variance.max(0.0) } else { f64::INFINITY }
    }))
}

/// The gain below `mean` at which `variance`, which rises from 0, reaches 1: `mean` where it stays below. By regula falsi
/// on `(v-1)/(v+1)`, which is bounded however fast `v` rises, with a bisection wherever that is slow.
fn edge_of_variance(mean: f64, variance: impl Fn(f64) -> f64) -> f64 {
    let height = |gain: f64| match variance(gain) {
        v if v.is_finite() => (v - 1.0) / (v + 1.0),
        _ => 1.0,
    };
    let (mut low, mut high) = (0.0, mean);
    let (mut below, mut above) = (-1.0, 1.0);
    loop {
        let width = high - low;
        if width <= 1e-15 * high {
            return if low == 0.0 { high } else { low };
        }
        for interpolated in [true, false] {
            let middle = match (low == 0.0, interpolated) {
                (true, _) => high / 16.0,
                (false, true) => low + (high - low) * (below / (below - above)),
                (false, false) => 0.5 * (low + high),
            };
            if middle <= low || middle >= high {
                continue;
            }
            let here = height(middle);
            if here < 0.0 {
                // The end that stays counts half, so that both ends come nearer.
                (low, below, above) = (middle, here, 0.5 * above);
            } else {
                (high, above, below) = (middle, here, 0.5 * below);
            }
            if high - low <= 0.25 * width {
                break;
            }
        }
        if high - low >= width {
            return if low == 0.0 { high } else { low };
        }
    }
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            result[i + j] += x * y;
        }
    }
    result
}

/// Means of `|numerator / denominator|^2` over the unit circle for two numerators, all by falling powers of `z`, by the
/// recursion of Astrom and Jury: every round lowers the degree by one and adds one square. None where some zero of the
/// denominator is not inside the circle, which the recursion finds on its way.
fn means_of_modulus_squared(numerators: [&[f64]; 2], denominator: &[f64]) -> Option<[f64; 2]> {
    let mut a = denominator.to_vec();
    let mut reversed = vec![0.0; a.len()];
    let [mut b, mut c] = numerators.map(|numerator| {
        let mut padded = vec![0.0; a.len() - numerator.len()];
        padded.extend_from_slice(numerator);
        padded
    });
    let leading = a[0];
    let mut sums = [0.0; 2];
    for last in (0..a.len()).rev() {
        if a[0].is_nan() || a[0] <= 0.0 {
            return None;
        }
        sums[0] += b[last] * b[last] / a[0];
        sums[1] += c[last] * c[last] / a[0];
        let [alpha, beta, gamma] = [a[last], b[last], c[last]].map(|end| end / a[0]);
        reversed[..last].iter_mut().zip(a[1..=last].iter().rev()).for_each(|(to, from)| *to = *from);
        let rounds = a[..last].iter_mut().zip(&mut b[..last]).zip(&mut c[..last]).zip(&reversed[..last]);
        for (((a, b), c), reversed) in rounds {
            *a -= alpha * reversed;
            *b -= beta * reversed;
            *c -= gamma * reversed;
        }
    }
    Some(sums.map(|sum| sum / leading))
}
