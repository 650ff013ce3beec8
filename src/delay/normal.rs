//! `normal[:cap=C]`: workers drawn by the age of their snapshots, as in the reference implementation of Giladi, Nacson, Hoffer
//! and Soudry (ICLR 2020, <https://github.com/paper-submissions/delay_stability>), where this is the schedule `normal`.
//!
//! A worker whose snapshot is `a` updates old reports next with probability proportional to `Phi((a - N) / (N/4))`, so that
//! late workers are likely next. A step costs O(N). Not here: delays that are normally distributed; they come out
//! bell-shaped, with mean N - 1 and standard deviation about 0.2 N.

use super::bound::{self, Bound};
use super::{DelayProcess, ProcessSpec, SlotSource, Slots};
use crate::text::Options;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::f64::consts::SQRT_2;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct NormalSpec {
    pub cap: Option<u32>,
}

impl fmt::Display for NormalSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::NAME)?;
        bound::show_cap(f, self.cap)
    }
}

impl ProcessSpec for NormalSpec {
    type Process = Normal;

    const NAME: &'static str = "normal";
    const FORMS: &'static str = "normal[:cap=C]";
    const SUMMARY: &'static str = "one of DELAY + 1 workers reports, the older its weights the likelier";
    const EXAMPLES: &'static [&'static str] = &["normal", "normal:cap=5"];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        Ok(Self { cap: bound::parse_cap(&Options::read(Self::NAME, detail, &["cap"])?)? })
    }

    fn resolve(&self, delay: u32) -> Result<Normal, String> {
        bound::check_cap(self.cap, delay)?;
        Ok(Normal { workers: delay + 1, cap: self.cap })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Normal {
    pub workers: u32,
    /// Age at which a snapshot must come back, updates.
    pub cap: Option<u32>,
}

impl DelayProcess for Normal {
    type Spec = NormalSpec;
    type Source = NormalSource;

    fn slots(&self) -> u32 {
        self.workers
    }

    fn fixed(&self) -> Option<u32> {
        bound::forced(self.workers, self.cap)
    }

    fn is_drawn(&self) -> bool {
        true
    }

    fn source(&self, _: &mut ChaCha8Rng) -> NormalSource {
        NormalSource { ages: ByAge::new(self.workers), bound: self.cap.map(|cap| Bound::new(self.workers, cap)) }
    }
}

#[derive(Clone, Debug)]
pub struct NormalSource {
    ages: ByAge,
    bound: Option<Bound>,
}

impl SlotSource for NormalSource {
    fn next(&mut self, step: u64, rng: &mut ChaCha8Rng) -> Slots {
        let due = self.bound.as_ref().and_then(|bound| bound.due(step));
        let worker = due.unwrap_or_else(|| self.ages.draw(step, rng));
        if let Some(bound) = &mut self.bound {
            bound.served(worker, step);
        }
        self.ages.served(worker, step);
        Slots::of_worker(worker)
    }
}

/// The workers by the ages of their snapshots.
#[derive(Clone, Debug)]
struct ByAge {
    /// The version of each worker's snapshot: number of updates behind it.
    taken: Box<[u64]>,
    /// Weight by age, up to where it is 1.
    weight: Arc<[f64]>,
}

impl ByAge {
    fn new(workers: u32) -> Self {
        let n = f64::from(workers);
        let phi = |x: f64| libm::erfc(-x / SQRT_2) / 2.0;
        // 4 N is 12 scales above the location, where 1 - phi is less than any rounding.
        let weight = (0..=4 * u64::from(workers)).map(|age| phi((age as f64 - n) / (n / 4.0))).collect();
        Self { taken: vec![0; workers as usize].into(), weight }
    }

    /// Who reports at step `step`, where nobody must.
    fn draw(&self, step: u64, rng: &mut ChaCha8Rng) -> u32 {
        let last = self.weight.len() - 1;
        let weight = |taken: &u64| self.weight[((step - taken) as usize).min(last)];
        let mut rest = rng.random::<f64>() * self.taken.iter().map(weight).sum::<f64>();
        for (worker, taken) in (0..).zip(&self.taken) {
            rest -= weight(taken);
            if rest < 0.0 {
                return worker;
            }
        }
        // Rounding may leave an ulp of the sum.
        self.taken.len() as u32 - 1
    }

    /// `worker` has reported at step `step` and taken the new weights.
    fn served(&mut self, worker: u32, step: u64) {
        self.taken[worker as usize] = step + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    /// Weights of a table of the normal distribution: Phi(-4) = 3.167e-5, Phi(0) = 0.5, Phi(1) = 0.8413447.
    #[test]
    fn workers_are_drawn_in_proportion_to_the_normal_distribution_function_of_their_age() {
        // At step 8 the four snapshots are 0, 4, 5 and 8 updates old; the location is 4 and the scale 1.
        let by_age = ByAge { taken: [8, 4, 3, 0].into(), ..ByAge::new(4) };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        const DRAWS: u32 = 200_000;
        let mut seen = [0u32; 4];
        for _ in 0..DRAWS {
            seen[by_age.draw(8, &mut rng) as usize] += 1;
        }
        let sum = 3.167e-5 + 0.5 + 0.841_344_7 + 0.999_968_33;
        for (seen, weight) in seen.iter().zip([3.167e-5, 0.5, 0.841_344_7, 0.999_968_33]) {
            let (share, expected) = (f64::from(*seen) / f64::from(DRAWS), weight / sum);
            // Five standard errors.
            let error = 5.0 * (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
            assert!((share - expected).abs() <= error, "{share} of the draws, {expected} expected");
        }
    }
}
