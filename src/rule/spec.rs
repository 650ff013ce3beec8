//! A rule as it is typed: its name, its numbers, what is put around it.
//!
//! Not here: what numbers mean to a rule (its own file), nor the grammar of what is put around it ([`super::modifiers`]).

use super::{Modifiers, Rule, RuleKind};
use std::fmt;
use std::str::FromStr;

/// A rule's own number.
#[derive(Clone, Copy, Debug)]
pub struct RuleNumber {
    pub usual: f64,
    /// What it is and which values are accepted, for help and errors.
    pub meaning: &'static str,
    pub accepts: fn(f64) -> bool,
    /// Words that may be typed instead, each kept as a number that `accepts` refuses.
    pub words: &'static [(&'static str, f64)],
    pub second: Option<SecondNumber>,
}

/// A number that may be typed behind the first and a slash.
#[derive(Clone, Copy, Debug)]
pub enum SecondNumber {
    /// Must be there, if the first is no word.
    Needed(fn(f64) -> bool),
    /// May be left out.
    Usual(f64, fn(f64) -> bool),
}

impl RuleNumber {
    /// One number without words.
    pub const fn one(usual: f64, meaning: &'static str, accepts: fn(f64) -> bool) -> Self {
        Self { usual, meaning, accepts, words: &[], second: None }
    }

    /// The number that was typed, and the second one.
    fn parse(&self, text: &str) -> Option<(f64, Option<f64>)> {
        let typed = |text: &str, accepts: fn(f64) -> bool| {
            text.parse().ok().filter(|number: &f64| number.is_finite() && accepts(*number))
        };
        let word = |text: &str| self.words.iter().find(|(word, _)| *word == text).map(|(_, number)| *number);
        let first = |text: &str| word(text).or_else(|| typed(text, self.accepts));
        match self.second {
            None => Some((first(text)?, None)),
            Some(SecondNumber::Needed(second)) => {
                if let Some(number) = word(text) {
                    return Some((number, None));
                }
                let (one, other) = text.split_once('/')?;
                Some((typed(one, self.accepts)?, Some(typed(other, second)?)))
            }
            Some(SecondNumber::Usual(usual, second)) => {
                if let Some(number) = first(text) {
                    return Some((number, None));
                }
                let (one, other) = text.rsplit_once('/')?;
                // The usual one is not written.
                Some((first(one)?, Some(typed(other, second)?).filter(|number| *number != usual)))
            }
        }
    }
}

/// `--rules`: a name and, where the rule has one, a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleSpec {
    pub kind: RuleKind,
    pub number: Option<f64>,
    pub second_number: Option<f64>,
    pub modifiers: Modifiers,
}

impl RuleSpec {
    /// The rule with this momentum and dampening, as they are.
    pub fn with(self, momentum: f64, dampening: f64) -> Rule {
        let Self { kind, number, second_number, modifiers } = self;
        Rule { kind, momentum, dampening, number, second_number, modifiers }
    }
}

impl FromStr for RuleSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A plus may also stand in an exponent.
        let ends = text.match_indices('+').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(char::is_alphabetic));
        if let Some(end) = ends {
            let spec: Self = text[..end].parse()?;
            let modifiers = Modifiers::parse(text[end + 1..].trim().split('+'))?;
            modifiers.suit(spec.kind)?;
            return Ok(Self { modifiers, ..spec });
        }
        let (name, number) = match text.trim().split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text.trim(), None),
        };
        let kind: RuleKind = name.parse()?;
        match (kind.definition().number, number) {
            (_, None) => Ok(Self::from(kind)),
            (None, Some(number)) => Err(format!("'{number}': {name} has no number; accepted: {name}")),
            (Some(own), Some(text)) => {
                let form = match own.second {
                    None => "NUMBER",
                    Some(SecondNumber::Needed(_)) => "NUMBER/NUMBER",
                    Some(SecondNumber::Usual(..)) => "NUMBER or NUMBER/NUMBER",
                };
                let accepted = || format!("'{text}'; accepted: {name}:{form}, {}", own.meaning);
                let (number, second_number) = own.parse(text).ok_or_else(accepted)?;
                let usual = Self::from(kind);
                // A word is not written where it is the usual one.
                let named = number == own.usual && second_number.is_none() && usual.number.is_none();
                Ok(if named {
                    usual
                } else {
                    Self { kind, number: Some(number), second_number, modifiers: Modifiers::default() }
                })
            }
        }
    }
}

impl RuleSpec {
    /// Whether the rule's updates depend on the dampening. The velocity of adam, lion, muon and their kin is an average whatever it is.
    pub fn has_dampening(self) -> bool {
        let [without, averaged] = [0.0, 0.9].map(|dampening| self.with(0.9, dampening).probe());
        without != averaged
    }
}

impl fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { kind, number, second_number, modifiers } = self;
        kind.fmt(f)?;
        if let Some(number) = number {
            let words = kind.definition().number.map_or(&[][..], |own| own.words);
            match words.iter().find(|(_, meant)| meant == number) {
                Some((word, _)) => write!(f, ":{word}")?,
                None => write!(f, ":{number}")?,
            }
        }
        if let Some(second) = second_number {
            write!(f, "/{second}")?;
        }
        modifiers.fmt(f)
    }
}

impl From<RuleKind> for RuleSpec {
    /// The rule with its usual number, if it has one.
    fn from(kind: RuleKind) -> Self {
        let own = kind.definition().number;
        let usual = own.filter(|own| own.words.iter().all(|(_, meant)| *meant != own.usual)).map(|own| own.usual);
        Self { kind, number: usual, second_number: None, modifiers: Modifiers::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_whose_velocity_is_an_average_have_no_dampening() {
        let has = |text: &str| text.parse::<RuleSpec>().unwrap().has_dampening();
        assert_eq!(["heavy-ball", "nesterov", "shifted", "mixing"].map(has), [true; 4]);
        assert_eq!(["sgd", "adam", "adamw", "nadam", "lion", "signum", "muon"].map(has), [false; 7]);
    }

    #[test]
    fn a_rule_is_written_as_it_is_read_with_every_number_of_it() {
        for text in [
            "sgd",
            "adam:0.9",
            "prediction-2:1.5/0.75",
            "prediction-2",
            "mixing:age",
            "mixing-adam",
            "mixing-adam:0.5",
            "mixing-adam:0.5/0.9",
            "mixing-adam:1/T/0.9",
            "mixing-adamw:age/0.95+eps=1e-3",
            "mixing-adamw:age",
        ] {
            let spec: RuleSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
            assert_eq!(spec.to_string().parse(), Ok(spec), "{text}");
        }
        // What is usual is not written.
        for (text, short) in [("mixing-adam:1/T", "mixing-adam"), ("mixing-adam:0.5/0.999", "mixing-adam:0.5")] {
            assert_eq!(text.parse::<RuleSpec>().unwrap().to_string(), short);
        }
        for text in ["mixing-adam:1/4", "mixing-adam:0.5/1", "mixing-adam:0/0.9", "prediction-2:3", "mixing:0.5/0.9"] {
            assert!(text.parse::<RuleSpec>().unwrap_err().contains("accepted: "), "{text}");
        }
    }
}
