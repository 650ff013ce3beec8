//! The gain margin: the smallest gain at which a root of `D(z) + K N(z)` reaches the unit circle.
//!
//! A root sits at `e^{iw}` exactly when `-D/N` is real and positive there, and that value is its gain. The search
//! covers the half circle by arcs on each of which the unwrapped phase of `-D/N` is proved monotone; there the
//! multiples of a full turn between the phases of the two ends count the crossings, and bracket each one. Nothing is
//! sampled on a grid, so nothing can fall between two samples. Arcs whose gains cannot beat the best crossing found are
//! dropped, which makes the cost logarithmic in the delay.

use std::f64::consts::{PI, TAU};

use super::TheoryError;
use super::characteristic::{Arc, Characteristic};
use super::rule::Rule;

/// Where the first root reaches the unit circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// The threshold gain `K*`: stable for `0 < K < K*`.
    pub gain: f64,
    /// The angle `w` in `(0, pi]` of the crossing `e^{iw}`: at the edge the weights oscillate with a period of
    /// `2 pi / w` updates.
    pub angle: f64,
}

/// Threshold gain of `rule` at a fixed delay, for stability in the mean.
///
/// Every root of `D(z) + K N(z)` lies strictly inside the unit circle for `0 < K < gain`, and one is on it at `gain`.
///
/// # Errors
/// Coefficients out of range (see [`Rule::validate`]), or no crossing at any gain.
pub fn gain_margin(rule: &Rule, delay: usize) -> Result<Margin, TheoryError> {
    first_crossing(&rule.characteristic(delay)?)
}

/// Narrowest arc, relative to its angle, on which the search still asks for a proof of monotony.
const NARROWEST: f64 = 4e-16;

/// Phase within this distance of a full turn counts as a crossing at the end of an arc.
const PHASE_SLACK: f64 = 1e-13;

/// The crossing of smallest gain.
///
/// For every equation built in this module the roots of `D` lie inside the circle but for a simple one at `z = 1`,
/// which a small positive gain moves inwards because `N(1) / D'(1) > 0`: small gains are stable, so the first crossing
/// ends the stable range.
pub(super) fn first_crossing(equation: &Characteristic) -> Result<Margin, TheoryError> {
    let mut best = Margin { gain: f64::INFINITY, angle: PI };
    let at_minus_one = equation.gain_at_minus_one();
    if at_minus_one > 0.0 {
        best.gain = at_minus_one;
    }
    visit_crossings(equation, &mut |angle, gain| {
        if gain < best.gain {
            best = Margin { gain, angle };
        }
        best.gain
    });
    if best.gain.is_finite() { Ok(best) } else { Err(TheoryError::Unbounded) }
}

/// Calls `found(angle, gain)` for every crossing on the open half circle whose gain is below the limit that the last
/// call returned. A crossing at the common end of two arcs may be reported twice.
fn visit_crossings(equation: &Characteristic, found: &mut dyn FnMut(f64, f64) -> f64) {
    let mut limit = f64::INFINITY;
    let mut arcs = vec![(0.0, PI)];
    while let Some((a, b)) = arcs.pop() {
        let arc = equation.over(a, b);
        if arc.least_gain >= limit {
            continue;
        }
        let middle = 0.5 * (a + b);
        match crossings_on(&arc, b - a) {
            Crossings::None => {}
            Crossings::One(turn) => {
                let w = polish(equation, a, b, turn, arc.slope.low > 0.0);
                limit = found(w, equation.gain(w)).min(limit);
            }
            Crossings::Unresolved if b - a <= NARROWEST * b => {
                // Two crossings closer than rounding: the phase touches the full turn here.
                limit = found(middle, equation.gain(middle)).min(limit);
            }
            Crossings::Unresolved => {
                // The lower arc on top: small angles have small gains, and a good limit early drops most of the rest.
                arcs.push((middle, b));
                arcs.push((a, middle));
            }
        }
    }
}

/// What the phases at the ends and the slope between them prove about an arc.
enum Crossings {
    None,
    /// Exactly one, where the phase equals this multiple of a full turn.
    One(f64),
    Unresolved,
}

fn crossings_on(arc: &Arc, width: f64) -> Crossings {
    let monotone = arc.slope.low > 0.0 || arc.slope.high < 0.0;
    let (low, high) = if monotone {
        (arc.start.min(arc.end), arc.start.max(arc.end))
    } else {
        let reach = arc.slope.scaled(width);
        (arc.start + reach.low.min(0.0), arc.start + reach.high.max(0.0))
    };
    let slack = PHASE_SLACK * (1.0 + high.abs());
    let first = ((low - slack) / TAU).ceil();
    let last = ((high + slack) / TAU).floor();
    if last < first {
        Crossings::None
    } else if monotone && first == last {
        Crossings::One(first * TAU)
    } else {
        Crossings::Unresolved
    }
}

/// Solves `phase(w) = target` on `[a, b]`, where the phase is monotone: Newton's step where it stays in the bracket,
/// else its middle.
fn polish(equation: &Characteristic, mut a: f64, mut b: f64, target: f64, rising: bool) -> f64 {
    let mut w = 0.5 * (a + b);
    for _ in 0..200 {
        let miss = equation.phase(w) - target;
        if miss == 0.0 {
            break;
        }
        if (miss > 0.0) == rising {
            b = w;
        } else {
            a = w;
        }
        let step = miss / equation.slope(w);
        let newton = w - step;
        let next = if newton > a && newton < b { newton } else { 0.5 * (a + b) };
        if (next - w).abs() <= f64::EPSILON * w {
            return next;
        }
        w = next;
    }
    w
}
