//! The rate of mixing, in closed form but for one bisection.
//!
//! With `q(z) = z^(T-1) (z - b)`, `b = 1 - a`, the equation is `(q - a)(q - m a) + K a q = 0`, so `q(z) = a s` with `s` a root of
//! synchronous heavy-ball, `s^2 - (1 + m - K) s + m = 0`. Write `M(s)` for the largest `|z|`. Along the curve
//! `|q| = const` the argument of `q` grows with that of `z`, and there `d ln z = i d(arg q) / Q`, `Q = z q'/q = T - 1 + z/(z - b)`,
//! whose imaginary part is `-b Im z / |z-b|^2`. So above the real axis `|z|` falls as the argument grows: `M` falls with `|arg s|`.
//! As `K` grows from 0 with `0 <= m < 1`, the larger `s` falls along the real axis to `sqrt m`, turns on the circle of that radius
//! to `-sqrt m`, and parts into two along the negative axis. `M` falls on the first two ways, and on the third has no
//! interior maximum. So over an interval of gains the slowest direction is at one of its ends.

use std::f64::consts::PI;

/// Halvings of the range of rates, to the last digit of `f64`.
const HALVINGS: u32 = 80;

/// A rate beyond which nothing decays: an e-fold in a fiftieth of an update.
const FASTEST: f64 = 50.0;

/// The least `-ln |z|` over gains between `low` and `high`; none where a root is not inside the unit circle.
pub(super) fn slowest(momentum: f64, share: f64, delay: usize, [low, high]: [f64; 2]) -> Option<f64> {
    if !(0.0..1.0).contains(&momentum) {
        return None;
    }
    let at =
        |gain| synchronous(momentum, gain).into_iter().map(|root| rate(root, share, delay)).fold(FASTEST, f64::min);
    Some(at(low).min(at(high))).filter(|rate| *rate > 0.0)
}

/// The two roots of synchronous heavy-ball, by modulus and argument in `[0, pi]`.
fn synchronous(momentum: f64, gain: f64) -> [(f64, f64); 2] {
    let half = 0.5 * (1.0 + momentum - gain);
    let discriminant = half * half - momentum;
    if discriminant < 0.0 {
        [(momentum.sqrt(), (-discriminant).sqrt().atan2(half)); 2]
    } else {
        let far = half + discriminant.sqrt().copysign(half);
        let near = if far == 0.0 { 0.0 } else { momentum / far };
        [far, near].map(|root| (root.abs(), if root < 0.0 { PI } else { 0.0 }))
    }
}

/// `-ln` of the largest `|z|` with `z^(T-1) (z - b) = a s`; 0 where it is 1 or more.
fn rate((modulus, argument): (f64, f64), share: f64, delay: usize) -> f64 {
    let rest = 1.0 - share;
    let too_large = |rate: f64| {
        let r = (-rate).exp();
        let distance = share * modulus * (delay as f64 * rate).exp();
        if r - rest > distance {
            return true;
        }
        // Where |z| = r meets |q| = a |s|: the angle of z, and the argument of q there.
        let cosine = match rest {
            0.0 => return delay as f64 > 0.0 && r > distance,
            _ => (r * r + rest * rest - distance * distance) / (2.0 * r * rest),
        };
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let turned = delay as f64 * angle + (r * angle.sin()).atan2(r * angle.cos() - rest);
        turned < argument
    };
    if too_large(0.0) {
        let (mut low, mut high) = (0.0, FASTEST);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if too_large(middle) { low = middle } else { high = middle }
        }
        low
    } else {
        0.0
    }
}
