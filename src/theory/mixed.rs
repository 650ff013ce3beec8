//! Threshold and dominant root of rules that mix results, at a fixed delay.
//!
//! With `q(z) = z^tau (z - b)`, `b = 1 - a`, the equation `(q - a)(q - m a) + K a q = 0` is one of the synchronous rule in disguise:
//! `q(z) = a s` with `s` a root of heavy-ball without delay, `s^2 - (1 + m - K) s + m = 0`.
//!
//! **Threshold.** On the unit circle `|z - b| >= a`, so that all `z` lie inside where both `|s| < 1`: whatever the delay, the rule is
//! stable up to the synchronous threshold `2 (1+m)`. Beyond it the larger root is real, `s = -sigma` with `sigma > 1`, and the
//! first `z` reaches the circle at the smallest angle where `q` is negative: its argument and its modulus both rise with the
//! angle. Then `K = 1 + m + sigma + m / sigma`.
//!
//! **Dominant root.** Along a curve `|q| = const` the argument of `q` grows with that of `z`, and there `d ln z = i d(arg q) / Q`,
//! `Q = z q'/q = tau + z/(z - b)`, whose imaginary part is `-b Im z / |z-b|^2`. So above the real axis `|z|` falls as the argument
//! grows: of the `z` that belong to one `s`, the largest is the first on the way from the real axis.

use std::f64::consts::PI;

use num_complex::Complex64;

/// Halvings of the range of rates, to the last digit of `f64`.
const HALVINGS: u32 = 80;

/// A rate beyond which nothing decays: an e-fold in a fiftieth of an update.
const FASTEST: f64 = 50.0;

/// Threshold of the gain, before what [`super::equation::Equation::numerator`] makes of it, and the angle of the crossing.
pub(super) fn mixed_margin(momentum: f64, share: f64, delay: usize) -> (f64, f64) {
    let arm = |angle: f64| Complex64::from_polar(1.0, angle) - (1.0 - share);
    let phase = |angle: f64| delay as f64 * angle + arm(angle).arg();
    let (mut low, mut high) = (0.0, PI);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if phase(middle) < PI { low = middle } else { high = middle }
    }
    let sigma = arm(high).norm() / share;
    (1.0 + momentum + sigma + momentum / sigma, high)
}

/// `ln z` of the root of largest modulus, at a gain that [`super::equation::Equation::numerator`] is already in.
pub(super) fn mixed_root(momentum: f64, share: f64, delay: usize, gain: f64) -> Complex64 {
    let [one, other] = synchronous(momentum, gain).map(|root| largest(root, share, delay));
    if one.re >= other.re { one } else { other }
}

/// The two roots of synchronous heavy-ball, by modulus and argument in `[0, pi]`; twice the one there is without momentum.
fn synchronous(momentum: f64, gain: f64) -> [(f64, f64); 2] {
    let half = 0.5 * (1.0 + momentum - gain);
    let discriminant = half * half - momentum;
    if discriminant < 0.0 {
        return [(momentum.sqrt(), (-discriminant).sqrt().atan2(half)); 2];
    }
    let far = half + discriminant.sqrt().copysign(half);
    let near = if momentum == 0.0 { far } else { momentum / far };
    [far, near].map(|root| (root.abs(), if root < 0.0 { PI } else { 0.0 }))
}

/// `ln z` of the largest `z` with `z^tau (z - b) = a s`.
fn largest((modulus, argument): (f64, f64), share: f64, delay: usize) -> Complex64 {
    let (tau, rest) = (delay as f64, 1.0 - share);
    // |z| - b to the last digit, which the difference of two numbers near 1 has not where the share is tiny.
    let beyond = |rate: f64| rate.exp_m1() + share;
    // Where |z| = e^rate meets |q| = a |s|: the angle of z, none where z is too large for any. By its half: the cosine of
    // a tiny angle is 1.
    let angle = |rate: f64| {
        let (r, distance, beyond) = (rate.exp(), share * modulus * (-tau * rate).exp(), beyond(rate));
        if beyond > distance {
            return None;
        }
        let sine = (distance - beyond) * (distance + beyond);
        let cosine = (r + rest - distance) * (r + rest + distance);
        Some(2.0 * sine.max(0.0).sqrt().atan2(cosine.max(0.0).sqrt()))
    };
    if rest == 0.0 {
        return Complex64::new(modulus.ln(), argument) / (tau + 1.0);
    }
    let turned = |rate: f64, angle: f64| {
        let r = rate.exp();
        tau * angle + (r * angle.sin()).atan2(beyond(rate) - 2.0 * r * (0.5 * angle).sin().powi(2))
    };
    let too_large = |rate: f64| angle(rate).is_none_or(|angle| turned(rate, angle) < argument);
    let (mut low, mut high) =
        if too_large(0.0) { (-FASTEST, 0.0) } else { (0.0, (rest + share * modulus).ln().max(0.0)) };
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if too_large(middle) { high = middle } else { low = middle }
    }
    Complex64::new(high, angle(low).unwrap_or(0.0))
}
