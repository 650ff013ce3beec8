//! The order of a sweep's rules, and the one sentence that the page begins with.
//!
//! Rules are ordered as `tauscope compare` orders them: by the median of their ratios to a baseline, over the settings that they share with
//! it; settings that are not measured to the tolerance count for nothing here. Not here: what a rule's own thresholds say ([`super::answer`]).

use super::SweepSeries;
use crate::compare::thresholds::{Ranked, compare, ranked};
use crate::table::number::significant;
use crate::table::{ComparisonStatus, ThresholdRow, distinct};
use crate::text::counted;

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

/// The ranking of `all` series. `rows` are those of the table. Only settings in which a rule and the baseline are both measured to the
/// tolerance count: the bracket of an undecided cell is no threshold.
pub fn ranking(rows: &[ThresholdRow], all: &[SweepSeries<'_>]) -> Ranking {
    let names = distinct(rows.iter().map(ThresholdRow::rule_name));
    let plain = rows.iter().filter(|row| !row.has_remedies()).map(ThresholdRow::rule_name).collect::<Vec<_>>();
    let baseline = plain.iter().find(|name| *name == "sgd").or(plain.first()).cloned();
    let mut comparisons = baseline.as_ref().and_then(|baseline| compare(rows, baseline).ok()).unwrap_or_default();
    comparisons.retain(|one| one.status() == ComparisonStatus::Measured);
    let rules = ranked(&comparisons);
    let told = |rule: &Ranked| {
        rule.median.map(|median| format!("{} × {}", significant(median, 3), baseline.as_deref().unwrap_or_default()))
    };
    // Rules of which nothing is measured come last, in the order of the table.
    let order_of = distinct(rules.iter().map(|rule| rule.name.as_str()).chain(names.iter().map(String::as_str)));
    let rule_of = |place: &usize| all[*place].rows[0].row.rule_name();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|place| order_of.iter().position(|name| *name == rule_of(place)));
    let factor = |place: &usize| told(rules.iter().find(|rule| rule.name == rule_of(place))?);
    let several = names.len() > 1;
    let factors = order.iter().map(|place| factor(place).filter(|_| several)).collect();
    let compared: Vec<&Ranked> = rules.iter().filter(|rule| rule.median.is_some()).collect();
    let recommendation = match compared[..] {
        [best, next, ..] => {
            among(best, next, baseline.as_deref().unwrap_or_default(), rows, names.len() - compared.len())
        }
        _ => limit(rows, &order_of, several),
    };
    Ranking { order, factors, recommendation }
}

/// The best of several rules; `unmeasured` others have no measured setting in common with the baseline.
fn among(best: &Ranked, next: &Ranked, baseline: &str, rows: &[ThresholdRow], unmeasured: usize) -> String {
    let quantity = best.comparisons[0].quantity.name();
    let limit = at_most(rows, &best.name).map_or(String::new(), |limit| format!("; {limit}"));
    let median = best.median.unwrap_or(1.0);
    let settings = |rule: &Ranked| rule.comparisons.iter().filter(|one| one.shown_ratio().is_some()).count();
    let over = |rule: &Ranked| match settings(rule) {
        1 => "in 1 setting".to_owned(),
        count => format!("in the median of {count} settings"),
    };
    let rest = match unmeasured {
        0 => String::new(),
        count => format!(
            " {} cannot be compared, as no setting of {} is measured together with {baseline}.",
            counted(count, "other rule"),
            if count == 1 { "it" } else { "them" }
        ),
    };
    let tie = next.median.is_some_and(|other| median - other <= SAME * median);
    let told = if tie {
        let over = match (settings(best), settings(next)) {
            (1, 1) => "in 1 setting each",
            _ => "in the median of their settings",
        };
        format!(
            "Use {} or {}: {over} both tolerate {} times the {quantity} of {baseline}{limit}.",
            best.name,
            next.name,
            significant(median, 3)
        )
    } else if best.name == baseline {
        format!("Stay with {baseline}: no other rule that was measured tolerates a larger {quantity}{limit}.")
    } else {
        format!(
            "Use {}: it tolerates the largest {quantity}, {} times that of {baseline} {}{limit}.",
            best.name,
            significant(median, 3),
            over(best)
        )
    };
    told + &rest
}

/// What a single rule allows, or several that cannot be ordered.
fn limit(rows: &[ThresholdRow], rules: &[&str], several: bool) -> String {
    let told = rules.iter().find_map(|rule| at_most(rows, rule));
    match told {
        Some(told) if several => {
            format!("These rules cannot be ordered, as no two of them are measured in the same setting; {told}.")
        }
        Some(told) => format!("{}{}.", told[..1].to_uppercase(), &told[1..]),
        None => "No threshold is measured, so there is nothing to recommend.".into(),
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
