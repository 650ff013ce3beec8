//! The stream of slots of one run.
//!
//! A [`Process`] is stepped for every step of every lane, so a step allocates nothing: it costs O(1), but for `normal` O(N)
//! and for `workers` and `iid` the logarithm of their tables. Not here: what a schedule is made of ([`super::Schedule`]).

use super::bound::Bound;
use super::iid::Iid;
use super::normal::ByAge;
use super::workers::Clock;
use super::{Schedule, Slots};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;

/// Stream of a seed that delays are drawn from; minibatches take the streams from 0 on.
const STREAM: u64 = u64::MAX;

/// The stream of one run. The same schedule and seed give the same stream.
#[derive(Clone, Debug)]
pub struct Process {
    step: u64,
    rng: ChaCha8Rng,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// One slot after the other.
    Turns {
        slots: u32,
        turn: u32,
    },
    Random {
        workers: u32,
        bound: Option<Bound>,
    },
    Normal {
        ages: ByAge,
        bound: Option<Bound>,
    },
    Workers(Clock),
    Iid {
        iid: Iid,
        ring: Ring,
    },
    Trace {
        delays: Arc<[u32]>,
        next: usize,
        ring: Ring,
    },
}

/// Slots that are written in turn and read at any delay.
#[derive(Clone, Copy, Debug)]
struct Ring {
    slots: u32,
    /// Step modulo `slots`.
    here: u32,
}

impl Ring {
    /// Reads (t - delay) mod K and writes (t + 1) mod K. With t < delay that slot is still to be written, and holds x_0.
    fn next(&mut self, delay: u32) -> Slots {
        let here = self.here;
        let read = if delay <= here { here - delay } else { here + self.slots - delay };
        self.here = if here + 1 == self.slots { 0 } else { here + 1 };
        Slots { read, write: self.here }
    }
}

fn generator(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    rng
}

impl Process {
    pub(super) fn new(schedule: &Schedule, seed: u64) -> Self {
        let mut rng = generator(seed);
        let slots = schedule.slots();
        let bound = |cap: &Option<u32>| cap.map(|cap| Bound::new(slots, cap));
        let ring = Ring { slots, here: 0 };
        let kind = match schedule {
            Schedule::Iid(iid) => Kind::Iid { iid: iid.value.clone(), ring },
            Schedule::Trace(trace) => Kind::Trace { delays: Arc::clone(trace.value.delays()), next: 0, ring },
            // Workers that report in turn do so in some order, and which makes no difference: all slots start alike.
            _ if schedule.fixed().is_some() => Kind::Turns { slots, turn: 0 },
            Schedule::RoundRobin { .. } | Schedule::Hybrid { .. } => Kind::Turns { slots, turn: 0 },
            Schedule::Random { workers, cap } => Kind::Random { workers: *workers, bound: bound(cap) },
            Schedule::Normal { workers, cap } => Kind::Normal { ages: ByAge::new(*workers), bound: bound(cap) },
            Schedule::Workers(crew) => Kind::Workers(Clock::new(&crew.value, &mut rng)),
        };
        Self { step: 0, rng, kind }
    }

    /// The slots of the next step. A stream has no end, so this is no iterator.
    #[expect(clippy::should_implement_trait, reason = "there is always a next step, so nothing to wrap in an Option")]
    pub fn next(&mut self) -> Slots {
        let step = self.step;
        self.step += 1;
        let worker = match &mut self.kind {
            Kind::Turns { slots, turn } => {
                let worker = *turn;
                *turn = if worker + 1 == *slots { 0 } else { worker + 1 };
                worker
            }
            Kind::Random { workers, bound } => {
                let due = bound.as_ref().and_then(|bound| bound.due(step));
                let worker = due.unwrap_or_else(|| self.rng.random_range(0..*workers));
                if let Some(bound) = bound {
                    bound.served(worker, step);
                }
                worker
            }
            Kind::Normal { ages, bound } => {
                let due = bound.as_ref().and_then(|bound| bound.due(step));
                let worker = due.unwrap_or_else(|| ages.draw(step, &mut self.rng));
                if let Some(bound) = bound {
                    bound.served(worker, step);
                }
                ages.served(worker, step);
                worker
            }
            Kind::Workers(clock) => clock.next(step, &mut self.rng),
            Kind::Iid { iid, ring } => return ring.next(iid.draw(&mut self.rng)),
            Kind::Trace { delays, next, ring } => {
                let delay = delays[*next];
                *next = if *next + 1 == delays.len() { 0 } else { *next + 1 };
                return ring.next(delay);
            }
        };
        Slots { read: worker, write: worker }
    }

    /// Draws from a new seed from here on. What has been drawn stays: snapshots, their ages, and when the gradients on their
    /// way arrive.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = generator(seed);
    }
}
