//! What the pictures are drawn from: the drawn series, their runs and delays, as one JSON value.

use super::{SweepFolder, SweepSeries};
use crate::plot::look::{Ruled, told_apart};
use crate::report::look::{PageLook, PagePanel};
use crate::table::{DelayRow, FileRow, RunRow, ThresholdRow, evenly};
use crate::text::counted;
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Most runs of one cell in the heat map, and of all.
const MOST_RUNS: usize = 40;
const ALL_RUNS: usize = 20_000;
const MOST_HISTOGRAMS: usize = 12;
/// Most bars of one histogram; beyond, neighbours are put together.
const MOST_BARS: usize = 80;

#[derive(Serialize)]
pub struct Data<'a> {
    columns: &'a [String],
    series: Vec<SeriesData<'a>>,
    panels: Vec<PagePanel>,
    run_columns: Vec<String>,
    runs: Vec<RunData>,
    pub histograms: Vec<Histogram>,
    /// Distinct histograms of more than one delay in the folder, drawn or not.
    #[serde(skip)]
    pub all_histograms: usize,
    /// Cells in which one delay alone occurred.
    #[serde(skip)]
    pub of_one_delay: usize,
}

#[derive(Serialize)]
struct SeriesData<'a> {
    name: &'a str,
    #[serde(flatten)]
    look: PageLook,
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

/// Index of a series and of its cell, by the cell's id.
type Places<'a> = HashMap<&'a str, (usize, usize)>;

/// Collects what is drawn of `series`.
///
/// # Errors
/// Where a file of the folder is malformed; the message names it.
pub fn collect<'a>(folder: &'a SweepFolder<'_>, series: &'a [SweepSeries<'a>]) -> Result<Data<'a>> {
    let of_series = |(s, series): (usize, &'a SweepSeries<'a>)| {
        series.rows.iter().enumerate().map(move |(c, row)| (row.row.cell_id.as_str(), (s, c)))
    };
    let places: Places<'a> = series.iter().enumerate().flat_map(of_series).collect();
    let (run_columns, runs) = runs(folder, &places)?;
    let (histograms, all_histograms, of_one_delay) = histograms(folder, series, &places)?;
    let looks = told_apart(series.iter().map(|one| one.rows[0].row.look()).collect());
    let of_series = |(series, look): (&'a SweepSeries<'a>, _)| SeriesData {
        name: &series.name,
        look: PageLook::from(look),
        cells: series.rows.iter().map(|row| cell(row)).collect(),
    };
    let families: Vec<&str> = series.iter().map(|one| one.rows[0].row.family()).collect();
    Ok(Data {
        columns: &folder.thresholds.columns,
        series: series.iter().zip(looks).map(of_series).collect(),
        panels: PagePanel::of(&families),
        run_columns,
        runs,
        histograms,
        all_histograms,
        of_one_delay,
    })
}

fn cell(row: &FileRow<ThresholdRow>) -> CellData<'_> {
    let positive = |value: &f64| *value > 0.0;
    let threshold = &row.row;
    let value = threshold.measurement().map(|measured| measured.value);
    CellData {
        row: row.cells().collect(),
        id: &threshold.cell_id,
        delay: threshold.known_delay(),
        theory: threshold.lr_theory,
        stable: threshold.lr_stable,
        unstable: threshold.lr_unstable,
        // A logarithmic axis has no place for an interval that reaches 0.
        low: threshold.lr_low.filter(positive),
        high: threshold.lr_high.filter(positive),
        value,
        ratio: value.zip(threshold.lr_theory).map(|(value, theory)| value / theory),
        measured: threshold.is_measured(),
    }
}

/// The columns of runs.csv, and the drawn runs of the cells in `places`.
fn runs(folder: &SweepFolder<'_>, places: &Places<'_>) -> Result<(Vec<String>, Vec<RunData>)> {
    let table = folder.runs(|row| places.contains_key(row.cell_id.as_str()))?;
    let mut of_cell: BTreeMap<(usize, usize), Vec<&FileRow<RunRow>>> = BTreeMap::new();
    for row in &table.rows {
        of_cell.entry(places[row.row.cell_id.as_str()]).or_default().push(row);
    }
    let most = (ALL_RUNS / of_cell.len().max(1)).clamp(2, MOST_RUNS);
    let drawn = of_cell.into_iter().flat_map(|(place, rows)| {
        evenly(&rows, most).into_iter().map(move |row| RunData {
            place,
            row: row.cells().map(str::to_owned).collect(),
            id: row.row.run_id.clone(),
            lr: row.row.lr,
            growth: row.row.growth_rate,
            verdict: row.row.verdict.to_string(),
        })
    });
    Ok((table.columns.clone(), drawn.collect()))
}

/// Delays and how often each occurred, in a cell and in others that do not differ.
#[derive(Clone)]
struct Occurrences {
    counts: Vec<(f64, f64)>,
    place: (usize, usize),
    cells: usize,
}

/// The distinct histograms of the drawn cells, how many there are, and in how many cells one delay alone occurred: a panel of one bar
/// says no more than a number.
fn histograms(
    folder: &SweepFolder<'_>,
    series: &[SweepSeries<'_>],
    places: &Places<'_>,
) -> Result<(Vec<Histogram>, usize, usize)> {
    let mut of_cell: BTreeMap<(usize, usize), Vec<(f64, f64)>> = BTreeMap::new();
    for DelayRow { cell_id, delay, count } in folder.delays()? {
        if let Some(place) = places.get(cell_id.as_str()) {
            of_cell.entry(*place).or_default().push((delay as f64, count as f64));
        }
    }
    // Rules that follow one schedule see the same delays: those are drawn once.
    let all_cells = of_cell.len();
    of_cell.retain(|_, counts| counts.len() > 1);
    let of_one_delay = all_cells - of_cell.len();
    let mut distinct: Vec<Occurrences> = vec![];
    for (place, mut counts) in of_cell {
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        match distinct.iter_mut().find(|other| other.counts == counts) {
            Some(other) => other.cells += 1,
            None => distinct.push(Occurrences { counts, place, cells: 1 }),
        }
    }
    let drawn = evenly(&distinct, MOST_HISTOGRAMS).into_iter().map(|Occurrences { counts, place: (s, c), cells }| {
        let row = &series[s].rows[c].row;
        let workers = row.workers.map(|n| counted(n, "worker"));
        let name = [Some(row.schedule.clone()), workers];
        let total: f64 = counts.iter().map(|(_, count)| count).sum();
        let mean = counts.iter().map(|(delay, count)| delay * count).sum::<f64>() / total.max(1.0);
        Histogram { name: name.into_iter().flatten().collect::<Vec<_>>().join(", "), cells, mean, bars: bars(&counts) }
    });
    Ok((drawn.collect(), distinct.len(), of_one_delay))
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
