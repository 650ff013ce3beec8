//! The characteristic equation `D(z) + K N(z) = 0`, held in factored form, and its values on the unit circle.
//!
//! `D` and `N` are never expanded into coefficients: near `z = 1`, where the threshold of a long delay lies, the
//! expanded polynomials lose every digit that matters, while `|z - 1| = 2 sin(w/2)` and `arg(z - 1) = (pi + w)/2`
//! lose none.

use std::f64::consts::PI;

use num_complex::Complex64;

use super::binomial::Binomial;
use super::mixture::Mixture;
use super::range::Range;

/// `D(z) + K N(z) = 0`, with `D` the product of `poles` and `N` the product of `zeros` and `mixture`, and
/// `e^log_scale = |D| / |N|` where every factor has modulus 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Characteristic {
    pub poles: Vec<Binomial>,
    pub zeros: Vec<Binomial>,
    pub mixture: Option<Mixture>,
    pub log_scale: f64,
}

/// What is known of `-D/N` over an arc `[a, b]` of the unit circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    /// Unwrapped phase at both ends, on the branch of `branch`.
    pub start: f64,
    pub end: f64,
    /// Enclosure of the phase's derivative.
    pub slope: Range,
    /// No crossing on the arc has a smaller gain.
    pub least_gain: f64,
    pub branch: Complex64,
}

impl Characteristic {
    /// `D` from its factors and `N` from its factors times `scale`.
    pub fn new(poles: Vec<Binomial>, zeros: Vec<Binomial>, scale: f64) -> Self {
        Self { poles, zeros, mixture: None, log_scale: -scale.ln() }
    }

    /// The equation whose unit circle is this one's circle of radius `e^log_radius`.
    pub fn on_circle(&self, log_radius: f64) -> Self {
        let mut log_scale = self.log_scale;
        let mut scaled = |factors: &[Binomial], side: f64| -> Vec<Binomial> {
            let scale = |factor: &Binomial| {
                let (factor, log) = factor.on_circle(log_radius);
                log_scale += side * log;
                factor
            };
            factors.iter().map(scale).collect()
        };
        let poles = scaled(&self.poles, 1.0);
        let zeros = scaled(&self.zeros, -1.0);
        let mixture = self.mixture.as_ref().map(|mixture| {
            let (mixture, log) = mixture.on_circle(log_radius);
            log_scale -= log;
            mixture
        });
        Self { poles, zeros, mixture, log_scale }
    }

    /// Unwrapped phase of `-D/N` at `e^{iw}`. Crossings are where it is a multiple of a full turn.
    pub fn phase(&self, w: f64, branch: Complex64) -> f64 {
        let poles: f64 = self.poles.iter().map(|f| f.phase(w)).sum();
        let zeros: f64 = self.zeros.iter().map(|f| f.phase(w)).sum();
        let mixture = self.mixture.as_ref().map_or(0.0, |m| m.phase(w, branch));
        PI + poles - zeros - mixture
    }

    /// Derivative of [`Self::phase`]: a root that crosses here as the gain grows moves outwards where it is positive.
    pub fn slope(&self, w: f64) -> f64 {
        let poles: f64 = self.poles.iter().map(|f| f.slope(w)).sum();
        let zeros: f64 = self.zeros.iter().map(|f| f.slope(w)).sum();
        poles - zeros - self.mixture.as_ref().map_or(0.0, |m| m.slope(w))
    }

    /// `|D/N|` at `e^{iw}`: the gain of a crossing there.
    pub fn gain(&self, w: f64) -> f64 {
        let poles: f64 = self.poles.iter().map(|f| f.modulus_squared(w)).product();
        let zeros: f64 = self.zeros.iter().map(|f| f.modulus_squared(w)).product();
        let mixture = self.mixture.as_ref().map_or(1.0, |m| m.modulus_squared(w));
        (poles / zeros / mixture).sqrt() * self.log_scale.exp()
    }

    /// `-D/N` at `z = 1` or `z = -1`: the gain at which a real root passes there, if it is positive and finite.
    pub fn gain_at_real(&self, sign: f64) -> Option<f64> {
        let poles: f64 = self.poles.iter().map(|f| f.at_real(sign)).product();
        let zeros: f64 = self.zeros.iter().map(|f| f.at_real(sign)).product();
        let mixture = self.mixture.as_ref().map_or(1.0, |m| m.at_real(sign));
        let gain = -poles / zeros / mixture * self.log_scale.exp();
        (gain > 0.0 && gain.is_finite()).then_some(gain)
    }

    /// Enclosures over the arc `[a, b]`.
    pub fn over(&self, a: f64, b: f64) -> Arc {
        let mut above = Range::point(1.0);
        let mut below = Range::point(1.0);
        let mut slope = Range::point(0.0);
        for factor in &self.poles {
            let (modulus, factor_slope) = factor.over(a, b);
            above = above * modulus;
            slope = slope + factor_slope;
        }
        for factor in &self.zeros {
            let (modulus, factor_slope) = factor.over(a, b);
            below = below * modulus;
            slope = slope - factor_slope;
        }
        let mut branch = Complex64::ONE;
        if let Some(mixture) = &self.mixture {
            let arc = mixture.over(a, b);
            below = below * arc.modulus_squared;
            slope = slope - arc.slope;
            branch = arc.branch;
        }
        let start = self.phase(a, branch);
        let least = above.low.max(self.least_at_crossing(a, b, start));
        Arc {
            start,
            end: self.phase(b, branch),
            slope,
            least_gain: (least / below.high).sqrt() * self.log_scale.exp(),
            branch,
        }
    }

    /// A sharper lower bound of `|D|^2` at the crossings inside `[a, b]`.
    ///
    /// The fastest turning factor of `D` takes every value many times along an arc, but at a crossing its argument is
    /// fixed by the slowly turning rest of `-D/N`, and with it its modulus. Without this the search would have to
    /// visit every one of the tau/2 crossings of a rule with one velocity per worker.
    fn least_at_crossing(&self, a: f64, b: f64, phase_at_a: f64) -> f64 {
        let turning = |f: &Binomial| f.power > 1 && f.constant > 0.0 && f.constant < 1.0;
        let Some(position) = self.poles.iter().position(turning) else {
            return 0.0;
        };
        let fast = self.poles[position];
        let mut rest_slope = Range::point(0.0);
        let mut rest_modulus = 1.0;
        for (index, factor) in self.poles.iter().enumerate() {
            if index != position {
                let (modulus, slope) = factor.over(a, b);
                rest_modulus *= modulus.low;
                rest_slope = rest_slope + slope;
            }
        }
        for factor in &self.zeros {
            rest_slope = rest_slope - factor.over(a, b).1;
        }
        if let Some(mixture) = &self.mixture {
            rest_slope = rest_slope - mixture.over(a, b).slope;
        }
        let rest = phase_at_a - fast.phase(a);
        let reach = rest_slope.scaled(b - a);
        let argument = Range { low: -(rest + reach.high.max(0.0)), high: -(rest + reach.low.min(0.0)) };
        rest_modulus * fast.least_modulus_squared(argument)
    }

    /// `ln(-D/N)`, up to multiples of `2 pi i`, and its derivative with respect to `ln z`, at `z = e^log_z`.
    pub fn logarithm(&self, log_z: Complex64) -> (Complex64, Complex64) {
        let mut value = Complex64::new(self.log_scale, PI);
        let mut derivative = Complex64::ZERO;
        for factor in &self.poles {
            let (log, d) = factor.logarithm(log_z);
            value += log;
            derivative += d;
        }
        for factor in &self.zeros {
            let (log, d) = factor.logarithm(log_z);
            value -= log;
            derivative -= d;
        }
        if let Some(mixture) = &self.mixture {
            let (log, d) = mixture.logarithm(log_z);
            value -= log;
            derivative -= d;
        }
        (value, derivative)
    }
}
