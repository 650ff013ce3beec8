//! From a value of `--schedule` and a delay to a schedule.
//!
//! Here files are read, and worker counts and delays meet. Not here: the grammar.

use super::{Means, PmfSpec, ScheduleSpec};
use crate::config::NamedPmf;
use crate::delay::{Crew, Iid, LONGEST, Named, Schedule, ScheduleError, Trace};
use crate::theory::DelayLaw;

impl ScheduleSpec {
    /// The schedule with this delay, in updates: of `delay + 1` workers where there are workers, and of this mean delay.
    ///
    /// # Errors
    /// A delay that this process cannot have, or any at all where it brings its own.
    pub fn resolve(&self, delay: u32) -> Result<Schedule, ScheduleError> {
        let refuse = |reason: String| Err(ScheduleError(format!("--schedule {self} at delay {delay}: {reason}")));
        if delay > LONGEST {
            return refuse(format!("too long; accepted: up to {LONGEST} updates"));
        }
        let workers = delay + 1;
        if let Self::Random { cap: Some(cap) } | Self::Normal { cap: Some(cap) } | Self::Workers { cap: Some(cap), .. } =
            self
            && *cap < delay
        {
            return refuse(format!(
                "{workers} workers cannot all report within cap={cap} updates; accepted: cap={delay} or more"
            ));
        }
        match self {
            Self::RoundRobin => Ok(Schedule::RoundRobin { delay }),
            Self::Random { cap } => Ok(Schedule::Random { workers, cap: *cap }),
            Self::Normal { cap } => Ok(Schedule::Normal { workers, cap: *cap }),
            Self::Workers { service, means, cap } => match means.of(workers) {
                Ok(means) => {
                    let crew = Crew { service: *service, means: means.into(), cap: *cap };
                    Ok(Schedule::Workers(self.named(crew)))
                }
                Err(listed) => refuse(format!(
                    "{listed} means for {workers} workers; accepted: {workers} means, or delay {}",
                    listed - 1
                )),
            },
            Self::Iid(PmfSpec::Geometric) => match Iid::geometric(delay) {
                Ok(iid) => Ok(Schedule::Iid(self.named(iid))),
                Err(reason) => refuse(reason.to_string()),
            },
            Self::Iid(PmfSpec::Uniform) => match Iid::uniform(delay) {
                Ok(iid) => Ok(Schedule::Iid(self.named(iid))),
                Err(reason) => refuse(reason.to_string()),
            },
            Self::Hybrid { workers: all } if all % workers == 0 => Ok(Schedule::Hybrid { workers: *all, delay }),
            Self::Hybrid { workers: all } => refuse(format!(
                "{all} workers do not make {workers} equal groups; accepted: delays one less than a divisor of {all}"
            )),
            Self::Trace(_) | Self::Iid(PmfSpec::Own(_)) => {
                refuse("it brings its own delays; accepted: without --delays".to_owned())
            }
        }
    }

    /// The schedule, where it brings its own delays.
    ///
    /// # Errors
    /// A file that cannot be read, or a process that takes a delay of `--delays`.
    pub fn own(&self) -> Result<Schedule, ScheduleError> {
        let refuse = |reason: String| ScheduleError(format!("--schedule {self}: {reason}"));
        match self {
            Self::Trace(file) => {
                let trace = Trace::read(file).map_err(|reason| refuse(reason.to_string()))?;
                Ok(Schedule::Trace(self.named(trace)))
            }
            Self::Iid(PmfSpec::Own(own)) => {
                let NamedPmf { pmf, .. } = own.parse().map_err(refuse)?;
                let iid = Iid::new(pmf).map_err(|reason| refuse(reason.to_string()))?;
                Ok(Schedule::Iid(self.named(iid)))
            }
            _ => Err(refuse("it has no delays of its own; accepted: with --delays".to_owned())),
        }
    }

    /// The law of the delays as the theory knows it, at this delay where the process takes one.
    ///
    /// # Errors
    /// A delay that this process cannot have, one too many or too few, or a process that the theory does not know.
    pub fn law(&self, delay: Option<usize>) -> Result<DelayLaw, ScheduleError> {
        let schedule = match (self, delay) {
            // As long as the theory likes: nothing is stored.
            (Self::RoundRobin, Some(delay)) => return Ok(DelayLaw::Fixed(delay)),
            (_, Some(delay)) => self.resolve(u32::try_from(delay).unwrap_or(u32::MAX))?,
            (_, None) => self.own()?,
        };
        schedule.theory().ok_or_else(|| {
            ScheduleError(format!(
                "--schedule {self}: the theory does not know its delays; accepted: round-robin, random, hybrid:WORKERS, \
                 workers:exponential, and iid of any kind (for a recorded trace, iid:FILE with its histogram)"
            ))
        })
    }

    fn named<T>(&self, value: T) -> Named<T> {
        Named { name: self.to_string().into(), value }
    }
}

impl Means {
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
