//! The order in which minibatches visit the data.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Sampling without replacement: every epoch is a fresh permutation of the rows, keyed by (seed, epoch) alone, and cut
/// into whole batches (the last partial one is dropped). Step t sees batch t mod (samples / batch) of its epoch.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    samples: usize,
    batch: usize,
    seed: u64,
    epoch: Option<u64>,
    permutation: Vec<u32>,
}

impl BatchOrder {
    /// `batch` must lie in 1..=`samples`.
    pub fn new(samples: usize, batch: usize, seed: u64) -> Self {
        assert!((1..=samples).contains(&batch), "batch {batch} of {samples} samples");
        Self { samples, batch, seed, epoch: None, permutation: Vec::new() }
    }

    /// The rows of step `step`, `batch` of them.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        let per_epoch = (self.samples / self.batch) as u64;
        let epoch = step / per_epoch;
        if self.epoch != Some(epoch) {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(epoch);
            self.permutation = (0..self.samples as u32).collect();
            self.permutation.shuffle(&mut rng);
            self.epoch = Some(epoch);
        }
        let first = (step % per_epoch) as usize * self.batch;
        &self.permutation[first..][..self.batch]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_row_once_and_epochs_differ() {
        let mut order = BatchOrder::new(12, 4, 7);
        let epoch = |order: &mut BatchOrder, first: u64| -> Vec<u32> {
            (first..first + 3).flat_map(|t| order.rows(t).to_vec()).collect()
        };
        let (first, second) = (epoch(&mut order, 0), epoch(&mut order, 3));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..12).collect::<Vec<u32>>());
        assert_ne!(first, second);
        assert_eq!(first, epoch(&mut BatchOrder::new(12, 4, 7), 0), "the same seed gives the same order");
        assert_ne!(first, epoch(&mut BatchOrder::new(12, 4, 8), 0), "another seed gives another order");
    }
}
