//! `DelayProcess`: the slots of a run, step by step, as the engines draw them.
//!
//! Not here: the processes themselves ([`tauscope::delay`]).

use crate::failure::{guarded, value};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::ffi::OsString;
use tauscope::ScheduleSpec;
use tauscope::delay::{Iid, LONGEST, Process, Schedule, SlotStream, Trace};
use tauscope::theory::DelayPmf;

/// What says which delays: a process as typed after `--schedule` with a delay, recorded delays, or probabilities.
pub struct Delays<'py> {
    pub schedule: Option<String>,
    pub delay: Option<i64>,
    pub trace: Option<Bound<'py, PyAny>>,
    pub pmf: Option<Vec<f64>>,
}

impl Delays<'_> {
    /// The schedule that is meant.
    ///
    /// # Errors
    /// None or several of the three, or one that cannot be had.
    pub fn resolve(&self) -> PyResult<Schedule> {
        let given =
            [("schedule", self.schedule.is_some()), ("trace", self.trace.is_some()), ("pmf", self.pmf.is_some())];
        let given: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        if let [one, other, ..] = given[..] {
            return Err(value(format!("{one} and {other}: each says which delays; accepted: one of them")));
        }
        let own = given.first().filter(|name| **name != "schedule");
        if let (Some(name), Some(delay)) = (own, self.delay) {
            return Err(value(format!("delay {delay} beside {name}, which brings its own; accepted: one of them")));
        }
        if let Some(trace) = &self.trace {
            return traced(trace);
        }
        if let Some(pmf) = &self.pmf {
            let iid = DelayPmf::new(pmf.clone()).map_err(|error| error.to_string()).and_then(Iid::new);
            let iid = iid.map_err(|reason| value(format!("pmf: {reason}")))?;
            return Ok(Schedule::new("iid:pmf", Process::Iid(iid)));
        }
        let text = self.schedule.as_deref().unwrap_or("round-robin");
        let spec: ScheduleSpec = text.parse().map_err(|reason| value(format!("schedule '{text}': {reason}")))?;
        let schedule = match self.delay {
            Some(delay) => {
                let delay = u32::try_from(delay).map_err(|_| {
                    value(format!("delay {delay}: accepted: whole numbers of updates from 0 to {LONGEST}"))
                })?;
                spec.resolve(delay)
            }
            None if spec.takes_delay() => {
                return Err(value(format!("no delay for schedule '{text}'; accepted: delay=UPDATES")));
            }
            None => spec.own(),
        };
        schedule.map_err(value)
    }
}

/// Recorded delays: a file, or the delays themselves.
fn traced(trace: &Bound<PyAny>) -> PyResult<Schedule> {
    if trace.is_instance_of::<PyString>() || trace.hasattr("__fspath__")? {
        let mut text = OsString::from("trace:");
        text.push(trace.extract::<std::path::PathBuf>()?);
        let spec = ScheduleSpec::parse_os(&text).map_err(|reason| value(format!("trace: {reason}")))?;
        return spec.own().map_err(value);
    }
    let delays: Vec<u32> = trace.extract().map_err(|_| {
        PyTypeError::new_err(
            "trace: neither a file nor delays; accepted: a path, or whole numbers of updates from 0 on",
        )
    })?;
    let trace = Trace::new(delays).map_err(|error| value(format!("trace: {error}")))?;
    Ok(Schedule::new("trace", Process::Trace(trace)))
}

/// The slots of one run: which stored version of the weights each step reads, and which it replaces.
#[pyclass(module = "tauscope")]
pub struct DelayProcess {
    schedule: Schedule,
    seed: u64,
    stream: SlotStream,
    /// Steps drawn.
    step: u64,
    /// The step whose weights each slot holds: 0 for the start.
    versions: Vec<u64>,
}

impl DelayProcess {
    fn draw(&mut self) -> (u32, u32, u64) {
        let slots = self.stream.next();
        let delay = self.step - self.versions[slots.read as usize];
        self.step += 1;
        self.versions[slots.write as usize] = self.step;
        (slots.read, slots.write, delay)
    }
}

/// One array each of slots read, slots written and delays.
type Drawn<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

#[pymethods]
impl DelayProcess {
    #[new]
    #[pyo3(signature = (schedule=None, delay=None, *, trace=None, pmf=None, seed=0))]
    fn new(
        schedule: Option<String>,
        delay: Option<i64>,
        trace: Option<Bound<PyAny>>,
        pmf: Option<Vec<f64>>,
        seed: u64,
    ) -> PyResult<Self> {
        let delays = Delays { schedule, delay, trace, pmf };
        guarded(|| {
            let schedule = delays.resolve()?;
            let (stream, versions) = (schedule.start(seed), vec![0; schedule.slots() as usize]);
            Ok(Self { schedule, seed, stream, step: 0, versions })
        })
    }

    /// The next step as `(read, write, delay)`.
    fn next(&mut self) -> (u32, u32, u64) {
        self.draw()
    }

    /// The next `count` steps as three arrays of that length: slots read, slots written, delays.
    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> PyResult<Drawn<'py>> {
        let (mut reads, mut writes, mut delays) = (vec![], vec![], vec![]);
        for array in [&mut reads, &mut writes, &mut delays] {
            array.try_reserve_exact(count).map_err(|_| {
                PyMemoryError::new_err(format!("count {count}: no memory for as many steps; accepted: fewer at a time"))
            })?;
        }
        for _ in 0..count {
            let (read, write, delay) = self.draw();
            reads.push(i64::from(read));
            writes.push(i64::from(write));
            delays.push(delay.cast_signed());
        }
        Ok((reads.into_pyarray(py), writes.into_pyarray(py), delays.into_pyarray(py)))
    }

    /// Draws `count` steps and forgets them.
    fn skip(&mut self, py: Python, count: u64) -> PyResult<()> {
        let mut left = count;
        while left > 0 {
            let some = left.min(1 << 20);
            py.detach(|| (0..some).for_each(|_| _ = self.draw()));
            py.check_signals()?;
            left -= some;
        }
        Ok(())
    }

    /// The same process from its first step on; with another seed where one is given.
    #[pyo3(signature = (seed=None))]
    fn restart(&self, seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or(self.seed);
        let versions = vec![0; self.versions.len()];
        Self { schedule: self.schedule.clone(), seed, stream: self.schedule.start(seed), step: 0, versions }
    }

    /// Steps drawn so far.
    #[getter]
    fn step(&self) -> u64 {
        self.step
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.seed
    }

    /// The process as the column `schedule` of tables names it.
    #[getter]
    fn schedule(&self) -> String {
        self.schedule.name()
    }

    /// Stored versions of the weights.
    #[getter]
    fn slots(&self) -> u32 {
        self.schedule.slots()
    }

    /// Workers; None where the delays do not come from any.
    #[getter]
    fn workers(&self) -> Option<u32> {
        self.schedule.workers()
    }

    /// Gradients that one update averages.
    #[getter]
    fn group(&self) -> u32 {
        self.schedule.group()
    }

    /// Mean delay in the long run, updates.
    #[getter]
    fn mean_delay(&self) -> f64 {
        self.schedule.mean_delay()
    }

    /// Whether different seeds give different delays.
    #[getter]
    fn is_random(&self) -> bool {
        self.schedule.is_random()
    }

    fn __repr__(&self) -> String {
        let (slots, step) = (self.slots(), self.step);
        format!("<DelayProcess {}: {slots} slots, seed {}, {step} steps drawn>", self.schedule(), self.seed)
    }
}
