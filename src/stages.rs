//! Pipeline stages: blocks of parameters whose gradients are late by delays of their own.
//!
//! *What it is:* how delays of stages are typed, and the rank-one estimate of their threshold. *What it is not:* which parameters a
//! stage holds; nor the threshold on a whole Hessian, from which that estimate can be far.

use crate::rule::Rule;
use crate::text::as_text;
use crate::theory::{DelayLaw, Equation};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Stages of a pipeline, at most.
pub const MOST_STAGES: usize = 1024;

/// The longest delay of a stage, updates.
const LONGEST: usize = 10_000;

/// `--stage-delays`: how many updates late each of `P` stages is, counted from 0, the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StageDelays {
    /// `P - 1 - i`: every stage works on as many minibatches as there are stages behind it (PipeDream).
    #[default]
    Pipedream,
    /// 1 everywhere: gradients of several minibatches are collected, and two versions of the weights are kept (PipeDream-2BW).
    TwoBuffered,
    /// `floor((P-1-i) D / (P-1))`: from D at the first stage to 0 at the last.
    Spread(usize),
    /// One number for each stage.
    Each(Vec<usize>),
}
as_text!(StageDelays);

const ACCEPTED: &str = "accepted: pipedream, 2bw, spread:D, or a delay for each stage as 3/2/1/0, up to 10000 updates";

impl FromStr for StageDelays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let delay = |text: &str| text.trim().parse().ok().filter(|delay: &usize| *delay <= LONGEST);
        match (text.trim(), text.trim().strip_prefix("spread:")) {
            ("pipedream", _) => Ok(Self::Pipedream),
            ("2bw", _) => Ok(Self::TwoBuffered),
            (_, Some(number)) => delay(number).map(Self::Spread).ok_or_else(|| ACCEPTED.to_owned()),
            (text, None) => {
                text.split('/').map(delay).collect::<Option<_>>().map(Self::Each).ok_or_else(|| ACCEPTED.to_owned())
            }
        }
    }
}

impl fmt::Display for StageDelays {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Pipedream => f.write_str("pipedream"),
            Self::TwoBuffered => f.write_str("2bw"),
            Self::Spread(delay) => write!(f, "spread:{delay}"),
            Self::Each(delays) => f.write_str(&slashes(delays)),
        }
    }
}

/// Numbers as a list within one value.
fn slashes<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("/")
}

impl StageDelays {
    /// The delay of each of so many stages.
    ///
    /// # Errors
    /// Another number of delays than of stages.
    pub fn of(&self, stages: usize) -> Result<Vec<usize>, String> {
        let behind = |stage: usize| stages - 1 - stage;
        Ok(match self {
            Self::Pipedream => (0..stages).map(behind).collect(),
            Self::TwoBuffered => vec![1; stages],
            Self::Spread(delay) => (0..stages).map(|stage| behind(stage) * delay / (stages - 1).max(1)).collect(),
            Self::Each(delays) if delays.len() == stages => delays.clone(),
            Self::Each(delays) => {
                return Err(format!(
                    "--stage-delays {self} with {stages} stages: it has {}; accepted: one delay for each stage",
                    delays.len()
                ));
            }
        })
    }
}

/// `--stage-energies`: the shares of the stages in the top eigenvector's square.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StageEnergies {
    /// The same for all.
    #[default]
    Equal,
    Each(Vec<f64>),
}

/// How far the energies of a list may be from 1 in sum: each is typed with a few digits.
const ROUNDED: f64 = 1e-3;

impl FromStr for StageEnergies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "accepted: equal, or a share for each stage as .5/.3/.2, which sum to 1";
        if text.trim() == "equal" {
            return Ok(Self::Equal);
        }
        let share = |text: &str| text.trim().parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
        let shares: Vec<f64> = text.split('/').map(share).collect::<Option<_>>().ok_or_else(|| ACCEPTED.to_owned())?;
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > ROUNDED {
            return Err(format!("the shares sum to {sum}; {ACCEPTED}"));
        }
        // What was typed is rounded; what is computed with sums to 1.
        Ok(Self::Each(shares.iter().map(|share| share / sum).collect()))
    }
}

impl fmt::Display for StageEnergies {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("equal"),
            Self::Each(shares) => f.write_str(&slashes(shares)),
        }
    }
}

impl StageEnergies {
    /// The share of each of so many stages.
    ///
    /// # Errors
    /// Another number of shares than of stages.
    pub fn of(&self, stages: usize) -> Result<Vec<f64>, String> {
        match self {
            Self::Equal => Ok(vec![1.0 / stages as f64; stages]),
            Self::Each(shares) if shares.len() == stages => Ok(shares.clone()),
            Self::Each(shares) => Err(format!(
                "--stage-energies {self} with {stages} stages: it has {}; accepted: one share for each stage",
                shares.len()
            )),
        }
    }
}

/// The rule's equation for a Hessian with one large eigenvalue, whose eigenvector has the share `energies[i]` of its square in a
/// stage that is `delays[i]` updates late: `1 + K C(z) sum_i p_i z^-tau_i / (z - 1) = 0`. None where the rule has no equation whose
/// gradients are all as late as the delay.
pub fn rank_one(rule: &Rule, delays: &[usize], energies: &[f64]) -> Option<Equation> {
    let longest = delays.iter().copied().max().unwrap_or(0);
    let equation = rule.equation(&DelayLaw::Fixed(longest))?;
    let is_plain = equation.law == DelayLaw::Fixed(longest) && equation.ages.is_empty() && equation.share.is_none();
    // What depends on the delay of a gradient depends on that of its stage.
    let by_age = equation.divisor.is_some() || equation.momentum_every.is_some();
    let ages = delays.iter().copied().zip(energies.iter().copied()).collect();
    (is_plain && !by_age).then_some(Equation { ages, ..equation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleKind;
    use crate::theory::{Criterion, threshold};

    #[test]
    fn delays_of_stages_are_typed_and_counted_from_the_first() {
        let of = |text: &str, stages| text.parse::<StageDelays>().unwrap().of(stages);
        assert_eq!(of("pipedream", 4).unwrap(), [3, 2, 1, 0]);
        assert_eq!(of("2bw", 3).unwrap(), [1, 1, 1]);
        assert_eq!(of("spread:3", 7).unwrap(), [3, 2, 2, 1, 1, 0, 0]);
        assert_eq!(of("spread:5", 1).unwrap(), [0]);
        assert_eq!(of("3/0", 2).unwrap(), [3, 0]);
        assert!(of("3/0", 3).unwrap_err().contains("--stage-delays 3/0 with 3 stages"));
        for wrong in ["", "pipe", "spread:", "spread:-1", "1/x", "20000"] {
            assert!(wrong.parse::<StageDelays>().unwrap_err().contains("accepted: pipedream"), "{wrong}");
        }
        for text in ["pipedream", "2bw", "spread:4", "3/2/1/0"] {
            assert_eq!(text.parse::<StageDelays>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn energies_sum_to_one() {
        let parsed: StageEnergies = ".333/.333/.333".parse().unwrap();
        assert!((parsed.of(3).unwrap().iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!(".5/.4".parse::<StageEnergies>().unwrap_err().contains("sum to 0.9"));
        assert!("-1/2".parse::<StageEnergies>().is_err());
        assert!(parsed.of(2).unwrap_err().contains("one share for each stage"));
    }

    /// Equal energy: .609 at 8 stages where a uniform delay of 7 gives .209, .804 at 6 where one of 5 gives .285.
    #[test]
    fn stages_of_equal_energy_bear_more_than_the_worst_of_them() {
        let at = |delays: &[usize]| {
            let energies = vec![1.0 / delays.len() as f64; delays.len()];
            threshold(&rank_one(&Rule::SGD, delays, &energies).unwrap(), Criterion::Mean).unwrap().gain
        };
        for (stages, staged, uniform) in [(8, 0.609, 0.209), (6, 0.804, 0.285)] {
            let delays: Vec<usize> = (0..stages).rev().collect();
            assert!((at(&delays) / staged - 1.0).abs() < 2e-3, "{}", at(&delays));
            assert!((at(&vec![stages - 1; stages]) / uniform - 1.0).abs() < 2e-3);
        }
        assert!(rank_one(&Rule::new(RuleKind::Mixing, 0.5, 0.0), &[1, 0], &[0.5, 0.5]).is_none());
    }
}
