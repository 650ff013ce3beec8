//! The order in which minibatches visit the data.
//!
//! Drawn on the host and keyed by the seed and the time alone, so that every engine visits the same rows. Not here: the
//! rows themselves, nor which samples of a data set take part ([`crate::data`]), nor the draws ([`RowTables`]).

use super::RowTables;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// How minibatches are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// every row once per epoch, in a fresh order
    #[default]
    Epochs,
    /// every batch a fresh subset of the rows, whatever was seen before
    Independent,
}

/// Which rows each step of one run sees.
///
/// In epochs: every epoch is a fresh permutation of the rows, keyed by (seed, epoch), and cut into whole batches (the last
/// partial one is dropped). Step t sees batch t mod (samples / batch) of its epoch.
///
/// Independently: every step is a fresh subset, without repetition inside it, keyed by (seed, step).
#[derive(Clone, Debug)]
pub struct BatchOrder {
    tables: Arc<RowTables>,
    seed: u64,
    /// The step after the latest one asked for.
    next: u64,
    /// The tables of the latest steps, with their numbers, newest last: shared by all runs of a seed, its own after a change of
    /// seed.
    recent: VecDeque<(u64, Arc<[u32]>)>,
    /// How many of them are kept.
    kept: usize,
}

impl BatchOrder {
    /// Runs that share `tables` share what is drawn of them.
    pub fn new(tables: &Arc<RowTables>, seed: u64) -> Self {
        Self { tables: Arc::clone(tables), seed, next: 0, recent: VecDeque::new(), kept: 1 }
    }

    /// The same for a run that may ask for any of its last `steps` steps again.
    #[must_use]
    pub fn going_back(self, steps: u64) -> Self {
        let kept = if steps > 1 { steps.div_ceil(self.tables.batches()) as usize + 1 } else { 1 };
        Self { kept, ..self }
    }

    /// The rows of step `step`, as many as a batch has.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        let batch = self.tables.batch();
        let (table, first) = self.table(step);
        &table[first..][..batch]
    }

    /// The table that the rows of step `step` lie in, one after the other, and the index of the first of them.
    pub fn table(&mut self, step: u64) -> (&Arc<[u32]>, usize) {
        self.next = step + 1;
        let (number, batch) = (step / self.tables.batches(), step % self.tables.batches());
        let place = self.recent.iter().position(|(present, _)| *present == number).unwrap_or_else(|| {
            if self.recent.len() == self.kept {
                self.recent.pop_front();
            }
            self.recent.push_back((number, self.tables.table(self.seed, number)));
            self.recent.len() - 1
        });
        (&self.recent[place].1, batch as usize * self.tables.batch())
    }

    /// Draws from a new seed from the step after the latest one asked for: the rest of its epoch is reshuffled, and later
    /// epochs or steps follow the new seed alone.
    pub fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        let (number, first) = (self.next / self.tables.batches(), self.next % self.tables.batches());
        for (present, table) in &mut self.recent {
            if *present == number {
                *table = self.tables.redraw(table, number, first, seed);
            }
        }
        // Later ones, if any, were drawn from the old seed.
        self.recent.retain(|(present, _)| *present <= number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Augmentation;
    use super::*;

    fn start(samples: usize, batch: usize, seed: u64, sampling: Sampling) -> BatchOrder {
        BatchOrder::new(&RowTables::new(samples, batch, sampling, Augmentation::default()), seed)
    }

    fn steps(order: &mut BatchOrder, steps: std::ops::Range<u64>) -> Vec<Vec<u32>> {
        steps.map(|step| order.rows(step).to_vec()).collect()
    }

    fn sorted(batches: &[Vec<u32>]) -> Vec<u32> {
        let mut rows = batches.concat();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn an_epoch_visits_every_row_once_and_epochs_differ() {
        let mut order = start(12, 4, 7, Sampling::Epochs);
        let (first, second) = (steps(&mut order, 0..3), steps(&mut order, 3..6));
        assert_eq!(sorted(&first), (0..12).collect::<Vec<u32>>());
        assert_ne!(first, second);
        let of_seed = |seed| steps(&mut start(12, 4, seed, Sampling::Epochs), 0..3);
        assert_eq!(first, of_seed(7), "the same seed gives the same order");
        assert_ne!(first, of_seed(8), "another seed gives another order");
    }

    #[test]
    fn a_new_seed_reshuffles_what_the_epoch_has_not_visited() {
        // 40 rows in 4 batches; the seed changes after the first batch of the second epoch.
        let run = |reseed: Option<u64>| {
            let mut order = start(40, 10, 1, Sampling::Epochs);
            let mut seen = steps(&mut order, 0..5);
            if let Some(seed) = reseed {
                order.reseed(seed);
            }
            seen.extend(steps(&mut order, 5..12));
            seen
        };
        let (kept, changed) = (run(None), run(Some(2)));
        assert_eq!(kept[..5], changed[..5]);
        assert_eq!(sorted(&changed[4..8]), (0..40).collect::<Vec<u32>>(), "the epoch still visits every row once");
        assert!((5..12).all(|step| kept[step] != changed[step]));
        assert_eq!(changed[8..], steps(&mut start(40, 10, 2, Sampling::Epochs), 8..12));
        assert_ne!(changed[5..], run(Some(3))[5..]);
        assert_eq!(changed, run(Some(2)));
    }

    #[test]
    fn a_new_seed_between_epochs_is_that_seed_from_there_on() {
        for before in [0, 3] {
            let mut order = start(12, 4, 1, Sampling::Epochs);
            steps(&mut order, 0..before);
            order.reseed(2);
            let after = steps(&mut order, before..9);
            assert_eq!(after, steps(&mut start(12, 4, 2, Sampling::Epochs), before..9));
        }
    }

    #[test]
    fn independent_batches_are_subsets_keyed_by_seed_and_step() {
        let mut order = start(10, 4, 7, Sampling::Independent);
        let seen = steps(&mut order, 0..20_000);
        let mut pairs = [[0u32; 10]; 10];
        for batch in &seen {
            for (i, first) in batch.iter().enumerate() {
                assert!(!batch[..i].contains(first), "{batch:?} has {first} twice");
                batch.iter().for_each(|second| pairs[*first as usize][*second as usize] += 1);
            }
        }
        // Every row is in 4/10 of the batches, every pair in 4 * 3 / (10 * 9); five standard errors.
        for (first, row) in pairs.iter().enumerate() {
            for (second, count) in row.iter().enumerate() {
                let share: f64 = if first == second { 0.4 } else { 12.0 / 90.0 };
                let error = 5.0 * (20_000.0 * share * (1.0 - share)).sqrt();
                assert!((f64::from(*count) - 20_000.0 * share).abs() < error, "rows {first} and {second}: {count}");
            }
        }
        let mut jump = start(10, 4, 7, Sampling::Independent);
        assert_eq!(jump.rows(123), seen[123], "a step does not depend on those before it");
        let mut changed = start(10, 4, 8, Sampling::Independent);
        changed.reseed(7);
        assert_eq!(steps(&mut changed, 0..50), seen[..50]);
        let all = start(10, 10, 0, Sampling::Independent).rows(3).to_vec();
        assert_eq!(sorted(&[all]), (0..10).collect::<Vec<u32>>());
    }
}
