//! The characteristic equation `D(z) + K N(z) = 0`, held in factored form, and its values on the unit circle.
//!
//! `D` and `N` are never expanded into coefficients: near `z = 1`, where the threshold of a long delay lies, the
//! expanded polynomials lose every digit that matters, while `|z - 1| = 2 sin(w/2)` and `arg(z - 1) = (pi + w)/2`
//! lose none.

use num_complex::Complex64;

use super::range::Range;
use std::f64::consts::{FRAC_PI_2, PI};

/// The factor `z^power - constant`.
///
/// `constant` is 0 (a pure delay), 1 (only with `power` 1: the integrator `z - 1`), or has a modulus other than 1, so
/// that the factor has no zero on the open arc `0 < w <= pi` of the unit circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Binomial {
    pub power: usize,
    pub constant: f64,
}

impl Binomial {
    /// `z^power`.
    pub fn delay(power: usize) -> Self {
        Self { power, constant: 0.0 }
    }

    /// `z - root`.
    pub fn root(root: f64) -> Self {
        Self { power: 1, constant: root }
    }

    fn angle(self, w: f64) -> f64 {
        self.power as f64 * w
    }

    /// `|z^p - b|^2 = (1-b)^2 + 4 b sin^2(p w / 2)`, from the sine squared.
    fn modulus_squared(self, half_sine_squared: f64) -> f64 {
        let b = self.constant;
        (1.0 - b).powi(2) + 4.0 * b * half_sine_squared
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
        if b.abs() < 1.0 {
            // e^{i theta} (1 - b e^{-i theta}): the bracket stays in the right half plane.
            theta + (2.0 * b * sin * cos).atan2((1.0 - b) + 2.0 * b * sin * sin)
        } else {
            // -b (1 - e^{i theta} / b): again the bracket stays in the right half plane.
            let turn = if b > 0.0 { PI } else { 0.0 };
            turn + (-2.0 * sin * cos / b).atan2((1.0 - 1.0 / b) + 2.0 / b * sin * sin)
        }
    }

    /// Derivative of the phase with respect to `w`, from the modulus squared: half the turn of `z^p` plus half a
    /// Poisson kernel.
    fn slope(self, modulus_squared: f64) -> f64 {
        let excess = 1.0 - self.constant.powi(2);
        let kernel = if excess == 0.0 { 0.0 } else { excess / modulus_squared };
        0.5 * self.power as f64 * (1.0 + kernel)
    }

    /// Value at any complex `z`.
    fn value(self, z: Complex64) -> Complex64 {
        z.powu(self.power as u32) - self.constant
    }

    /// `d/dz ln(z^p - b)`.
    fn logarithmic_derivative(self, z: Complex64) -> Complex64 {
        let p = self.power as f64;
        if self.constant == 0.0 {
            return p / z;
        }
        // p z^(p-1) / (z^p - b), written so that a large z^p cannot overflow.
        p / (z * (1.0 - self.constant * z.powi(-(self.power as i32))))
    }

    /// Enclosures of modulus squared and slope over the arc `[a, b]`.
    fn over(self, a: f64, b: f64) -> (Range, Range) {
        if self.constant == 0.0 {
            return (Range::point(1.0), Range::point(self.power as f64));
        }
        let sine = Range { low: self.angle(a), high: self.angle(b) }.half_sine_squared();
        let modulus = Range::between(self.modulus_squared(sine.low), self.modulus_squared(sine.high));
        let slope = Range::between(self.slope(modulus.low), self.slope(modulus.high));
        (modulus, slope)
    }

    /// Largest lower bound of the modulus squared when the argument is known to lie in `argument`: a point of the
    /// circle of radius 1 about `-constant` seen from the origin under that argument. Needs `0 < constant < 1`.
    fn least_modulus_squared(self, argument: Range) -> f64 {
        let b = self.constant;
        // The modulus falls as the argument approaches 0, so the argument nearest to 0 decides.
        let sine = argument.half_sine_squared().low;
        let cos = 1.0 - 2.0 * sine;
        let root = (1.0 - b * b * (1.0 - cos * cos)).max(0.0).sqrt();
        let modulus = if cos > 0.0 { (1.0 - b * b) / (b * cos + root) } else { root - b * cos };
        modulus * modulus
    }
}

/// `D(z) + K N(z) = 0` with `D` the product of `poles` and `N` the product of `zeros` times `scale > 0`.
#[derive(Clone, Debug)]
pub(super) struct Characteristic {
    pub poles: Vec<Binomial>,
    pub zeros: Vec<Binomial>,
    pub scale: f64,
}

/// What is known of `-D/N` over an arc `[a, b]` of the unit circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    /// Unwrapped phase at both ends.
    pub start: f64,
    pub end: f64,
    /// Enclosure of the phase's derivative.
    pub slope: Range,
    /// No crossing on the arc has a smaller gain.
    pub least_gain: f64,
}

impl Characteristic {
    /// Unwrapped phase of `-D/N` at `e^{iw}`. Crossings are where it is a multiple of a full turn.
    pub fn phase(&self, w: f64) -> f64 {
        let poles: f64 = self.poles.iter().map(|f| f.phase(w)).sum();
        let zeros: f64 = self.zeros.iter().map(|f| f.phase(w)).sum();
        PI + poles - zeros
    }

    /// Derivative of [`Self::phase`].
    pub fn slope(&self, w: f64) -> f64 {
        let slope = |f: &Binomial| f.slope(f.modulus_squared((0.5 * f.angle(w)).sin().powi(2)));
        self.poles.iter().map(slope).sum::<f64>() - self.zeros.iter().map(slope).sum::<f64>()
    }

    /// `|D/N|` at `e^{iw}`: the gain of a crossing there.
    pub fn gain(&self, w: f64) -> f64 {
        let squared = |f: &Binomial| f.modulus_squared((0.5 * f.angle(w)).sin().powi(2));
        let poles: f64 = self.poles.iter().map(squared).product();
        let zeros: f64 = self.zeros.iter().map(squared).product();
        (poles / zeros).sqrt() / self.scale
    }

    /// `-D(-1)/N(-1)`, the gain at which a root passes through -1; no such crossing when it is negative or infinite.
    pub fn gain_at_minus_one(&self) -> f64 {
        let value = |f: &Binomial| {
            let power = if f.power.is_multiple_of(2) { 1.0 } else { -1.0 };
            power - f.constant
        };
        let poles: f64 = self.poles.iter().map(value).product();
        let zeros: f64 = self.zeros.iter().map(value).product();
        -poles / zeros / self.scale
    }

    /// Enclosures over the arc `[a, b]`.
    pub fn over(&self, a: f64, b: f64) -> Arc {
        let mut modulus = Range::point(1.0);
        let mut below = Range::point(1.0);
        let mut slope = Range::point(0.0);
        for factor in &self.poles {
            let (m, s) = factor.over(a, b);
            modulus = modulus * m;
            slope = slope + s;
        }
        for factor in &self.zeros {
            let (m, s) = factor.over(a, b);
            below = below * m;
            slope = slope - s;
        }
        let (start, end) = (self.phase(a), self.phase(b));
        let least = modulus.low.max(self.least_at_crossing(a, b, start));
        Arc { start, end, slope, least_gain: (least / below.high).sqrt() / self.scale }
    }

    /// A sharper lower bound of `|D|^2` at the crossings inside `[a, b]`.
    ///
    /// The fastest turning factor of `D` takes every value many times along an arc, but at a crossing its argument is
    /// fixed by the slowly turning rest of `-D/N`, and with it its modulus. Without this the search would have to
    /// visit every one of the tau/2 crossings of a rule with one velocity per worker.
    fn least_at_crossing(&self, a: f64, b: f64, phase_at_a: f64) -> f64 {
        let fastest =
            self.poles.iter().filter(|f| f.power > 1 && f.constant > 0.0 && f.constant < 1.0).max_by_key(|f| f.power);
        let Some(fast) = fastest else { return 0.0 };
        let mut rest_slope = Range::point(0.0);
        let mut rest_modulus = 1.0;
        let mut skipped = false;
        for factor in &self.poles {
            if !skipped && factor == fast {
                skipped = true;
                continue;
            }
            let (modulus, slope) = factor.over(a, b);
            rest_modulus *= modulus.low;
            rest_slope = rest_slope + slope;
        }
        for factor in &self.zeros {
            rest_slope = rest_slope - factor.over(a, b).1;
        }
        let rest = phase_at_a - fast.phase(a);
        let reach = rest_slope.scaled(b - a);
        let argument = Range { low: -(rest + reach.high.max(0.0)), high: -(rest + reach.low.min(0.0)) };
        rest_modulus * fast.least_modulus_squared(argument)
    }

    /// `D(z)` and `N(z)` at any complex `z`.
    pub fn values(&self, z: Complex64) -> (Complex64, Complex64) {
        let d: Complex64 = self.poles.iter().map(|f| f.value(z)).product();
        let n: Complex64 = self.zeros.iter().map(|f| f.value(z)).product();
        (d, n * self.scale)
    }

    /// `d/dz ln(D/N)` at any complex `z`.
    pub fn logarithmic_derivative(&self, z: Complex64) -> Complex64 {
        let log = |f: &Binomial| f.logarithmic_derivative(z);
        self.poles.iter().map(log).sum::<Complex64>() - self.zeros.iter().map(log).sum::<Complex64>()
    }
}
