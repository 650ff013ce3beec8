//! What the pictures are drawn from: the groups with their figures at the end and along the epochs, and the lines of groups
//! that differ in their delay alone, as one JSON value.

use crate::plot::look::{Ruled, told_apart};
use crate::report::look::{PageLook, PagePanel};
use crate::table::{FileTable, Interval, Metric, SummaryRow, TrainRow, TrainedGroup, evenly};
use serde::Serialize;
use std::collections::HashMap;

/// Most groups that are drawn along the epochs.
pub const MOST_CURVES: usize = 96;
/// Most points of one curve.
const MOST_POINTS: usize = 300;

#[derive(Serialize)]
pub struct Data<'a> {
    columns: &'a [String],
    run_columns: &'a [String],
    groups: Vec<GroupData<'a>>,
    lines: Vec<LineData>,
    line_panels: Vec<PagePanel>,
    pub curves: Vec<Curve>,
    curve_panels: Vec<PagePanel>,
}

#[derive(Serialize)]
struct GroupData<'a> {
    name: &'a str,
    #[serde(flatten)]
    look: PageLook,
    row: Vec<&'a str>,
    delay: Option<u32>,
    runs: Vec<RunData<'a>>,
    accuracy: Estimate,
    loss: Estimate,
    gap: Estimate,
}

#[derive(Serialize)]
struct RunData<'a> {
    row: Vec<&'a str>,
    finished: bool,
    accuracy: Option<f64>,
    loss: Option<f64>,
    gap: Option<f64>,
}

/// A mean and the ends of its interval.
#[derive(Serialize)]
struct Estimate(Option<f64>, Option<f64>, Option<f64>);

impl Estimate {
    /// Mean and interval over the runs that did not diverge; of what has least and largest values, `range`, it lies between them.
    fn of(group: &TrainedGroup, figure: fn(&TrainRow) -> Option<f64>, range: Option<(f64, f64)>) -> Self {
        let finished = group.runs.iter().filter(|run| run.is_finished());
        let interval = Interval::of(&finished.filter_map(|run| figure(run.row)).collect::<Vec<_>>());
        let ends = interval.and_then(|at| match range {
            Some((least, most)) => at.within(least, most),
            None => at.low().zip(at.high()),
        });
        Self(interval.map(|at| at.mean), ends.map(|(low, _)| low), ends.map(|(_, high)| high))
    }
}

#[derive(Serialize)]
struct LineData {
    name: String,
    #[serde(flatten)]
    look: PageLook,
    /// Places of its groups.
    groups: Vec<usize>,
}

#[derive(Serialize)]
pub struct Curve {
    /// Place of its group.
    group: usize,
    train_loss: Vec<Point>,
    test_accuracy: Vec<Point>,
}

/// Epoch, mean and the ends of its interval.
#[derive(Clone, Serialize)]
struct Point(f64, f64, Option<f64>, Option<f64>);

/// Lines look like the rules of their groups.
fn line_data(groups: &[TrainedGroup], lines: Vec<(String, Vec<usize>)>) -> Vec<LineData> {
    let looks = told_apart(lines.iter().map(|(_, places)| groups[places[places.len() - 1]].summary.look()).collect());
    let line =
        |((name, groups), look): ((String, Vec<usize>), _)| LineData { name, look: PageLook::from(look), groups };
    lines.into_iter().zip(looks).map(line).collect()
}

/// Collects what is drawn. `lines` are names and places of groups.
pub fn collect<'a>(
    summaries: &'a FileTable<SummaryRow>,
    runs: &'a FileTable<TrainRow>,
    groups: &'a [TrainedGroup<'a>],
    lines: Vec<(String, Vec<usize>)>,
) -> Data<'a> {
    let texts: HashMap<&str, Vec<&str>> =
        runs.rows.iter().map(|row| (row.row.run_id.as_str(), row.cells().collect())).collect();
    let run = |row: &'a TrainRow, finished: bool| RunData {
        row: texts.get(row.run_id.as_str()).cloned().unwrap_or_default(),
        finished,
        accuracy: row.test_accuracy,
        loss: row.test_loss,
        gap: row.generalisation_gap,
    };
    let looks = told_apart(groups.iter().map(|group| group.summary.look()).collect());
    let group = |(place, group): (usize, &'a TrainedGroup<'a>)| {
        let row = group.summary;
        GroupData {
            name: &group.name,
            look: PageLook::from(looks[place]),
            row: summaries.rows[place].cells().collect(),
            delay: row.delay,
            runs: group.runs.iter().map(|one| run(one.row, one.is_finished())).collect(),
            accuracy: Estimate::of(group, |run| run.test_accuracy, Some((0.0, 1.0))),
            loss: Estimate::of(group, |run| run.test_loss, None),
            gap: Estimate::of(group, |run| run.generalisation_gap, Some((-1.0, 1.0))),
        }
    };
    // Where some groups came through, those that did not would hide the others.
    let any = groups.iter().any(TrainedGroup::came_through);
    let shown: Vec<usize> = (0..groups.len()).filter(|place| !any || groups[*place].came_through()).collect();
    let curve = |place: usize| {
        let points = |metric| {
            let point = |(epoch, at): (f64, Interval)| {
                let of_shares = metric == Metric::TestAccuracy;
                let ends = if of_shares { at.within(0.0, 1.0) } else { at.low().zip(at.high()) };
                Point(epoch, at.mean, ends.map(|(low, _)| low), ends.map(|(_, high)| high))
            };
            let all: Vec<Point> = groups[place].curve(metric, 1.0).into_iter().map(point).collect();
            evenly(&all, MOST_POINTS)
        };
        Curve { group: place, train_loss: points(Metric::TrainLoss), test_accuracy: points(Metric::TestAccuracy) }
    };
    let curves: Vec<Curve> = evenly(&shown, MOST_CURVES)
        .into_iter()
        .map(curve)
        .filter(|curve| !curve.train_loss.is_empty() || !curve.test_accuracy.is_empty())
        .collect();
    let family = |place: usize| groups[place].summary.family();
    let of_lines: Vec<&str> = lines.iter().map(|(_, places)| family(places[places.len() - 1])).collect();
    let of_curves: Vec<&str> = curves.iter().map(|curve| family(curve.group)).collect();
    Data {
        columns: &summaries.columns,
        run_columns: &runs.columns,
        groups: groups.iter().enumerate().map(group).collect(),
        line_panels: PagePanel::of(&of_lines),
        curve_panels: PagePanel::of(&of_curves),
        lines: line_data(groups, lines),
        curves,
    }
}
