//! Schedules: which slot each step reads and writes, and which rows of the data it sees. Made on the host from seeds and
//! followed by every engine, so that engines agree on them bit for bit.

mod order;

pub use order::BatchOrder;
use serde::{Deserialize, Serialize};

/// The slots of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub read: u32,
    pub write: u32,
}

/// A delay process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Schedule {
    /// `delay + 1` workers report in turn: every gradient is exactly `delay` updates old. Delay 0 is synchronous.
    RoundRobin { delay: u32 },
}

impl Schedule {
    /// The name used in flags and CSV columns.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin { .. } => "round-robin",
        }
    }

    /// Number of slots in the ring, one per worker.
    pub fn slots(&self) -> u32 {
        match self {
            Self::RoundRobin { delay } => delay + 1,
        }
    }

    /// The slots of step `step` (from 0). All slots start as x_0, so the first `delay` gradients are taken at x_0.
    pub fn at(&self, step: u64) -> Slots {
        match self {
            Self::RoundRobin { delay } => {
                let slot = (step % (u64::from(*delay) + 1)) as u32;
                Slots { read: slot, write: slot }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The definition of delay: what step t reads was written by step t - delay - 1, i.e. is x[t - delay].
        #[test]
        fn round_robin_reads_the_version_of_delay_updates_ago(delay in 0u32..50, steps in 1u64..300) {
            let schedule = Schedule::RoundRobin { delay };
            let mut version = vec![0u64; schedule.slots() as usize];
            for t in 0..steps {
                let slots = schedule.at(t);
                prop_assert_eq!(version[slots.read as usize], t.saturating_sub(u64::from(delay)));
                version[slots.write as usize] = t + 1;
            }
        }
    }
}
