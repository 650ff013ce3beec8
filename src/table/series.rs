//! Series: rows that belong together, and what they are called. No drawing here.

use super::number::significant;
use crate::rule::RuleSpec;
use std::collections::HashMap;

/// Rows of a table that one line joins, from left to right.
#[derive(Clone, Debug)]
pub struct Series<'a, R> {
    pub name: String,
    pub rows: Vec<&'a R>,
}

/// Puts rows with the same key into one series, in order of first appearance, each sorted by `abscissa`; equal ones keep
/// their order. Names round, keys must not: what belongs together is decided by what the table says. The name of a series
/// is made of its key and its first row in the table.
pub fn grouped<'a, R>(
    keyed: impl IntoIterator<Item = (String, &'a R)>,
    name: impl Fn(&str, &R) -> String,
    abscissa: impl Fn(&R) -> f64,
) -> Vec<Series<'a, R>> {
    let mut all: Vec<Series<'a, R>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (key, row) in keyed {
        let place = *places.entry(key).or_insert_with_key(|key| {
            all.push(Series { name: name(key, row), rows: vec![] });
            all.len() - 1
        });
        all[place].rows.push(row);
    }
    all.iter_mut().for_each(|series| series.rows.sort_by(|a, b| abscissa(a).total_cmp(&abscissa(b))));
    all
}

/// Something that a table may vary, in words; `None` where there is nothing to say.
pub type Property<R> = fn(&R) -> Option<String>;

/// Whether all rows have the same to say.
pub fn is_constant<'a, R: 'a>(rows: impl IntoIterator<Item = &'a R>, property: Property<R>) -> bool {
    let mut rows = rows.into_iter();
    let first = rows.next().map(property);
    rows.all(|row| Some(property(row)) == first)
}

/// The distinct ones, in order of first appearance.
pub fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    values.into_iter().fold(vec![], |mut all, value| {
        if !all.contains(&value) {
            all.push(value);
        }
        all
    })
}

/// At most `count` of `all`, evenly, with the first and the last.
pub fn evenly<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    if all.len() <= count {
        return all.to_vec();
    }
    (0..count).map(|i| all[i * (all.len() - 1) / (count - 1).max(1)].clone()).collect()
}

/// A rule with its numbers, as short as it can be told: `sgd`, `heavy-ball m=0.9`, `shifted m=0.9 ema`. A momentum of 0 is
/// told where the rule usually has one.
pub fn rule_name(rule: &str, momentum: f64, dampening: f64) -> String {
    let usual = rule.parse::<RuleSpec>().ok().and_then(|spec| spec.kind.definition().momentum);
    let mut name = rule.to_owned();
    if momentum != 0.0 || usual.is_some_and(|usual| usual.momentum != 0.0) {
        name += &format!(" m={}", significant(momentum, 6));
    }
    if dampening == momentum && momentum > 0.0 {
        name += " ema";
    } else if dampening != 0.0 {
        name += &format!(" d={}", significant(dampening, 6));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_one_key_are_a_series_even_where_names_round() {
        let rows =
            [("a", 0.123_456_71, 2.0), ("b", 0.123_456_74, 1.0), ("c", 0.123_456_71, 1.0), ("d", 0.123_456_71, 2.0)];
        let keyed = rows.iter().map(|row| (row.1.to_string(), row));
        let series = grouped(keyed, |_, row| significant(row.1, 6), |row| row.2);
        let told: Vec<(&str, Vec<&str>)> =
            series.iter().map(|one| (one.name.as_str(), one.rows.iter().map(|row| row.0).collect())).collect();
        assert_eq!(told, [("0.123457", vec!["c", "a", "d"]), ("0.123457", vec!["b"])]);
    }

    #[test]
    fn what_is_shown_of_many_has_both_ends() {
        assert_eq!(evenly(&[1, 2, 3], 3), [1, 2, 3]);
        assert_eq!(evenly(&(0..=100).collect::<Vec<_>>(), 3), [0, 50, 100]);
        assert_eq!(evenly(&(0..100_000).collect::<Vec<_>>(), 12).len(), 12);
        assert_eq!(distinct([2, 1, 2, 3, 1]), [2, 1, 3]);
    }

    #[test]
    fn rules_are_named_by_what_tells_them_apart() {
        assert_eq!(rule_name("sgd", 0.0, 0.0), "sgd");
        assert_eq!(rule_name("heavy-ball", 0.9, 0.0), "heavy-ball m=0.9");
        assert_eq!(rule_name("heavy-ball", 0.9, 0.9), "heavy-ball m=0.9 ema");
        assert_eq!(rule_name("shifted", 0.9, 0.9), "shifted m=0.9 ema");
        assert_eq!(rule_name("nesterov", 0.9, 0.5), "nesterov m=0.9 d=0.5");
        assert_eq!(rule_name("heavy-ball", 0.0, 0.0), "heavy-ball m=0");
        assert_eq!(rule_name("rennala:2", 0.0, 0.0), "rennala:2");
        assert_eq!(rule_name("gap-aware", 0.0, 0.0), "gap-aware");
        assert_eq!(rule_name("gap-aware", 0.5, 0.0), "gap-aware m=0.5");
    }
}
