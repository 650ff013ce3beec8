//! Series: rows that belong together, what they are called and how they look. No drawing here.

use super::scene::Marker;
use crate::rule::RuleSpec;
use plotters::style::RGBColor;
use std::collections::HashMap;

/// Rows of a table that one line joins, from left to right.
#[derive(Clone, Debug)]
pub struct Series<'a, R> {
    pub name: String,
    pub color: RGBColor,
    pub marker: Marker,
    pub rows: Vec<&'a R>,
}

/// The palette of Okabe and Ito, which people with any kind of colour vision can tell apart; its yellow is left out, as
/// it is too faint on white.
pub const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x00, 0x00),
];

/// Puts rows of the same name into one series, in order of first appearance, each sorted by `abscissa`.
pub fn grouped<'a, R>(
    named: impl IntoIterator<Item = (String, &'a R)>,
    abscissa: impl Fn(&R) -> f64,
) -> Vec<Series<'a, R>> {
    let mut all: Vec<Series<'a, R>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, row) in named {
        if let Some(&place) = places.get(&name) {
            all[place].rows.push(row);
        } else {
            // 7 colours and 8 markers have no common divisor: 56 series pass before a pair returns.
            let (color, marker) = (COLORS[all.len() % COLORS.len()], Marker::ALL[all.len() % Marker::ALL.len()]);
            places.insert(name.clone(), all.len());
            all.push(Series { name, color, marker, rows: vec![row] });
        }
    }
    all.iter_mut().for_each(|series| series.rows.sort_by(|a, b| abscissa(a).total_cmp(&abscissa(b))));
    all
}

/// The colour of one of `count` series that share a hue, from dark to light.
pub fn shade(hue: RGBColor, place: usize, count: usize) -> RGBColor {
    let RGBColor(r, g, b) = hue;
    // From 35 % black to 45 % white; alone, the hue itself.
    let lightness = if count > 1 { -0.35 + 0.8 * place as f64 / (count - 1) as f64 } else { 0.0 };
    let goal = if lightness > 0.0 { 255.0 } else { 0.0 };
    let channel = |value: u8| (f64::from(value) + lightness.abs() * (goal - f64::from(value))).round() as u8;
    RGBColor(channel(r), channel(g), channel(b))
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

/// `value` to so many significant digits, without trailing zeros.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits - 1).parse().expect("a formatted number");
    super::axis::label(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn numbers_are_rounded_to_what_can_be_read() {
        assert_eq!(significant(0.621_987_654, 4), "0.622");
        assert_eq!(significant(1234.567, 3), "1230");
        assert_eq!(significant(2e-9, 3), "2e-9");
    }
}
