//! From a recipe that works to the one to run at other delays.
//!
//! A minimum of curvature `lambda` is accessible to a recipe iff `lr lambda < K*`. Two recipes share their accessible
//! minima iff `lr / K*` is the same for both, so a change of rule and delay asks for `lr1 = lr0 K1* / K0*`. What it
//! costs is speed along directions too flat to be limited by stability: there the weights move by the effective learning
//! rate times the gradient. Of the options that keep the minima, the one with the largest effective learning rate is
//! recommended.
//!
//! *What it is not:* where thresholds come from. They are asked of a function: [`by_theory`], or measurements.

use super::{Rule, RuleKind};
use crate::theory::{self, Criterion, DelayLaw, TheoryError};

/// Share of the threshold that is recommended where there is no recipe to take the share from: far enough from the
/// threshold that an error in the curvature does no harm.
const USUAL_SHARE: f64 = 0.5;

/// An option whose effective learning rate is within this factor of the largest is taken before it where it changes less.
const AS_GOOD: f64 = 0.99;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    pub rule: Rule,
    /// Learning rate of the recipe; none where only a curvature is to be kept.
    pub lr: Option<f64>,
    /// Largest curvature of the minimum that is to be kept, where it is known. Without a learning rate there must be one.
    pub curvature: Option<f64>,
    /// Momentum of the options with momentum.
    pub momentum: f64,
    /// Whether the delays to move to come from workers, which a velocity for each worker needs.
    pub workers: bool,
}

/// The delays under which a threshold is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceDelays {
    /// Those of the recipe.
    From,
    /// Those to move to.
    To,
}

/// What is known of a rule under some delays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownRule {
    /// Threshold gain K*.
    pub gain: f64,
    /// Effective learning rate per unit of learning rate; none where it depends on the size of the gradient.
    pub effective_factor: Option<f64>,
    pub source: ThresholdSource,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdSource {
    Theory,
    Measured,
}

/// What to run under the new delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The given recipe; without a learning rate, the rule at a learning rate that keeps the curvature.
    pub from: Setting,
    /// The recipe reaches minima of curvature below this: `threshold_gain / lr`.
    pub accessible_curvature: f64,
    /// What would remain accessible to the same rule and learning rate under the new delays; `None` where the rule has
    /// no threshold there.
    pub unchanged_curvature: Option<f64>,
    pub choices: Vec<Choice>,
    /// Index of the recommended choice; none where none is available.
    pub best: Option<usize>,
}

/// One way to run under the new delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub kind: ChoiceKind,
    pub rule: Rule,
    /// What to set, or why it cannot be said.
    pub setting: Result<Setting, TheoryError>,
}

/// How a choice relates to the given recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceKind {
    SameRule,
    MomentumOff,
    /// One velocity on the server.
    ServerMomentum,
    /// One velocity per worker.
    WorkerMomentum,
}

/// A learning rate, and what comes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub lr: f64,
    /// How far a constant gradient moves the weights for each gradient that arrives; none where that depends on its size.
    pub effective_lr: Option<f64>,
    pub threshold_gain: f64,
    pub source: ThresholdSource,
    /// `K1* / K0*`, which is also `lr1 / lr0`.
    pub gain_ratio: f64,
    /// Effective learning rate over the given recipe's: progress per update along flat directions.
    pub progress: Option<f64>,
    /// `lr lambda / K*`: below 1 the minimum of the known curvature is kept.
    pub share: Option<f64>,
}

impl Advice {
    /// The setting of the choice of that kind, where there is one.
    pub fn setting(&self, kind: ChoiceKind) -> Option<Setting> {
        let choice = self.choices.iter().find(|choice| choice.kind == kind)?;
        choice.setting.clone().ok()
    }

    /// The recommended choice and its setting.
    pub fn best(&self) -> Option<(&Choice, Setting)> {
        let choice = &self.choices[self.best?];
        Some((choice, choice.setting.clone().ok()?))
    }
}

/// Thresholds in closed form, under the laws of the delays of the recipe and of those to move to. Of rules of Adam's kind those
/// with a frozen second moment, of the preconditioned curvature; how far an update moves the weights is then told per unit of the
/// preconditioned gradient.
///
/// # Errors
/// A rule that has no threshold under the law, or numbers beyond those of f64.
pub fn by_theory(rule: &Rule, law: &DelayLaw, criterion: Criterion) -> Result<KnownRule, TheoryError> {
    let equation = rule.known_equation(law)?;
    let gain = TheoryError::in_range(theory::threshold(&equation, criterion)?.gain)?;
    let effective_factor =
        if rule.is_preconditioned() { Some(equation.effective_factor()) } else { rule.effective_factor(&equation) };
    Ok(KnownRule { gain, effective_factor, source: ThresholdSource::Theory })
}

/// The choices that keep the minima accessible to a recipe, and the one to take. `known` tells what is known of a rule under
/// the delays of the recipe, and under those to move to.
///
/// # Errors
/// A recipe without a threshold, a learning rate or curvature that is not positive and finite, neither of both, or numbers
/// beyond those of f64.
pub fn advise(
    question: &Question,
    known: impl Fn(&Rule, AdviceDelays) -> Result<KnownRule, TheoryError>,
) -> Result<Advice, TheoryError> {
    let in_range = TheoryError::in_range;
    let given = known(&question.rule, AdviceDelays::From)?;
    let lr = match (question.lr, question.curvature) {
        (Some(lr), _) if lr > 0.0 && lr.is_finite() => lr,
        (None, Some(curvature)) if curvature > 0.0 => in_range(USUAL_SHARE * given.gain / curvature)?,
        (lr, _) => return Err(TheoryError::LearningRate(lr.unwrap_or(f64::NAN))),
    };
    let effective = |known: &KnownRule, lr: f64| known.effective_factor.map(|factor| in_range(lr * factor)).transpose();
    let share = |lr: f64, gain: f64| question.curvature.map(|curvature| in_range(lr * curvature / gain)).transpose();
    let from = Setting {
        lr,
        effective_lr: effective(&given, lr)?,
        threshold_gain: given.gain,
        source: given.source,
        gain_ratio: 1.0,
        progress: given.effective_factor.map(|_| 1.0),
        share: share(lr, given.gain)?,
    };
    let choices: Vec<Choice> = candidates(question)
        .into_iter()
        .map(|(kind, rule)| {
            let setting = || {
                let here = known(&rule, AdviceDelays::To)?;
                let gain_ratio = in_range(here.gain / given.gain)?;
                let lr = in_range(lr * gain_ratio)?;
                let effective_lr = effective(&here, lr)?;
                let progress = effective_lr.zip(from.effective_lr).map(|(here, before)| in_range(here / before));
                let (threshold_gain, source) = (here.gain, here.source);
                let (progress, share) = (progress.transpose()?, share(lr, here.gain)?);
                Ok(Setting { lr, effective_lr, threshold_gain, source, gain_ratio, progress, share })
            };
            Choice { kind, rule, setting: setting() }
        })
        .collect();
    let unchanged = choices[0].setting.as_ref().ok().map(|setting| setting.threshold_gain / lr);
    Ok(Advice {
        from,
        accessible_curvature: in_range(given.gain / lr)?,
        unchanged_curvature: unchanged.filter(|curvature| curvature.is_normal()),
        best: best(&choices),
        choices,
    })
}

/// The rules to choose from. One that has the dynamics of another, rescaled, is not listed beside it.
fn candidates(question: &Question) -> Vec<(ChoiceKind, Rule)> {
    let Question { rule, momentum, workers, .. } = *question;
    let plain = if rule.is_preconditioned() { Rule { momentum: 0.0, dampening: 0.0, ..rule } } else { Rule::SGD };
    let mut candidates = vec![(ChoiceKind::SameRule, rule)];
    if rule.momentum > 0.0 || rule.kind.definition().momentum.is_none() && rule != Rule::SGD {
        candidates.push((ChoiceKind::MomentumOff, plain));
    }
    let adaptive = plain != Rule::SGD;
    if momentum == 0.0 || adaptive {
        return candidates;
    }
    let others = [
        (ChoiceKind::ServerMomentum, RuleKind::HeavyBall, true),
        (ChoiceKind::WorkerMomentum, RuleKind::Shifted, workers),
    ];
    for (choice, kind, possible) in others {
        // Dampening only rescales the learning rate of these two.
        if possible && !(rule.kind == kind && rule.momentum == momentum) {
            candidates.push((choice, Rule::new(kind, momentum, momentum)));
        }
    }
    candidates
}

/// The choice with the largest effective learning rate, or an earlier one that is as good. Without effective learning
/// rates that of the same rule.
fn best(choices: &[Choice]) -> Option<usize> {
    let effective = |choice: &Choice| choice.setting.as_ref().ok().and_then(|setting| setting.effective_lr);
    let largest = choices.iter().filter_map(effective).fold(0.0, f64::max);
    let as_good = |choice: &Choice| effective(choice).is_some_and(|effective| effective >= AS_GOOD * largest);
    let first = choices.iter().position(as_good);
    first.or_else(|| choices.iter().position(|choice| choice.setting.is_ok()))
}
