//! What is done to images before a run sees them: drawn on the host with the rows, done on the device.
//!
//! Not here: the pixels ([`crate::kernels::gather`]).

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Random changes of an image that leave its label true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Augmentation {
    /// Mirrors every second image, left to right.
    pub flip: bool,
    /// Cuts the image's own size out of it at random, after it got so many zeros on every side; at most [`MOST_CROP`].
    pub crop: usize,
}

/// Most zeros on a side.
pub const MOST_CROP: usize = 7;

/// Rows of augmented data at most: the rest of a draw's 32 bits says what is done to the row.
pub const MOST_ROWS: usize = 1 << ROW_BITS;

/// Bits of a row number.
pub(crate) const ROW_BITS: u32 = 23;
const FLIP: u32 = 1 << ROW_BITS;
/// Where in a draw the rows above the cut begin, and the columns left of it: four bits each.
pub(crate) const DOWN: u32 = 24;
pub(crate) const RIGHT: u32 = 28;

impl Augmentation {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// `row` with what is done to it.
    pub(super) fn draw(&self, row: u32, rng: &mut impl Rng) -> u32 {
        let flip = if self.flip && rng.random() { FLIP } else { 0 };
        let mut offset = || rng.random_range(0..=2 * self.crop as u32);
        let (down, right) = (offset(), offset());
        row | flip | down << DOWN | right << RIGHT
    }
}

/// A row and what is done to it, as in the 32 bits of an augmented row number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub row: usize,
    pub flip: bool,
    /// Where in the image with its zeros the cut begins, from the top and, before it is mirrored, from the left.
    pub down: usize,
    pub right: usize,
}

impl From<u32> for Draw {
    fn from(bits: u32) -> Self {
        Self {
            row: (bits & (FLIP - 1)) as usize,
            flip: bits & FLIP != 0,
            down: (bits >> DOWN & 15) as usize,
            right: (bits >> RIGHT) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn draws_hold_every_cut_and_both_sides() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let augmentation = Augmentation { flip: true, crop: 2 };
        let mut seen = std::collections::HashMap::new();
        for row in 0..10_000 {
            let draw = Draw::from(augmentation.draw(row, &mut rng));
            assert_eq!(draw.row, row as usize);
            *seen.entry((draw.flip, draw.down, draw.right)).or_insert(0u32) += 1;
        }
        assert_eq!(seen.len(), 2 * 5 * 5);
        // 200 of each are expected; five standard errors.
        assert!(seen.values().all(|count| count.abs_diff(200) < 71), "{seen:?}");
        let most = Augmentation { flip: true, crop: MOST_CROP };
        let furthest: Vec<Draw> = (0..1000).map(|_| most.draw(MOST_ROWS as u32 - 1, &mut rng).into()).collect();
        assert!(furthest.iter().all(|draw| draw.row == MOST_ROWS - 1));
        assert_eq!(furthest.iter().map(|draw| draw.down.max(draw.right)).max(), Some(2 * MOST_CROP));
        let plain = Augmentation::default();
        assert_eq!(plain.draw(77, &mut rng), 77, "nothing is done where nothing is asked for");
    }
}
