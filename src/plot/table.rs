//! What the table of a results folder says: which rows belong together, what they have in common, and what was measured.
//! No drawing here.

use super::series::{Series, grouped, rule_name, significant};
use crate::table::ThresholdRow;

/// Sorts rows into series, in order of first appearance. Rows differ in rule, momentum and dampening, and in whatever
/// else the table varies.
pub fn series(rows: &[ThresholdRow]) -> Vec<Series<'_, ThresholdRow>> {
    let varying: Vec<Property> = PROPERTIES.into_iter().filter(|property| !is_constant(rows, *property)).collect();
    let name = |row: &ThresholdRow| {
        let rule = rule_name(&row.rule, row.momentum, row.dampening);
        let others = varying.iter().filter_map(|property| property(row));
        std::iter::once(rule).chain(others).collect::<Vec<_>>().join(", ")
    };
    grouped(rows.iter().map(|row| (name(row), row)), ThresholdRow::delay_or_mean)
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

/// What tells the circumstances of a row from those of the other `rows`, besides its delay; empty where nothing does.
/// Repetitions with other seeds share them.
pub fn circumstances<'a>(rows: &[&'a ThresholdRow]) -> impl Fn(&ThresholdRow) -> String + use<'a> {
    let varies = |property: Property| rows.windows(2).any(|pair| property(pair[0]) != property(pair[1]));
    let other_than_seeds = PROPERTIES.into_iter().enumerate().filter(|(index, _)| !SEEDS.contains(index));
    let varying: Vec<Property> = other_than_seeds.map(|(_, property)| property).filter(|one| varies(*one)).collect();
    // That of the mean goes without saying only where there is no other.
    let criteria = rows.windows(2).any(|pair| pair[0].criterion != pair[1].criterion);
    move |row| {
        let mut parts: Vec<String> = varying.iter().filter_map(|property| property(row)).collect();
        if criteria && row.criterion == "mean" {
            parts.push("mean stability".into());
        } else if parts.is_empty() && !varying.is_empty() {
            parts.push(row.schedule.clone());
        }
        parts.join(", ")
    }
}

/// Something that a table may vary besides rule and delay, in words; `None` where there is nothing to say.
type Property = fn(&ThresholdRow) -> Option<String>;

const PROPERTIES: [Property; 13] = [
    |row| row.data.clone(),
    |row| row.samples.map(|samples| format!("{samples} samples")),
    |row| Some(row.model.clone()),
    |row| row.loss.clone(),
    |row| (row.weight_decay != 0.0).then(|| format!("weight decay {}", row.weight_decay)),
    |row| Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
    |row| row.sampling.clone().filter(|sampling| sampling != "epochs").map(|sampling| format!("{sampling} batches")),
    |row| Some(row.schedule.clone()),
    |row| (row.criterion != "mean").then(|| format!("{} stability", row.criterion)),
    |row| (row.seed_data != 0).then(|| format!("data seed {}", row.seed_data)),
    |row| (row.seed_order != 0).then(|| format!("order seed {}", row.seed_order)),
    |row| (row.seed_init != 0).then(|| format!("init seed {}", row.seed_init)),
    |row| Some(format!("{} ({})", row.engine, row.adapter)),
];

/// Where the seeds stand in [`PROPERTIES`].
const SEEDS: std::ops::Range<usize> = 9..12;

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
