//! Blocks of steps in flight: while the host looks at one block, the device is busy with the next ones.
//!
//! Not here: how many steps a block has, nor what is done with its observations.

use std::collections::VecDeque;

/// Most steps of a block: how often the host looks at the observations. No result may depend on it.
pub const BLOCK: usize = 64;

/// Updates of a block, at most, where each takes so many gradients.
pub fn block(gradients: usize) -> usize {
    (BLOCK / gradients).max(1)
}

/// Blocks that were submitted and not looked at yet, each with what its owner must know of it.
#[derive(Debug)]
pub struct Pump<B> {
    /// Number of the oldest block, counted from the first.
    oldest: u64,
    /// Oldest first.
    blocks: VecDeque<B>,
}

impl<B> Default for Pump<B> {
    fn default() -> Self {
        Self { oldest: 0, blocks: VecDeque::new() }
    }
}

impl<B> Pump<B> {
    /// Submits blocks until one more than `ahead` are in flight, or `submit` has none left.
    ///
    /// # Errors
    /// As `submit`.
    pub fn fill<E>(&mut self, ahead: usize, mut submit: impl FnMut(&Self) -> Result<Option<B>, E>) -> Result<(), E> {
        while self.blocks.len() <= ahead {
            match submit(self)? {
                Some(block) => self.blocks.push_back(block),
                None => break,
            }
        }
        Ok(())
    }

    /// The oldest block and its number, to be looked at; none where nothing is in flight.
    pub fn take(&mut self) -> Option<(u64, B)> {
        let block = self.blocks.pop_front()?;
        self.oldest += 1;
        Some((self.oldest - 1, block))
    }

    /// Number of the block that is submitted next.
    pub fn next(&self) -> u64 {
        self.oldest + self.blocks.len() as u64
    }

    /// The blocks in flight from number `first` on, oldest first.
    pub fn since(&self, first: u64) -> impl Iterator<Item = &B> {
        self.blocks.iter().skip(first.saturating_sub(self.oldest) as usize)
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_more_than_are_ahead_is_in_flight_until_none_is_left() {
        let mut pump = Pump::default();
        let mut left = 4;
        let mut seen = Vec::new();
        loop {
            let submit = |pump: &Pump<u64>| -> Result<_, ()> {
                left -= 1;
                Ok((left >= 0).then(|| 10 * pump.next()))
            };
            pump.fill(1, submit).unwrap();
            seen.push((pump.since(0).count(), pump.since(2).copied().collect::<Vec<_>>()));
            let Some((number, block)) = pump.take() else { break };
            assert_eq!(block, 10 * number);
        }
        assert_eq!(seen, [(2, vec![]), (2, vec![20]), (2, vec![20, 30]), (1, vec![30]), (0, vec![])]);
        assert!(pump.is_empty());
    }
}
