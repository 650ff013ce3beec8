//! The stationary linear rules that are tuned, with all their parameters but the gain: equation, polynomials, extra vectors.
//!
//! Not here: how fast they are ([`super::rate`]), and which parameters are best ([`super::search`]).

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
    /// the second and the third, whose size alone is asked for.
    pub fn polynomials(&self, delay: usize, gain: f64) -> [Vec<f64>; 3] {
        let period = delay + 1;
        match *self {
            Self::Predicting { momentum, horizons } => {
                let mut equation = vec![0.0; delay + 4];
                let last = equation.len();
                equation[..3].copy_from_slice(&[1.0, -1.0 - momentum, momentum]);
                let read = prediction(horizons);
                equation[last - 3..].iter_mut().zip(read).for_each(|(to, of)| *to += gain * of);
                let noise = |coefficients: &[f64]| {
                    let mut noise = vec![0.0; last - coefficients.len()];
                    noise.extend(coefficients);
                    noise
                };
                [equation, noise(&[1.0]), noise(&read)]
            }
            Self::PerWorker { momentum } => {
                let mut equation = vec![0.0; period + 2];
                equation[0] = 1.0;
                equation[1] -= 1.0;
                equation[period] += gain - momentum;
                equation[period + 1] += momentum;
                let mut noise = vec![0.0; period + 2];
                noise[period + 1] = 1.0;
                [equation, noise.clone(), noise]
            }
            Self::Mixing { momentum, share } => {
                // With q = z^(T-1) (z - 1 + a): q^2 - a (1 + m - K) q + a^2 m.
                let mut equation = vec![0.0; 2 * period + 1];
                let rest = 1.0 - share;
                equation[0] = 1.0;
                equation[1] -= 2.0 * rest;
                equation[2] += rest * rest;
                let turn = share * (1.0 + momentum - gain);
                equation[period] -= turn;
                equation[period + 1] += turn * rest;
                equation[2 * period] += share * share * momentum;
                let mut noise = vec![0.0; 2 * period + 1];
                noise[2 * period - 1] = share;
                noise[2 * period] = -share * rest;
                [equation, noise.clone(), noise]
            }
        }
    }
}

/// Coefficients of `z^2 + h1 (z^2 - z) + h2 (z - 1)^2`, highest power first.
fn prediction([first, second]: [f64; 2]) -> [f64; 3] {
    [1.0 + first + second, -(first + 2.0 * second), second]
}
