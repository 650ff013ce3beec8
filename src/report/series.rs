//! Series: the rows of the threshold table that one line joins, and which of them a page has room for.

use super::table::{Row, Table};
use crate::plot::rule_name;
use anyhow::Result;
use std::collections::{HashMap, HashSet};

/// Most series in one picture: as many as there are pairs of marker and dash that can be told apart at a glance.
pub const MOST_SERIES: usize = 12;
/// Most cells of one series that are drawn.
pub const MOST_CELLS: usize = 60;

/// One row of the threshold table, its numbers read.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    pub row: Row<'a>,
    pub id: &'a str,
    /// Updates; the mean where the delay is random. `None` where the row gives neither.
    pub delay: Option<f64>,
    pub theory: Option<f64>,
    pub stable: Option<f64>,
    pub unstable: Option<f64>,
    pub threshold: Option<f64>,
    /// Measured / theory.
    pub ratio: Option<f64>,
    pub status: &'a str,
}

/// Cells with the same rule and the same of everything else but the delay, sorted by it.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    pub name: String,
    pub cells: Vec<Cell<'a>>,
}

/// What may tell series apart besides rule, momentum and dampening: column, and how it reads before and after the value.
/// Seeds of the order of samples are repetitions: they share a line.
const PROPERTIES: [(&str, &str, &str); 14] = [
    ("data", "", ""),
    ("samples", "", " samples"),
    ("model", "", ""),
    ("loss", "", ""),
    ("weight_decay", "weight decay ", ""),
    ("batch", "batch ", ""),
    ("schedule", "", ""),
    ("criterion", "criterion: ", ""),
    ("relative_variance", "r = ", ""),
    ("seed_data", "data seed ", ""),
    ("seed_init", "init seed ", ""),
    ("engine", "", ""),
    ("adapter", "", ""),
    ("precision", "", ""),
];

impl<'a> Cell<'a> {
    fn new(row: Row<'a>) -> Result<Self> {
        let (theory, threshold) = (row.positive("lr_theory")?, row.positive("lr_threshold")?);
        let ratio = row.positive("ratio")?.or_else(|| Some(threshold? / theory?));
        let delay = match row.number("delay")? {
            Some(delay) => Some(delay),
            None => row.number("delay_mean")?,
        };
        let (stable, unstable) = (row.positive("lr_stable")?, row.positive("lr_unstable")?);
        let (id, status) = (row.text("cell_id"), row.text("status"));
        Ok(Self { row, id, delay, theory, stable, unstable, threshold, ratio, status })
    }

    /// Where the mark goes: the estimate, else the (geometric) middle of the bracket, else its only known end.
    pub fn value(&self) -> Option<f64> {
        let middle = self.stable.zip(self.unstable).map(|(low, high)| (low * high).sqrt());
        self.threshold.or(middle).or(self.stable).or(self.unstable)
    }

    pub fn is_measured(&self) -> bool {
        self.status == "measured" && self.threshold.is_some()
    }
}

impl Series<'_> {
    pub fn measured(&self) -> impl Iterator<Item = &Cell<'_>> {
        self.cells.iter().filter(|cell| cell.is_measured())
    }

    pub fn count(&self, status: &str) -> usize {
        self.cells.iter().filter(|cell| cell.status == status).count()
    }
}

/// All cells of `table` in series, in order of first appearance.
///
/// # Errors
/// Where a number of the table is none.
pub fn grouped(table: &Table) -> Result<Vec<Series<'_>>> {
    let varying: Vec<_> = PROPERTIES.into_iter().filter(|(column, ..)| shared(table, column).is_none()).collect();
    let mut all: Vec<Series<'_>> = vec![];
    let mut places: HashMap<Vec<&str>, usize> = HashMap::new();
    for row in table.rows() {
        let (momentum, dampening) = (row.number("momentum")?, row.number("dampening")?);
        // Names round; what belongs together is decided by what the table says.
        let key = ["rule", "momentum", "dampening"].into_iter().chain(varying.iter().map(|(column, ..)| *column));
        let key: Vec<&str> = key.map(|column| row.text(column)).collect();
        let place = *places.entry(key).or_insert_with(|| {
            let rule = rule_name(row.text("rule"), momentum.unwrap_or(0.0), dampening.unwrap_or(0.0));
            let others = varying.iter().filter(|(column, ..)| !row.text(column).is_empty());
            let others = others.map(|property| described(*property, row.text(property.0)));
            let name = std::iter::once(rule).chain(others).collect::<Vec<_>>().join(", ");
            all.push(Series { name, cells: vec![] });
            all.len() - 1
        });
        all[place].cells.push(Cell::new(row)?);
    }
    // Cells without a delay last; the sort is stable, so that repetitions keep the order of the table.
    let key = |cell: &Cell<'_>| cell.delay.unwrap_or(f64::INFINITY);
    all.iter_mut().for_each(|series| series.cells.sort_by(|a, b| key(a).total_cmp(&key(b))));
    Ok(all)
}

/// What all rows have in common, in words: data, model and so on.
pub fn setting(table: &Table) -> Vec<String> {
    let properties = PROPERTIES.into_iter().filter_map(|property| {
        let text = shared(table, property.0).filter(|text| !text.is_empty())?;
        // Seeds of 0 go without saying.
        (!(property.0.starts_with("seed") && text == "0")).then(|| described(property, text))
    });
    let curvature = shared(table, "lambda_max").and_then(|text| text.parse().ok());
    properties.chain(curvature.map(|value| format!("largest curvature {}", significant(value, 4)))).collect()
}

/// At most [`MOST_SERIES`] series, each with at most [`MOST_CELLS`] cells, both taken evenly over all.
pub fn drawn<'a>(all: &[Series<'a>]) -> Vec<Series<'a>> {
    let thinned = |series: &Series<'a>| Series { name: series.name.clone(), cells: evenly(&series.cells, MOST_CELLS) };
    evenly(all, MOST_SERIES).iter().map(thinned).collect()
}

/// At most `count` of `all`, evenly, with the first and the last.
pub fn evenly<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    if all.len() <= count {
        return all.to_vec();
    }
    (0..count).map(|i| all[i * (all.len() - 1) / (count - 1).max(1)].clone()).collect()
}

/// The text that a column has in every row; `None` where rows differ.
pub fn shared<'a>(table: &'a Table, column: &str) -> Option<&'a str> {
    let mut rows = table.rows();
    let first = rows.next()?.text(column);
    rows.all(|row| row.text(column) == first).then_some(first)
}

/// The delays of `series`, sorted and distinct.
pub fn delays(series: &[Series<'_>]) -> Vec<f64> {
    let mut seen = HashSet::new();
    let all = series.iter().flat_map(|series| series.cells.iter().filter_map(|cell| cell.delay));
    let mut delays: Vec<f64> = all.filter(|delay| seen.insert(delay.to_bits())).collect();
    delays.sort_by(f64::total_cmp);
    delays
}

fn described((column, before, after): (&str, &str, &str), text: &str) -> String {
    match (column, text) {
        ("batch", "full") => "full batch".into(),
        _ => format!("{before}{text}{after}"),
    }
}

/// `value` to so many significant digits, without trailing zeros.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits - 1).parse().unwrap_or(value);
    let plain = rounded == 0.0 || (1e-4..1e6).contains(&rounded.abs());
    if plain { rounded.to_string() } else { format!("{rounded:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn series_differ_in_what_the_table_varies_and_a_random_delay_stands_at_its_mean() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thresholds.csv");
        let rows = "cell_id,rule,momentum,dampening,delay,delay_mean,schedule,seed_order,status,lr_stable,lr_unstable\n\
                    a,sgd,0,0,4,4,round-robin,0,undecided,0.1,0.4\n\
                    b,sgd,0,0,,3.5,random,0,failed,,\n\
                    c,sgd,0,0,1,1,round-robin,0,measured,,\n\
                    d,sgd,0,0,1,1,round-robin,7,measured,0.5,\n";
        fs::write(&path, rows).unwrap();
        let table = Table::read(&path, &[], |_| true).unwrap();
        let series = grouped(&table).unwrap();
        let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["sgd, round-robin", "sgd, random"]);
        let ids: Vec<&str> = series[0].cells.iter().map(|cell| cell.id).collect();
        assert_eq!(ids, ["c", "d", "a"], "by delay, repetitions in their order");
        assert_eq!(series[1].cells[0].delay, Some(3.5));
        let values: Vec<Option<f64>> = series[0].cells.iter().map(Cell::value).collect();
        assert_eq!(values, [None, Some(0.5), Some(0.2)]);
        assert_eq!(delays(&series), [1.0, 3.5, 4.0]);
    }

    #[test]
    fn what_is_drawn_of_many_has_both_ends() {
        assert_eq!(evenly(&[1, 2, 3], 3), [1, 2, 3]);
        assert_eq!(evenly(&(0..=100).collect::<Vec<_>>(), 3), [0, 50, 100]);
        assert_eq!(evenly(&(0..100_000).collect::<Vec<_>>(), 12).len(), 12);
    }
}
