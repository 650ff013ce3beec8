//! The order of a sweep's rules, and the one sentence that the page begins with.
//!
//! Rules are ordered as `tauscope compare` orders them: by the median of their ratios to a baseline, over the settings that they share with
//! it. Not here: what a rule's own thresholds say ([`super::answer`]).

use super::SweepSeries;
use crate::compare::thresholds::{Ranked, compare, ranked};
use crate::table::number::significant;
use crate::table::{ThresholdRow, distinct};

/// Medians that differ by less are called the same.
const SAME: f64 = 0.01;

/// Rules from the one that tolerates most, and what to do.
pub struct Ranking {
    /// Places of the series, in the order of their rules.
    pub order: Vec<usize>,
    /// How each of these compares with the baseline: `1.85 x sgd`.
    pub factors: Vec<Option<String>>,
    pub recommendation: String,
}

/// The ranking of `all` series. `rows` are those of the table.
pub fn ranking(rows: &[ThresholdRow], all: &[SweepSeries<'_>]) -> Ranking {
    let names = distinct(rows.iter().map(ThresholdRow::rule_name));
    let plain = rows.iter().filter(|row| !row.has_remedies()).map(ThresholdRow::rule_name).collect::<Vec<_>>();
    let baseline = plain.iter().find(|name| *name == "sgd").or(plain.first()).cloned();
    let comparisons = baseline.as_ref().and_then(|baseline| compare(rows, baseline).ok()).unwrap_or_default();
    let rules = ranked(&comparisons);
    let told = |rule: &Ranked| {
        rule.median.map(|median| format!("{} × {}", significant(median, 3), baseline.as_deref().unwrap_or_default()))
    };
    let order_of: Vec<&str> = match rules.is_empty() {
        true => names.iter().map(String::as_str).collect(),
        false => rules.iter().map(|rule| rule.name.as_str()).collect(),
    };
    let rule_of = |place: &usize| all[*place].rows[0].row.rule_name();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|place| order_of.iter().position(|name| *name == rule_of(place)));
    let factor = |place: &usize| told(rules.iter().find(|rule| rule.name == rule_of(place))?);
    let several = names.len() > 1;
    let factors = order.iter().map(|place| factor(place).filter(|_| several)).collect();
    let recommendation = match (&rules[..], several) {
        ([best, next, ..], true) if best.median.is_some() => {
            among(best, next, baseline.as_deref().unwrap_or_default(), rows)
        }
        _ => limit(rows, names.first().map_or("", String::as_str), several),
    };
    Ranking { order, factors, recommendation }
}

/// The best of several rules.
fn among(best: &Ranked, next: &Ranked, baseline: &str, rows: &[ThresholdRow]) -> String {
    let quantity = best.comparisons[0].quantity.name();
    let limit = at_most(rows, &best.name).map_or(String::new(), |limit| format!("; {limit}"));
    let median = best.median.unwrap_or(1.0);
    let settings = best.comparisons.iter().filter(|one| one.shown_ratio().is_some()).count();
    let over = if settings == 1 { "in 1 setting".into() } else { format!("in the median of {settings} settings") };
    let tie = next.median.is_some_and(|other| median - other <= SAME * median);
    if tie {
        return format!(
            "Use {} or {}: in the median of their settings both tolerate {} times the {quantity} of {baseline}{limit}.",
            best.name,
            next.name,
            significant(median, 3)
        );
    }
    if best.name == baseline {
        return format!("Stay with {baseline}: no other rule here tolerates a larger {quantity}{limit}.");
    }
    format!(
        "Use {}: it tolerates the largest {quantity}, {} times that of {baseline} {over}{limit}.",
        best.name,
        significant(median, 3)
    )
}

/// What a single rule allows, or several that cannot be ordered.
fn limit(rows: &[ThresholdRow], rule: &str, several: bool) -> String {
    let told = at_most(rows, rule);
    match told {
        Some(told) if several => {
            format!("These rules cannot be ordered, as no two share a setting; {told}.")
        }
        Some(told) => format!("{}{}.", told[..1].to_uppercase(), &told[1..]),
        None => "No threshold is measured yet, so there is nothing to recommend.".into(),
    }
}

/// The largest learning rate of a rule that was seen to be stable in every setting at its largest delay.
fn at_most(rows: &[ThresholdRow], rule: &str) -> Option<String> {
    let measured = || rows.iter().filter(|row| row.rule_name() == rule && row.is_measured());
    let largest = measured().filter_map(ThresholdRow::known_delay).reduce(f64::max)?;
    let here = measured().filter(|row| row.known_delay() == Some(largest));
    let stable = here.filter_map(|row| row.lr_stable.or(row.lr_threshold)).reduce(f64::min)?;
    Some(format!(
        "at delay {} keep the learning rate of {rule} at or below {}",
        significant(largest, 4),
        significant(stable, 3)
    ))
}
