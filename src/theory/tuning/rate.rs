//! How fast a rule is in its slowest direction, over a whole interval of gains, and the gain at which it is fastest.
//!
//! A *rate* is `-ln |z|` of the slowest root, so an e-fold takes `1/rate` updates. What is returned was tested on the circle of
//! that rate ([`super::locus`]): no root is outside it at any gain of the interval. The search stops just short of the
//! largest such rate, so it never promises too much.
//!
//! Not here: the other parameters ([`super::search`]).

use super::mixing;
use super::rule::LinearRule;

/// Rates this far below the fastest that anything can have count as none.
const SLOWEST: f64 = 1e-9;

/// The largest rate that anything can have at this delay and condition number, one over [`bound`].
fn fastest(delay: usize, condition: f64) -> f64 {
    1.0 / bound(delay, condition)
}

/// The number of updates per e-fold that no stationary linear rule gets below, at gradients `delay` updates late and curvatures
/// that span the factor `condition`: `T / ln((sqrt k + 1)/(sqrt k - 1))`, `T = delay + 1`. docs/best-tuning.md proves it.
pub fn bound(delay: usize, condition: f64) -> f64 {
    bound_at(delay as f64, condition)
}

/// The same at a mean delay, which need not be whole. Delays that vary about that mean have shorter ones among them, and may get below.
pub fn bound_at(mean_delay: f64, condition: f64) -> f64 {
    (mean_delay + 1.0) / (2.0 * condition.sqrt().recip().atanh())
}

/// The rate over gains from `gain / condition` to `gain`; none where the rule is not stable on all of them.
pub(super) fn rate(rule: &LinearRule, delay: usize, gain: f64, condition: f64, effort: RateEffort) -> Option<f64> {
    let range = [gain / condition, gain];
    if let LinearRule::Mixing { momentum, share } = *rule {
        return mixing::slowest(momentum, share, delay, range);
    }
    let range = range.map(f64::ln);
    let room = |rate: f64| {
        let ranges = rule.locus(delay, rate)?.inside();
        ranges.into_iter().map(|[from, to]| (range[0] - from).min(to - range[1])).reduce(f64::max)
    };
    largest(room, fastest(delay, condition), effort)
}

/// The gain that makes the slowest direction fastest, and its rate; none where no gain does, and for mixing, whose gain is
/// searched with its momentum.
pub(super) fn best_gain(rule: &LinearRule, delay: usize, condition: f64, effort: RateEffort) -> Option<(f64, f64)> {
    let needed = condition.ln();
    let widest = |rate: f64| {
        let ranges = rule.locus(delay, rate)?.inside();
        ranges
            .into_iter()
            .map(|[from, to]| (to.min(HIGHEST) - from - needed, to))
            .reduce(|a, b| if b.0 > a.0 { b } else { a })
    };
    let rate = largest(|rate| Some(widest(rate)?.0), fastest(delay, condition), effort)?;
    widest(rate).map(|(_, to)| (to.exp(), rate))
}

/// Logarithm of a gain that stands for one without end.
const HIGHEST: f64 = 300.0;

/// How much is done for a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateEffort {
    /// Relative precision.
    pub precision: f64,
    /// Where to look first.
    pub hint: Option<f64>,
}

/// The largest rate at which there is room, to a relative precision, and never one at which there is none.
pub(super) fn largest(
    room: impl Fn(f64) -> Option<f64>,
    fastest: f64,
    RateEffort { precision, hint }: RateEffort,
) -> Option<f64> {
    // Below 0, or none, without room; `None` stands for any amount.
    let lacks = |room: Option<f64>| room.is_none_or(|room| room < 0.0);
    let hint = hint.map_or(fastest, |hint| hint.min(fastest));
    let (mut low, mut high) = (None, None);
    let (mut at, mut step) = (hint, 1.05);
    while low.is_none() || high.is_none() {
        let found = room(at);
        if lacks(found) {
            high = Some((at, found));
            at /= step;
        } else {
            low = Some((at, found.unwrap_or(0.0)));
            if at >= fastest {
                return Some(at);
            }
            at = (at * step).min(fastest);
        }
        step *= step;
        if at < SLOWEST * fastest {
            return None;
        }
    }
    let ((mut low, mut spare), (mut high, mut missing)) = (low?, high?);
    let mut turn = 0;
    while high - low > precision * low {
        let middle = (low * high).sqrt();
        // Where the line between the two meets 0, a little short of it or beyond; every third time the middle, so that
        // a curved line costs no more than halving.
        let straight = missing.filter(|_| turn % 3 != 2).map(|missing| low + (high - low) * spare / (spare - missing));
        let nudge = 0.3 * precision * low * if turn % 3 == 0 { 1.0 } else { -1.0 };
        let at = straight.map(|at| at + nudge).filter(|at| *at > low && *at < high).unwrap_or(middle);
        if at <= low || at >= high {
            break;
        }
        turn += 1;
        let found = room(at);
        if lacks(found) { (high, missing) = (at, found) } else { (low, spare) = (at, found.unwrap_or(0.0)) }
    }
    Some(low)
}
