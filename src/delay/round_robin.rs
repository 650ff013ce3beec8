//! `round-robin`: `delay + 1` workers report in turn, so that every gradient is exactly `delay` updates old. Delay 0 is
//! synchronous.

use super::ring::Turns;
use super::{DelayProcess, ProcessSpec};
use crate::text::Options;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct RoundRobinSpec;

impl fmt::Display for RoundRobinSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::NAME)
    }
}

impl ProcessSpec for RoundRobinSpec {
    type Process = RoundRobin;

    const NAME: &'static str = "round-robin";
    const FORMS: &'static str = "round-robin";
    const SUMMARY: &'static str = "DELAY + 1 workers report in turn: always the same delay";
    const EXAMPLES: &'static [&'static str] = &["round-robin"];
    const FIXED: bool = true;

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        Options::read(Self::NAME, detail, &[]).map(|_| Self)
    }

    fn resolve(&self, delay: u32) -> Result<RoundRobin, String> {
        Ok(RoundRobin { delay })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundRobin {
    pub delay: u32,
}

impl DelayProcess for RoundRobin {
    type Spec = RoundRobinSpec;
    type Source = Turns;

    fn slots(&self) -> u32 {
        self.delay + 1
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
