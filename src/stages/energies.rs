//! `--stage-energies`, and the threshold of stages for a Hessian with one large eigenvalue.
//!
//! Not here: the threshold on a whole Hessian ([`crate::theory::stages`]), from which this estimate can be far.

use super::text::slashes;
use crate::rule::Rule;
use crate::text::counted;
use crate::theory::{DelayLaw, Equation};
use std::fmt;
use std::str::FromStr;

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
                "{self} with {}: it has {}; accepted: one share for each stage",
                counted(stages, "stage"),
                shares.len()
            )),
        }
    }
}

/// The rule's equation for a Hessian with one large eigenvalue, whose eigenvector has the share `energies[i]` of its square in a
/// stage that is `delays[i]` updates late: `1 + K C(z) sum_i p_i z^-tau_i / (z - 1) = 0`. None where the rule has no equation whose
/// gradients are all as late as the delay. Of rules of Adam's kind `K` is lr x preconditioned curvature.
pub fn rank_one(rule: &Rule, delays: &[usize], energies: &[f64]) -> Option<Equation> {
    let longest = delays.iter().copied().max().unwrap_or(0);
    let equation = rule.theory_equation(&DelayLaw::Fixed(longest))?;
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
        // 67.7 of NAdam with beta1 .99 at 2 stages, 2.0 of Adam with .9: the other half of the energy is fresh.
        let adaptive = |kind: RuleKind, beta_1: f64| {
            let equation = rank_one(&Rule::new(kind, beta_1, beta_1), &[1, 0], &[0.5, 0.5]).unwrap();
            threshold(&equation, Criterion::Mean).unwrap().gain
        };
        assert!((adaptive(RuleKind::NAdam, 0.99) / 67.7 - 1.0).abs() < 2e-3, "{}", adaptive(RuleKind::NAdam, 0.99));
        assert!((adaptive(RuleKind::Adam, 0.9) / 2.0 - 1.0).abs() < 3e-2, "{}", adaptive(RuleKind::Adam, 0.9));
        assert!(rank_one(&Rule::new(RuleKind::Mixing, 0.5, 0.0), &[1, 0], &[0.5, 0.5]).is_none());
    }
}
