//! What every delay process says of itself: the traits that its file implements.
//!
//! Not here: any process, nor the list of them ([`super`]).

use crate::theory::DelayLaw;
use rand_chacha::ChaCha8Rng;
use std::ffi::OsStr;
use std::fmt;

/// The slots of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub read: u32,
    pub write: u32,
}

impl Slots {
    /// Those of a worker that reports: it brings a gradient of its slot's weights, and takes the new ones.
    pub fn of_worker(worker: u32) -> Self {
        Self { read: worker, write: worker }
    }
}

/// A schedule that cannot be had. The message has the value and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(pub String);

/// A delay process as typed after `--schedule`, and shown as it is typed. No commas, which separate the values of a list.
pub trait ProcessSpec: Sized + fmt::Display {
    type Process: DelayProcess;

    /// With which the text begins.
    const NAME: &'static str;
    /// The forms of the text, for errors and help.
    const FORMS: &'static str;
    /// What it is, in one line for help.
    const SUMMARY: &'static str;
    /// Texts that read no file, which go with a delay of 3 where they take one.
    const EXAMPLES: &'static [&'static str];
    /// Whether every gradient is exactly as late as the delay that is asked for, however long.
    const FIXED: bool = false;

    /// Reads what stands behind the name and a colon.
    ///
    /// # Errors
    /// Another text, with what would be accepted.
    fn parse(detail: Option<&str>) -> Result<Self, String>;

    /// The same where it may name a file, whose path may be any bytes.
    ///
    /// # Errors
    /// As [`ProcessSpec::parse`].
    fn parse_os(detail: Option<&OsStr>) -> Result<Self, String> {
        Self::parse(utf8(detail, Self::FORMS)?)
    }

    /// Whether a delay of `--delays` goes with it.
    fn takes_delay(&self) -> bool {
        true
    }

    /// The process at this delay, in updates: of `delay + 1` workers where there are workers, and of this mean delay. One
    /// that brings its own delays does not look at it.
    ///
    /// # Errors
    /// A delay that the process cannot have, or a file that cannot be read.
    fn resolve(&self, delay: u32) -> Result<Self::Process, String>;
}

/// A detail that names no file.
///
/// # Errors
/// One that is not UTF-8.
pub fn utf8<'a>(detail: Option<&'a OsStr>, forms: &str) -> Result<Option<&'a str>, String> {
    let text = |detail: &'a OsStr| {
        detail.to_str().ok_or_else(|| format!("'{}' is not UTF-8; accepted: {forms}", detail.display()))
    };
    detail.map(text).transpose()
}

/// A delay process with its numbers.
pub trait DelayProcess {
    type Spec: ProcessSpec
    where
        Self: Sized;
    type Source: SlotSource
    where
        Self: Sized;

    /// Number of slots in the ring.
    fn slots(&self) -> u32;

    /// Number of workers; none where the delays do not come from workers.
    fn workers(&self) -> Option<u32> {
        Some(self.slots())
    }

    /// Gradients averaged per update.
    fn group(&self) -> u32 {
        1
    }

    /// The delay, where it is always the same.
    fn fixed(&self) -> Option<u32>;

    /// Whether anything is drawn at random where the delay is not always the same.
    fn is_drawn(&self) -> bool;

    /// Mean delay in the long run, updates; see [`super`] for why that of workers is known.
    fn mean_delay(&self) -> f64 {
        f64::from(self.slots() - 1)
    }

    /// The law of its delays, where they vary and the theory knows it.
    fn law(&self) -> Option<DelayLaw> {
        None
    }

    /// What of its file was read, where the text that was typed does not say it.
    fn read_from(&self) -> Option<&str> {
        None
    }

    /// The slots of a run from its start. With workers, only asked for where the delay varies.
    fn source(&self, rng: &mut ChaCha8Rng) -> Self::Source
    where
        Self: Sized;
}

/// The slots of one run. Stepped for every step of every lane, so a step allocates nothing.
pub trait SlotSource {
    /// The slots of step `step`; steps come in their order.
    fn next(&mut self, step: u64, rng: &mut ChaCha8Rng) -> Slots;
}
