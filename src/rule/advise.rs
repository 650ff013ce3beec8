//! From a recipe that works to one that keeps the same minima at another delay.
//!
//! A minimum of curvature `lambda` is accessible to a recipe iff `lr lambda < K*`. Two recipes share their accessible
//! minima iff `lr / K*` is the same for both, so a change of rule and delay asks for `lr1 = lr0 K1* / K0*`. What it
//! costs is speed along directions too flat to be limited by stability: there the weights move by the effective
//! learning rate `lr N(1)/D'(1)` times the gradient, per update.

use super::{Rule, RuleKind};
use crate::theory::{self, Criterion, DelayLaw, TheoryError};

/// A rule, its learning rate and the delays it runs under.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub rule: Rule,
    pub lr: f64,
    pub law: DelayLaw,
}

/// What to run instead of a recipe, under other delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// Threshold gain of the given recipe.
    pub threshold_gain: f64,
    /// The recipe reaches minima of curvature below this: `threshold_gain / lr`.
    pub accessible_curvature: f64,
    /// Learning rate times how far a constant gradient moves the weights per update.
    pub effective_lr: f64,
    /// What would remain accessible to the same rule and learning rate under the new delays; `None` where the rule has
    /// no threshold there.
    pub unchanged_curvature: Option<f64>,
    pub choices: Vec<Choice>,
}

/// One way to run under the new delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub kind: ChoiceKind,
    pub rule: Rule,
    /// What to set, or why the theory cannot say.
    pub setting: Result<Setting, TheoryError>,
}

/// How a choice relates to the given recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceKind {
    SameRule,
    MomentumOff,
    /// One velocity on the server, as an exponential moving average.
    Ema,
    /// One velocity per worker, as an exponential moving average.
    ShiftedEma,
}

/// A learning rate that keeps the accessible minima, and what comes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub lr: f64,
    /// As in [`Advice`].
    pub effective_lr: f64,
    pub threshold_gain: f64,
    /// `K1* / K0*`, which is also `lr1 / lr0`.
    pub gain_ratio: f64,
    /// Effective learning rate over the given recipe's: progress per update along flat directions.
    pub progress: f64,
}

impl Advice {
    /// The setting of the choice of that kind, where there is one.
    pub fn setting(&self, kind: ChoiceKind) -> Option<Setting> {
        let choice = self.choices.iter().find(|choice| choice.kind == kind)?;
        choice.setting.clone().ok()
    }

    /// Effective learning rate of the same rule over that with momentum off: below 1 momentum hurts.
    pub fn worth_of_momentum(&self) -> Option<f64> {
        let same = self.setting(ChoiceKind::SameRule)?;
        let plain = self.setting(ChoiceKind::MomentumOff)?;
        Some(same.effective_lr / plain.effective_lr)
    }
}

/// The choices under the delays `to` that keep the minima accessible to `recipe`, in the sense of `criterion`.
///
/// `momentum` is that of the EMA choices.
///
/// # Errors
/// A recipe without a threshold, a learning rate that is not positive and finite, or numbers beyond those of f64.
pub fn advise(recipe: &Recipe, to: &DelayLaw, criterion: Criterion, momentum: f64) -> Result<Advice, TheoryError> {
    if !(recipe.lr > 0.0 && recipe.lr.is_finite()) {
        return Err(TheoryError::LearningRate(recipe.lr));
    }
    let equation = recipe.rule.known_equation(&recipe.law)?;
    let in_range = TheoryError::in_range;
    let given = in_range(theory::threshold(&equation, criterion)?.gain)?;
    let effective_lr = in_range(recipe.lr * equation.effective_factor())?;
    let accessible_curvature = in_range(given / recipe.lr)?;
    let ema = Rule::new(RuleKind::HeavyBall, momentum, momentum);
    let shifted = Rule::new(RuleKind::Shifted, momentum, momentum);
    let candidates = [
        (ChoiceKind::SameRule, recipe.rule),
        (ChoiceKind::MomentumOff, Rule::SGD),
        (ChoiceKind::Ema, ema),
        (ChoiceKind::ShiftedEma, shifted),
    ];
    let choices: Vec<Choice> = candidates
        .into_iter()
        .filter(|(kind, rule)| *kind == ChoiceKind::SameRule || *rule != recipe.rule)
        .map(|(kind, rule)| {
            let setting = || {
                let equation = rule.known_equation(to)?;
                let threshold_gain = in_range(theory::threshold(&equation, criterion)?.gain)?;
                let gain_ratio = in_range(threshold_gain / given)?;
                let lr = in_range(recipe.lr * gain_ratio)?;
                let effective = in_range(lr * equation.effective_factor())?;
                let progress = in_range(effective / effective_lr)?;
                Ok(Setting { lr, effective_lr: effective, threshold_gain, gain_ratio, progress })
            };
            Choice { kind, rule, setting: setting() }
        })
        .collect();
    let unchanged = choices[0].setting.as_ref().ok().map(|setting| setting.threshold_gain / recipe.lr);
    let unchanged = unchanged.filter(|curvature| curvature.is_normal());
    Ok(Advice { threshold_gain: given, accessible_curvature, effective_lr, unchanged_curvature: unchanged, choices })
}
