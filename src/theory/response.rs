//! What a rule answers to noise at its gradients, one direction of curvature together with another, in closed form.
//!
//! A direction with the gain `K` carries what is added to the gradient to the weights by `G_K = N / (D + K N)`. White noise
//! leaves in two directions the second moment `E x_j x_k`, which is the noise's own times
//!
//! ```text
//! R(J, K) = (1/2pi) int G_J conj(G_K) dw    over the unit circle.
//! ```
//!
//! At a fixed delay `D + K N = A z^T + B_K` with `A` and `B_K` of low degree and `A` the same for every gain. With `u = A z^T`
//! and `Phi_K = (u - B_K) / (u + B_K)`,
//!
//! ```text
//! 1 / ((u + B_J) conj(u + B_K)) = (Phi_J + conj(Phi_K)) / 2 / (|A|^2 - B_J conj(B_K)) .
//! ```
//!
//! `Phi` is analytic outside the circle (the rule is stable at both gains) and tends to 1; what divides it has two zeros at
//! most, whatever the delay. So the integral is a sum of at most two residues: where a zero lies outside the circle that of
//! `Phi_J`, inside that of `Phi_K` at its mirror image. With `J = K` it is the squared H2 norm of the loop.
//!
//! Not here: which thresholds follow from it ([`super::mean_square`], [`super::second_moment`]).

use num_complex::Complex64;

use super::equation::{Equation, Velocity};

/// `(1/2pi) int G_J conj(G_K) dw` at a fixed delay, for gains at which the rule is stable in the mean.
pub(super) fn response(equation: &Equation, delay: usize, [j, k]: [f64; 2]) -> f64 {
    let [n0, n1] = equation.numerator_at(delay);
    let noise = Linear([n0, n1]);
    match equation.velocity {
        Velocity::None if delay == 0 => {
            // The whole loop is (1 + K n1) y + K n0.
            let lead = |gain: f64| 1.0 + gain * n1;
            let root = |gain: f64| gain * n0 / lead(gain);
            let (a, b) = (root(j), root(k));
            // G = (n0 + n1 y) / (lead (y + a)): n1 at once, and n0 - a n1 that falls by 1 - a at every step.
            let first = n1 * n1;
            (first + (n0 - a * n1) * (n0 - b * n1) / (a + b - a * b)) / (lead(j) * lead(k))
        }
        Velocity::None => {
            let loops = [[j * n0, j * n1], [k * n0, k * n1]].map(Linear);
            symmetric(noise, [0.0, 1.0, 0.0], loops, j * k, delay)
        }
        // (z-1) (z-m) = y (y + 1 - m)
        Velocity::Server { momentum } => {
            let loops = [[j * n0, j * n1], [k * n0, k * n1]].map(Linear);
            symmetric(noise, [0.0, 1.0 - momentum, 1.0], loops, j * k, delay)
        }
        // (z-1) (z^(tau+1) - m) + K N
        Velocity::Worker { momentum } => per_worker(noise, momentum, [j, k], delay + 1),
    }
}

/// `p0 + p1 y` in `y = z - 1`. Long delays live near `y = 0`, where coefficients in `z` would cancel.
#[derive(Clone, Copy, Debug)]
struct Linear([f64; 2]);

impl Linear {
    fn at(self, y: Complex64) -> Complex64 {
        self.0[0] + self.0[1] * y
    }

    /// Coefficients of `|p|^2` on the unit circle as a polynomial in `s = |y|^2 = 2 - z - 1/z`, from `Re y = -s/2`.
    fn modulus_squared(self) -> [f64; 2] {
        let [p0, p1] = self.0;
        [p0 * p0, p1 * p1 - p0 * p1]
    }
}

/// `Phi` of the loop `lead z^power + tail`, from `late = z^-power`.
fn phi(lead: Complex64, tail: Linear, y: Complex64, late: Complex64) -> Complex64 {
    let late = tail.at(y) * late;
    (lead - late) / (lead + late)
}

/// The response where `B_K = K N`, so that `|A|^2 - J K |N|^2` is a polynomial in `s`.
fn symmetric(noise: Linear, lead: [f64; 3], tails: [Linear; 2], gains: f64, power: usize) -> f64 {
    let [l0, l1, l2] = lead;
    let [c0, c1] = noise.modulus_squared();
    let q0 = l0 * l0 - gains * c0;
    let q1 = l1 * l1 - l0 * l1 - 2.0 * l0 * l2 - gains * c1;
    let q2 = l2 * l2 + l0 * l2 - l1 * l2;
    let at_infinity = if q2 == 0.0 { c1 / q1 } else { 0.0 };
    let residues = roots_of_quadratic(q0, q1, q2).map(|s| {
        // s = 4 sin^2(w/2), z = e^{iw}; of z and 1/z the one outside the circle, or either on it.
        let mut w = 2.0 * (0.5 * s.sqrt()).asin();
        if w.im > 0.0 {
            w = -w;
        }
        let y = 2.0 * Complex64::I * (0.5 * w).sin() * (0.5 * Complex64::I * w).exp();
        let late = (-Complex64::I * w * power as f64).exp();
        let lead = l0 + y * (l1 + y * l2);
        let both: Complex64 = tails.iter().map(|tail| phi(lead, *tail, y, late)).sum();
        let slope = q1 + 2.0 * q2 * s;
        // Half of each of the two conjugate residues on the circle is the real part of one.
        ((c0 + c1 * s) / slope * 0.5 * both / (-2.0 * Complex64::I * w.sin())).re
    });
    at_infinity - residues.sum::<f64>()
}

/// The response of `(z-1)(z^power - m) + K N`, whose `z (|A|^2 - B_J conj(B_K))` is minus a quadratic in `y`.
fn per_worker(noise: Linear, momentum: f64, [j, k]: [f64; 2], power: usize) -> f64 {
    let Linear([n0, n1]) = noise;
    let [c0, c1] = noise.modulus_squared();
    let tail = |gain: f64| Linear([gain * n0, gain * n1 - momentum]);
    // The same but for the order of the two gains.
    let q0 = n0 * n0 * j * k;
    let q1 = q0 + n0 * momentum * (j - k);
    let shared = (1.0 - momentum) * (1.0 + momentum) + momentum * n1 * (j + k) - n1 * n1 * j * k;
    let q2 = shared + n0 * k * (j * n1 - momentum);
    let mirrored = shared + n0 * j * (k * n1 - momentum);
    let at_infinity = 0.5 * c1 * (1.0 / q2 + 1.0 / mirrored);
    let residues = roots_of_quadratic(q0, q1, q2).map(|y| {
        let z = 1.0 + y;
        let strength = c0 - c1 * y * y / z;
        let slope = -(2.0 * q2 * y + q1);
        let turn = |y: Complex64| (-(power as f64) * ln_1p(y)).exp();
        let fraction = if z.norm_sqr() >= 1.0 {
            phi(y, tail(j), y, turn(y))
        } else {
            let mirror = -y / z;
            -phi(mirror, tail(k), mirror, turn(mirror))
        };
        (0.5 * strength / slope * fraction).re
    });
    at_infinity - residues.sum::<f64>()
}

/// `ln(1 + y)`, also where `y` is small.
fn ln_1p(y: Complex64) -> Complex64 {
    Complex64::new(0.5 * (y.re * (2.0 + y.re) + y.im * y.im).ln_1p(), y.im.atan2(1.0 + y.re))
}

/// Roots of `q0 + q1 s + q2 s^2`, without cancellation between them.
fn roots_of_quadratic(q0: f64, q1: f64, q2: f64) -> impl Iterator<Item = Complex64> {
    let roots = if q2 == 0.0 {
        [Some(Complex64::from(-q0 / q1)), None]
    } else {
        let root = Complex64::from(q1 * q1 - 4.0 * q0 * q2).sqrt();
        let sum = if q1 >= 0.0 { -q1 - root } else { -q1 + root };
        [Some(0.5 * sum / q2), Some(2.0 * q0 / sum)]
    };
    roots.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::DelayLaw;

    /// What is left of a gradient of 1 in the weights that are read, update by update, by the recurrence itself.
    struct Echo {
        /// Weights and gradients of the latest updates, the newest last.
        weights: Vec<f64>,
        gradients: [f64; 2],
        gain: f64,
    }

    impl Echo {
        fn next(&mut self, equation: &Equation, delay: usize, pushed: f64) -> f64 {
            let [n0, n1] = equation.numerator;
            let at = |age: usize| self.weights[self.weights.len() - 1 - age];
            self.gradients = [self.gain * at(delay) + pushed, self.gradients[0]];
            let [new, old] = self.gradients;
            let step = match equation.velocity {
                Velocity::None => -n0 * new,
                Velocity::Server { momentum } => momentum * (at(0) - at(1)) - n1 * new - (n0 - n1) * old,
                Velocity::Worker { momentum } => momentum * (at(delay) - at(delay + 1)) - n1 * new - (n0 - n1) * old,
            };
            let weights = at(0) + step;
            self.weights.push(weights);
            if self.weights.len() > 4096 {
                self.weights.drain(..4096 - delay - 2);
            }
            weights
        }
    }

    fn summed(equation: &Equation, delay: usize, gains: [f64; 2], updates: usize) -> f64 {
        let mut echoes = gains.map(|gain| Echo { weights: vec![0.0; delay + 2], gradients: [0.0; 2], gain });
        (0..updates)
            .map(|update| {
                let pushed = if update == 0 { 1.0 } else { 0.0 };
                let [a, b] = [0, 1].map(|i: usize| echoes[i].next(equation, delay, pushed));
                a * b
            })
            .sum()
    }

    #[test]
    fn it_is_the_sum_over_updates_of_what_is_left_of_a_gradient() {
        let rules = [
            (Velocity::None, [1.0, 0.0]),
            (Velocity::Server { momentum: 0.99 }, [1.0, 1.0]),
            (Velocity::Server { momentum: 0.9 }, [0.1, 0.19]),
            (Velocity::Server { momentum: 0.0 }, [1.0, 1.0]),
            (Velocity::Worker { momentum: 0.9 }, [0.1, 0.1]),
            (Velocity::Worker { momentum: 0.99 }, [1.0, 1.0]),
            (Velocity::Worker { momentum: 0.0 }, [1.0, 1.0]),
        ];
        for (velocity, numerator) in rules {
            for delay in [0, 1, 4, 31, 300] {
                let equation = Equation::new(&DelayLaw::Fixed(delay), velocity, numerator);
                let threshold = crate::theory::threshold(&equation, crate::theory::Criterion::Mean).unwrap().gain;
                let drift = numerator[0] / (1.0 - velocity.momentum());
                for [j, k] in [[0.8, 0.8], [0.9, 0.1], [0.02, 0.7], [0.3, 0.3 + 1e-9], [0.02, 0.05]] {
                    let gains = [j * threshold, k * threshold];
                    let slowest =
                        (drift * gains[0].min(gains[1])).min(0.1 * (1.0 - velocity.momentum()) / (delay + 1) as f64);
                    let updates = (40.0 / slowest) as usize;
                    let expected = summed(&equation, delay, gains, updates);
                    let found = response(&equation, delay, gains);
                    let scale = [gains[0], gains[1]].map(|gain| response(&equation, delay, [gain; 2]));
                    let error = (found - expected).abs() / (scale[0] * scale[1]).sqrt();
                    assert!(
                        error < 1e-9,
                        "{velocity:?} {numerator:?} at delay {delay}, {gains:?}: {found}, summed {expected}"
                    );
                    let turned = (found - response(&equation, delay, [gains[1], gains[0]])).abs();
                    assert!(
                        turned <= 1e-11 * (scale[0] * scale[1]).sqrt(),
                        "{velocity:?} {gains:?}: other by {turned:e}"
                    );
                }
            }
        }
    }

    /// Directions a million times as flat as the steepest one, and all but at the threshold.
    #[test]
    fn flat_directions_and_long_delays_lose_no_digits() {
        let equation = |velocity, delay| Equation::new(&DelayLaw::Fixed(delay), velocity, [1.0, 1.0]);
        // x' = x - K x[t-tau] + 1 for a small K: a random walk with a spring, 1/(J + K) but for the delay.
        for delay in [0, 300, 1_000_000] {
            let (j, k) = (1e-9 / (delay + 1) as f64, 3e-9 / (delay + 1) as f64);
            let found = response(&equation(Velocity::Server { momentum: 0.0 }, delay), delay, [j, k]);
            assert!((found * (j + k) - 1.0).abs() < 1e-8, "{delay}: {found}");
            let slow = response(&equation(Velocity::Worker { momentum: 0.999 }, delay), delay, [1e-4 * j, 1e-4 * k]);
            let drift = 1e3;
            assert!((slow * 1e-4 * (j + k) / drift - 1.0).abs() < 1e-3, "{delay}: {slow}");
        }
    }
}
