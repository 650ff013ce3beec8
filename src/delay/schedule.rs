//! A schedule: a delay process with nothing left open, and its stream in one run.
//!
//! Not here: any process, nor how one is typed.

use super::ring::Turns;
use super::{
    DelayProcess, Delays, LONGEST, Process, Random, RoundRobin, ScheduleError, ScheduleSpec, SlotSource, Slots, Source,
};
use crate::theory::DelayLaw;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use std::sync::Arc;

/// Stream of a seed that delays are drawn from; minibatches take the streams from 0 on.
const STREAM: u64 = u64::MAX;

/// A delay process with the text that names it. Two are equal, and serialise alike, when the processes are: results do not
/// depend on the name of the file that the delays came from.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Schedule {
    #[serde(skip)]
    name: Arc<str>,
    process: Process,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.process == other.process
    }
}

impl ScheduleSpec {
    /// The schedule with this delay, in updates.
    ///
    /// # Errors
    /// A delay that this process cannot have, or any at all where it brings its own.
    pub fn resolve(&self, delay: u32) -> Result<Schedule, ScheduleError> {
        let refuse = |reason: String| refusal(&format!("{self} at delay {delay}"), &reason);
        if delay > LONGEST {
            return Err(refuse(format!("too long; accepted: up to {LONGEST} updates")));
        }
        if !self.takes_delay() {
            return Err(refuse("it brings its own delays; accepted: without --delays".to_owned()));
        }
        self.process(delay).map(|process| self.named(process)).map_err(refuse)
    }

    /// The schedule, where it brings its own delays.
    ///
    /// # Errors
    /// A file that cannot be read, or a process that takes a delay of `--delays`.
    pub fn own(&self) -> Result<Schedule, ScheduleError> {
        let refuse = |reason: String| refusal(&self.to_string(), &reason);
        if self.takes_delay() {
            return Err(refuse("it has no delays of its own; accepted: with --delays".to_owned()));
        }
        self.process(0).map(|process| self.named(process)).map_err(refuse)
    }

    /// The law of the delays as the theory knows it, at this delay where the process takes one.
    ///
    /// # Errors
    /// A delay that this process cannot have, one too many or too few, or a process that the theory does not know.
    pub fn law(&self, delay: Option<usize>) -> Result<DelayLaw, ScheduleError> {
        let schedule = match delay {
            // As long as the theory likes: nothing is stored.
            Some(delay) if self.is_fixed() => return Ok(DelayLaw::Fixed(delay)),
            Some(delay) => self.resolve(u32::try_from(delay).unwrap_or(u32::MAX))?,
            None => self.own()?,
        };
        schedule.theory().ok_or_else(|| {
            let known = |text: &&str| text.parse::<Self>().is_ok_and(|spec| spec.example().theory().is_some());
            let known: Vec<&str> = Self::examples().into_iter().filter(known).collect();
            ScheduleError(format!(
                "--schedule {self}: the theory does not know its delays; accepted: those like {}, and iid:FILE with the \
                 histogram of a trace",
                known.join(", ")
            ))
        })
    }

    /// The schedule of one of the [`ScheduleSpec::examples`].
    pub fn example(&self) -> Schedule {
        let schedule = if self.takes_delay() { self.resolve(3) } else { self.own() };
        schedule.expect("examples go with a delay of 3 and read no file")
    }

    fn named(&self, process: Process) -> Schedule {
        let read_from = process.facts().read_from().map_or(String::new(), |column| format!("#{column}"));
        Schedule { name: format!("{self}{read_from}").into(), process }
    }
}

/// One line, whatever a file holds.
fn refusal(schedule: &str, reason: &str) -> ScheduleError {
    ScheduleError(format!("--schedule {schedule}: {}", reason.replace(char::is_control, " ")))
}

impl Schedule {
    /// `delay + 1` workers that report in turn: every gradient is `delay` updates old.
    pub fn round_robin(delay: u32) -> Self {
        Self::new("round-robin", Process::RoundRobin(RoundRobin { delay }))
    }

    /// So many workers, a uniformly random one of which reports.
    pub fn random(workers: u32) -> Self {
        Self::new("random", Process::Random(Random { workers, cap: None }))
    }

    /// A process under a name of one's own.
    pub fn new(name: &str, process: Process) -> Self {
        Self { name: name.into(), process }
    }

    /// As typed after `--schedule`, without the delay, and with the column that was read of a file where that was not
    /// typed; the CSV column.
    pub fn name(&self) -> String {
        self.name.to_string()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    fn facts(&self) -> &dyn DelayProcess {
        self.process.facts()
    }

    /// Number of slots in the ring.
    pub fn slots(&self) -> u32 {
        self.facts().slots()
    }

    /// Number of workers; none where the delays do not come from workers.
    pub fn workers(&self) -> Option<u32> {
        self.facts().workers()
    }

    /// Gradients averaged per update.
    pub fn group(&self) -> u32 {
        self.facts().group()
    }

    /// Whether different seeds give different runs.
    pub fn is_random(&self) -> bool {
        self.facts().is_drawn() && self.facts().fixed().is_none()
    }

    /// Mean delay in the long run, updates.
    pub fn mean_delay(&self) -> f64 {
        self.facts().mean_delay()
    }

    /// The law of its delays as the theory knows it; none where it does not.
    pub fn theory(&self) -> Option<DelayLaw> {
        match self.facts().fixed() {
            Some(delay) => Some(DelayLaw::Fixed(delay as usize)),
            None => self.facts().law(),
        }
    }

    /// The slots of a run; they depend on the seed alone.
    pub fn start(&self, seed: u64) -> SlotStream {
        let mut rng = generator(seed);
        // Workers that report in turn do so in some order, and which makes no difference: all slots start alike.
        let in_turn = self.workers().is_some() && self.facts().fixed().is_some();
        let source = if in_turn { Source::Turns(Turns::new(self.slots())) } else { self.process.source(&mut rng) };
        SlotStream { step: 0, rng, source }
    }

    /// The delays of the first `steps` updates of the run with this seed, without the first arrivals, which read x_0.
    pub fn realised(&self, seed: u64, steps: u64) -> Delays {
        Delays::of(self.start(seed), self.slots(), steps)
    }
}

/// The slots of one run. The same schedule and seed give the same stream.
#[derive(Clone, Debug)]
pub struct SlotStream {
    step: u64,
    rng: ChaCha8Rng,
    source: Source,
}

impl SlotStream {
    /// The slots of the next step. A stream has no end, so this is no iterator.
    #[expect(clippy::should_implement_trait, reason = "there is always a next step, so nothing to wrap in an Option")]
    pub fn next(&mut self) -> Slots {
        let step = self.step;
        self.step += 1;
        self.source.next(step, &mut self.rng)
    }

    /// Draws from a new seed from here on. What has been drawn stays: snapshots, their ages, and when the gradients on their
    /// way arrive.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = generator(seed);
    }
}

fn generator(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    rng
}
