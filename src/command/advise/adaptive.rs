//! What other values of beta1, other rules of Adam's kind and extrapolated updates tolerate at a delay, beside a recipe of that kind:
//! numbers of theory with a frozen second moment.
//!
//! Not here: the equation ([`Rule::known_equation`]), nor which option is recommended ([`crate::rule::advise()`]).

use super::Target;
use crate::command::shown::{Column, Worth, fitted};
use crate::rule::{Advice, Modifiers, Rule, RuleKind, by_theory};
use crate::table::number::{percent, significant};
use crate::theory::Criterion;
use serde::Serialize;

/// Values of beta1 that are shown beside the recipe's.
const BETAS: [f64; 5] = [0.0, 0.5, 0.9, 0.95, 0.99];

/// Weights A of `--extrapolate` that are tried around the recipe's rule; the one that tolerates most is shown.
const EXTRAPOLATIONS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// A rule at the delay to move to.
#[derive(Debug, Serialize)]
pub struct Tolerance {
    rule: String,
    beta1: f64,
    /// Limit of lr x preconditioned sharpness.
    threshold_gain: f64,
    /// That over the recipe's at the recipe's delay.
    share_kept: f64,
    /// The learning rate that is as far from its limit as the recipe's.
    lr: f64,
}

/// Every rule and beta1 that has a threshold under the delays, bare and with the extrapolation that helps it most, if one does; the one
/// that tolerates most first. Empty for other recipes.
pub fn tolerances(rule: &Rule, target: &Target, criterion: Criterion, advice: &Advice) -> Vec<Tolerance> {
    let (true, Ok(law)) = (rule.is_preconditioned(), &target.law) else { return Vec::new() };
    let mut betas = BETAS.to_vec();
    if !betas.contains(&rule.momentum) {
        betas.push(rule.momentum);
    }
    let gain = |rule: &Rule| by_theory(rule, law, criterion).ok().map(|known| known.gain);
    let mut rows: Vec<Tolerance> = Vec::new();
    let mut show = |rule: &Rule, threshold_gain: f64| {
        let share_kept = threshold_gain / advice.from.threshold_gain;
        let Rule { kind, momentum: beta1, modifiers: Modifiers { extrapolate, .. }, .. } = *rule;
        let modifiers = Modifiers { extrapolate, ..Modifiers::default() };
        rows.push(Tolerance {
            rule: format!("{kind}{modifiers}"),
            beta1,
            threshold_gain,
            share_kept,
            lr: advice.from.lr * share_kept,
        });
    };
    for kind in kinds(rule) {
        for beta1 in &betas {
            let number = if kind == rule.kind { rule.number } else { Rule::new(kind, 0.0, 0.0).number };
            let bare = Rule { number, ..Rule::new(kind, *beta1, *beta1) };
            let Some(bare_gain) = gain(&bare) else { continue };
            show(&bare, bare_gain);
            let ahead = EXTRAPOLATIONS.map(|weight| {
                let modifiers = Modifiers { extrapolate: Some(weight), ..Modifiers::default() };
                Rule { modifiers, ..bare }
            });
            let best = ahead.iter().filter_map(|rule| Some((rule, gain(rule)?))).max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((rule, gain)) = best.filter(|(_, gain)| *gain > bare_gain) {
                show(rule, gain);
            }
        }
    }
    rows.sort_by(|a, b| b.threshold_gain.total_cmp(&a.threshold_gain));
    rows
}

/// Adam and NAdam, with the weight decay where the recipe has it.
fn kinds(rule: &Rule) -> [RuleKind; 2] {
    if rule.has_decoupled_decay() { [RuleKind::AdamW, RuleKind::NAdamW] } else { [RuleKind::Adam, RuleKind::NAdam] }
}

/// The table for people; empty where there are no rows.
pub fn as_text(rows: &[Tolerance], delay: &str, width: Option<usize>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    fn short(number: f64) -> String {
        significant(number, 3)
    }
    let columns = vec![
        Column::new("rule", Worth::Needed, |one: &Tolerance| one.rule.clone()),
        Column::new("beta1", Worth::Result, |one: &Tolerance| one.beta1.to_string()),
        Column::new("threshold_gain", Worth::Evidence, |one: &Tolerance| short(one.threshold_gain)),
        Column::new("kept", Worth::Result, |one: &Tolerance| percent(one.share_kept, 3)),
        Column::new("lr", Worth::Needed, |one: &Tolerance| short(one.lr)),
    ];
    let table = fitted(rows, columns, width, "--json has all");
    let extrapolations = EXTRAPOLATIONS.map(|weight| weight.to_string()).join(", ");
    format!(
        "\nOf the learning rates that your recipe tolerates, {delay} these remain (lr x preconditioned sharpness, and the learning rate \
         that is as far from its limit as yours; of +extrapolate=A the best of A {extrapolations}):\n{table}\n"
    )
}
