//! `workers:LAW[:OPTIONS]`: workers with service times of their own, in virtual time: a queue of who finishes when.
//!
//! ```text
//! workers:constant, workers:exponential, workers:lognormal:shape=SIGMA, workers:pareto:shape=ALPHA
//!     OPTIONS: spread=S, or means=M/M/... (one for each worker); cap=C
//! workers:recorded[:cap=C]:file=FILE
//! ```
//!
//! A file brings its own workers, as many as it has times of ([`super::recorded`]); its name goes to the end of the text.
//!
//! Each worker computes one gradient after another; the server applies a gradient the moment it is finished, in no time,
//! and the worker goes on at once from the new weights. A step costs the logarithm of the number of workers. *What it is
//! not:* a model of a network: sending takes no time, and the server never queues. Time has no unit, only ratios of service
//! times matter.

use super::bound::{self, Bound};
use super::columns::FileSpec;
use super::process::utf8;
use super::recorded;
use super::{DelayProcess, ProcessSpec, Service, SlotSource, Slots};
use crate::text::Options;
use crate::text::counted;
use crate::theory::DelayLaw;
use clap_lex::OsStrExt;
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, Serializer};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

/// Largest spread, and largest ratio of listed means to 1: beyond that a run sees nothing of the slow workers.
const LARGEST_MEAN: f64 = 1e6;

/// What stands before the name of a file.
const FILE: &str = "file=";

#[derive(Clone, Debug, PartialEq)]
pub struct WorkersSpec {
    pub times: Times,
    pub cap: Option<u32>,
}

/// Where service times come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    Law(Service, Means),
    Recorded(FileSpec),
}

/// Mean service times of workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    Equal,
    /// Geometrically spaced; the last worker takes this many times as long as the first. At least 1.
    Spread(f64),
    /// One for each worker; positive.
    Listed(Vec<f64>),
}

impl fmt::Display for WorkersSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (service, means) = match &self.times {
            Times::Law(service, means) => (service, means),
            Times::Recorded(file) => {
                write!(f, "{}:recorded", Self::NAME)?;
                bound::show_cap(f, self.cap)?;
                return write!(f, ":{FILE}{file}");
            }
        };
        write!(f, "{}:{service}", Self::NAME)?;
        match means {
            Means::Equal => Ok(()),
            Means::Spread(spread) => write!(f, ":spread={spread}"),
            Means::Listed(means) => {
                let means: Vec<String> = means.iter().map(f64::to_string).collect();
                write!(f, ":means={}", means.join("/"))
            }
        }?;
        bound::show_cap(f, self.cap)
    }
}

impl ProcessSpec for WorkersSpec {
    type Process = Workers;

    const NAME: &'static str = "workers";
    const FORMS: &'static str = "workers:LAW[:spread=S][:means=M/M/...][:cap=C], workers:recorded[:cap=C]:file=FILE";
    const SUMMARY: &'static str = "DELAY + 1 workers report as they finish, by service times that are constant, exponential, \
                                   lognormal:shape=SIGMA or pareto:shape=ALPHA; or, without --delays, as many as FILE has \
                                   times of, in a column each or in columns worker and seconds";
    const EXAMPLES: &'static [&'static str] =
        &["workers:exponential", "workers:pareto:shape=1.5:spread=4", "workers:lognormal:shape=1:means=1/1/2/4:cap=9"];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        let detail = detail.unwrap_or("");
        let (law, rest) = match detail.split_once(':') {
            Some((law, rest)) => (law, Some(rest)),
            None => (detail, None),
        };
        let shape: &[&str] = if Service::has_shape(law)? { &["shape"] } else { &[] };
        let keys = [shape, &["spread", "means", "cap"]].concat();
        let options = Options::read(&format!("workers:{law}"), rest, &keys)?;
        let times = Times::Law(Service::parse(law, &options)?, Means::parse(&options)?);
        Ok(Self { times, cap: bound::parse_cap(&options)? })
    }

    fn parse_os(detail: Option<&OsStr>) -> Result<Self, String> {
        let recorded = detail.and_then(|detail| detail.strip_prefix("recorded"));
        let Some(rest) = recorded.filter(|rest| rest.is_empty() || rest.starts_with(":")) else {
            return Self::parse(utf8(detail, Self::FORMS)?);
        };
        let named = rest.split_once(":file=").filter(|(_, file)| !file.is_empty());
        let (options, file) = named.ok_or("recorded names no file; accepted: workers:recorded[:cap=C]:file=FILE")?;
        let options =
            options.to_str().ok_or("its options are not UTF-8; accepted: workers:recorded[:cap=C]:file=FILE")?;
        let options = Options::read("workers:recorded", options.strip_prefix(':'), &["cap"])?;
        Ok(Self { times: Times::Recorded(file.into()), cap: bound::parse_cap(&options)? })
    }

    fn takes_delay(&self) -> bool {
        matches!(self.times, Times::Law(..))
    }

    fn resolve(&self, delay: u32) -> Result<Workers, String> {
        let (service, means) = match &self.times {
            Times::Law(service, means) => {
                let workers = delay + 1;
                let means = means.of(workers).map_err(|listed| {
                    format!(
                        "{} for {}; accepted: {}, or delay {}",
                        counted(listed, "mean"),
                        counted(workers, "worker"),
                        counted(workers, "mean"),
                        listed - 1
                    )
                })?;
                (service.clone(), means)
            }
            Times::Recorded(file) => recorded::read(file)?,
        };
        bound::check_cap(self.cap, means.len() as u32 - 1)?;
        Ok(Workers { service, means: means.into(), cap: self.cap })
    }
}

impl Means {
    fn parse(options: &Options) -> Result<Self, String> {
        let accepted = format!("a number from 1 to {LARGEST_MEAN:e}");
        let spread = options.value("spread", |spread| (1.0..=LARGEST_MEAN).contains(spread), &accepted)?;
        match (spread, options.get("means")) {
            (Some(_), Some(_)) => Err("both spread and means; accepted: one of them".to_owned()),
            (Some(spread), None) => Ok(Self::Spread(spread)),
            (None, None) => Ok(Self::Equal),
            (None, Some(list)) => {
                let mean = |text: &str| {
                    let usable = |mean: &f64| (1.0 / LARGEST_MEAN..=LARGEST_MEAN).contains(mean);
                    text.parse().ok().filter(usable).ok_or_else(|| {
                        let least = 1.0 / LARGEST_MEAN;
                        format!("means={list}: '{text}'; accepted: means=M/M/..., from {least:e} to {LARGEST_MEAN:e}")
                    })
                };
                Ok(Self::Listed(list.split('/').map(mean).collect::<Result<_, _>>()?))
            }
        }
    }

    /// The mean service time of each of `workers` workers; the number of those listed, where it is another.
    fn of(&self, workers: u32) -> Result<Vec<f64>, usize> {
        match self {
            Self::Equal => Ok(vec![1.0; workers as usize]),
            // Powers of a library: the means are part of a cell's hash, which machines must agree on.
            Self::Spread(spread) => {
                let last = f64::from(workers - 1).max(1.0);
                Ok((0..workers).map(|worker| libm::pow(*spread, f64::from(worker) / last)).collect())
            }
            Self::Listed(means) if means.len() == workers as usize => Ok(means.clone()),
            Self::Listed(means) => Err(means.len()),
        }
    }
}

/// Workers by their service times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workers {
    #[serde(flatten)]
    pub service: Service,
    /// Mean service time of each worker; positive.
    #[serde(serialize_with = "slice")]
    pub means: Arc<[f64]>,
    /// Age at which a snapshot must come back, updates; at least the number of workers less one.
    pub cap: Option<u32>,
}

/// Shared tables are stored as plain lists.
pub fn slice<T: Serialize, S: Serializer>(values: &Arc<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
    values[..].serialize(serializer)
}

impl Workers {
    fn alike(&self) -> bool {
        self.means.iter().all(|mean| *mean == self.means[0])
    }
}

impl DelayProcess for Workers {
    type Spec = WorkersSpec;
    type Source = Clock;

    fn slots(&self) -> u32 {
        self.means.len() as u32
    }

    fn fixed(&self) -> Option<u32> {
        let in_turn = self.service == Service::Constant && self.alike();
        if in_turn { Some(self.slots() - 1) } else { bound::forced(self.slots(), self.cap) }
    }

    fn is_drawn(&self) -> bool {
        self.service != Service::Constant
    }

    /// A service time without memory leaves every worker equally likely to finish next, whatever happened so far.
    fn law(&self) -> Option<DelayLaw> {
        let is_memoryless = self.service == Service::Exponential && self.alike() && self.cap.is_none();
        is_memoryless.then_some(DelayLaw::RandomWorkers(self.means.len()))
    }

    fn source(&self, rng: &mut ChaCha8Rng) -> Clock {
        Clock::new(self, rng)
    }
}

impl SlotSource for Clock {
    fn next(&mut self, step: u64, rng: &mut ChaCha8Rng) -> Slots {
        Slots::of_worker(self.report(step, rng))
    }
}

/// When each worker finishes.
#[derive(Clone, Debug)]
pub struct Clock {
    workers: Workers,
    now: f64,
    finish: Box<[f64]>,
    /// The version of each worker's snapshot: number of updates behind it.
    taken: Box<[u64]>,
    /// (bits of the time, worker, version of its snapshot): bits of positive floats are in the order of the floats, and of
    /// two that finish together the lower worker is first. An entry is void when its worker has moved on to another
    /// snapshot, which a cap may have made it do before the entry comes first.
    queue: BinaryHeap<Reverse<(u64, u32, u64)>>,
    bound: Option<Bound>,
}

impl Clock {
    /// Time 0: all workers start.
    fn new(workers: &Workers, rng: &mut ChaCha8Rng) -> Self {
        let count = workers.means.len();
        let mut clock = Self {
            now: 0.0,
            finish: vec![0.0; count].into(),
            taken: vec![0; count].into(),
            // Void entries stand behind the first valid one, whose worker is due within a cap; in that time every other
            // worker comes due once or twice.
            queue: BinaryHeap::with_capacity(4 * count),
            bound: workers.cap.map(|cap| Bound::new(workers.slots(), cap)),
            workers: workers.clone(),
        };
        for worker in 0..workers.slots() {
            clock.begin(worker, 0, rng);
        }
        clock
    }

    fn begin(&mut self, worker: u32, version: u64, rng: &mut ChaCha8Rng) {
        let place = worker as usize;
        let finish = self.now + self.workers.means[place] * self.workers.service.draw(place, rng);
        self.finish[place] = finish;
        self.taken[place] = version;
        self.queue.push(Reverse((finish.to_bits(), worker, version)));
    }

    /// Who reports at step `step`.
    fn report(&mut self, step: u64, rng: &mut ChaCha8Rng) -> u32 {
        let worker = self.due(step).unwrap_or_else(|| self.first());
        // Others may have finished while the server waited for one that was due: they report now.
        self.now = self.now.max(self.finish[worker as usize]);
        if let Some(bound) = &mut self.bound {
            bound.served(worker, step);
        }
        self.begin(worker, step + 1, rng);
        while self.queue.peek().is_some_and(|Reverse((_, worker, version))| self.taken[*worker as usize] != *version) {
            self.queue.pop();
        }
        worker
    }

    /// The worker that the server must wait for.
    fn due(&self, step: u64) -> Option<u32> {
        let bound = self.bound.as_ref()?;
        let oldest = bound.due(step)?;
        // At the start several are equally old: the server waits for the first of them.
        let finish = |worker: &u32| self.finish[*worker as usize];
        Some(bound.fresh().min_by(|a, b| finish(a).total_cmp(&finish(b))).unwrap_or(oldest))
    }

    /// The worker that finishes first.
    fn first(&self) -> u32 {
        let Reverse((_, worker, _)) = self.queue.peek().expect("every worker is in the queue");
        *worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn reports(service: Service, means: &[f64], cap: Option<u32>, steps: u64) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut clock = Clock::new(&Workers { service, means: means.into(), cap }, &mut rng);
        (0..steps).map(|step| clock.report(step, &mut rng)).collect()
    }

    #[test]
    fn workers_as_fast_as_each_other_report_in_turn() {
        for cap in [None, Some(4), Some(9)] {
            let turns = reports(Service::Constant, &[0.3; 5], cap, 1000);
            assert_eq!(turns, (0..1000).map(|step| step % 5).collect::<Vec<u32>>(), "cap {cap:?}");
        }
    }

    /// By hand. Worker 0 finishes at 1, 2, 3, ..., worker 1 at 2, 4, ...; of two that finish together worker 0 is first.
    #[test]
    fn a_worker_half_as_fast_reports_half_as_often() {
        assert_eq!(reports(Service::Constant, &[1.0, 2.0], None, 9), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
    }

    /// By hand. Snapshots of worker 1 would be ten updates old; at age 2 the server waits for it.
    #[test]
    fn the_server_waits_for_a_worker_that_is_due() {
        assert_eq!(reports(Service::Constant, &[1.0, 10.0], Some(2), 9), [0, 0, 1, 0, 0, 1, 0, 0, 1]);
        // Between steps 2 and 3 the clock stands at 10, since worker 0 has been ready from time 3 on.
        assert_eq!(reports(Service::Constant, &[1.0, 10.0], None, 12)[9..], [0, 1, 0]);
    }

    /// The tightest cap makes every report a forced one, so that nothing but the clearing empties the queue.
    #[test]
    fn the_queue_does_not_grow() {
        for cap in [3, 4, 7] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let workers = Workers { service: Service::Pareto { shape: 1.1 }, means: [1.0; 4].into(), cap: Some(cap) };
            let mut clock = Clock::new(&workers, &mut rng);
            let room = clock.queue.capacity();
            for step in 0..20_000 {
                clock.report(step, &mut rng);
                assert!(clock.queue.len() < room, "{} entries at step {step}, cap {cap}", clock.queue.len());
            }
        }
    }
}
