//! Tables of row numbers ([`Augmentation`] adds to each what is done to the row), each drawn once for all lanes that visit it. In a sweep most runs share their seed, and every
//! run starts from the first table.
//!
//! Not here: where a lane stands in them ([`super::BatchOrder`]).

use super::Sampling;
use super::augment::{Augmentation, MOST_ROWS};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Batches of a table of independent draws: enough for what it costs to look a table up.
const INDEPENDENT: usize = 64;

/// Bytes of tables that are kept for whoever comes next; those in use by a lane are kept by it.
const KEPT: usize = 64 << 20;

/// The tables of one wave: what all its lanes agree on, and what was drawn so far.
///
/// In epochs a table is a permutation of the rows, keyed by (seed, epoch) and cut into whole batches; the rows beyond the
/// last one are not visited. Independently it is 64 batches, each a subset without repetition, keyed by (seed, step).
#[derive(Debug)]
pub struct RowTables {
    samples: usize,
    batch: usize,
    sampling: Sampling,
    augmentation: Augmentation,
    /// Mostly read, by all threads at once.
    kept: RwLock<Kept>,
}

/// A table that is being drawn, or was.
type Cell = Arc<OnceLock<Arc<[u32]>>>;

#[derive(Debug, Default)]
struct Kept {
    /// By seed and number.
    tables: HashMap<(u64, u64), Cell>,
    /// Oldest first.
    order: VecDeque<(u64, u64)>,
}

impl RowTables {
    /// `batch` must lie in 1..=`samples`, which are at most [`MOST_ROWS`] where they are augmented.
    pub fn new(samples: usize, batch: usize, sampling: Sampling, augmentation: Augmentation) -> Arc<Self> {
        assert!((1..=samples).contains(&batch), "batch {batch} of {samples} samples");
        assert!(augmentation.is_none() || samples <= MOST_ROWS, "{samples} augmented samples");
        Arc::new(Self { samples, batch, sampling, augmentation, kept: RwLock::default() })
    }

    /// Rows per batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Batches, hence steps, per table.
    pub fn batches(&self) -> u64 {
        match self.sampling {
            Sampling::Epochs => (self.samples / self.batch) as u64,
            Sampling::Independent => INDEPENDENT as u64,
        }
    }

    /// Table number `number` of a seed. Whoever asks for it while another draws it waits for that one.
    pub fn table(&self, seed: u64, number: u64) -> Arc<[u32]> {
        let cell = self.cell((seed, number));
        Arc::clone(cell.get_or_init(|| self.draw(seed, number)))
    }

    fn cell(&self, key: (u64, u64)) -> Cell {
        let found = |kept: &Kept| kept.tables.get(&key).map(Arc::clone);
        if let Some(cell) = found(&self.kept.read().unwrap_or_else(PoisonError::into_inner)) {
            return cell;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = found(&kept) {
            return cell;
        }
        let words = match self.sampling {
            Sampling::Epochs => self.samples,
            Sampling::Independent => INDEPENDENT * self.batch,
        };
        if (kept.order.len() + 1) * words * size_of::<u32>() > KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.tables.remove(&oldest);
        }
        kept.order.push_back(key);
        Arc::clone(kept.tables.entry(key).or_default())
    }

    fn draw(&self, seed: u64, number: u64) -> Arc<[u32]> {
        let mut table = match self.sampling {
            Sampling::Epochs => {
                let mut permutation: Vec<u32> = (0..self.samples as u32).collect();
                permutation.shuffle(&mut generator(seed, number));
                permutation
            }
            Sampling::Independent => {
                let mut draws = vec![0; INDEPENDENT * self.batch];
                self.draw_apart(seed, number * self.batches(), &mut draws);
                draws
            }
        };
        if !self.augmentation.is_none() {
            // Streams of their own, so that the rows are the same with and without.
            let mut rng = generator(seed, !number);
            table.iter_mut().for_each(|draw| *draw = self.augmentation.draw(*draw, &mut rng));
        }
        table.into()
    }

    /// `table`, number `number`, with all batches from `first` on drawn anew from another seed. In epochs the rows that
    /// were not visited yet are shuffled among themselves.
    pub fn redraw(&self, table: &[u32], number: u64, first: u64, seed: u64) -> Arc<[u32]> {
        assert!(
            self.augmentation.is_none(),
            "only runs of an ensemble are drawn anew, and theirs is the loss as it is"
        );
        let mut table = table.to_vec();
        let rest = &mut table[first as usize * self.batch..];
        match self.sampling {
            Sampling::Epochs => rest.shuffle(&mut generator(seed, number)),
            Sampling::Independent => self.draw_apart(seed, number * self.batches() + first, rest),
        }
        table.into()
    }

    /// Whole batches, each on its own, from that of `step` on: the first swaps of a shuffle, which are undone, so that a
    /// batch costs its own rows and not all samples.
    fn draw_apart(&self, seed: u64, step: u64, draws: &mut [u32]) {
        let mut rows: Vec<u32> = (0..self.samples as u32).collect();
        let mut swaps = Vec::with_capacity(self.batch);
        for (step, drawn) in (step..).zip(draws.chunks_exact_mut(self.batch)) {
            let mut rng = generator(seed, step);
            swaps.clear();
            for first in 0..self.batch {
                let place = rng.random_range(first..self.samples);
                rows.swap(first, place);
                swaps.push(place);
            }
            drawn.copy_from_slice(&rows[..self.batch]);
            for (first, place) in swaps.iter().enumerate().rev() {
                rows.swap(first, *place);
            }
        }
    }
}

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_once_whoever_asks() {
        for sampling in [Sampling::Epochs, Sampling::Independent] {
            let tables = RowTables::new(12, 4, sampling, Augmentation::default());
            let first = tables.table(7, 3);
            assert!(Arc::ptr_eq(&first, &tables.table(7, 3)));
            assert_ne!(first, tables.table(7, 4));
            assert_ne!(first, tables.table(8, 3));
            assert_eq!(
                first,
                RowTables::new(12, 4, sampling, Augmentation::default()).table(7, 3),
                "a table is its key's alone"
            );
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_comes_back_as_it_was() {
        let samples = KEPT / (4 * size_of::<u32>());
        let tables = RowTables::new(samples, samples, Sampling::Epochs, Augmentation::default());
        let first = tables.table(0, 0);
        (1..7).for_each(|number| drop(tables.table(0, number)));
        let kept = tables.kept.read().unwrap();
        assert_eq!((kept.tables.len(), kept.order.len()), (4, 4));
        drop(kept);
        let again = tables.table(0, 0);
        assert!(!Arc::ptr_eq(&first, &again));
        assert_eq!(first, again);
    }
}
