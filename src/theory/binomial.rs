//! The factor `z^p - b` on the unit circle: phase, modulus and their enclosures, without cancellation.

use std::f64::consts::{FRAC_PI_2, PI};

use num_complex::Complex64;

use super::range::Range;

/// The factor `z^power - constant`.
///
/// `constant` is 0 (a pure delay), 1 (only with `power` 1: the integrator `z - 1`), or positive and other than 1, so
/// that the factor has no zero on the open arc `0 < w <= pi` of the unit circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Binomial {
    pub power: usize,
    pub constant: f64,
}

/// Above this the `z^power` of a factor is lost beside its constant.
const OVERWHELMING: f64 = 1e140;

impl Binomial {
    /// `z^power`.
    pub fn delay(power: usize) -> Self {
        Self { power, constant: 0.0 }
    }

    /// `z - root`.
    pub fn root(root: f64) -> Self {
        Self { power: 1, constant: root }
    }

    /// The factor on the circle `|z| = e^log_radius`, as `e^scale` times a factor on the unit circle.
    pub fn on_circle(self, log_radius: f64) -> (Self, f64) {
        let log_power = self.power as f64 * log_radius;
        if self.constant == 0.0 {
            // On small circles of long delays what the constant is multiplied by is infinite.
            return (self, log_power);
        }
        let constant = self.constant * (-log_power).exp();
        if constant > OVERWHELMING {
            // z^0 - 2 is the constant -1.
            let minus_one = Self { power: 0, constant: 2.0 };
            return (minus_one, self.constant.ln());
        }
        (Self { constant, ..self }, log_power)
    }

    /// How many of its zeros lie outside the circle `|z| = e^log_radius`.
    pub fn zeros_outside(self, log_radius: f64) -> usize {
        if self.constant > 0.0 && self.constant.ln() > self.power as f64 * log_radius { self.power } else { 0 }
    }

    fn angle(self, w: f64) -> f64 {
        self.power as f64 * w
    }

    /// `|z^p - b|^2 = (1-b)^2 + 4 b sin^2(p w / 2)`, from the sine squared.
    fn modulus_squared_from(self, half_sine_squared: f64) -> f64 {
        let b = self.constant;
        (1.0 - b).powi(2) + 4.0 * b * half_sine_squared
    }

    /// `|z^p - b|^2` at `e^{iw}`.
    pub fn modulus_squared(self, w: f64) -> f64 {
        self.modulus_squared_from((0.5 * self.angle(w)).sin().powi(2))
    }

    /// Unwrapped argument at `z = e^{iw}`, continuous in `w` on `(0, pi]`; at `w = 0` its limit.
    pub fn phase(self, w: f64) -> f64 {
        let (b, theta) = (self.constant, self.angle(w));
        if b == 0.0 {
            return theta;
        }
        if b == 1.0 {
            return FRAC_PI_2 + 0.5 * theta;
        }
        let (sin, cos) = (0.5 * theta).sin_cos();
        if b < 1.0 {
            // e^{i theta} (1 - b e^{-i theta}): the bracket stays in the right half plane.
            theta + (2.0 * b * sin * cos).atan2((1.0 - b) + 2.0 * b * sin * sin)
        } else {
            // -b (1 - e^{i theta} / b): again the bracket stays in the right half plane.
            PI + (-2.0 * sin * cos / b).atan2((1.0 - 1.0 / b) + 2.0 / b * sin * sin)
        }
    }

    /// Derivative of the phase with respect to `w`: half the turn of `z^p` plus half a Poisson kernel.
    pub fn slope(self, w: f64) -> f64 {
        self.slope_from(self.modulus_squared(w))
    }

    fn slope_from(self, modulus_squared: f64) -> f64 {
        let excess = 1.0 - self.constant.powi(2);
        let kernel = if excess == 0.0 { 0.0 } else { excess / modulus_squared };
        0.5 * self.power as f64 * (1.0 + kernel)
    }

    /// Its value at `z = 1` or `z = -1`.
    pub fn at_real(self, sign: f64) -> f64 {
        let power = if self.power.is_multiple_of(2) { 1.0 } else { sign };
        power - self.constant
    }

    /// Enclosures of modulus squared and slope over the arc `[a, b]`.
    pub fn over(self, a: f64, b: f64) -> (Range, Range) {
        if self.constant == 0.0 {
            return (Range::point(1.0), Range::point(self.power as f64));
        }
        let angle = Range { low: self.angle(a), high: self.angle(b) };
        let modulus = angle.half_sine_squared().map_ends(|sine| self.modulus_squared_from(sine));
        (modulus, modulus.map_ends(|m| self.slope_from(m)))
    }

    /// Largest lower bound of the modulus squared when the argument is known to lie in `argument`: the circle of
    /// radius 1 about `-constant`, seen from the origin under that argument. Needs `0 < constant < 1`.
    pub fn least_modulus_squared(self, argument: Range) -> f64 {
        let b = self.constant;
        // The modulus falls as the argument approaches 0, so the argument nearest to 0 decides.
        let cos = 1.0 - 2.0 * argument.half_sine_squared().low;
        let root = (1.0 - b * b * (1.0 - cos * cos)).max(0.0).sqrt();
        let modulus = if cos > 0.0 { (1.0 - b * b) / (b * cos + root) } else { root - b * cos };
        modulus * modulus
    }

    /// `ln(z^p - b)` and its derivative with respect to `ln z`, at `z = e^log_z` anywhere in the plane.
    pub fn logarithm(self, log_z: Complex64) -> (Complex64, Complex64) {
        let (p, b) = (self.power as f64, self.constant);
        let log_power = p * log_z;
        if b == 0.0 {
            return (log_power, Complex64::from(p));
        }
        let one = Complex64::ONE;
        if log_power.re > b.ln() {
            let small = b * (-log_power).exp();
            (log_power + (one - small).ln(), p / (one - small))
        } else {
            let small = log_power.exp() / b;
            let value = Complex64::new(b.ln(), PI) + (one - small).ln();
            (value, -p * small / (one - small))
        }
    }
}
