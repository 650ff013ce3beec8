//! How many steps a submit has: as many as take about 0.3 s. During longer ones the screen of a small machine stands still,
//! and drivers kill those that take seconds; much shorter ones cost more than they compute.
//!
//! It is learnt from the submits before, and no result depends on it.

use std::time::{Duration, Instant};

/// What a submit should take.
const TARGET: Duration = Duration::from_millis(300);

/// Steps per submit of one wave.
#[derive(Clone, Debug)]
pub struct SubmitSize {
    most: usize,
    steps: usize,
    /// When the latest submit was done, if the host was waiting for it.
    latest: Option<Instant>,
}

impl SubmitSize {
    /// `first` steps until something is known, and never more than `most`.
    pub fn new(first: usize, most: usize) -> Self {
        Self { most, steps: first, latest: None }
    }

    /// Steps of the next submit.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Learns from a submit of `steps` steps. `alone`: when it was submitted, if nothing was in flight that it had to wait
    /// for. `done`: when it was done, if the host was waiting for it; otherwise that is not known.
    pub fn learn(&mut self, steps: usize, alone: Option<Instant>, done: Option<Instant>) {
        let begun = alone.or(self.latest);
        self.latest = done;
        if let (Some(begun), Some(done)) = (begun, done) {
            let seconds = done.saturating_duration_since(begun).as_secs_f64();
            // Infinitely many, where it took no time at all.
            let fit = (TARGET.as_secs_f64() * steps as f64 / seconds) as usize;
            // Most lanes may have been idle: it grows in steps.
            self.steps = fit.min(2 * self.steps).clamp(1, self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submits_shrink_at_once_and_grow_by_doubling() {
        let start = Instant::now();
        let after = |millis| Some(start + Duration::from_millis(millis));
        let mut size = SubmitSize::new(8, 40);
        size.learn(8, Some(start), after(4_000));
        assert_eq!(size.steps(), 1, "half a second a step is more than a submit should take");
        size.learn(1, None, after(4_010));
        assert_eq!(size.steps(), 2);
        size.learn(2, None, after(4_150));
        assert_eq!(size.steps(), 4, "70 ms a step");
        for (millis, steps) in [(4_160, 8), (4_161, 16), (4_162, 32), (4_163, 40), (4_163, 40)] {
            size.learn(size.steps(), None, after(millis));
            assert_eq!(size.steps(), steps);
        }
    }

    #[test]
    fn a_submit_of_unknown_duration_changes_nothing() {
        let start = Instant::now();
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        let mut size = SubmitSize::new(8, 40);
        size.learn(8, None, after(10)); // It is not known when it began.
        assert_eq!(size.steps(), 8);
        size.learn(8, None, None); // It was done before the host waited,
        size.learn(8, None, after(20)); // so it is not known when this began either.
        assert_eq!(size.steps(), 8);
        size.learn(8, None, after(21));
        assert_eq!(size.steps(), 2);
    }
}
