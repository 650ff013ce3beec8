//! `trace:FILE`: recorded delays, one per update, as a CSV file has them.
//!
//! Not here: a model of what is between the recorded delays; a longer run starts the record again from its beginning.

use super::columns::{Columns, FileSpec, whole};
use super::ring::Ring;
use super::{DelayProcess, LONGEST, ProcessSpec, ScheduleError, SlotSource, Slots};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpec {
    pub file: FileSpec,
}

impl fmt::Display for TraceSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", Self::NAME, self.file)
    }
}

impl ProcessSpec for TraceSpec {
    type Process = Trace;

    const NAME: &'static str = "trace";
    const FORMS: &'static str = "trace:FILE[#COLUMN]";
    const SUMMARY: &'static str = "the recorded delays of a CSV file or of JSON lines, over and over; the column delay, the \
                                   only one, or COLUMN; without --delays";
    const EXAMPLES: &'static [&'static str] = &[];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        Self::parse_os(detail.map(OsStr::new))
    }

    fn parse_os(detail: Option<&OsStr>) -> Result<Self, String> {
        match detail.filter(|file| !file.is_empty()) {
            None => Err("trace names no FILE; accepted: trace:FILE".to_owned()),
            Some(file) => Ok(Self { file: file.into() }),
        }
    }

    fn takes_delay(&self) -> bool {
        false
    }

    fn resolve(&self, _: u32) -> Result<Trace, String> {
        Trace::read(&self.file)
    }
}

/// At least one delay, updates.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    #[serde(serialize_with = "super::workers::slice")]
    delays: Arc<[u32]>,
    #[serde(skip)]
    longest: u32,
    /// The column that was read, where neither the text that was typed nor its name `delay` say it.
    #[serde(skip)]
    column: Option<Arc<str>>,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.delays == other.delays
    }
}

const ACCEPTED: &str =
    "accepted: a table with a column delay or a single column (else trace:FILE#COLUMN), or one delay a line";

/// Columns that make a table of delays a histogram.
const WEIGHTS: [&str; 5] = ["probability", "count", "counts", "frequency", "weight"];

impl Trace {
    /// # Errors
    /// No delay, or one above [`LONGEST`].
    pub fn new(delays: Vec<u32>) -> Result<Self, ScheduleError> {
        match delays.iter().max() {
            None => Err(ScheduleError("it has no delays; accepted: at least one".into())),
            Some(longest) if *longest > LONGEST => {
                Err(ScheduleError(format!("its longest delay is {longest}; accepted: up to {LONGEST} updates")))
            }
            Some(longest) => Ok(Self { longest: *longest, delays: delays.into(), column: None }),
        }
    }

    /// From a table: the column that is asked for, its column `delay`, or its only one.
    fn read(file: &FileSpec) -> Result<Self, String> {
        let columns = file.read().map_err(|reason| format!("{reason}; {ACCEPTED}"))?;
        let index = column(&columns)?;
        let delay = |(line, field): (u64, &str)| {
            whole(field, LONGEST).ok_or_else(|| {
                if field.is_empty() {
                    return format!("line {line}: no delay; {ACCEPTED}");
                }
                format!("line {line}: delay '{field}' is not a whole number up to {LONGEST}; {ACCEPTED}")
            })
        };
        let trace = Self::new(columns.column(index).map(delay).collect::<Result<_, _>>()?);
        let title = columns.titles.as_ref().map(|titles| &titles[index]);
        let unsaid = title.filter(|title| *title != "delay" && columns.asked.is_none());
        Ok(Self { column: unsaid.map(|title| title.as_str().into()), ..trace.map_err(|error| error.to_string())? })
    }

    /// The delay of each update, in order.
    pub fn delays(&self) -> &Arc<[u32]> {
        &self.delays
    }
}

/// Index of the column to read.
fn column(columns: &Columns) -> Result<usize, String> {
    let shown = columns.shown();
    if let Some(asked) = &columns.asked {
        return columns.of(asked).ok_or_else(|| format!("no column {asked} beside {shown}; {ACCEPTED}"));
    }
    let delay = columns.of("delay");
    if delay.is_some() && WEIGHTS.iter().any(|weight| columns.of(weight).is_some()) {
        return Err(format!("a histogram, with {shown}, and no record; accepted: iid:FILE, which draws from it"));
    }
    let width = columns.records.iter().map(|(_, fields)| fields.len()).max().unwrap_or(0);
    match (delay, &columns.named()[..]) {
        (Some(delay), _) => Ok(delay),
        (None, [only]) => Ok(*only),
        (None, []) if columns.titles.is_none() && width <= 1 => Ok(0),
        (None, []) => Err(format!("{width} columns without names; {ACCEPTED}")),
        (None, _) => Err(format!("no column delay, but {shown}; {ACCEPTED}")),
    }
}

impl DelayProcess for Trace {
    type Spec = TraceSpec;
    type Source = TraceSource;

    fn slots(&self) -> u32 {
        self.longest + 1
    }

    fn workers(&self) -> Option<u32> {
        None
    }

    fn fixed(&self) -> Option<u32> {
        self.delays.iter().all(|delay| *delay == self.delays[0]).then_some(self.delays[0])
    }

    fn is_drawn(&self) -> bool {
        false
    }

    fn mean_delay(&self) -> f64 {
        self.delays.iter().map(|delay| f64::from(*delay)).sum::<f64>() / self.delays.len() as f64
    }

    fn read_from(&self) -> Option<&str> {
        self.column.as_deref()
    }

    fn source(&self, _: &mut ChaCha8Rng) -> TraceSource {
        TraceSource { delays: Arc::clone(&self.delays), next: 0, ring: Ring::new(self.slots()) }
    }
}

#[derive(Clone, Debug)]
pub struct TraceSource {
    delays: Arc<[u32]>,
    next: usize,
    ring: Ring,
}

impl SlotSource for TraceSource {
    fn next(&mut self, _: u64, _: &mut ChaCha8Rng) -> Slots {
        let delay = self.delays[self.next];
        self.next = if self.next + 1 == self.delays.len() { 0 } else { self.next + 1 };
        self.ring.next(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delay::ScheduleSpec;

    /// The delays of a file with this content, and the schedule's name behind the file's.
    fn read(content: &str, column: &str) -> Result<(Vec<u32>, String), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t");
        std::fs::write(&file, content).unwrap();
        let spec: ScheduleSpec = format!("trace:{}{column}", file.display()).parse().unwrap();
        let schedule = spec.own().map_err(|error| error.to_string())?;
        let name = schedule.name().rsplit('/').next().unwrap().to_owned();
        match schedule.process() {
            crate::delay::Process::Trace(trace) => Ok((trace.delays().to_vec(), name)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trace_is_read_in_every_form_and_its_column_is_in_its_name() {
        for (content, column, name) in [
            ("delay\n3\n0\n12\n", "", "t"),
            ("3\n0\n12", "", "t"),
            ("step,delay\n0,3\n1,0\n2,12\n", "", "t"),
            (" delay \r\n 3\r\n\r\n0\r\n12\r\n", "", "t"),
            // As numpy.savetxt, pandas and spreadsheets write them.
            ("3.000000000000000000e+00\n0.000000000000000000e+00\n1.200000000000000000e+01\n", "", "t"),
            ("# staleness\n3.0\n0.0\n12.0\n", "", "t"),
            (",staleness\n0,3\n1,0\n2,12\n", "", "t#staleness"),
            ("\u{feff}\"age\"\n\"3\"\n\"0\"\n\"12\"\n", "", "t#age"),
            ("step;delay\n0;3\n1;0\n2;12\n", "", "t"),
            ("step\tdelay\n0\t3\n1\t0\n2\t12\n", "", "t"),
            ("0 3\n1 0\n2 12\n", "", "2 columns without names"),
            ("step,staleness\n0,3\n1,0\n2,12\n", "#staleness", "t#staleness"),
            ("delay,count\n3,1\n0,1\n12,1\n", "#delay", "t#delay"),
            ("{\"delay\": 3, \"loss\": 0.1}\n{\"loss\": null, \"delay\": 0}\n\n{\"delay\": 12.0}\n", "", "t"),
            ("{\"tau\": 3}\n{\"tau\": 0}\n{\"tau\": \"12\"}\n", "", "t#tau"),
            ("{\"a\": 1, \"tau\": 3}\n{\"tau\": 0}\n{\"tau\": 12}\n", "#tau", "t#tau"),
        ] {
            match read(content, column) {
                Ok(read) => assert_eq!(read, (vec![3, 0, 12], name.to_owned()), "{content:?}"),
                Err(error) => assert!(error.contains(name) && name.contains(' '), "{content:?}: {error}"),
            }
        }
    }

    #[test]
    fn a_file_whose_name_has_a_hash_goes_before_a_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a#b");
        std::fs::write(&path, "1\n2\n").unwrap();
        std::fs::write(folder.path().join("a"), "b,c\n3,4\n").unwrap();
        let own = |text: &str| format!("trace:{text}").parse::<ScheduleSpec>().unwrap().own().unwrap();
        let text = path.to_str().unwrap();
        assert_eq!(own(text).slots(), 3);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(own(text).slots(), 4);
    }

    #[test]
    fn what_cannot_be_a_trace_is_named_with_its_line() {
        for (content, column, part) in [
            ("delay\n3\nx\n", "", "line 3: delay 'x' is not a whole number up to 1000000"),
            ("3\n-1\n", "", "line 2: delay '-1' is not"),
            ("3\n1.5\n", "", "line 2: delay '1.5' is not"),
            ("3\nnan\n", "", "line 2: delay 'nan' is not"),
            ("delay\n1000001\n", "", "line 2: delay '1000001' is not"),
            (
                "delay,probability\n0,0.9\n8,0.1\n",
                "",
                "a histogram, with columns delay, probability, and no record; accepted: iid:FILE",
            ),
            ("cell_id,delay,count\na,0,9\n", "", "accepted: iid:FILE"),
            ("step,late\n0,3\n", "", "no column delay, but columns step, late; accepted: a table with a column delay"),
            ("step,late\n0,3\n", "#x", "no column x beside columns step, late; accepted"),
            ("1\n2\n", "#x", "no column x beside columns without names"),
            ("step,delay\n0\n", "", "line 2: no delay; accepted"),
            ("delay,delay\n1,2\n", "", "its header has two columns 'delay'; accepted"),
            ("epoch,delay\n0,1,7\n", "", "line 2: 3 fields under a header of 2"),
            ("{\"delay\": 1}\n{\"late\": 1}\n", "", "line 2: no delay; accepted"),
            ("{\"delay\": 1}\nnothing\n", "", "line 2: no JSON object"),
            ("{\"delay\": 1}\n{\"delay\": [2]}\n", "", "line 2: delay '[2]' is not"),
            ("delay\n1\u{0}\n", "", "no text: byte 7 is 0; expected UTF-8; accepted: a table"),
            ("a\u{1b}b,c\n1,2\n", "", "no column delay, but columns a b, c"),
            ("delay\n", "", "it has no delays; accepted: at least one"),
            ("", "", "it has no delays"),
        ] {
            let error = read(content, column).unwrap_err();
            assert!(error.contains(part) && error.lines().count() == 1, "{content:?}: {error}");
        }
        let error = Trace::read(&OsStr::new("no/such/file").into()).unwrap_err();
        assert!(error.contains("cannot read it as a file") && error.contains("accepted: a table"), "{error}");
    }
}
