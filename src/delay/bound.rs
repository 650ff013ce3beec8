//! Bounded staleness: who must report next so that no snapshot gets older than a cap.
//!
//! Workers stand in a line by the age of their snapshots, the oldest first; who reports goes to its end. Both are a few
//! writes in two arrays, whatever the number of workers. Not here: who reports where nobody must.

use crate::text::Options;
use std::fmt;

/// Reads `cap=C`.
///
/// # Errors
/// Another text than a whole number.
pub(super) fn parse_cap(options: &Options) -> Result<Option<u32>, String> {
    options.value("cap", |_| true, "a whole number of updates")
}

/// Shows it as it is typed behind a process.
pub fn show_cap(f: &mut fmt::Formatter, cap: Option<u32>) -> fmt::Result {
    cap.map_or(Ok(()), |cap| write!(f, ":cap={cap}"))
}

/// Refuses a cap that `delay + 1` workers cannot keep, whatever the order in which they report.
///
/// # Errors
/// A cap below the delay.
pub fn check_cap(cap: Option<u32>, delay: u32) -> Result<(), String> {
    match cap {
        Some(cap) if cap < delay => Err(format!(
            "{} workers cannot all report within cap={cap} updates; accepted: cap={delay} or more",
            delay + 1
        )),
        _ => Ok(()),
    }
}

/// The delay, where it is always the same: one worker has nobody to wait for, and the tightest of caps leaves the server no
/// choice.
pub fn forced(workers: u32, cap: Option<u32>) -> Option<u32> {
    let delay = workers - 1;
    (delay == 0 || cap == Some(delay)).then_some(delay)
}

/// The line of the workers.
#[derive(Clone, Debug)]
pub struct Bound {
    cap: u64,
    /// The version of each worker's snapshot: number of updates behind it.
    taken: Box<[u64]>,
    /// A circle of the workers and, at the last index, of a mark between its newest and its oldest member.
    after: Box<[u32]>,
    before: Box<[u32]>,
    /// Workers that still hold x_0.
    fresh: u32,
}

impl Bound {
    /// `cap` in updates, at least `workers - 1`.
    pub fn new(workers: u32, cap: u32) -> Self {
        let circle = workers + 1;
        Self {
            cap: cap.into(),
            taken: vec![0; workers as usize].into(),
            after: (0..circle).map(|place| (place + 1) % circle).collect(),
            before: (0..circle).map(|place| (place + circle - 1) % circle).collect(),
            fresh: workers,
        }
    }

    /// The worker that must report at step `step`, if one must; any of [`Bound::fresh`] where that is not empty.
    pub fn due(&self, step: u64) -> Option<u32> {
        let oldest = self.after[self.taken.len()];
        // Later snapshots differ in age, but those of x_0 come due together and take as many steps as they are.
        let of_that_age = u64::from(self.fresh.max(1));
        (step - self.taken[oldest as usize] + of_that_age > self.cap).then_some(oldest)
    }

    /// The workers that have not reported yet.
    pub fn fresh(&self) -> impl Iterator<Item = u32> + '_ {
        let mark = self.taken.len();
        let line = std::iter::successors(Some(self.after[mark]), |worker| Some(self.after[*worker as usize]));
        line.take(self.fresh as usize)
    }

    /// `worker` has reported at step `step` and taken the new weights.
    pub fn served(&mut self, worker: u32, step: u64) {
        let (place, mark) = (worker as usize, self.taken.len());
        if self.taken[place] == 0 {
            self.fresh -= 1;
        }
        self.taken[place] = step + 1;
        let (before, after) = (self.before[place], self.after[place]);
        self.after[before as usize] = after;
        self.before[after as usize] = before;
        let newest = self.before[mark];
        self.after[newest as usize] = worker;
        self.before[place] = newest;
        self.after[place] = mark as u32;
        self.before[mark] = worker;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain table of ages: nobody is ever older than the cap, and nobody is hurried before it is necessary.
        #[test]
        fn the_oldest_is_due_exactly_when_waiting_would_break_the_cap(
            workers in 1u32..8, slack in 0u32..6, choices in prop::collection::vec(0u32..8, 100),
        ) {
            let cap = workers - 1 + slack;
            let mut bound = Bound::new(workers, cap);
            let mut taken = vec![0u64; workers as usize];
            for (step, choice) in (0u64..).zip(choices) {
                // Due: a deadline that its workers can just meet.
                let mut deadlines: Vec<u64> = taken.iter().map(|version| version + u64::from(cap)).collect();
                deadlines.sort_unstable();
                let must = (0u64..).zip(&deadlines).any(|(ahead, deadline)| step + ahead == *deadline);
                let due = bound.due(step);
                prop_assert_eq!(due.is_some(), must);
                if let Some(due) = due {
                    prop_assert_eq!(taken[due as usize], *taken.iter().min().unwrap());
                }
                let fresh: Vec<u32> = bound.fresh().collect();
                prop_assert!(fresh.iter().all(|worker| taken[*worker as usize] == 0));
                prop_assert_eq!(fresh.len(), taken.iter().filter(|version| **version == 0).count());
                let worker = due.unwrap_or(choice % workers);
                prop_assert!(step - taken[worker as usize] <= cap.into());
                bound.served(worker, step);
                taken[worker as usize] = step + 1;
            }
        }
    }
}
