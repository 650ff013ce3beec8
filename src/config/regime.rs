//! The grammar of `--regime`, and what it means in steps.
//!
//! Not here: the learning rate of a step ([`crate::rule::regime`]).

use crate::rule::regime::{LearningRate, Regime, RegimeClock};
use crate::text::as_text;
use crate::text::counted;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `--regime`, in epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RegimeSpec {
    Constant,
    /// Times `factor` after each of these epochs, which rise from at least 1.
    Steps {
        factor: f64,
        after: Vec<u64>,
        clock: RegimeClock,
    },
    Cosine {
        clock: RegimeClock,
    },
}
as_text!(RegimeSpec);

/// Follows a regime that counts from the end of the warm-up.
const AFTER_WARM_UP: &str = ":after-warm-up";

impl RegimeSpec {
    /// Where its epochs are counted from; none for one that counts no epochs.
    pub fn clock(&self) -> Option<RegimeClock> {
        match self {
            Self::Constant => None,
            Self::Steps { clock, .. } | Self::Cosine { clock } => Some(*clock),
        }
    }

    /// Itself and the warm-up, as tables say it.
    pub fn with_warm_up(&self, epochs: u64) -> String {
        match (epochs, self.clock()) {
            (0, _) => self.to_string(),
            (_, Some(RegimeClock::Start)) => {
                format!("{self} from the start with {} of warm-up", counted(epochs, "epoch"))
            }
            _ => format!("{self} with {} of warm-up", counted(epochs, "epoch")),
        }
    }

    /// The learning rate of a run of `epochs` epochs that rises for `warm_up` of them; `steps`: those after which so many epochs
    /// are over.
    pub fn learning_rate(&self, base: f64, epochs: u64, warm_up: u64, steps: impl Fn(u64) -> u64) -> LearningRate {
        let regime = match self {
            Self::Constant => Regime::Constant,
            Self::Steps { factor, after, .. } => {
                Regime::Steps { factor: *factor, at: after.iter().map(|epoch| steps(*epoch)).collect() }
            }
            Self::Cosine { clock: RegimeClock::Start } => Regime::Cosine { steps: steps(epochs) },
            Self::Cosine { clock: RegimeClock::WarmUp } => Regime::Cosine { steps: steps(epochs) - steps(warm_up) },
        };
        LearningRate { base, regime, warm_up: steps(warm_up), clock: self.clock().unwrap_or_default() }
    }
}

impl FromStr for RegimeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "accepted: constant, cosine, or steps:FACTOR@EPOCH/EPOCH/... with a positive factor and rising epochs \
                                from 1; the last two may end in :after-warm-up";
        let (text, clock) = match text.strip_suffix(AFTER_WARM_UP) {
            Some("constant") => return Err(ACCEPTED.into()),
            Some(text) => (text, RegimeClock::WarmUp),
            None => (text, RegimeClock::Start),
        };
        let steps = |detail: &str| {
            let (factor, after) = detail.split_once('@')?;
            let factor: f64 = factor.parse().ok().filter(|factor: &f64| *factor > 0.0 && factor.is_finite())?;
            let after: Vec<u64> = after.split('/').map(|epoch| epoch.parse().ok()).collect::<Option<_>>()?;
            let rises = after[0] >= 1 && after.windows(2).all(|pair| pair[0] < pair[1]);
            rises.then_some(Self::Steps { factor, after, clock })
        };
        match (text, text.strip_prefix("steps:")) {
            ("constant", _) => Ok(Self::Constant),
            ("cosine", _) => Ok(Self::Cosine { clock }),
            (_, Some(detail)) => steps(detail).ok_or_else(|| ACCEPTED.into()),
            _ => Err(ACCEPTED.into()),
        }
    }
}

impl fmt::Display for RegimeSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant")?,
            Self::Cosine { .. } => f.write_str("cosine")?,
            Self::Steps { factor, after, .. } => {
                let after: Vec<String> = after.iter().map(u64::to_string).collect();
                write!(f, "steps:{factor}@{}", after.join("/"))?;
            }
        }
        f.write_str(if self.clock() == Some(RegimeClock::WarmUp) { AFTER_WARM_UP } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regimes_are_typed_in_epochs_and_run_in_steps() {
        for text in [
            "constant",
            "cosine",
            "cosine:after-warm-up",
            "steps:0.1@30",
            "steps:0.5@1/2/7",
            "steps:0.5@1/2:after-warm-up",
        ] {
            assert_eq!(text.parse::<RegimeSpec>().unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "step:0.1@3",
            "steps:0.1",
            "steps:0@3",
            "steps:inf@3",
            "steps:0.1@0",
            "steps:0.1@3/3",
            "steps:0.1@",
            "constant:after-warm-up",
            "cosine:after",
        ];
        for text in wrong {
            assert!(text.parse::<RegimeSpec>().unwrap_err().contains("accepted: constant, cosine"), "{text}");
        }
        // Four epochs of three steps: after the second the factor holds, and the first warms up.
        let regime: RegimeSpec = "steps:0.5@2".parse().unwrap();
        let rate = regime.learning_rate(0.6, 4, 1, |epochs| 3 * epochs);
        let seen: Vec<f64> = (0..8).map(|step| (rate.at(step) * 1e9).round() / 1e9).collect();
        assert_eq!(seen, [0.2, 0.4, 0.6, 0.6, 0.6, 0.6, 0.3, 0.3]);
        let rate = "cosine".parse::<RegimeSpec>().unwrap().learning_rate(1.0, 4, 0, |epochs| 3 * epochs);
        assert_eq!((rate.at(0), (rate.at(6) * 1e9).round(), rate.at(12)), (1.0, 0.5e9, 0.0));
    }

    /// Oracle: schedulers of PyTorch, in `tests/data/regimes.py`.
    #[test]
    fn regimes_and_warm_ups_have_the_learning_rates_of_pytorch() {
        let mut regimes = 0;
        for line in include_str!("../../tests/data/regimes.csv").lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let [regime, base, epochs, warm_up, steps, rates] = cells[..] else { panic!("{line}") };
            let [epochs, warm_up, steps] = [epochs, warm_up, steps].map(|number| number.parse().unwrap());
            let regime: RegimeSpec = regime.parse().unwrap();
            let rate = regime.learning_rate(base.parse().unwrap(), epochs, warm_up, |epochs| epochs * steps);
            let expected: Vec<f64> = rates.split(' ').map(|rate| rate.parse().unwrap()).collect();
            assert_eq!(expected.len() as u64, epochs * steps, "{line}");
            for (step, expected) in expected.into_iter().enumerate() {
                // PyTorch multiplies its way from step to step.
                assert!(
                    (rate.at(step as u64) - expected).abs() < 1e-12,
                    "{line}: step {step}, {}",
                    rate.at(step as u64)
                );
            }
            regimes += 1;
        }
        assert_eq!(regimes, 12);
    }
}
