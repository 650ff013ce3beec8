//! Delays drawn independently at every update, from one distribution.
//!
//! Not here: the files and names that a distribution may come from ([`crate::flags`]). No set of workers has such delays;
//! they are the model that most theory is about.

use super::{LONGEST, ScheduleError};
use crate::theory::DelayPmf;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Probability of a geometric distribution's tail that is left out.
const TAIL: f64 = 1e-9;

/// A distribution of delays and its table to draw from.
#[derive(Clone, Debug, PartialEq)]
pub struct Iid {
    pmf: Arc<DelayPmf>,
    /// Probability of each delay or a shorter one.
    cumulative: Arc<[f64]>,
}

impl Iid {
    /// # Errors
    /// A delay above [`LONGEST`].
    pub fn new(pmf: DelayPmf) -> Result<Self, ScheduleError> {
        if pmf.longest() > LONGEST as usize {
            let longest = pmf.longest();
            return Err(ScheduleError(format!("its longest delay is {longest}; accepted: up to {LONGEST} updates")));
        }
        let running = pmf.probabilities().iter().scan(0.0, |sum, p| {
            *sum += p;
            Some(*sum)
        });
        let mut cumulative: Vec<f64> = running.collect();
        // Probabilities may miss 1 by a rounding, and a draw may come arbitrarily close to it.
        cumulative[pmf.longest()] = 1.0;
        Ok(Self { pmf: Arc::new(pmf), cumulative: cumulative.into() })
    }

    /// `p_j` proportional to `(mean / (mean + 1))^j`, cut where less than 1e-9 of the probability remains. What is left is
    /// scaled to sum to 1, which lowers the mean delay by about two parts in 1e8.
    ///
    /// # Errors
    /// A delay above [`LONGEST`].
    pub fn geometric(mean: u32) -> Result<Self, ScheduleError> {
        let ratio = f64::from(mean) / (f64::from(mean) + 1.0);
        let mut weights = vec![];
        let mut tail = 1.0;
        while tail >= TAIL {
            if weights.len() > LONGEST as usize {
                let most = (f64::from(LONGEST) / -TAIL.ln()) as u32;
                return Err(ScheduleError(format!(
                    "its delays exceed {LONGEST} updates; accepted: delays up to {most}"
                )));
            }
            weights.push(tail);
            tail *= ratio;
        }
        Self::new(DelayPmf::from_counts(&weights).map_err(|error| ScheduleError(error.to_string()))?)
    }

    /// Every delay from 0 to `2 mean`, equally likely.
    ///
    /// # Errors
    /// A delay above [`LONGEST`].
    pub fn uniform(mean: u32) -> Result<Self, ScheduleError> {
        Self::new(DelayPmf::uniform(0, 2 * mean as usize).map_err(|error| ScheduleError(error.to_string()))?)
    }

    pub fn pmf(&self) -> &DelayPmf {
        &self.pmf
    }

    /// Longest delay of positive probability, updates.
    pub fn longest(&self) -> u32 {
        self.pmf.longest() as u32
    }

    /// The delay, where there is only one.
    pub fn certain(&self) -> Option<u32> {
        let possible = self.pmf.probabilities().iter().filter(|p| **p > 0.0).count();
        (possible == 1).then(|| self.longest())
    }

    pub fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        let share: f64 = rng.random();
        self.cumulative.partition_point(|cumulative| *cumulative <= share) as u32
    }
}

impl Serialize for Iid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut content = serializer.serialize_struct("Iid", 1)?;
        content.serialize_field("probabilities", self.pmf.probabilities())?;
        content.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn named_distributions_have_the_mean_asked_for() {
        for mean in [0, 1, 4, 100, 1000] {
            let (geometric, uniform) = (Iid::geometric(mean).unwrap(), Iid::uniform(mean).unwrap());
            let mean = f64::from(mean);
            assert!((geometric.pmf().mean() - mean).abs() <= 3e-8 * mean, "{}", geometric.pmf().mean());
            assert!((uniform.pmf().mean() - mean).abs() <= 1e-12 * mean);
            assert_eq!(f64::from(uniform.longest()), 2.0 * mean);
            // Memoryless, and as long as promised.
            let p = geometric.pmf().probabilities();
            let ratio = mean / (mean + 1.0);
            assert!(p.windows(2).all(|pair| (pair[1] / pair[0] - ratio).abs() < 1e-9));
            assert!(ratio.powi(p.len() as i32) < 1e-9 * (1.0 + 1e-6), "the tail beyond delay {}", p.len() - 1);
            assert!(p.len() == 1 || ratio.powi(p.len() as i32 - 1) >= 1e-9);
        }
        let error = Iid::geometric(60_000).unwrap_err().to_string();
        assert_eq!(error, "its delays exceed 1000000 updates; accepted: delays up to 48254");
        assert!(Iid::geometric(48_254).is_ok());
        assert!(Iid::uniform(500_001).unwrap_err().to_string().contains("1000002"));
    }

    #[test]
    fn delays_of_probability_zero_are_never_drawn() {
        let iid = Iid::new(DelayPmf::new(vec![0.0, 0.5, 0.0, 0.0, 0.5, 0.0]).unwrap()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[iid.draw(&mut rng) as usize] += 1;
        }
        assert_eq!(iid.longest(), 4);
        assert_eq!([seen[0], seen[2], seen[3]], [0; 3]);
        assert!(seen[1] > 400 && seen[4] > 400, "{seen:?}");
        assert_eq!(iid.certain(), None);
        assert_eq!(Iid::new(DelayPmf::new(vec![0.0, 0.0, 1.0]).unwrap()).unwrap().certain(), Some(2));
    }
}
