//! The delays that a schedule has come to.
//!
//! Counted from the slots alone, by keeping the version that each slot holds: whatever a process believes of itself, this is
//! what a run does. Not here: the distribution a process has in the limit ([`crate::theory`] where it is known).

use super::SlotStream;
use serde::Serialize;

/// A histogram of delays, in updates. What is asked of an empty one is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delays {
    /// How many updates had each of the delays 0, 1, 2, ...
    counts: Vec<u64>,
}

impl Delays {
    /// Follows `stream` for `steps` steps. Reads of a slot that was never written are not counted: the gradient was taken
    /// at x_0 before the first update, at no time that a delay could be counted from.
    pub(super) fn of(mut stream: SlotStream, slots: u32, steps: u64) -> Self {
        let mut delays = Self::default();
        // x_0 is no version of this run's.
        let mut version = vec![None; slots as usize];
        for step in 0..steps {
            let slots = stream.next();
            if let Some(read) = version[slots.read as usize] {
                delays.add(step - read);
            }
            version[slots.write as usize] = Some(step + 1);
        }
        delays
    }

    /// Counts one more delay.
    pub fn add(&mut self, delay: u64) {
        let place = delay as usize;
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
    }

    /// Number of delays.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// (delay, how often), by delay, those that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }

    fn mean_of(&self, value: impl Fn(f64) -> f64) -> Option<f64> {
        let sum: f64 = self.iter().map(|(delay, count)| value(delay as f64) * count as f64).sum();
        (!self.counts.is_empty()).then(|| sum / self.count() as f64)
    }

    pub fn mean(&self) -> Option<f64> {
        self.mean_of(|delay| delay)
    }

    /// Standard deviation of the histogram itself: divided by the count, not by one less.
    pub fn std(&self) -> Option<f64> {
        let mean = self.mean()?;
        self.mean_of(|delay| (delay - mean).powi(2)).map(f64::sqrt)
    }

    /// Middle delay; of an even number of them the lower of the two in the middle.
    pub fn median(&self) -> Option<u64> {
        self.quantile(0.5)
    }

    /// The shortest delay that a share of at least `q` of all do not exceed; `q` in 0..=1, where 0 asks for the shortest.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let enough = q * self.count() as f64;
        let mut so_far = 0;
        self.iter().find_map(|(delay, count)| {
            so_far += count;
            (so_far as f64 >= enough).then_some(delay)
        })
    }

    pub fn max(&self) -> Option<u64> {
        self.counts.len().checked_sub(1).map(|longest| longest as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_histogram_worked_by_hand() {
        let mut delays = Delays::default();
        assert_eq!((delays.mean(), delays.std(), delays.median(), delays.max()), (None, None, None, None));
        for delay in [4, 1, 1, 6] {
            delays.add(delay);
        }
        assert_eq!(delays.iter().collect::<Vec<_>>(), [(1, 2), (4, 1), (6, 1)]);
        assert_eq!((delays.count(), delays.mean(), delays.max()), (4, Some(3.0), Some(6)));
        // Squares of -2, -2, 1 and 3 sum to 18.
        assert_eq!(delays.std(), Some(4.5f64.sqrt()));
        assert_eq!(delays.median(), Some(1));
        let quantiles = [0.0, 0.5, 0.51, 0.75, 0.76, 1.0].map(|q| delays.quantile(q).unwrap());
        assert_eq!(quantiles, [1, 1, 4, 4, 6, 6]);
    }
}
