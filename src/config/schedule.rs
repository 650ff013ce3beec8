//! The grammar of `--schedule`, and what a value means beside a delay.
//!
//! ```text
//! round-robin
//! random[:cap=C]                                     normal[:cap=C]
//! workers:constant[:OPTIONS]                         workers:exponential[:OPTIONS]
//! workers:lognormal:shape=SIGMA[:OPTIONS]            workers:pareto:shape=ALPHA[:OPTIONS]
//!     OPTIONS: spread=S, or means=M/M/... (one for each worker); cap=C
//! iid:geometric                                      iid:uniform                           (of the mean delay)
//! iid:geometric:RATIO                                iid:uniform:FIRST..=LAST              iid:FILE
//! hybrid:WORKERS
//! trace:FILE
//! ```
//!
//! No commas, which separate the values of a list. Files are read when a schedule is made, not when a flag is parsed. Not
//! here: what the processes do ([`crate::delay`]).

mod resolve;

use super::NamedPmf;
use crate::delay::{LONGEST, Service};
use crate::text::{Options, as_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `--schedule`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ScheduleSpec {
    RoundRobin,
    Random {
        cap: Option<u32>,
    },
    Normal {
        cap: Option<u32>,
    },
    Workers {
        service: Service,
        means: Means,
        cap: Option<u32>,
    },
    Iid(PmfSpec),
    Hybrid {
        workers: u32,
    },
    /// The file.
    Trace(String),
}
as_text!(ScheduleSpec);

/// Mean service times of workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    Equal,
    /// Geometrically spaced; the last worker takes this many times as long as the first. At least 1.
    Spread(f64),
    /// One for each worker; positive.
    Listed(Vec<f64>),
}

/// A distribution of independent delays.
#[derive(Clone, Debug, PartialEq)]
pub enum PmfSpec {
    /// With the delay as its mean; [`crate::delay::Iid::geometric`].
    Geometric,
    /// From 0 to twice the delay.
    Uniform,
    /// As [`NamedPmf`] is typed.
    Own(String),
}

/// Largest spread, and largest ratio of listed means to 1: beyond that a run sees nothing of the slow workers.
const LARGEST_MEAN: f64 = 1e6;

/// Largest shape of a lognormal law: beyond that the mean is made of times that no run lives to see.
const LARGEST_SIGMA: f64 = 5.0;

const ACCEPTED: &str = "accepted: round-robin, random, normal, workers:LAW, iid:geometric, iid:uniform, iid:FILE, \
                        hybrid:WORKERS, trace:FILE";

impl FromStr for ScheduleSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, detail) = match text.split_once(':') {
            Some((name, detail)) => (name, Some(detail)),
            None => (text, None),
        };
        let file = |what: &str| match detail {
            None | Some("") => Err(format!("{name} names no {what}; accepted: {name}:{what}")),
            Some(detail) => Ok(detail.to_owned()),
        };
        match name {
            "round-robin" => {
                Options::read("round-robin", detail, &[])?;
                Ok(Self::RoundRobin)
            }
            "random" => Ok(Self::Random { cap: cap(&Options::read("random", detail, &["cap"])?)? }),
            "normal" => Ok(Self::Normal { cap: cap(&Options::read("normal", detail, &["cap"])?)? }),
            "workers" => Self::workers(detail.unwrap_or("")),
            "iid" => match file("DISTRIBUTION")?.as_str() {
                "geometric" => Ok(Self::Iid(PmfSpec::Geometric)),
                "uniform" => Ok(Self::Iid(PmfSpec::Uniform)),
                own => {
                    if own.starts_with("geometric:") || own.starts_with("uniform:") {
                        own.parse::<NamedPmf>().map_err(|reason| format!("'{own}': {reason}"))?;
                    }
                    Ok(Self::Iid(PmfSpec::Own(own.to_owned())))
                }
            },
            "hybrid" => match detail.unwrap_or("").parse() {
                Ok(workers) if (1..=LONGEST).contains(&workers) => Ok(Self::Hybrid { workers }),
                _ => Err(format!("hybrid takes the number of workers; accepted: hybrid:1 to hybrid:{LONGEST}")),
            },
            "trace" => Ok(Self::Trace(file("FILE")?)),
            _ => Err(format!("no process '{name}'; {ACCEPTED}")),
        }
    }
}

impl ScheduleSpec {
    fn workers(detail: &str) -> Result<Self, String> {
        let (law, rest) = match detail.split_once(':') {
            Some((law, rest)) => (law, Some(rest)),
            None => (detail, None),
        };
        let shaped = match law {
            "constant" | "exponential" => false,
            "lognormal" | "pareto" => true,
            _ => {
                return Err(format!(
                    "no law '{law}' of service times; accepted: workers:constant, workers:exponential, \
                     workers:lognormal:shape=SIGMA, workers:pareto:shape=ALPHA"
                ));
            }
        };
        let keys: &[&str] = if shaped { &["shape", "spread", "means", "cap"] } else { &["spread", "means", "cap"] };
        let options = Options::read(&format!("workers:{law}"), rest, keys)?;
        let service = match law {
            "constant" => Service::Constant,
            "exponential" => Service::Exponential,
            "lognormal" => {
                let accepted = format!("a sigma above 0, up to {LARGEST_SIGMA}");
                let shape = options.value("shape", |sigma| *sigma > 0.0 && *sigma <= LARGEST_SIGMA, &accepted)?;
                Service::Lognormal {
                    shape: shape.ok_or(format!("lognormal has no shape; accepted: shape={accepted}"))?,
                }
            }
            _ => {
                let accepted = "an alpha above 1";
                let shape = options.value("shape", |alpha: &f64| *alpha > 1.0 && alpha.is_finite(), accepted)?;
                Service::Pareto { shape: shape.ok_or(format!("pareto has no shape; accepted: shape={accepted}"))? }
            }
        };
        let accepted = format!("a number from 1 to {LARGEST_MEAN:e}");
        let spread = options.value("spread", |spread| (1.0..=LARGEST_MEAN).contains(spread), &accepted)?;
        let means = match (spread, options.get("means")) {
            (Some(_), Some(_)) => return Err("both spread and means; accepted: one of them".to_owned()),
            (Some(spread), None) => Means::Spread(spread),
            (None, None) => Means::Equal,
            (None, Some(list)) => {
                let mean = |text: &str| {
                    let usable = |mean: &f64| (1.0 / LARGEST_MEAN..=LARGEST_MEAN).contains(mean);
                    text.parse().ok().filter(usable).ok_or_else(|| {
                        let least = 1.0 / LARGEST_MEAN;
                        format!("means={list}: '{text}'; accepted: means=M/M/..., from {least:e} to {LARGEST_MEAN:e}")
                    })
                };
                Means::Listed(list.split('/').map(mean).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self::Workers { service, means, cap: cap(&options)? })
    }

    /// Whether a delay of `--delays` goes with it; a recorded or given distribution brings its own.
    pub fn takes_delay(&self) -> bool {
        !matches!(self, Self::Trace(_) | Self::Iid(PmfSpec::Own(_)))
    }
}

impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let capped = |f: &mut fmt::Formatter, cap: &Option<u32>| cap.map_or(Ok(()), |cap| write!(f, ":cap={cap}"));
        match self {
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Random { cap } => {
                f.write_str("random")?;
                capped(f, cap)
            }
            Self::Normal { cap } => {
                f.write_str("normal")?;
                capped(f, cap)
            }
            Self::Workers { service, means, cap } => {
                match service {
                    Service::Constant => f.write_str("workers:constant"),
                    Service::Exponential => f.write_str("workers:exponential"),
                    Service::Lognormal { shape } => write!(f, "workers:lognormal:shape={shape}"),
                    Service::Pareto { shape } => write!(f, "workers:pareto:shape={shape}"),
                }?;
                match means {
                    Means::Equal => Ok(()),
                    Means::Spread(spread) => write!(f, ":spread={spread}"),
                    Means::Listed(means) => {
                        let means: Vec<String> = means.iter().map(f64::to_string).collect();
                        write!(f, ":means={}", means.join("/"))
                    }
                }?;
                capped(f, cap)
            }
            Self::Iid(PmfSpec::Geometric) => f.write_str("iid:geometric"),
            Self::Iid(PmfSpec::Uniform) => f.write_str("iid:uniform"),
            Self::Iid(PmfSpec::Own(own)) => write!(f, "iid:{own}"),
            Self::Hybrid { workers } => write!(f, "hybrid:{workers}"),
            Self::Trace(file) => write!(f, "trace:{file}"),
        }
    }
}

fn cap(options: &Options) -> Result<Option<u32>, String> {
    options.value("cap", |_| true, "a whole number of updates")
}

#[cfg(test)]
mod tests;
