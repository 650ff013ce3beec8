//! What the table says, sorted into series: which rows belong together, what they are called and how they look. No
//! drawing here.

use super::scene::Marker;
use crate::record::ThresholdRow;
use plotters::style::RGBColor;

/// Rows that one line joins: one rule, in order of delay.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub name: String,
    pub color: RGBColor,
    pub marker: Marker,
    pub rows: Vec<&'a ThresholdRow>,
}

/// The palette of Okabe and Ito, which people with any kind of colour vision can tell apart; its yellow is left out, as
/// it is too faint on white.
const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x00, 0x00),
];

/// Sorts rows into series, in order of first appearance. Rows differ in rule, momentum and dampening, and in whatever
/// else the table varies.
pub fn series(rows: &[ThresholdRow]) -> Vec<Series<'_>> {
    let varying: Vec<Property> = PROPERTIES.into_iter().filter(|property| !is_constant(rows, *property)).collect();
    let mut all: Vec<Series<'_>> = Vec::new();
    for row in rows {
        let rule = rule_name(&row.rule, row.momentum, row.dampening);
        let others = varying.iter().filter_map(|property| property(row));
        let name = std::iter::once(rule).chain(others).collect::<Vec<_>>().join(", ");
        if let Some(series) = all.iter_mut().find(|series| series.name == name) {
            series.rows.push(row);
        } else {
            // 7 colours and 8 markers have no common divisor: 56 series pass before a pair returns.
            let (color, marker) = (COLORS[all.len() % COLORS.len()], Marker::ALL[all.len() % Marker::ALL.len()]);
            all.push(Series { name, color, marker, rows: vec![row] });
        }
    }
    all.iter_mut().for_each(|series| series.rows.sort_by_key(|row| row.delay));
    all
}

/// What all rows share, as one line under the title.
pub fn setting(rows: &[ThresholdRow]) -> String {
    let shared = PROPERTIES.into_iter().filter(|property| is_constant(rows, *property));
    let mut parts: Vec<String> = shared.filter_map(|property| property(&rows[0])).collect();
    if is_constant(rows, |row| Some(row.lambda_max.to_string())) {
        parts.push(format!("largest curvature {}", significant(rows[0].lambda_max, 4)));
    }
    parts.join(" · ")
}

/// A rule with its numbers, as short as it can be told: `sgd`, `heavy-ball m=0.9`, `shifted m=0.9 ema`.
fn rule_name(rule: &str, momentum: f64, dampening: f64) -> String {
    let mut name = rule.to_owned();
    if rule != "sgd" || momentum != 0.0 {
        name += &format!(" m={momentum}");
    }
    if dampening == momentum && momentum > 0.0 {
        name += " ema";
    } else if dampening != 0.0 {
        name += &format!(" d={dampening}");
    }
    name
}

/// `value` to so many significant digits, without trailing zeros.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits - 1).parse().expect("a formatted number");
    super::axis::label(rounded)
}

/// Something that a table may vary besides rule and delay, in words; `None` where there is nothing to say.
type Property = fn(&ThresholdRow) -> Option<String>;

const PROPERTIES: [Property; 12] = [
    |row| row.data.clone(),
    |row| row.samples.map(|samples| format!("{samples} samples")),
    |row| Some(row.model.clone()),
    |row| row.loss.clone(),
    |row| (row.weight_decay != 0.0).then(|| format!("weight decay {}", row.weight_decay)),
    |row| Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
    |row| Some(row.schedule.clone()),
    |row| (row.criterion != "mean").then(|| format!("{} stability", row.criterion)),
    |row| (row.seed_data != 0).then(|| format!("data seed {}", row.seed_data)),
    |row| (row.seed_order != 0).then(|| format!("order seed {}", row.seed_order)),
    |row| (row.seed_init != 0).then(|| format!("init seed {}", row.seed_init)),
    |row| Some(format!("{} ({})", row.engine, row.adapter)),
];

fn is_constant(rows: &[ThresholdRow], property: Property) -> bool {
    rows.windows(2).all(|pair| property(&pair[0]) == property(&pair[1]))
}

/// What was measured of a cell, in units of learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Where the mark goes: the estimate, else the (geometric) middle of the bracket, else its only known end.
    pub value: f64,
    pub stable: Option<f64>,
    pub unstable: Option<f64>,
}

/// `None` where a row tells nothing about its threshold.
pub fn measurement(row: &ThresholdRow) -> Option<Measurement> {
    let (stable, unstable) = (row.lr_stable, row.lr_unstable);
    let middle = stable.zip(unstable).map(|(low, high)| (low * high).sqrt());
    let value = row.lr_threshold.or(middle).or(stable).or(unstable)?;
    Some(Measurement { value, stable, unstable })
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
    }

    #[test]
    fn numbers_are_rounded_to_what_can_be_read() {
        assert_eq!(significant(0.621_987_654, 4), "0.622");
        assert_eq!(significant(1234.567, 3), "1230");
        assert_eq!(significant(2e-9, 3), "2e-9");
    }
}
