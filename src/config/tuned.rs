//! Rules as `tauscope tune` takes them: a name, and behind it the numbers that are held.
//!
//! Not here: rules as they are run ([`crate::rule`]), which have all their numbers.

use crate::theory::tuning::{LARGEST_SECOND_HORIZON, LONGEST_HORIZON, TunedRule};
use std::fmt;
use std::str::FromStr;

/// `--rules` of `tauscope tune`.
#[derive(Clone, Debug, PartialEq)]
pub struct TunedRuleSpec {
    text: String,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Rule(TunedRule),
    /// Weight prediction with the delay as its horizon.
    HorizonOfDelay,
    /// Mixing of one result among T, which is also the share `1/(age + 1)` where every age is the delay.
    OverPeriod,
}

impl TunedRuleSpec {
    /// What is tuned at a delay, updates; the mean where delays vary.
    pub fn at(&self, delay: f64) -> TunedRule {
        match self.held {
            Held::Rule(rule) => rule,
            Held::HorizonOfDelay => TunedRule::WeightPrediction(Some(delay)),
            Held::OverPeriod => TunedRule::Mixing { share: 1.0 / (delay + 1.0) },
        }
    }

    /// Whether a result's share depends on its own age.
    pub fn goes_by_age(&self) -> bool {
        self.text == "mixing:age"
    }

    /// The rules, for `--help` and for those who typed another.
    pub fn grammar() -> String {
        "sgd, heavy-ball, nesterov, shifted, weight-prediction[:H] (horizon H, or `delay`), prediction-2[:H1/H2], mixing[:A] (share \
         A above 0 and at most 1, `1/T` or `age`; 1/T)"
            .into()
    }
}

impl FromStr for TunedRuleSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let rule = match (name, number) {
            ("sgd", None) => Held::Rule(TunedRule::Sgd),
            ("heavy-ball", None) => Held::Rule(TunedRule::HeavyBall),
            ("nesterov", None) => Held::Rule(TunedRule::Nesterov),
            ("shifted", None) => Held::Rule(TunedRule::Shifted),
            ("weight-prediction", None) => Held::Rule(TunedRule::WeightPrediction(None)),
            ("weight-prediction", Some("delay")) => Held::HorizonOfDelay,
            ("weight-prediction", Some(number)) => match horizon(number) {
                Some(horizon) => Held::Rule(TunedRule::WeightPrediction(Some(horizon))),
                None => return Err(format!("accepted: `delay`, or a horizon from 0 to {LONGEST_HORIZON} updates")),
            },
            ("prediction-2", None) => Held::Rule(TunedRule::SecondPrediction(None)),
            ("prediction-2", Some(number)) => {
                match number.split_once('/').map(|(a, b)| (horizon(a), second_horizon(b))) {
                    Some((Some(first), Some(second))) => Held::Rule(TunedRule::SecondPrediction(Some([first, second]))),
                    _ => {
                        return Err(format!(
                            "accepted: two horizons H1/H2, H1 from 0 to {LONGEST_HORIZON} updates and H2 from 0 to {LARGEST_SECOND_HORIZON} \
                         updates^2"
                        ));
                    }
                }
            }
            ("mixing", None | Some("1/T" | "age")) => Held::OverPeriod,
            ("mixing", Some(number)) => match number.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0) {
                Some(share) => Held::Rule(TunedRule::Mixing { share }),
                None => return Err("accepted: `1/T`, `age`, or a share above 0 and at most 1".to_owned()),
            },
            ("sgd" | "heavy-ball" | "nesterov" | "shifted", Some(_)) => {
                return Err(format!("accepted: {name}, without a number"));
            }
            _ => return Err(format!("accepted: {}", Self::grammar())),
        };
        Ok(Self { text: text.into(), held: rule })
    }
}

impl fmt::Display for TunedRuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn horizon(text: &str) -> Option<f64> {
    text.parse().ok().filter(|horizon| (0.0..=LONGEST_HORIZON).contains(horizon)).map(f64::abs)
}

fn second_horizon(text: &str) -> Option<f64> {
    text.parse().ok().filter(|horizon| (0.0..=LARGEST_SECOND_HORIZON).contains(horizon)).map(f64::abs)
}
