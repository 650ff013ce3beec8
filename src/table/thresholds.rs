//! What the threshold table says: which rows belong together, what they have in common, and what was measured.

use super::number::{exact, significant};
use super::series::{Property, Series, grouped, is_constant, rule_name};
use super::sweep::{Status, ThresholdRow};
use crate::text::counted;
use std::collections::HashMap;
use std::ops::Range;

/// What may tell rows apart besides rule and delay.
const PROPERTIES: [Property<ThresholdRow>; 14] = [
    |row| row.data.clone(),
    |row| row.samples.map(|samples| counted(samples, "sample")),
    |row| Some(row.model.clone()),
    |row| row.loss.clone(),
    |row| (row.weight_decay != 0.0).then(|| format!("weight decay {}", exact(row.weight_decay))),
    |row| Some(if row.batch == "full" { "full batch".into() } else { format!("batch {}", row.batch) }),
    |row| row.sampling.clone().filter(|sampling| sampling != "epochs").map(|sampling| format!("{sampling} batches")),
    |row| Some(row.schedule.clone()),
    ThresholdRow::outer_name,
    |row| (row.criterion != "mean").then(|| format!("{} stability", row.criterion)),
    |row| (row.seed_data != 0).then(|| format!("data seed {}", row.seed_data)),
    |row| (row.seed_order != 0).then(|| format!("order seed {}", row.seed_order)),
    |row| (row.seed_init != 0).then(|| format!("init seed {}", row.seed_init)),
    |row| Some(format!("{} ({})", row.engine, row.adapter)),
];

/// Where the seeds stand in [`PROPERTIES`].
const SEEDS: Range<usize> = 10..13;
/// Where that of the engine stands. A cell that f32 has left undecided is measured on another engine than its neighbours, and is
/// still one of them; engines tell rows apart where they have measured the same cell.
const ENGINE: usize = 13;
/// Where that of the order of samples stands: rows that differ in it alone are repetitions, and share a line.
const ORDER: usize = 11;

/// Sorts rows into series, in order of first appearance. Rows differ in rule, momentum and dampening, and in whatever
/// else the table varies.
pub fn series<R: AsRef<ThresholdRow>>(rows: &[R]) -> Vec<Series<'_, R>> {
    let engines = engines_matter(plain(rows));
    let separate = PROPERTIES
        .into_iter()
        .enumerate()
        .filter(|(place, _)| *place != ORDER && (engines || *place != ENGINE))
        .map(|(_, property)| property);
    let varying: Vec<_> = separate.filter(|property| !is_constant(plain(rows), *property)).collect();
    let others = |row: &ThresholdRow| varying.iter().map(|property| property(row)).collect::<Vec<_>>();
    let key = |row: &ThresholdRow| {
        format!("{:?}", (row.rule_name(), row.momentum.to_bits(), row.dampening.to_bits(), others(row)))
    };
    let name = |_: &str, row: &R| {
        let row = row.as_ref();
        let parts = std::iter::once(row.rule_name()).chain(others(row).into_iter().flatten());
        parts.collect::<Vec<_>>().join(", ")
    };
    // Rows without any delay last.
    let delay = |row: &R| row.as_ref().known_delay().unwrap_or(f64::INFINITY);
    grouped(rows.iter().map(|row| (key(row.as_ref()), row)), name, delay)
}

/// What all rows share, as one line.
pub fn setting<R: AsRef<ThresholdRow>>(rows: &[R]) -> String {
    let Some(first) = plain(rows).next() else { return String::new() };
    let shared = PROPERTIES.into_iter().filter(|property| is_constant(plain(rows), *property));
    let mut parts: Vec<String> = shared.filter_map(|property| property(first)).collect();
    if is_constant(plain(rows), |row| Some(row.lambda_max.to_string())) {
        parts.push(format!("largest curvature {}", significant(first.lambda_max, 4)));
    }
    parts.join(" · ")
}

/// What tells the circumstances of a row from those of the other `rows`, besides its delay; empty where nothing does.
/// Repetitions with other seeds share them.
pub fn circumstances<'a>(rows: &[&'a ThresholdRow]) -> impl Fn(&ThresholdRow) -> String + use<'a> {
    let engines = engines_matter(rows.iter().copied());
    let other_than_seeds =
        PROPERTIES.into_iter().enumerate().filter(|(place, _)| !SEEDS.contains(place) && (engines || *place != ENGINE));
    let varying: Vec<Property<ThresholdRow>> = other_than_seeds
        .map(|(_, property)| property)
        .filter(|property| !is_constant(rows.iter().copied(), *property))
        .collect();
    // That of the mean goes without saying only where there is no other.
    let criteria = !is_constant(rows.iter().copied(), |row| Some(row.criterion.clone()));
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

/// Whether some cell was measured on more than one engine.
pub fn engines_matter<'a>(rows: impl Iterator<Item = &'a ThresholdRow>) -> bool {
    let mut engines: HashMap<&str, (&str, &str)> = HashMap::new();
    let engine = |row: &'a ThresholdRow| (row.engine.as_str(), row.adapter.as_str());
    rows.into_iter().any(|row| engines.insert(&row.cell_id, engine(row)).is_some_and(|other| other != engine(row)))
}

fn plain<R: AsRef<ThresholdRow>>(rows: &[R]) -> impl Iterator<Item = &ThresholdRow> {
    rows.iter().map(AsRef::as_ref)
}

/// What was measured of a cell, in units of learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Where the mark goes: the estimate, else the (geometric) middle of the bracket, else its only known end.
    pub value: f64,
    pub stable: Option<f64>,
    pub unstable: Option<f64>,
}

impl ThresholdRow {
    /// The rule with its numbers, those of stages included, as pictures name it.
    pub fn rule_name(&self) -> String {
        rule_name(&self.rule, self.momentum, self.dampening) + &self.remedies()
    }

    /// The delay as asked for, else the realised mean.
    pub fn known_delay(&self) -> Option<f64> {
        self.delay.map(f64::from).or(self.delay_mean)
    }

    /// Whether its threshold was found to the tolerance.
    pub fn is_measured(&self) -> bool {
        self.status == Status::Measured && self.lr_threshold.is_some()
    }

    /// Measured threshold / theory.
    pub fn over_theory(&self) -> Option<f64> {
        self.ratio.or_else(|| Some(self.lr_threshold? / self.lr_theory?))
    }

    /// `None` where the row tells nothing about its threshold.
    pub fn measurement(&self) -> Option<Measurement> {
        let (stable, unstable) = (self.lr_stable, self.lr_unstable);
        let middle = stable.zip(unstable).map(|(low, high)| (low * high).sqrt());
        let value = self.lr_threshold.or(middle).or(stable).or(unstable)?;
        Some(Measurement { value, stable, unstable })
    }
}

impl AsRef<Self> for ThresholdRow {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_csv_from;
    use super::*;

    #[test]
    fn series_differ_in_what_the_table_varies_and_a_random_delay_stands_at_its_mean() {
        let text = "cell_id,rule,momentum,dampening,delay,delay_mean,schedule,seed_order,status,lr_stable,lr_unstable,model,\
                    weight_decay,batch,seed_data,seed_init,criterion,lambda_max,lambda_residual,horizon_steps,runs,engine,adapter\n\
                    a,sgd,0,0,4,4,round-robin,0,undecided,0.1,0.4,linear,0,full,0,0,mean,1,0,9,1,cpu f32,x\n\
                    b,sgd,0,0,,3.5,random,0,failed,,,linear,0,full,0,0,mean,1,0,9,1,cpu f32,x\n\
                    c,sgd,0,0,1,1,round-robin,0,measured,,,linear,0,full,0,0,mean,1,0,9,1,cpu f32,x\n\
                    d,sgd,0,0,1,1,round-robin,7,measured,0.5,,linear,0,full,0,0,mean,1,0,9,1,cpu f32,x\n";
        let rows: Vec<ThresholdRow> = read_csv_from("thresholds.csv", text.as_bytes()).unwrap();
        let series = series(&rows);
        let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["sgd, round-robin", "sgd, random"]);
        let ids: Vec<&str> = series[0].rows.iter().map(|row| row.cell_id.as_str()).collect();
        assert_eq!(ids, ["c", "d", "a"], "by delay, repetitions in their order");
        assert_eq!(series[1].rows[0].known_delay(), Some(3.5));
        let values: Vec<Option<f64>> =
            series[0].rows.iter().map(|row| row.measurement().map(|measured| measured.value)).collect();
        assert_eq!(values, [None, Some(0.5), Some(0.2)]);
        assert_eq!(setting(&rows), "linear · full batch · cpu f32 (x) · largest curvature 1");
    }
}
