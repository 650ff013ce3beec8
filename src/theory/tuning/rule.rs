//! The stationary linear rules that are tuned, with all their parameters but the gain: equation, polynomials, extra vectors.
//!
//! Not here: how fast they are ([`super::rate`]), and which parameters are best ([`super::search`]).

use std::ops::{Add, Mul, Sub};

use super::locus::{Factor, Locus};

/// A rule with its parameters. `m` is its momentum, the delay is tau, `T = tau + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LinearRule {
    /// A velocity on the server, and a read point `y = x + h1 (x - x1) + h2 (x - 2 x1 + x2)` with `x1` and `x2` the weights of
    /// one and of two updates before. sgd has neither, heavy-ball no horizon, nesterov `h1 = m`, weight prediction `h2 = 0`.
    Predicting { momentum: f64, horizons: [f64; 2] },
    /// A velocity for each worker.
    PerWorker { momentum: f64 },
    /// The server takes in the share `a` of what a worker arrived at by one synchronous heavy-ball step.
    Mixing { momentum: f64, share: f64 },
}

impl LinearRule {
    pub fn momentum(&self) -> f64 {
        match self {
            Self::Predicting { momentum, .. } | Self::PerWorker { momentum } | Self::Mixing { momentum, .. } => {
                *momentum
            }
        }
    }

    /// `-D/N` on the circle of radius `e^-rate`; none for mixing, whose rate has a closed form, and none where the prediction
    /// points backwards, so that its largest coefficient is no longer positive.
    pub(super) fn locus(&self, delay: usize, rate: f64) -> Option<Locus> {
        let pole = |constant| Factor::real(true, 1, constant, rate);
        match *self {
            Self::Predicting { momentum, horizons } => {
                let [c2, c1, c0] = prediction(horizons);
                if c2 <= 0.0 {
                    return None;
                }
                let mut factors = vec![pole(1.0), pole(momentum)];
                let mut power = delay + 1;
                if c0 == 0.0 {
                    // One zero of the prediction is at the origin.
                    power -= 1;
                    factors.push(Factor::real(false, 1, -c1 / c2, rate));
                } else {
                    let (half, rest) = (-0.5 * c1 / c2, c0 / c2);
                    let discriminant = half * half - rest;
                    if discriminant >= 0.0 {
                        let far = half + discriminant.sqrt().copysign(half);
                        factors.extend([far, rest / far].map(|zero| Factor::real(false, 1, zero, rate)));
                    } else {
                        let (modulus, angle) = (rest.sqrt(), (-discriminant).sqrt().atan2(half));
                        factors.extend([angle, -angle].map(|angle| Factor::complex(false, 1, modulus, angle, rate)));
                    }
                }
                Some(Locus { power, lead: c2, factors, rate })
            }
            Self::PerWorker { momentum } => {
                let chains = Factor::real(true, delay + 1, momentum, rate);
                // The numerator z stands below the line.
                let origin = Factor::real(false, 1, 0.0, rate);
                Some(Locus { power: 0, lead: 1.0, factors: vec![pole(1.0), chains, origin], rate })
            }
            Self::Mixing { .. } => None,
        }
    }

    /// The polynomials of the equation at a gain, highest power first, of one length: `D + K N`, what carries noise that is added
    /// to the gradient into the weights of the server, and what carries it to the read point. Common powers of `z` are left out of
    /// the second and the third, whose size alone is asked for. They are worked out in what `number` makes of an f64, for `1 - a` of a tiny
    /// share has more digits than an f64.
    pub fn polynomials<N>(&self, delay: usize, gain: f64, number: impl Fn(f64) -> N) -> [Vec<N>; 3]
    where
        N: Clone + Add<Output = N> + Sub<Output = N> + Mul<Output = N>,
    {
        let period = delay + 1;
        let (zero, one, gain) = (|| number(0.0), || number(1.0), number(gain));
        match *self {
            Self::Predicting { momentum, horizons } => {
                let momentum = number(momentum);
                let mut equation = vec![zero(); delay + 4];
                let last = equation.len();
                equation[0] = one();
                equation[1] = zero() - one() - momentum.clone();
                equation[2] = momentum;
                let read = prediction(horizons).map(&number);
                for (to, of) in equation[last - 3..].iter_mut().zip(&read) {
                    *to = to.clone() + gain.clone() * of.clone();
                }
                let noise = |coefficients: &[N]| {
                    let mut noise = vec![zero(); last - coefficients.len()];
                    noise.extend_from_slice(coefficients);
                    noise
                };
                [equation, noise(&[one()]), noise(&read)]
            }
            Self::PerWorker { momentum } => {
                let momentum = number(momentum);
                let mut equation = vec![zero(); period + 2];
                equation[0] = one();
                equation[1] = zero() - one();
                equation[period] = equation[period].clone() + gain - momentum.clone();
                equation[period + 1] = equation[period + 1].clone() + momentum;
                let mut noise = vec![zero(); period + 2];
                noise[period + 1] = one();
                [equation, noise.clone(), noise]
            }
            Self::Mixing { momentum, share } => {
                let (momentum, share) = (number(momentum), number(share));
                let rest = one() - share.clone();
                if self.momentum() == 0.0 {
                    // q (q - a (1 - K)): nothing reads the other factor, the memory of a momentum.
                    let mut equation = vec![zero(); period + 1];
                    equation[0] = one();
                    equation[1] = zero() - rest;
                    equation[period] = equation[period].clone() - share.clone() * (one() - gain);
                    let mut noise = vec![zero(); period + 1];
                    noise[period] = share;
                    return [equation, noise.clone(), noise];
                }
                // With q = z^(T-1) (z - 1 + a): q^2 - a (1 + m - K) q + a^2 m.
                let mut equation = vec![zero(); 2 * period + 1];
                equation[0] = one();
                equation[1] = equation[1].clone() - (rest.clone() + rest.clone());
                equation[2] = equation[2].clone() + rest.clone() * rest.clone();
                let turn = share.clone() * (one() + momentum.clone() - gain);
                equation[period] = equation[period].clone() - turn.clone();
                equation[period + 1] = equation[period + 1].clone() + turn * rest.clone();
                equation[2 * period] = equation[2 * period].clone() + share.clone() * share.clone() * momentum;
                let mut noise = vec![zero(); 2 * period + 1];
                noise[2 * period - 1] = share.clone();
                noise[2 * period] = zero() - share * rest;
                [equation, noise.clone(), noise]
            }
        }
    }
}

/// Coefficients of `z^2 + h1 (z^2 - z) + h2 (z - 1)^2`, highest power first.
fn prediction([first, second]: [f64; 2]) -> [f64; 3] {
    [1.0 + first + second, -(first + 2.0 * second), second]
}
