//! The order in which minibatches visit the data.
//!
//! Drawn on the host and keyed by the seed and the time alone, so that every engine visits the same rows. Not here: the
//! rows themselves, nor which samples of a data set take part ([`crate::problem::data`]).

use clap::ValueEnum;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

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

/// Which rows each step sees.
///
/// In epochs: every epoch is a fresh permutation of the rows, keyed by (seed, epoch), and cut into whole batches (the last
/// partial one is dropped). Step t sees batch t mod (samples / batch) of its epoch.
///
/// Independently: every step is a fresh subset, without repetition inside it, keyed by (seed, step).
#[derive(Clone, Debug)]
pub struct BatchOrder {
    batch: usize,
    seed: u64,
    sampling: Sampling,
    /// In epochs, the one that `permutation` is of.
    epoch: Option<u64>,
    /// The step after the latest one asked for.
    next: u64,
    /// Of all rows; in independent sampling back in order after every step.
    permutation: Vec<u32>,
    /// In independent sampling, the rows of the latest step.
    drawn: Vec<u32>,
    /// Where each of them came from.
    places: Vec<usize>,
}

impl BatchOrder {
    /// `batch` must lie in 1..=`samples`.
    pub fn new(samples: usize, batch: usize, seed: u64, sampling: Sampling) -> Self {
        assert!((1..=samples).contains(&batch), "batch {batch} of {samples} samples");
        let permutation = (0..samples as u32).collect();
        Self { batch, seed, sampling, epoch: None, next: 0, permutation, drawn: Vec::new(), places: Vec::new() }
    }

    /// The rows of step `step`, `batch` of them.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        self.next = step + 1;
        match self.sampling {
            Sampling::Epochs => self.of_epoch(step),
            Sampling::Independent => self.fresh(step),
        }
    }

    /// Draws from a new seed from the step after the latest one asked for: the rest of its epoch is reshuffled, and later
    /// epochs or steps follow the new seed alone.
    pub fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        let epoch = self.next / self.per_epoch();
        if self.sampling == Sampling::Epochs && self.epoch == Some(epoch) {
            let visited = (self.next % self.per_epoch()) as usize * self.batch;
            let mut rng = self.generator(epoch);
            self.permutation[visited..].shuffle(&mut rng);
        }
    }

    fn generator(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }

    fn per_epoch(&self) -> u64 {
        (self.permutation.len() / self.batch) as u64
    }

    fn of_epoch(&mut self, step: u64) -> &[u32] {
        let per_epoch = self.per_epoch();
        let epoch = step / per_epoch;
        if self.epoch != Some(epoch) {
            let mut rng = self.generator(epoch);
            for (row, place) in (0..).zip(&mut self.permutation) {
                *place = row;
            }
            self.permutation.shuffle(&mut rng);
            self.epoch = Some(epoch);
        }
        let first = (step % per_epoch) as usize * self.batch;
        &self.permutation[first..][..self.batch]
    }

    /// The first swaps of a shuffle, which are undone: a step costs its batch, not all samples.
    fn fresh(&mut self, step: u64) -> &[u32] {
        let mut rng = self.generator(step);
        let samples = self.permutation.len();
        self.places.clear();
        for first in 0..self.batch {
            let place = rng.random_range(first..samples);
            self.permutation.swap(first, place);
            self.places.push(place);
        }
        self.drawn.clear();
        self.drawn.extend_from_slice(&self.permutation[..self.batch]);
        for (first, place) in self.places.iter().enumerate().rev() {
            self.permutation.swap(first, *place);
        }
        &self.drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut order = BatchOrder::new(12, 4, 7, Sampling::Epochs);
        let (first, second) = (steps(&mut order, 0..3), steps(&mut order, 3..6));
        assert_eq!(sorted(&first), (0..12).collect::<Vec<u32>>());
        assert_ne!(first, second);
        let of_seed = |seed| steps(&mut BatchOrder::new(12, 4, seed, Sampling::Epochs), 0..3);
        assert_eq!(first, of_seed(7), "the same seed gives the same order");
        assert_ne!(first, of_seed(8), "another seed gives another order");
    }

    #[test]
    fn a_new_seed_reshuffles_what_the_epoch_has_not_visited() {
        // 40 rows in 4 batches; the seed changes after the first batch of the second epoch.
        let run = |reseed: Option<u64>| {
            let mut order = BatchOrder::new(40, 10, 1, Sampling::Epochs);
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
        assert_eq!(changed[8..], steps(&mut BatchOrder::new(40, 10, 2, Sampling::Epochs), 8..12));
        assert_ne!(changed[5..], run(Some(3))[5..]);
        assert_eq!(changed, run(Some(2)));
    }

    #[test]
    fn a_new_seed_between_epochs_is_that_seed_from_there_on() {
        for before in [0, 3] {
            let mut order = BatchOrder::new(12, 4, 1, Sampling::Epochs);
            steps(&mut order, 0..before);
            order.reseed(2);
            let after = steps(&mut order, before..9);
            assert_eq!(after, steps(&mut BatchOrder::new(12, 4, 2, Sampling::Epochs), before..9));
        }
    }

    #[test]
    fn independent_batches_are_subsets_keyed_by_seed_and_step() {
        let mut order = BatchOrder::new(10, 4, 7, Sampling::Independent);
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
        let mut jump = BatchOrder::new(10, 4, 7, Sampling::Independent);
        assert_eq!(jump.rows(123), seen[123], "a step does not depend on those before it");
        let mut changed = BatchOrder::new(10, 4, 8, Sampling::Independent);
        changed.reseed(7);
        assert_eq!(steps(&mut changed, 0..50), seen[..50]);
        let all = BatchOrder::new(10, 10, 0, Sampling::Independent).rows(3).to_vec();
        assert_eq!(sorted(&[all]), (0..10).collect::<Vec<u32>>());
    }
}
