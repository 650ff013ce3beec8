//! Schedules: which slot each step reads and writes. Made on the host from seeds and followed by every engine, so that
//! engines agree on them bit for bit.
//!
//! *What it is:* the delay processes. A run keeps a ring of slots, each one stored weight version. Step t reads slot `r_t`,
//! applies the gradient taken there and writes the new server weights into slot `w_t`. All slots start as x_0. A
//! [`Schedule`] is a process with nothing left open, a [`Process`] is its stream in one run, and [`Delays`] are the delays
//! that come of it. *What it is not:* the grammar of `--schedule` ([`crate::config::ScheduleSpec`]), nor thresholds
//! ([`crate::theory`]).
//!
//! | process | slots | `r_t`, `w_t` | delay |
//! | --- | --- | --- | --- |
//! | round-robin | N, one per worker | both the worker whose turn it is | N - 1, always |
//! | random | N | both a uniformly random worker | geometric, mean N - 1 |
//! | normal | N | both a worker drawn by the age of its snapshot | mean N - 1, standard deviation about 0.2 N |
//! | workers | N | both the worker that finishes next, in virtual time | mean N - 1, the rest by the law of the service times |
//! | iid | longest + 1 | (t - d_t) mod K, (t + 1) mod K | drawn independently at every update |
//! | hybrid | D + 1 | both the group whose turn it is | D, always; an update averages N / (D + 1) gradients |
//! | trace | longest + 1 | (t - d_t) mod K, (t + 1) mod K | as recorded, over and over |
//!
//! A server that hands out one snapshot per update has N - 1 updates in the time of each gradient, averaged over gradients,
//! whoever its workers are: every update falls into the flight of the N - 1 gradients that are not being applied.

mod bound;
mod iid;
mod normal;
mod process;
mod realised;
mod trace;
mod workers;

use crate::theory::DelayLaw;
use serde::Serialize;
use std::sync::Arc;

pub use iid::Iid;
pub use process::Process;
pub use realised::Delays;
pub use trace::Trace;
pub use workers::{Crew, Service};

/// Longest delay that a distribution or a trace may hold, and most workers less one; updates.
pub const LONGEST: u32 = 1_000_000;

/// The slots of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub read: u32,
    pub write: u32,
}

/// A schedule that cannot be had. The message has the value and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(pub String);

/// Something with the text that names it. Two are equal, and hash alike, when the things are: results do not depend on
/// the name of the file that the delays came from.
#[derive(Clone, Debug, Serialize)]
pub struct Named<T> {
    #[serde(skip)]
    pub name: Arc<str>,
    #[serde(flatten)]
    pub value: T,
}

impl<T: PartialEq> PartialEq for Named<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A delay process. It serialises to its content: two schedules with the same JSON make the same streams.
///
/// A `cap` bounds the staleness: a worker whose snapshot is `cap` updates old reports next, and the others wait. It is at
/// least `workers - 1`, or else there is no such order of reports.
#[derive(Clone, Debug, PartialEq, Serialize, strum::EnumDiscriminants)]
#[strum_discriminants(name(ScheduleKind), derive(strum::EnumIter), doc = "The families of delay processes.")]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Schedule {
    /// `delay + 1` workers report in turn: every gradient is exactly `delay` updates old. Delay 0 is synchronous.
    RoundRobin { delay: u32 },
    /// A uniformly random worker reports.
    Random { workers: u32, cap: Option<u32> },
    /// A worker reports with probability proportional to the normal distribution function of the age of its snapshot, with
    /// location `workers` and scale `workers / 4`: late workers are likely next. The `normal` schedule of Giladi, Nacson,
    /// Hoffer and Soudry, ICLR 2020 (their code, <https://github.com/paper-submissions/delay_stability>).
    Normal { workers: u32, cap: Option<u32> },
    /// Workers with service times of their own report as they finish.
    Workers(Named<Crew>),
    /// Delays drawn independently at every update.
    Iid(Named<Iid>),
    /// `workers` workers in `delay + 1` groups that report in turn, as a whole: an update applies the average gradient of a
    /// group. Of the same source as `Normal`. `workers` is a multiple of `delay + 1`.
    Hybrid { workers: u32, delay: u32 },
    /// Recorded delays, replayed cyclically.
    Trace(Named<Trace>),
}

impl Schedule {
    /// As typed after `--schedule`, without the delay; the CSV column.
    pub fn name(&self) -> String {
        let capped = |name: &str, cap: &Option<u32>| match cap {
            None => name.to_owned(),
            Some(cap) => format!("{name}:cap={cap}"),
        };
        match self {
            Self::RoundRobin { .. } => "round-robin".to_owned(),
            Self::Random { cap, .. } => capped("random", cap),
            Self::Normal { cap, .. } => capped("normal", cap),
            Self::Workers(crew) => crew.name.to_string(),
            Self::Iid(iid) => iid.name.to_string(),
            Self::Hybrid { workers, .. } => format!("hybrid:{workers}"),
            Self::Trace(trace) => trace.name.to_string(),
        }
    }

    /// Number of slots in the ring.
    pub fn slots(&self) -> u32 {
        match self {
            Self::RoundRobin { delay } | Self::Hybrid { delay, .. } => delay + 1,
            Self::Random { workers, .. } | Self::Normal { workers, .. } => *workers,
            Self::Workers(crew) => crew.value.workers(),
            Self::Iid(iid) => iid.value.longest() + 1,
            Self::Trace(trace) => trace.value.longest() + 1,
        }
    }

    /// Number of workers; none where the delays do not come from workers.
    pub fn workers(&self) -> Option<u32> {
        match self {
            Self::Hybrid { workers, .. } => Some(*workers),
            Self::Iid(_) | Self::Trace(_) => None,
            _ => Some(self.slots()),
        }
    }

    /// Gradients averaged per update.
    pub fn group(&self) -> u32 {
        match self {
            Self::Hybrid { workers, delay } => workers / (delay + 1),
            _ => 1,
        }
    }

    /// Whether different seeds give different runs.
    pub fn is_random(&self) -> bool {
        let drawn = match self {
            Self::RoundRobin { .. } | Self::Hybrid { .. } | Self::Trace(_) => false,
            Self::Random { .. } | Self::Normal { .. } | Self::Iid(_) => true,
            Self::Workers(crew) => crew.value.service != Service::Constant,
        };
        drawn && self.fixed().is_none()
    }

    /// Mean delay in the long run, updates; see the module for why that of workers is known.
    pub fn mean_delay(&self) -> f64 {
        match self {
            Self::Iid(iid) => iid.value.pmf().mean(),
            Self::Trace(trace) => trace.value.mean(),
            _ => f64::from(self.slots() - 1),
        }
    }

    /// The stream of a run; it depends on the seed alone.
    pub fn start(&self, seed: u64) -> Process {
        Process::new(self, seed)
    }

    /// The delays of the first `steps` updates of the run with this seed, without the first arrivals, which read x_0.
    pub fn realised(&self, seed: u64, steps: u64) -> Delays {
        Delays::of(self.start(seed), self.slots(), steps)
    }

    /// The process as the theory knows it; none where it does not.
    pub fn theory(&self) -> Option<DelayLaw> {
        match (self, self.fixed()) {
            (_, Some(delay)) => Some(DelayLaw::Fixed(delay as usize)),
            (Self::Random { workers, cap: None }, None) => Some(DelayLaw::RandomWorkers(*workers as usize)),
            // A service time without memory leaves every worker equally likely to finish next.
            (Self::Workers(crew), None) if crew.value.is_memoryless() => {
                Some(DelayLaw::RandomWorkers(crew.value.workers() as usize))
            }
            (Self::Iid(iid), None) => Some(DelayLaw::Independent(iid.value.pmf().clone())),
            _ => None,
        }
    }

    /// The delay, where it is always the same.
    fn fixed(&self) -> Option<u32> {
        // One worker has nobody to wait for, and the tightest of caps leaves the server no choice.
        let forced = |cap: Option<u32>| {
            let delay = self.slots() - 1;
            (delay == 0 || cap == Some(delay)).then_some(delay)
        };
        match self {
            Self::RoundRobin { delay } | Self::Hybrid { delay, .. } => Some(*delay),
            Self::Random { cap, .. } | Self::Normal { cap, .. } => forced(*cap),
            Self::Workers(crew) if crew.value.in_turn() => Some(self.slots() - 1),
            Self::Workers(crew) => forced(crew.value.cap),
            Self::Iid(iid) => iid.value.certain(),
            Self::Trace(trace) => trace.value.constant(),
        }
    }
}

#[cfg(test)]
mod tests;
