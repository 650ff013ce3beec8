//! Delays drawn independently, for tuned rules: whether a loop decays faster than a given rate, in the mean and in mean square.
//!
//! What is read is `P y + w`, with `P(z) = sum_j p_j z^-j` and `w` the difference that the draw makes, white noise of variance
//! `sum_j p_j E y[t-j]^2 - E (sum_j p_j y[t-j])^2`. A loop `y = -L (P y + w)` has `G = L / (1 + L P)` from `w` to `y`. Let `y` shrink by
//! `r` in an update, in the root of its mean square; then on the circle `|z| = r` the noise returns as it was:
//!
//! ```text
//! V(r) = (1/2pi) int (sum_j p_j r^-2j - |P|^2) |G|^2 dw = 1,
//! ```
//!
//! and `V` falls with `r`, from infinity at the largest root of `1 + L P`. So the loop decays faster than `r` in the mean iff no root
//! is outside the circle, and in mean square iff besides `V(r) < 1`. With `r = 1` it is the threshold of [`crate::theory::threshold()`].
//!
//! A rule that predicts is one loop, `L = K h n`, `n = z / ((z-1)(z-m))`, `h = 1 + h1 (1 - 1/z) + h2 (1 - 1/z)^2`. Mixing acts on `(X, P)` by the
//! synchronous step `M` and by numbers, so that along each eigenvector of `M`, of eigenvalue `s`, it is a loop of its own, `L = -a s / (z - 1 + a)`; the
//! second moments of two of them grow by no more than those of the larger.
//!
//! Roots outside are counted by the turns of `F`, the denominator of `G`, on a mesh that is refined until `F` changes by less than half of
//! itself from node to node. Not here: which rate is the largest ([`super::varying`]).

use std::f64::consts::{PI, TAU};

use num_complex::Complex64;

use super::rule::LinearRule;

/// Arcs of the mesh for each update of the longest delay, before any is refined.
const ARCS: usize = 10;

/// Change of `F` over an arc, relative to `F`, above which it is cut in two, and how often that may be.
const COARSE: f64 = 0.5;
const DEEPEST: u32 = 44;

/// Nodes and weights of Gauss and Legendre on [0, 1].
const GAUSS: [(f64, f64); 3] =
    [(0.112_701_665_379_258_3, 5.0 / 18.0), (0.5, 8.0 / 18.0), (0.887_298_334_620_741_7, 5.0 / 18.0)];

/// A loop at one gain.
#[derive(Clone, Copy, Debug)]
enum Feedback {
    Predicting {
        gain: f64,
        momentum: f64,
        horizons: [f64; 2],
    },
    /// Along an eigenvector of mixing's synchronous step.
    Mixing {
        share: f64,
        eigenvalue: Complex64,
    },
}

/// Loops of a rule at one gain, under delays of these probabilities.
pub(super) struct Loops<'a> {
    probabilities: &'a [f64],
    loops: Vec<Feedback>,
}

impl<'a> Loops<'a> {
    /// The loops of a rule; none of a velocity for each worker, for delays that are drawn come from no workers.
    pub fn new(rule: &LinearRule, gain: f64, probabilities: &'a [f64]) -> Option<Self> {
        let loops = match *rule {
            LinearRule::Predicting { momentum, horizons } => vec![Feedback::Predicting { gain, momentum, horizons }],
            LinearRule::PerWorker { .. } => return None,
            LinearRule::Mixing { momentum, share } => {
                let half = Complex64::from(0.5 * (1.0 + momentum - gain));
                let apart = (half * half - momentum).sqrt();
                let both = [half + apart, half - apart];
                // Of a conjugate pair one tells both.
                let distinct = if apart.im == 0.0 { &both[..] } else { &both[..1] };
                distinct.iter().map(|eigenvalue| Feedback::Mixing { share, eigenvalue: *eigenvalue }).collect()
            }
        };
        Some(Self { probabilities, loops })
    }

    /// Whether every loop decays faster than `e^-rate` in the mean.
    pub fn mean_decays(&self, rate: f64) -> bool {
        self.loops.iter().all(|one| self.around(one, rate, false).is_some())
    }

    /// `1 - V` of the loop that is nearest to its limit, positive where all decay faster than `e^-rate` in mean square; none where one does not
    /// even in the mean.
    pub fn room_in_mean_square(&self, rate: f64) -> Option<f64> {
        self.loops
            .iter()
            .map(|one| Some(1.0 - self.around(one, rate, true)?))
            .try_fold(f64::INFINITY, |least, room| Some(least.min(room?)))
    }

    /// `V` on the circle of radius `e^-rate`, or 0 where it is not asked for; none where a root is outside.
    fn around(&self, one: &Feedback, rate: f64, with_noise: bool) -> Option<f64> {
        let radius = (-rate).exp();
        let spread: f64 = self.probabilities.iter().rev().fold(0.0, |sum, p| sum / (radius * radius) + p);
        let point = |w: f64| self.at(one, (-rate, radius), w);
        let (begin, width) = if one.is_real() { (0.0, PI) } else { (-PI, TAU) };
        let count = ARCS * (self.probabilities.len() + 3);
        let node = |place: usize| begin + width * place as f64 / count as f64;
        let (mut turned, mut returned) = (0.0, 0.0);
        let mut from = point(node(0)).0;
        for place in 0..count {
            let to = point(node(place + 1)).0;
            let mut arcs = vec![([node(place), node(place + 1)], [from, to], 0)];
            while let Some(([a, b], [start, end], depth)) = arcs.pop() {
                let least = start.norm().min(end.norm());
                if (end - start).norm() > COARSE * least && depth < DEEPEST {
                    let middle = 0.5 * (a + b);
                    let between = point(middle).0;
                    arcs.push(([middle, b], [between, end], depth + 1));
                    arcs.push(([a, middle], [start, between], depth + 1));
                    continue;
                }
                turned += (end / start).arg();
                if with_noise {
                    returned += GAUSS
                        .iter()
                        .map(|(at, weight)| {
                            let (denominator, numerator, read) = point(a + at * (b - a));
                            weight
                                * (b - a)
                                * (spread - read.norm_sqr()).max(0.0)
                                * (numerator / denominator).norm_sqr()
                        })
                        .sum::<f64>();
                }
            }
            from = to;
        }
        let turns = (turned / width).round();
        (turns >= one.degree()).then_some(returned / width)
    }

    /// Denominator and numerator of `G`, and `P`, at `z = e^(log_radius + iw)`.
    fn at(&self, one: &Feedback, (log_radius, radius): (f64, f64), w: f64) -> (Complex64, Complex64, Complex64) {
        let (sine, cosine) = w.sin_cos();
        let z = Complex64::new(radius * cosine, radius * sine);
        // z - 1 to the last digit.
        let step = Complex64::new(log_radius.exp_m1() * cosine - 2.0 * (0.5 * w).sin().powi(2), radius * sine);
        let back = z.inv();
        let read = self.probabilities.iter().rev().fold(Complex64::ZERO, |sum, p| sum * back + p);
        match *one {
            Feedback::Predicting { gain, momentum, horizons: [first, second] } => {
                let change = step * back;
                let numerator = gain * z * (1.0 + change * (first + change * second));
                (step * (z - momentum) + numerator * read, numerator, read)
            }
            Feedback::Mixing { share, eigenvalue } => {
                let numerator = share * eigenvalue;
                (step + share - numerator * read, numerator, read)
            }
        }
    }
}

impl Feedback {
    /// Whether its values at conjugate points are conjugate.
    fn is_real(&self) -> bool {
        match self {
            Self::Predicting { .. } => true,
            Self::Mixing { eigenvalue, .. } => eigenvalue.im == 0.0,
        }
    }

    /// The power of `z` that `F` grows with, which is the number of its turns where no root is outside.
    fn degree(&self) -> f64 {
        match self {
            Self::Predicting { .. } => 2.0,
            Self::Mixing { .. } => 1.0,
        }
    }
}
