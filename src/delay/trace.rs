//! `trace:FILE`: recorded delays, one per update, as a CSV file has them.
//!
//! Not here: a model of what is between the recorded delays; a longer run starts the record again from its beginning.

use super::ring::Ring;
use super::{DelayProcess, LONGEST, ProcessSpec, ScheduleError, SlotSource, Slots};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpec {
    pub file: String,
}

impl fmt::Display for TraceSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", Self::NAME, self.file)
    }
}

impl ProcessSpec for TraceSpec {
    type Process = Trace;

    const NAME: &'static str = "trace";
    const FORMS: &'static str = "trace:FILE";
    const SUMMARY: &'static str = "the recorded delays of a CSV file (a column delay), over and over; without --delays";
    const EXAMPLES: &'static [&'static str] = &[];

    fn parse(detail: Option<&str>) -> Result<Self, String> {
        match detail {
            None | Some("") => Err("trace names no FILE; accepted: trace:FILE".to_owned()),
            Some(file) => Ok(Self { file: file.to_owned() }),
        }
    }

    fn takes_delay(&self) -> bool {
        false
    }

    fn resolve(&self, _: u32) -> Result<Trace, String> {
        Trace::read(&self.file).map_err(|reason| reason.to_string())
    }
}

/// At least one delay, updates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    #[serde(serialize_with = "super::workers::slice")]
    delays: Arc<[u32]>,
    #[serde(skip)]
    longest: u32,
}

const ACCEPTED: &str = "accepted: a CSV file with a column delay, or with nothing but one delay on each line";

impl Trace {
    /// # Errors
    /// No delay, or one above [`LONGEST`].
    pub fn new(delays: Vec<u32>) -> Result<Self, ScheduleError> {
        match delays.iter().max() {
            None => Err(ScheduleError("it has no delays; accepted: at least one".into())),
            Some(longest) if *longest > LONGEST => {
                Err(ScheduleError(format!("its longest delay is {longest}; accepted: up to {LONGEST} updates")))
            }
            Some(longest) => Ok(Self { longest: *longest, delays: delays.into() }),
        }
    }

    /// From a CSV file: its column `delay`, or, without a header, its only column.
    ///
    /// # Errors
    /// A file that cannot be read, has no such column or holds something else in it; the message has the line.
    pub fn read(path: &str) -> Result<Self, ScheduleError> {
        let refuse = |reason: String| ScheduleError(format!("{reason}; {ACCEPTED}"));
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_path(path);
        let mut reader = reader.map_err(|error| refuse(format!("cannot read it as a file: {error}")))?;
        let mut column = None;
        let mut delays = vec![];
        for record in reader.records() {
            let record = record.map_err(|error| refuse(error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let column = match column {
                Some(column) => column,
                None => {
                    let titled = record.iter().position(|title| title == "delay");
                    let only = (record.len() == 1).then_some(0);
                    let found = titled.or(only).ok_or_else(|| refuse(format!("line {line}: no column delay")))?;
                    column = Some(found);
                    if titled.is_some() {
                        continue;
                    }
                    found
                }
            };
            let field = record.get(column).unwrap_or("");
            let delay =
                field.parse().ok().filter(|delay| *delay <= LONGEST).ok_or_else(|| {
                    refuse(format!("line {line}: delay '{field}' is not a whole number up to {LONGEST}"))
                })?;
            delays.push(delay);
        }
        Self::new(delays)
    }

    /// The delay of each update, in order.
    pub fn delays(&self) -> &Arc<[u32]> {
        &self.delays
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

    fn read(content: &str) -> Result<Vec<u32>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let trace = Trace::read(file.path().to_str().unwrap()).map_err(|error| error.to_string())?;
        Ok(trace.delays().to_vec())
    }

    #[test]
    fn a_trace_is_read_with_or_without_a_header() {
        for content in
            ["delay\n3\n0\n12\n", "3\n0\n12", "step,delay\n0,3\n1,0\n2,12\n", " delay \r\n 3\r\n\r\n0\r\n12\r\n"]
        {
            assert_eq!(read(content).unwrap(), [3, 0, 12], "{content:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_trace_is_named_with_its_line() {
        for (content, part) in [
            ("delay\n3\nx\n", "line 3: delay 'x' is not a whole number up to 1000000"),
            ("3\n-1\n", "line 2: delay '-1' is not"),
            ("3\n1.5\n", "line 2: delay '1.5' is not"),
            ("delay\n1000001\n", "line 2: delay '1000001' is not"),
            ("step,late\n0,3\n", "line 1: no column delay; accepted: a CSV file with a column delay"),
            ("step,delay\n0\n", "line 2: delay '' is not"),
            ("delays\n0\n", "line 1: delay 'delays' is not"),
            ("delay\n", "it has no delays; accepted: at least one"),
            ("", "it has no delays"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(part), "{content:?}: {error}");
        }
        let error = Trace::read("no/such/file").unwrap_err().to_string();
        assert!(error.contains("cannot read it as a file") && error.contains("accepted: a CSV file"), "{error}");
    }
}
