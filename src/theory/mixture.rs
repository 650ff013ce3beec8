//! A sum of a few powers of `z` with real coefficients: the part of `N` that a random delay or an undelayed weight
//! decay adds, and that does not factor.

use num_complex::Complex64;

use super::range::Range;

/// `sum_j coefficient_j z^exponent_j`, whose coefficients sum to a positive number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixture {
    terms: Vec<(f64, f64)>,
    /// Mean exponent, weighted by the coefficients' magnitudes; the sum is handled as `z^centre` times a sum that turns
    /// slowly.
    centre: f64,
    /// Bound on the derivative of order [`ORDER`] of the slowly turning sum along the unit circle, over the factorial of the
    /// order.
    remainder: f64,
}

/// Order of the remainder in Taylor's formula. Sums of thousands of terms are far smaller on most of the circle than the
/// sum of their magnitudes: derivatives where the arc is say so, while the bound of the remainder does not.
const ORDER: usize = 8;

/// What is known of a mixture over an arc of the unit circle.
pub(super) struct MixtureArc {
    pub modulus_squared: Range,
    /// Enclosure of the phase's derivative; all reals when the sum may vanish on the arc.
    pub slope: Range,
    /// The slowly turning sum at the middle of the arc: names the branch of the argument.
    pub branch: Complex64,
}

impl Mixture {
    /// From pairs of exponent and coefficient.
    pub fn new(terms: impl IntoIterator<Item = (usize, f64)>) -> Self {
        let terms: Vec<(f64, f64)> = terms
            .into_iter()
            .filter(|&(_, coefficient)| coefficient != 0.0)
            .map(|(exponent, coefficient)| (exponent as f64, coefficient))
            .collect();
        Self::centred(terms)
    }

    fn centred(terms: Vec<(f64, f64)>) -> Self {
        let weight: f64 = terms.iter().map(|(_, c)| c.abs()).sum();
        let centre = terms.iter().map(|(e, c)| e * c.abs()).sum::<f64>() / weight;
        let factorial: f64 = (1..=ORDER).map(|k| k as f64).product();
        let magnitudes = terms.iter().map(|(e, c)| (e - centre).abs().powi(ORDER as i32) * c.abs());
        let remainder = magnitudes.sum::<f64>() / factorial;
        Self { terms, centre, remainder }
    }

    /// The sum on the circle `|z| = e^log_radius`, as `e^scale` times a sum on the unit circle.
    pub fn on_circle(&self, log_radius: f64) -> (Self, f64) {
        let scale = self.terms.iter().map(|(e, _)| e * log_radius).fold(f64::NEG_INFINITY, f64::max);
        let terms = self.terms.iter().map(|&(e, c)| (e, c * (e * log_radius - scale).exp())).collect();
        (Self::centred(terms), scale)
    }

    /// The slowly turning sum and its derivative with respect to `w`.
    fn slow(&self, w: f64) -> (Complex64, Complex64) {
        let mut value = Complex64::ZERO;
        let mut derivative = Complex64::ZERO;
        for &(exponent, coefficient) in &self.terms {
            let turn = exponent - self.centre;
            let term = Complex64::from_polar(1.0, turn * w) * coefficient;
            value += term;
            derivative += Complex64::I * turn * term;
        }
        (value, derivative)
    }

    /// Taylor coefficients of the slowly turning sum about `w`, below [`ORDER`].
    fn taylor(&self, w: f64) -> [Complex64; ORDER] {
        let mut coefficients = [Complex64::ZERO; ORDER];
        for &(exponent, coefficient) in &self.terms {
            let turn = exponent - self.centre;
            let mut term = Complex64::from_polar(1.0, turn * w) * coefficient;
            for (k, sum) in coefficients.iter_mut().enumerate() {
                *sum += term;
                // times i turn / (k + 1)
                term = Complex64::new(-term.im, term.re) * (turn / (k + 1) as f64);
            }
        }
        coefficients
    }

    /// `|sum|^2` at `e^{iw}`.
    pub fn modulus_squared(&self, w: f64) -> f64 {
        self.slow(w).0.norm_sqr()
    }

    /// Argument at `e^{iw}`, on the branch that is continuous from the middle of the arc that `branch` came from.
    pub fn phase(&self, w: f64, branch: Complex64) -> f64 {
        self.centre * w + branch.arg() + (self.slow(w).0 * branch.conj()).arg()
    }

    /// Derivative of the argument with respect to `w`.
    pub fn slope(&self, w: f64) -> f64 {
        let (value, derivative) = self.slow(w);
        self.centre + (derivative / value).im
    }

    /// Its value at `z = 1` or `z = -1`.
    pub fn at_real(&self, sign: f64) -> f64 {
        let power = |e: f64| if e % 2.0 == 0.0 { 1.0 } else { sign };
        self.terms.iter().map(|&(e, c)| c * power(e)).sum()
    }

    /// Enclosures over the arc `[a, b]`, by Taylor's formula about its middle.
    pub fn over(&self, a: f64, b: f64) -> MixtureArc {
        let half = 0.5 * (b - a);
        let taylor = self.taylor(0.5 * (a + b));
        let (value, derivative) = (taylor[0], taylor[1]);
        let (mut change, mut derivative_change, mut power) = (0.0, 0.0, 1.0);
        let sizes = taylor.iter().map(|coefficient| coefficient.norm()).chain([self.remainder]);
        for (k, size) in sizes.enumerate().skip(1) {
            // `power` is half^(k-1)
            if k > 1 {
                derivative_change += k as f64 * size * power;
            }
            power *= half;
            change += size * power;
        }
        let least = value.norm() - change;
        let slope = if least > 0.0 {
            let quotient = derivative / value;
            let spread = (derivative_change + quotient.norm() * change) / least;
            Range { low: self.centre + quotient.im - spread, high: self.centre + quotient.im + spread }
        } else {
            Range { low: f64::NEG_INFINITY, high: f64::INFINITY }
        };
        MixtureArc {
            modulus_squared: Range { low: least.max(0.0).powi(2), high: (value.norm() + change).powi(2) },
            slope,
            branch: value,
        }
    }

    /// `ln(sum)` and its derivative with respect to `ln z`, at `z = e^log_z` anywhere in the plane.
    pub fn logarithm(&self, log_z: Complex64) -> (Complex64, Complex64) {
        let largest = self.terms.iter().map(|&(e, _)| e * log_z.re).fold(f64::NEG_INFINITY, f64::max);
        let mut value = Complex64::ZERO;
        let mut derivative = Complex64::ZERO;
        for &(exponent, coefficient) in &self.terms {
            let term = (exponent * log_z - largest).exp() * coefficient;
            value += term;
            derivative += exponent * term;
        }
        (value.ln() + largest, derivative / value)
    }
}
