//! `hybrid:WORKERS`: WORKERS workers in `delay + 1` groups that report in turn, as a whole: an update applies the average
//! gradient of a group. Source: Giladi, Nacson, Hoffer and Soudry, ICLR 2020 (their code,
//! <https://github.com/paper-submissions/delay_stability>).

use super::ring::Turns;
use super::{DelayProcess, LONGEST, ProcessSpec};
use crate::text::counted;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct HybridSpec {
    pub workers: u32,
}

impl fmt::Display for HybridSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", Self::NAME, self.workers)
    }
}

impl ProcessSpec for HybridSpec {
    type Process = Hybrid;

    const NAME: &'static str = "hybrid";
    const FORMS: &'static str = "hybrid:WORKERS";
    const SUMMARY: &'static str =
        "WORKERS workers in DELAY + 1 groups that report in turn, each with its average gradient";
    const EXAMPLES: &'static [&'static str] = &["hybrid:8"];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        match detail.unwrap_or("").parse() {
            Ok(workers) if (1..=LONGEST).contains(&workers) => Ok(Self { workers }),
            _ => Err(format!("hybrid takes the number of workers; accepted: hybrid:1 to hybrid:{LONGEST}")),
        }
    }

    fn resolve(&self, delay: u32) -> Result<Hybrid, String> {
        let (workers, groups) = (self.workers, delay + 1);
        if workers % groups == 0 {
            return Ok(Hybrid { workers, delay });
        }
        Err(format!(
            "{} cannot be {groups} equal groups; accepted: delays one less than a divisor of {workers}",
            counted(workers, "worker")
        ))
    }
}

/// `workers` is a multiple of `delay + 1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hybrid {
    pub workers: u32,
    pub delay: u32,
}

impl DelayProcess for Hybrid {
    type Spec = HybridSpec;
    type Source = Turns;

    fn slots(&self) -> u32 {
        self.delay + 1
    }

    fn workers(&self) -> Option<u32> {
        Some(self.workers)
    }

    fn group(&self) -> u32 {
        self.workers / self.slots()
    }

    fn fixed(&self) -> Option<u32> {
        Some(self.delay)
    }

    fn is_drawn(&self) -> bool {
        false
    }

    fn source(&self, _: &mut ChaCha8Rng) -> Turns {
        Turns::new(self.slots())
    }
}
