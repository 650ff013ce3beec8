//! `iid:DISTRIBUTION`: delays drawn independently at every update.
//!
//! ```text
//! iid:geometric, iid:uniform                  with the delay as their mean
//! iid:geometric:RATIO, iid:uniform:FIRST..=LAST, iid:FILE
//! ```
//!
//! A file is a table with a column `delay` and a column `probability` or `count`. No set of workers has such delays; they
//! are the model that most theory is about. A step costs the logarithm of the longest delay.

use super::columns::{FileSpec, whole};
use super::ring::Ring;
use super::{DelayProcess, LONGEST, ProcessSpec, SlotSource, Slots};
use crate::theory::{DelayLaw, DelayPmf};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

/// Probability of a geometric distribution's tail that is left out.
const TAIL: f64 = 1e-9;

/// A distribution of independent delays, as typed.
#[derive(Clone, Debug, PartialEq)]
pub enum IidSpec {
    /// With the delay as its mean; [`Iid::geometric`].
    Geometric,
    /// From 0 to twice the delay.
    Uniform,
    /// `geometric:RATIO` or `uniform:FIRST..=LAST`.
    Own(String),
    Histogram(FileSpec),
}

impl fmt::Display for IidSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let distribution: &dyn fmt::Display = match self {
            Self::Geometric => &"geometric",
            Self::Uniform => &"uniform",
            Self::Own(own) => own,
            Self::Histogram(file) => file,
        };
        write!(f, "{}:{distribution}", Self::NAME)
    }
}

impl ProcessSpec for IidSpec {
    type Process = Iid;

    const NAME: &'static str = "iid";
    const FORMS: &'static str = "iid:geometric[:RATIO], iid:uniform[:FIRST..=LAST], iid:FILE";
    const SUMMARY: &'static str = "delays drawn independently, of mean DELAY; or, without --delays, geometric with this ratio, \
                                   uniform in this range, or as a CSV file has them (columns delay and count or probability)";
    const EXAMPLES: &'static [&'static str] = &["iid:geometric", "iid:uniform", "iid:uniform:1..=5"];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        Self::parse_os(detail.map(OsStr::new))
    }

    fn parse_os(detail: Option<&OsStr>) -> Result<Self, String> {
        let detail = detail.filter(|detail| !detail.is_empty());
        let detail = detail.ok_or("iid names no DISTRIBUTION; accepted: iid:DISTRIBUTION")?;
        match detail.to_str() {
            Some("geometric") => Ok(Self::Geometric),
            Some("uniform") => Ok(Self::Uniform),
            // Files stay closed until the schedule is made.
            text => match text.and_then(|text| Some((text, formula(text)?))) {
                Some((own, pmf)) => {
                    pmf.map_err(|reason| format!("'{own}': {reason}"))?;
                    Ok(Self::Own(own.to_owned()))
                }
                None => Ok(Self::Histogram(detail.into())),
            },
        }
    }

    fn takes_delay(&self) -> bool {
        matches!(self, Self::Geometric | Self::Uniform)
    }

    fn resolve(&self, delay: u32) -> Result<Iid, String> {
        match self {
            Self::Geometric => Iid::geometric(delay),
            Self::Uniform => Iid::uniform(delay),
            Self::Own(own) => Iid::new(formula(own).expect("texts that are no formula name a file")?),
            Self::Histogram(file) => Iid::new(read_histogram(file).map_err(|reason| format!("{reason}; {ACCEPTED}"))?),
        }
    }
}

const ACCEPTED: &str =
    "accepted: uniform:FIRST..=LAST, geometric:RATIO, or a CSV file with the columns delay and probability or count";

/// A distribution that is given by a formula; none where the text names a file.
fn formula(text: &str) -> Option<Result<DelayPmf, String>> {
    let refuse = || ACCEPTED.to_owned();
    if let Some(range) = text.strip_prefix("uniform:") {
        let Some((low, high)) = range_of(range) else { return Some(Err(refuse())) };
        Some(DelayPmf::uniform(low, high).map_err(|error| error.to_string()))
    } else {
        let ratio: Result<f64, _> = text.strip_prefix("geometric:")?.parse();
        Some(ratio.map_err(|_| refuse()).and_then(|q| DelayPmf::geometric(q).map_err(|error| error.to_string())))
    }
}

/// The ends of `FIRST..=LAST`, `FIRST..END` or a single delay, where they are in their order and not too long.
fn range_of(text: &str) -> Option<(usize, usize)> {
    let whole = |text: &str| text.trim().parse::<usize>().ok().filter(|delay| *delay <= LONGEST as usize);
    let (low, high) = match text.split_once("..") {
        None => (whole(text)?, whole(text)?),
        Some((first, last)) => match last.strip_prefix('=') {
            Some(last) => (whole(first)?, whole(last)?),
            None => (whole(first)?, whole(last)?.checked_sub(1)?),
        },
    };
    (low <= high).then_some((low, high))
}

/// Reads a delay histogram: a table with a column `delay` and a column `probability` or `count`.
fn read_histogram(file: &FileSpec) -> Result<DelayPmf, String> {
    let columns = file.read()?;
    let shown = columns.shown();
    let no_histogram = |lacks: &str| format!("no column {lacks}, but {shown}; recorded delays are trace:FILE");
    let delay = columns.of("delay").ok_or_else(|| no_histogram("delay"))?;
    let (weight, counted) = match (columns.of("probability"), columns.of("count")) {
        (Some(column), _) => (column, false),
        (None, Some(column)) => (column, true),
        (None, None) => return Err(no_histogram("probability or count")),
    };
    // The table of delays that a sweep writes has one histogram for each of its cells.
    if let Some(cells) = columns.of("cell_id") {
        let mut ids = columns.column(cells).map(|(_, id)| id);
        let first = ids.next();
        if let Some(other) = ids.find(|id| Some(*id) != first) {
            let first = first.unwrap_or_default();
            return Err(format!("histograms of several cells, {first} and {other}; accepted: one of them alone"));
        }
    }
    let mut weights: Vec<f64> = vec![];
    for ((line, delay), (_, weight)) in columns.column(delay).zip(columns.column(weight)) {
        let index = whole(delay, LONGEST)
            .ok_or_else(|| format!("line {line}: delay '{delay}' is not a whole number up to {LONGEST}"))?
            as usize;
        let value: f64 = weight
            .parse()
            .ok()
            .filter(|value: &f64| *value >= 0.0 && value.is_finite())
            .ok_or_else(|| format!("line {line}: '{weight}' is not a number that is at least 0"))?;
        if weights.len() <= index {
            weights.resize(index + 1, 0.0);
        }
        weights[index] += value;
    }
    let pmf = if counted { DelayPmf::from_counts(&weights) } else { DelayPmf::new(weights) };
    pmf.map_err(|error| error.to_string())
}

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
    pub fn new(pmf: DelayPmf) -> Result<Self, String> {
        if pmf.longest() > LONGEST as usize {
            let longest = pmf.longest();
            return Err(format!("its longest delay is {longest}; accepted: up to {LONGEST} updates"));
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
    pub fn geometric(mean: u32) -> Result<Self, String> {
        let ratio = f64::from(mean) / (f64::from(mean) + 1.0);
        let mut weights = vec![];
        let mut tail = 1.0;
        while tail >= TAIL {
            if weights.len() > LONGEST as usize {
                let most = (f64::from(LONGEST) / -TAIL.ln()) as u32;
                return Err(format!("its delays exceed {LONGEST} updates; accepted: delays up to {most}"));
            }
            weights.push(tail);
            tail *= ratio;
        }
        Self::new(DelayPmf::from_counts(&weights).map_err(|error| error.to_string())?)
    }

    /// Every delay from 0 to `2 mean`, equally likely.
    ///
    /// # Errors
    /// A delay above [`LONGEST`].
    pub fn uniform(mean: u32) -> Result<Self, String> {
        Self::new(DelayPmf::uniform(0, 2 * mean as usize).map_err(|error| error.to_string())?)
    }

    pub fn pmf(&self) -> &DelayPmf {
        &self.pmf
    }

    /// Longest delay of positive probability, updates.
    pub fn longest(&self) -> u32 {
        self.pmf.longest() as u32
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        let share: f64 = rng.random();
        self.cumulative.partition_point(|cumulative| *cumulative <= share) as u32
    }
}

impl DelayProcess for Iid {
    type Spec = IidSpec;
    type Source = IidSource;

    fn slots(&self) -> u32 {
        self.longest() + 1
    }

    fn workers(&self) -> Option<u32> {
        None
    }

    fn fixed(&self) -> Option<u32> {
        let possible = self.pmf.probabilities().iter().filter(|p| **p > 0.0).count();
        (possible == 1).then(|| self.longest())
    }

    fn is_drawn(&self) -> bool {
        true
    }

    fn mean_delay(&self) -> f64 {
        self.pmf.mean()
    }

    fn law(&self) -> Option<DelayLaw> {
        Some(DelayLaw::Independent((*self.pmf).clone()))
    }

    fn source(&self, _: &mut ChaCha8Rng) -> IidSource {
        IidSource { iid: self.clone(), ring: Ring::new(self.slots()) }
    }
}

#[derive(Clone, Debug)]
pub struct IidSource {
    iid: Iid,
    ring: Ring,
}

impl SlotSource for IidSource {
    fn next(&mut self, _: u64, rng: &mut ChaCha8Rng) -> Slots {
        self.ring.next(self.iid.draw(rng))
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
        let error = Iid::geometric(60_000).unwrap_err();
        assert_eq!(error, "its delays exceed 1000000 updates; accepted: delays up to 48254");
        assert!(Iid::geometric(48_254).is_ok());
        assert!(Iid::uniform(500_001).unwrap_err().contains("1000002"));
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
        assert_eq!(iid.fixed(), None);
        assert_eq!(Iid::new(DelayPmf::new(vec![0.0, 0.0, 1.0]).unwrap()).unwrap().fixed(), Some(2));
    }
}
