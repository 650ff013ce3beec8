//! Service times of workers as a file has them: a column for each worker, or rows of worker and seconds.
//!
//! Columns may differ in length, the shorter ones ending in empty fields. Without a header every column is a worker. Times
//! need no unit, as only their ratios matter. Not here: drawing from them ([`super::Service`]).

use super::columns::{Columns, FileSpec};
use super::{LONGEST, Service};
use crate::text::counted;
use std::collections::BTreeMap;
use std::sync::Arc;

const ACCEPTED: &str =
    "accepted: a table with a column of times above 0 for each worker, or with the columns worker and seconds";

/// Names of the column of times beside one that names the worker.
const TIMES: [&str; 3] = ["seconds", "time", "duration"];

/// Times of one worker, each with its line.
type Timed<'a> = Vec<(u64, &'a str)>;

/// The law of a file's times, and each worker's mean.
///
/// # Errors
/// A file that cannot be read or holds something else; the message has the line.
pub fn read(file: &FileSpec) -> Result<(Service, Vec<f64>), String> {
    let columns = file.read().map_err(|reason| format!("{reason}; {ACCEPTED}"))?;
    if let Some(asked) = &columns.asked {
        return Err(format!("a column, {asked}, where all count; {ACCEPTED}"));
    }
    let workers = match columns.of("worker") {
        Some(worker) => by_worker(&columns, worker)?,
        None => by_column(&columns)?,
    };
    if workers.is_empty() || workers.len() > LONGEST as usize + 1 {
        return Err(format!("{}; {ACCEPTED}, for up to {} workers", counted(workers.len(), "worker"), LONGEST + 1));
    }
    let time = |(line, field): (u64, &str)| {
        let time = field.parse().ok().filter(|time: &f64| *time > 0.0 && time.is_finite());
        time.ok_or_else(|| format!("line {line}: time '{field}'; {ACCEPTED}"))
    };
    let (mut times, mut means) = (Vec::with_capacity(workers.len()), Vec::with_capacity(workers.len()));
    for (name, fields) in workers {
        let of_worker: Vec<f64> = fields.into_iter().map(time).collect::<Result<_, _>>()?;
        if of_worker.is_empty() {
            return Err(format!("worker {name} has no times; {ACCEPTED}"));
        }
        let mean = of_worker.iter().sum::<f64>() / of_worker.len() as f64;
        times.push(of_worker.into_iter().map(|time| time / mean).collect::<Vec<f64>>());
        means.push(mean);
    }
    let constant = times.iter().all(|times| times.iter().all(|time| *time == times[0]));
    let service = if constant { Service::Constant } else { Service::Recorded { times: Arc::from(times) } };
    Ok((service, means))
}

/// A worker for each column that has a name, or for each where none has.
fn by_column(columns: &Columns) -> Result<Vec<(String, Timed<'_>)>, String> {
    let width = columns.records.iter().map(|(_, fields)| fields.len()).max().unwrap_or(0);
    if let (None, Some((line, first))) = (&columns.titles, columns.records.first()) {
        let counts_up = |from: usize| (from..).zip(first).all(|(number, field)| *field == number.to_string());
        if width > 1 && (counts_up(0) || counts_up(1)) {
            let shown = first.join(",");
            return Err(format!("line {line}: '{shown}' may be names of workers or times; accepted: names like w1"));
        }
    }
    let places: Vec<(usize, String)> = match &columns.titles {
        Some(titles) => columns.named().into_iter().map(|place| (place, titles[place].clone())).collect(),
        None => (0..width).map(|place| (place, (place + 1).to_string())).collect(),
    };
    let titles = columns.titles.as_ref().map_or(width, Vec::len);
    if let Some((line, fields)) = columns.records.iter().find(|(_, fields)| fields.len() > titles) {
        return Err(format!(
            "line {line}: {} of {}; {ACCEPTED}",
            counted(fields.len(), "time"),
            counted(titles, "worker")
        ));
    }
    let of = |(place, name): (usize, String)| {
        let mut fields: Timed = columns.column(place).collect();
        // What is empty at the end is no time; what is empty in between is refused as one.
        let last = fields.iter().rposition(|(_, field)| !field.is_empty());
        fields.truncate(last.map_or(0, |last| last + 1));
        (name, fields)
    };
    Ok(places.into_iter().map(of).collect())
}

/// Workers by the names in a column, numbers in their order.
fn by_worker(columns: &Columns, worker: usize) -> Result<Vec<(String, Timed<'_>)>, String> {
    let others: Vec<usize> = columns.named().into_iter().filter(|place| *place != worker).collect();
    let time = match (TIMES.iter().find_map(|name| columns.of(name)), &others[..]) {
        (Some(time), _) => time,
        (None, [only]) => *only,
        (None, _) => return Err(format!("no column seconds, but {}; {ACCEPTED}", columns.shown())),
    };
    let mut workers: BTreeMap<(Option<u64>, &str), Timed> = BTreeMap::new();
    for ((line, name), (_, field)) in columns.column(worker).zip(columns.column(time)) {
        workers.entry((name.parse().ok(), name)).or_default().push((line, field));
    }
    Ok(workers.into_iter().map(|((_, name), fields)| (name.to_owned(), fields)).collect())
}
