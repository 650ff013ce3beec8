//! The rate of mixing over an interval of gains, at whose ends the slowest direction is.
//!
//! The largest `|z|` that belongs to a root `s` of synchronous heavy-ball falls with `|arg s|` ([`crate::theory::mixed`]). As `K`
//! grows from 0 with `0 <= m < 1`, the larger `s` falls along the real axis to `sqrt m`, turns on the circle of that radius to
//! `-sqrt m`, and parts into two along the negative axis. The largest `|z|` falls on the first two ways, and on the third has no
//! interior maximum.

use crate::theory::mixed::mixed_root;

/// The least `-ln |z|` over gains between `low` and `high`; none where a root is not inside the unit circle.
pub(super) fn slowest(momentum: f64, share: f64, delay: usize, [low, high]: [f64; 2]) -> Option<f64> {
    if !(0.0..1.0).contains(&momentum) {
        return None;
    }
    let at = |gain| -mixed_root(momentum, share, delay, gain).re;
    Some(at(low).min(at(high))).filter(|rate| *rate > 0.0)
}
