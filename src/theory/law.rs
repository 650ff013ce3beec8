//! How delays come about, as far as the theory needs to know it.

use super::TheoryError;

/// Longest fixed delay that the theory accepts, updates.
pub const LONGEST_DELAY: usize = 1_000_000_000;

/// Longest delay of a distribution that the theory accepts, updates: the work in mean square grows with its square.
pub const LONGEST_PMF: usize = 5_000;

/// The law of the delay of each gradient.
#[derive(Clone, Debug, PartialEq)]
pub enum DelayLaw {
    /// Always the same delay, in updates; `N` workers in turn have `N - 1`.
    Fixed(usize),
    /// Drawn independently at every update.
    Independent(DelayPmf),
    /// This many workers, a uniformly random one of which reports at each update.
    RandomWorkers(usize),
}

impl DelayLaw {
    /// Mean delay, in updates.
    pub fn mean_delay(&self) -> f64 {
        match self {
            Self::Fixed(delay) => *delay as f64,
            Self::Independent(pmf) => pmf.mean(),
            Self::RandomWorkers(workers) => workers.saturating_sub(1) as f64,
        }
    }

    /// Whether the delay is the same at every update.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// As errors name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "a fixed delay",
            Self::Independent(_) => "delays drawn independently",
            Self::RandomWorkers(_) => "randomly reporting workers",
        }
    }
}

/// Probabilities of the delays 0, 1, 2, ...
#[derive(Clone, Debug, PartialEq)]
pub struct DelayPmf(Vec<f64>);

impl DelayPmf {
    /// From probabilities of the delays 0, 1, 2, ...; trailing zeros are dropped.
    ///
    /// # Errors
    /// An entry that is negative or not finite, or a sum that is not 1 to within 1e-9.
    pub fn new(mut probabilities: Vec<f64>) -> Result<Self, TheoryError> {
        for (delay, p) in probabilities.iter().enumerate() {
            if !(*p >= 0.0 && p.is_finite()) {
                return Err(TheoryError::DelayPmf(format!("delay {delay} has probability {p}; it must be at least 0")));
            }
        }
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > 1e-9 {
            return Err(TheoryError::DelayPmf(format!("the probabilities sum to {sum}; they must sum to 1")));
        }
        while probabilities.last() == Some(&0.0) {
            probabilities.pop();
        }
        Ok(Self(probabilities))
    }

    /// From a histogram: how often each of the delays 0, 1, 2, ... was seen.
    ///
    /// # Errors
    /// An entry that is negative or not finite, or no count at all.
    pub fn from_counts(counts: &[f64]) -> Result<Self, TheoryError> {
        let sum: f64 = counts.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(TheoryError::DelayPmf(format!("the counts sum to {sum}; there must be at least one")));
        }
        Self::new(counts.iter().map(|count| count / sum).collect())
    }

    /// Always this delay.
    ///
    /// # Errors
    /// One that is too long.
    pub(super) fn certain(delay: usize) -> Result<Self, TheoryError> {
        if delay > LONGEST_PMF {
            return Err(TheoryError::LongPmf(delay));
        }
        Ok(Self((0..=delay).map(|j| if j == delay { 1.0 } else { 0.0 }).collect()))
    }

    /// Every delay from `low` to `high`, both included, equally likely.
    ///
    /// # Errors
    /// `low` above `high`.
    pub fn uniform(low: usize, high: usize) -> Result<Self, TheoryError> {
        if low > high {
            return Err(TheoryError::DelayPmf(format!("the range {low}..={high} is empty")));
        }
        let p = 1.0 / (high - low + 1) as f64;
        Self::new((0..=high).map(|j| if j < low { 0.0 } else { p }).collect())
    }

    /// `p_j = (1-q) q^j`, cut where the tail falls below 1e-17.
    ///
    /// # Errors
    /// `q` outside `[0, 0.999]`.
    pub fn geometric(q: f64) -> Result<Self, TheoryError> {
        if !(0.0..=0.999).contains(&q) {
            return Err(TheoryError::DelayPmf(format!(
                "the ratio of a geometric distribution is {q}; it must lie in 0..=0.999"
            )));
        }
        let mut probabilities = vec![];
        let mut tail = 1.0;
        while tail > 1e-17 {
            probabilities.push((1.0 - q) * tail);
            tail *= q;
        }
        Self::new(probabilities)
    }

    /// Probabilities of the delays 0, 1, 2, ...; the last is positive.
    pub fn probabilities(&self) -> &[f64] {
        &self.0
    }

    /// Mean delay, in updates.
    pub fn mean(&self) -> f64 {
        self.0.iter().enumerate().map(|(j, p)| j as f64 * p).sum()
    }

    /// Largest delay of positive probability.
    pub fn longest(&self) -> usize {
        self.0.len() - 1
    }
}
