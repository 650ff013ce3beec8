//! Where a stable range ends, by halving.
//!
//! Not here: what is stable.

/// Halves `[stable, unstable]` until its ends are neighbours, and returns the stable one; the upper end is never
/// tested.
pub(super) fn bisect(mut low: f64, mut high: f64, stable: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = if low == 0.0 { high / 16.0 } else { 0.5 * (low + high) };
        if high - low <= 1e-15 * high || middle <= low || middle >= high {
            return if low == 0.0 { high } else { low };
        }
        if stable(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}
