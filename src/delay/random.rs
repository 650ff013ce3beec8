//! `random[:cap=C]`: a uniformly random one of `delay + 1` workers reports at each update.

use super::bound::{self, Bound};
use super::{DelayProcess, ProcessSpec, SlotSource, Slots};
use crate::text::Options;
use crate::theory::DelayLaw;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct RandomSpec {
    pub cap: Option<u32>,
}

impl fmt::Display for RandomSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::NAME)?;
        bound::show_cap(f, self.cap)
    }
}

impl ProcessSpec for RandomSpec {
    type Process = Random;

    const NAME: &'static str = "random";
    const FORMS: &'static str = "random[:cap=C]";
    const SUMMARY: &'static str = "a uniformly random one of DELAY + 1 workers reports";
    const EXAMPLES: &'static [&'static str] = &["random", "random:cap=5"];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        Ok(Self { cap: bound::parse_cap(&Options::read(Self::NAME, detail, &["cap"])?)? })
    }

    fn resolve(&self, delay: u32) -> Result<Random, String> {
        bound::check_cap(self.cap, delay)?;
        Ok(Random { workers: delay + 1, cap: self.cap })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Random {
    pub workers: u32,
    /// Age at which a snapshot must come back, updates.
    pub cap: Option<u32>,
}

impl DelayProcess for Random {
    type Spec = RandomSpec;
    type Source = RandomSource;

    fn slots(&self) -> u32 {
        self.workers
    }

    fn fixed(&self) -> Option<u32> {
        bound::forced(self.workers, self.cap)
    }

    fn is_drawn(&self) -> bool {
        true
    }

    fn law(&self) -> Option<DelayLaw> {
        self.cap.is_none().then_some(DelayLaw::RandomWorkers(self.workers as usize))
    }

    fn source(&self, _: &mut ChaCha8Rng) -> RandomSource {
        RandomSource { workers: self.workers, bound: self.cap.map(|cap| Bound::new(self.workers, cap)) }
    }
}

#[derive(Clone, Debug)]
pub struct RandomSource {
    workers: u32,
    bound: Option<Bound>,
}

impl SlotSource for RandomSource {
    fn next(&mut self, step: u64, rng: &mut ChaCha8Rng) -> Slots {
        let due = self.bound.as_ref().and_then(|bound| bound.due(step));
        let worker = due.unwrap_or_else(|| rng.random_range(0..self.workers));
        if let Some(bound) = &mut self.bound {
            bound.served(worker, step);
        }
        Slots::of_worker(worker)
    }
}
