//! What the pictures are drawn from: the drawn series, their runs, delays and accuracies, as one JSON value.

use super::folder::Folder;
use super::series::{Cell, Series, evenly};
use super::table::{Row, Table};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Most runs of one cell in the heat map.
const MOST_RUNS: usize = 40;
const MOST_HISTOGRAMS: usize = 12;
/// Most bars of one histogram; beyond, neighbours are put together.
const MOST_BARS: usize = 80;
const MOST_CURVES: usize = 24;
/// Most points of one curve.
const MOST_POINTS: usize = 300;

#[derive(Serialize)]
pub struct Data<'a> {
    columns: &'a [String],
    series: Vec<SeriesData<'a>>,
    run_columns: Vec<String>,
    runs: Vec<RunData>,
    pub histograms: Vec<Histogram>,
    pub curves: Vec<Curve>,
    /// Distinct histograms in the folder, drawn or not; the same for runs with accuracies.
    #[serde(skip)]
    pub all_histograms: usize,
    #[serde(skip)]
    pub all_curves: usize,
}

#[derive(Serialize)]
struct SeriesData<'a> {
    name: &'a str,
    cells: Vec<CellData<'a>>,
}

#[derive(Serialize)]
struct CellData<'a> {
    row: Vec<&'a str>,
    id: &'a str,
    delay: Option<f64>,
    theory: Option<f64>,
    stable: Option<f64>,
    unstable: Option<f64>,
    /// Ends of a confidence interval, where the table has them.
    low: Option<f64>,
    high: Option<f64>,
    value: Option<f64>,
    ratio: Option<f64>,
    measured: bool,
}

#[derive(Serialize)]
struct RunData {
    /// Index of the series and of its cell.
    place: (usize, usize),
    row: Vec<String>,
    id: String,
    lr: f64,
    growth: Option<f64>,
    verdict: String,
}

/// How often each delay occurred, in cells that share a schedule.
#[derive(Serialize)]
pub struct Histogram {
    name: String,
    cells: usize,
    mean: f64,
    /// First delay, delay after the last, count.
    bars: Vec<(f64, f64, f64)>,
}

/// The accuracy of one run over its steps.
#[derive(Serialize)]
pub struct Curve {
    metric: String,
    series: usize,
    id: String,
    row: Vec<String>,
    points: Vec<(f64, f64)>,
}

/// Collects what is drawn of `series`.
///
/// # Errors
/// Where a file of the folder is malformed; the message names it.
pub fn collect<'a>(folder: &'a Folder<'_>, series: &'a [Series<'a>]) -> Result<Data<'a>> {
    let places: HashMap<&str, (usize, usize)> = series
        .iter()
        .enumerate()
        .flat_map(|(s, series)| series.cells.iter().enumerate().map(move |(c, cell)| (cell.id, (s, c))))
        .collect();
    let runs_table = folder.runs(|row| places.contains_key(row.text("cell_id")))?;
    let runs = runs(&runs_table, &places)?;
    let (histograms, all_histograms) = histograms(folder, series, &places)?;
    let (curves, all_curves) = curves(folder, &runs)?;
    let cells = |series: &'a Series<'a>| series.cells.iter().map(cell).collect::<Result<_>>();
    let series =
        series.iter().map(|series| Ok(SeriesData { name: &series.name, cells: cells(series)? })).collect::<Result<_>>();
    Ok(Data {
        columns: &folder.thresholds.columns,
        series: series?,
        run_columns: runs_table.columns,
        runs,
        histograms,
        curves,
        all_histograms,
        all_curves,
    })
}

fn cell<'a>(cell: &'a Cell<'a>) -> Result<CellData<'a>> {
    Ok(CellData {
        row: cell.row.cells().collect(),
        id: cell.id,
        delay: cell.delay,
        theory: cell.theory,
        stable: cell.stable,
        unstable: cell.unstable,
        low: cell.row.positive("lr_low")?,
        high: cell.row.positive("lr_high")?,
        value: cell.value(),
        ratio: cell.value().zip(cell.theory).map(|(value, theory)| value / theory),
        measured: cell.is_measured(),
    })
}

fn runs(table: &Table, places: &HashMap<&str, (usize, usize)>) -> Result<Vec<RunData>> {
    let mut of_cell: BTreeMap<(usize, usize), Vec<Row<'_>>> = BTreeMap::new();
    for row in table.rows() {
        of_cell.entry(places[row.text("cell_id")]).or_default().push(row);
    }
    let mut runs = vec![];
    for (place, rows) in of_cell {
        for row in evenly(&rows, MOST_RUNS) {
            // A run that was never made has no place on the axis.
            let Some(lr) = row.positive("lr")? else { continue };
            runs.push(RunData {
                place,
                row: row.cells().map(str::to_owned).collect(),
                id: row.text("run_id").to_owned(),
                lr,
                growth: row.number("growth_rate")?,
                verdict: row.text("verdict").to_owned(),
            });
        }
    }
    Ok(runs)
}

/// Delays and how often each occurred, in a cell and in others that do not differ.
#[derive(Clone)]
struct Occurrences {
    counts: Vec<(f64, f64)>,
    place: (usize, usize),
    cells: usize,
}

/// The distinct histograms of the drawn cells, and how many there are.
fn histograms(
    folder: &Folder<'_>,
    series: &[Series<'_>],
    places: &HashMap<&str, (usize, usize)>,
) -> Result<(Vec<Histogram>, usize)> {
    let Some(table) = folder.delays(|row| places.contains_key(row.text("cell_id")))? else { return Ok((vec![], 0)) };
    let mut of_cell: BTreeMap<(usize, usize), Vec<(f64, f64)>> = BTreeMap::new();
    for row in table.rows() {
        if let Some(pair) = row.number("delay")?.zip(row.number("count")?) {
            of_cell.entry(places[row.text("cell_id")]).or_default().push(pair);
        }
    }
    // Rules that follow one schedule see the same delays: those are drawn once.
    let mut distinct: Vec<Occurrences> = vec![];
    for (place, mut counts) in of_cell {
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        match distinct.iter_mut().find(|other| other.counts == counts) {
            Some(other) => other.cells += 1,
            None => distinct.push(Occurrences { counts, place, cells: 1 }),
        }
    }
    let drawn = evenly(&distinct, MOST_HISTOGRAMS).into_iter().map(|Occurrences { counts, place: (s, c), cells }| {
        let row = series[s].cells[c].row;
        let workers = Some(row.text("workers")).filter(|text| !text.is_empty());
        let name = [
            Some(row.text("schedule").to_owned()),
            workers.map(|n| if n == "1" { "1 worker".into() } else { format!("{n} workers") }),
        ];
        let total: f64 = counts.iter().map(|(_, count)| count).sum();
        let mean = counts.iter().map(|(delay, count)| delay * count).sum::<f64>() / total.max(1.0);
        Histogram { name: name.into_iter().flatten().collect::<Vec<_>>().join(", "), cells, mean, bars: bars(&counts) }
    });
    Ok((drawn.collect(), distinct.len()))
}

/// Counts of single delays, or of as many neighbours as it takes to have no more than [`MOST_BARS`].
fn bars(counts: &[(f64, f64)]) -> Vec<(f64, f64, f64)> {
    let largest = counts.last().map_or(0.0, |(delay, _)| *delay);
    let width = ((largest + 1.0) / MOST_BARS as f64).ceil().max(1.0);
    let mut bars: Vec<(f64, f64, f64)> = vec![];
    for (delay, count) in counts {
        let start = (delay / width).floor() * width;
        match bars.last_mut() {
            Some(bar) if bar.0 == start => bar.2 += count,
            _ => bars.push((start, start + width, *count)),
        }
    }
    bars
}

/// The accuracies of the drawn runs, and how many there are.
fn curves(folder: &Folder<'_>, runs: &[RunData]) -> Result<(Vec<Curve>, usize)> {
    let by_id: HashMap<&str, &RunData> = runs.iter().map(|run| (run.id.as_str(), run)).collect();
    let is_drawn = |row: Row<'_>| row.text("metric").contains("acc") && by_id.contains_key(row.text("run_id"));
    let Some(table) = folder.metrics(is_drawn)? else { return Ok((vec![], 0)) };
    let mut points: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for row in table.rows() {
        if let Some(point) = row.number("step")?.zip(row.number("value")?) {
            points.entry((row.text("metric"), row.text("run_id"))).or_default().push(point);
        }
    }
    let all: Vec<_> = points.into_iter().collect();
    let drawn = evenly(&all, MOST_CURVES).into_iter().map(|((metric, id), mut points)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let run = by_id[id];
        Curve {
            metric: metric.to_owned(),
            series: run.place.0,
            id: id.to_owned(),
            row: run.row.clone(),
            points: evenly(&points, MOST_POINTS),
        }
    });
    Ok((drawn.collect(), all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_delays_share_a_bar_where_there_are_many() {
        assert_eq!(bars(&[(0.0, 2.0), (3.0, 1.0)]), [(0.0, 1.0, 2.0), (3.0, 4.0, 1.0)]);
        let many: Vec<(f64, f64)> = (0..1000).map(|delay| (f64::from(delay), 1.0)).collect();
        let bars = bars(&many);
        assert!(bars.len() <= MOST_BARS, "{}", bars.len());
        assert_eq!(bars.iter().map(|bar| bar.2).sum::<f64>(), 1000.0);
    }
}
