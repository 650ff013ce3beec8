//! `--stage-delays` and what else is typed for stages: how it is written, and what it is for so many of them.
//!
//! Not here: which parameters a stage holds ([`super::cuts`]), nor what a run makes of it ([`super::steps`]).

use crate::text::as_text;
use crate::text::counted;
use crate::theory::MOMENTA;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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
pub fn slashes<T: ToString>(numbers: &[T]) -> String {
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
                    "{self} with {}: it has {}; accepted: one delay for each stage",
                    counted(stages, "stage"),
                    delays.len()
                ));
            }
        })
    }
}

/// `--stage-lr`: what the learning rate of each stage is multiplied by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StageLr {
    /// 1.
    #[default]
    Same,
    /// 1 / (tau_i + 1).
    InverseDelay,
    /// One number for each stage.
    Each(Vec<f64>),
}
as_text!(StageLr);

impl FromStr for StageLr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Self::Same),
            "inverse-delay" => Ok(Self::InverseDelay),
            text => numbers(text, |factor| factor > 0.0 && factor.is_finite()).map(Self::Each).ok_or_else(|| {
                "accepted: none, inverse-delay (1 / (delay + 1)), or a positive factor for each stage as .25/.5/1"
                    .into()
            }),
        }
    }
}

impl fmt::Display for StageLr {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Same => f.write_str("none"),
            Self::InverseDelay => f.write_str("inverse-delay"),
            Self::Each(factors) => f.write_str(&slashes(factors)),
        }
    }
}

impl StageLr {
    /// The factor of a stage among stages of these delays.
    pub fn at(&self, stage: usize, delays: &[u32]) -> f64 {
        match self {
            Self::Same => 1.0,
            Self::InverseDelay => 1.0 / (f64::from(delays[stage]) + 1.0),
            Self::Each(factors) => factors[stage],
        }
    }

    /// # Errors
    /// Another number of factors than of stages.
    pub fn check(&self, stages: usize) -> Result<(), String> {
        match self {
            Self::Same | Self::InverseDelay => Ok(()),
            Self::Each(factors) => each(self, factors, stages, "factor"),
        }
    }
}

/// `--stage-momentum`: the momentum of each stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StageMomentum {
    /// The rule's.
    #[default]
    Same,
    /// m + min(tau_i / P, 1) (M - m): towards M where the delay is long (AsyncPP's, with M = .99).
    Towards(f64),
    /// One number for each stage.
    Each(Vec<f64>),
}
as_text!(StageMomentum);

impl FromStr for StageMomentum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_momentum = |momentum: f64| MOMENTA.contains(&momentum);
        let found = match (text.trim(), text.trim().strip_prefix("towards:")) {
            ("none", _) => Some(Self::Same),
            (_, Some(number)) => number.trim().parse().ok().filter(|m| is_momentum(*m)).map(Self::Towards),
            (text, None) => numbers(text, is_momentum).map(Self::Each),
        };
        found.ok_or_else(|| {
            "accepted: none, towards:M (m + min(delay / stages, 1) (M - m)), or a momentum for each stage as .9/.8/.5, from 0 to less \
             than 1"
                .into()
        })
    }
}

impl fmt::Display for StageMomentum {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Same => f.write_str("none"),
            Self::Towards(momentum) => write!(f, "towards:{momentum}"),
            Self::Each(momenta) => f.write_str(&slashes(momenta)),
        }
    }
}

impl StageMomentum {
    /// The momentum of a stage among stages of these delays, where the rule's is `momentum`.
    pub fn at(&self, stage: usize, delays: &[u32], momentum: f64) -> f64 {
        match self {
            Self::Same => momentum,
            Self::Towards(most) => {
                let share = f64::from(delays[stage]) / delays.len() as f64;
                momentum + share.min(1.0) * (most - momentum)
            }
            Self::Each(momenta) => momenta[stage],
        }
    }

    /// # Errors
    /// Another number of momenta than of stages.
    pub fn check(&self, stages: usize) -> Result<(), String> {
        match self {
            Self::Same | Self::Towards(_) => Ok(()),
            Self::Each(momenta) => each(self, momenta, stages, "momentum"),
        }
    }
}

/// `--stage-cuts`: which layers stages begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StageCuts {
    /// Those that keep the largest stage small.
    #[default]
    ByParameters,
    /// The names of the first layers of all stages but the first.
    At(Vec<String>),
}
as_text!(StageCuts);

impl FromStr for StageCuts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "parameters" {
            return Ok(Self::ByParameters);
        }
        let names: Vec<String> = text.split('/').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err("accepted: parameters, or the first layer of every stage but the first as 4/8/12".into());
        }
        Ok(Self::At(names))
    }
}

impl fmt::Display for StageCuts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::ByParameters => f.write_str("parameters"),
            Self::At(names) => f.write_str(&names.join("/")),
        }
    }
}

/// A list within one value, of numbers that are all accepted.
fn numbers(text: &str, accepts: impl Fn(f64) -> bool) -> Option<Vec<f64>> {
    text.split('/').map(|number| number.trim().parse().ok().filter(|number| accepts(*number))).collect()
}

/// Whether there is one number for each of so many stages.
fn each(typed: &impl fmt::Display, numbers: &[f64], stages: usize, what: &str) -> Result<(), String> {
    if numbers.len() != stages {
        return Err(format!(
            "{typed} with {}: it has {}; accepted: one {what} for each stage",
            counted(stages, "stage"),
            numbers.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_of_stages_are_typed_and_counted_from_the_first() {
        let of = |text: &str, stages| text.parse::<StageDelays>().unwrap().of(stages);
        assert_eq!(of("pipedream", 4).unwrap(), [3, 2, 1, 0]);
        assert_eq!(of("2bw", 3).unwrap(), [1, 1, 1]);
        assert_eq!(of("spread:3", 7).unwrap(), [3, 2, 2, 1, 1, 0, 0]);
        assert_eq!(of("spread:5", 1).unwrap(), [0]);
        assert_eq!(of("3/0", 2).unwrap(), [3, 0]);
        assert!(of("3/0", 3).unwrap_err().contains("3/0 with 3 stages"));
        for wrong in ["", "pipe", "spread:", "spread:-1", "1/x", "20000"] {
            assert!(wrong.parse::<StageDelays>().unwrap_err().contains("accepted: pipedream"), "{wrong}");
        }
        for text in ["pipedream", "2bw", "spread:4", "3/2/1/0"] {
            assert_eq!(text.parse::<StageDelays>().unwrap().to_string(), text);
        }
    }
}
