//! The gain margin: the smallest gain at which a root of `D(z) + K N(z)` reaches the unit circle.
//!
//! A root sits at `e^{iw}` exactly when `-D/N` is real and positive there, and that value is its gain. The search
//! covers the half circle by arcs on each of which the unwrapped phase of `-D/N` is proved monotone; there the
//! multiples of a full turn between the phases of the two ends count the crossings, and bracket each one. Nothing is
//! sampled on a grid, so nothing can fall between two samples. Arcs whose gains cannot beat the best crossing found are
//! dropped, which makes the cost logarithmic in the delay.

use std::f64::consts::{PI, TAU};

use num_complex::Complex64;

use super::TheoryError;
use super::characteristic::{Arc, Characteristic};
use super::equation::{Equation, WeightDecay};
use super::mixed::mixed_margin;

/// Where the first root reaches the unit circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// The threshold gain `K*`: stable for `0 < K < K*`.
    pub gain: f64,
    /// The angle `w` in `(0, pi]` of the crossing `e^{iw}`: at the edge the weights oscillate with a period of
    /// `2 pi / w` updates.
    pub angle: f64,
}

/// Threshold gain at a fixed delay, for stability in the mean.
///
/// Every root of `D(z) + K N(z)` lies strictly inside the unit circle for `0 < K < gain`, and one is on it at `gain`.
///
/// # Errors
/// Coefficients or delay out of range, or no crossing at any gain.
pub(super) fn gain_margin(equation: &Equation, delay: usize) -> Result<Margin, TheoryError> {
    if let Some(share) = equation.share {
        equation.validate()?;
        let (gain, angle) = mixed_margin(equation.velocity.momentum(), share, delay);
        return Ok(Margin { gain: gain / equation.numerator[0], angle });
    }
    first_crossing(&equation.characteristic(delay, WeightDecay::None)?)
}

/// Threshold gain at a fixed delay, for stability in the mean, with a weight decay in the equation. The gain is the
/// learning rate times the curvature of the loss alone, without the decay's.
///
/// # Errors
/// Coefficients, delay or decay out of range, no crossing at any gain, or a delay that varies.
pub fn margin_with_decay(equation: &Equation, decay: WeightDecay) -> Result<Margin, TheoryError> {
    first_crossing(&equation.characteristic(equation.fixed_delay()?, decay)?)
}

/// A root on the unit circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    pub angle: f64,
    pub gain: f64,
    /// Whether the root moves outwards as the gain grows; `None` where two crossings are closer than rounding.
    pub outward: Option<bool>,
}

/// Narrowest arc, relative to its angle, on which the search still asks for a proof of monotony.
const NARROWEST: f64 = 4e-16;

/// Phase within this distance of a full turn, relative to the phase, counts as a crossing at the end of an arc.
const PHASE_SLACK: f64 = 1e-13;

/// The phase at the ends of the half circle is a multiple of a quarter turn; crossings there are real roots and are
/// counted apart, so the search stops this far short of those phases.
const END_SLACK: f64 = -1e-3;

/// How far from a full turn the phase of a crossing that cannot be resolved may be.
const TOUCHING: f64 = 1e-6;

/// The crossing of smallest gain.
///
/// For every equation built in this module the roots of `D` lie inside the circle but for a simple one at `z = 1`,
/// which a small positive gain moves inwards because `N(1) / D'(1) > 0`: small gains are stable, so the first crossing
/// ends the stable range.
pub(super) fn first_crossing(equation: &Characteristic) -> Result<Margin, TheoryError> {
    let mut best = Margin { gain: equation.gain_at_real(-1.0).unwrap_or(f64::INFINITY), angle: PI };
    visit_crossings(equation, best.gain, &mut |crossing| {
        if crossing.gain < best.gain {
            best = Margin { gain: crossing.gain, angle: crossing.angle };
        }
        best.gain
    });
    if best.gain.is_finite() { Ok(best) } else { Err(TheoryError::Unbounded) }
}

/// Every crossing at `0 < w < pi` whose gain is below `limit`, each once, by angle.
pub(super) fn crossings_below(equation: &Characteristic, limit: f64) -> Vec<Crossing> {
    let mut all: Vec<Crossing> = Vec::new();
    visit_crossings(equation, limit, &mut |crossing| {
        if crossing.gain < limit {
            all.push(crossing);
        }
        limit
    });
    all.sort_by(|a, b| a.angle.total_cmp(&b.angle));
    // A crossing at the common end of two arcs is found from both.
    all.dedup_by(|b, a| b.angle - a.angle <= 1e-12 * a.angle && a.outward == b.outward);
    all
}

/// Calls `found` for every crossing on the open half circle whose gain is below the limit: the one given, then the one
/// that `found` returned last. A crossing at the common end of two arcs may be reported twice.
fn visit_crossings(equation: &Characteristic, mut limit: f64, found: &mut dyn FnMut(Crossing) -> f64) {
    let mut arcs = vec![(0.0, PI)];
    while let Some((a, b)) = arcs.pop() {
        let arc = equation.over(a, b);
        if arc.least_gain >= limit {
            continue;
        }
        let middle = 0.5 * (a + b);
        match crossings_on(&arc, a, b) {
            Crossings::None => {}
            Crossings::One(target) => {
                let outward = arc.slope.low > 0.0;
                let angle = polish(equation, (a, b), target, outward, arc.branch);
                limit = found(Crossing { angle, gain: equation.gain(angle), outward: Some(outward) });
            }
            Crossings::Unresolved if b - a <= NARROWEST * b || is_flat(&arc, b - a) => {
                let phase = equation.phase(middle, arc.branch);
                if (phase - (phase / TAU).round() * TAU).abs() < TOUCHING {
                    limit = found(Crossing { angle: middle, gain: equation.gain(middle), outward: None });
                }
            }
            Crossings::Unresolved => {
                // The lower arc on top: small angles have small gains, and a good limit early drops most of the rest.
                arcs.push((middle, b));
                arcs.push((a, middle));
            }
        }
    }
}

/// Whether the phase does not change on an arc of this width by more than rounding: no half of it would tell more.
fn is_flat(arc: &Arc, width: f64) -> bool {
    let reach = arc.slope.scaled(width);
    reach.low.abs().max(reach.high.abs()) <= PHASE_SLACK * (1.0 + arc.start.abs())
}

/// What the phases at the ends and the slope between them prove about an arc.
enum Crossings {
    None,
    /// Exactly one, where the phase equals this multiple of a full turn.
    One(f64),
    Unresolved,
}

fn crossings_on(arc: &Arc, a: f64, b: f64) -> Crossings {
    let monotone = arc.slope.low > 0.0 || arc.slope.high < 0.0;
    let (low, high) = if monotone {
        let slack = |at_end: bool, phase: f64| {
            if at_end { END_SLACK } else { PHASE_SLACK * (1.0 + phase.abs()) }
        };
        let start = (arc.start, slack(a == 0.0, arc.start));
        let end = (arc.end, slack(b == PI, arc.end));
        let (low, high) = if arc.start < arc.end { (start, end) } else { (end, start) };
        (low.0 - low.1, high.0 + high.1)
    } else {
        let reach = arc.slope.scaled(b - a);
        let slack = PHASE_SLACK * (1.0 + arc.start.abs());
        (arc.start + reach.low.min(0.0) - slack, arc.start + reach.high.max(0.0) + slack)
    };
    let first = (low / TAU).ceil();
    let last = (high / TAU).floor();
    if last < first {
        Crossings::None
    } else if monotone && first == last {
        Crossings::One(first * TAU)
    } else {
        Crossings::Unresolved
    }
}

/// Solves `phase(w) = target` on the arc, where the phase is monotone: Newton's step where it stays in the bracket,
/// else its middle.
fn polish(equation: &Characteristic, (mut a, mut b): (f64, f64), target: f64, rising: bool, branch: Complex64) -> f64 {
    let mut w = 0.5 * (a + b);
    for _ in 0..200 {
        let miss = equation.phase(w, branch) - target;
        if miss == 0.0 {
            break;
        }
        if (miss > 0.0) == rising {
            b = w;
        } else {
            a = w;
        }
        let newton = w - miss / equation.slope(w);
        let next = if newton > a && newton < b { newton } else { 0.5 * (a + b) };
        if (next - w).abs() <= f64::EPSILON * w {
            return next;
        }
        w = next;
    }
    w
}
