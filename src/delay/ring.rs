//! Slots that are written in turn: those of workers that report in turn, and those of delays that no workers have.

use super::{SlotSource, Slots};
use rand_chacha::ChaCha8Rng;

/// One slot after the other, read and written.
#[derive(Clone, Debug)]
pub struct Turns {
    slots: u32,
    turn: u32,
}

impl Turns {
    pub fn new(slots: u32) -> Self {
        Self { slots, turn: 0 }
    }
}

impl SlotSource for Turns {
    fn next(&mut self, _: u64, _: &mut ChaCha8Rng) -> Slots {
        let worker = self.turn;
        self.turn = if worker + 1 == self.slots { 0 } else { worker + 1 };
        Slots::of_worker(worker)
    }
}

/// Slots that are written in turn and read at any delay.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    slots: u32,
    /// Step modulo `slots`.
    here: u32,
}

impl Ring {
    pub fn new(slots: u32) -> Self {
        Self { slots, here: 0 }
    }

    /// Reads (t - delay) mod K and writes (t + 1) mod K. With t < delay that slot is still to be written, and holds x_0.
    pub fn next(&mut self, delay: u32) -> Slots {
        let here = self.here;
        let read = if delay <= here { here - delay } else { here + self.slots - delay };
        self.here = if here + 1 == self.slots { 0 } else { here + 1 };
        Slots { read, write: self.here }
    }
}
