//! Commands of the command line, called from Python: with the words of a terminal, or with a function that takes their text.
//!
//! Not here: how keywords become words (`tauscope/_call.py`).

use crate::failure::{self, guarded};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tauscope::cli;
use tauscope::host::{Host, Stream};

/// The command line as a program: text goes to stdout and stderr, signals are handled as `tauscope` does.
///
/// `words` begin with the program's name; `program` is what jobs of a scheduler start. Returns the exit code.
#[pyfunction]
pub fn main(py: Python, words: Vec<OsString>, program: PathBuf) -> PyResult<u8> {
    guarded(|| {
        py.detach(|| {
            let host = Host { command: Some(shown(&words)), program: Some(program), ..Host::default() };
            Ok(host.around(|| cli::run(&words)))
        })
    })
}

/// A command within this process. `take(is_stderr, text)` gets its text. Signals are Python's: where a handler raises, the
/// command stops at its next safe place and the exception goes on.
#[pyfunction]
pub fn call(py: Python, words: Vec<OsString>, take: Py<PyAny>) -> PyResult<()> {
    let raised = Arc::new(Mutex::new(None::<PyErr>));
    let done = guarded(|| {
        py.detach(|| {
            let host = host(&words, take, &raised);
            Ok(host.around(|| cli::perform(&words)))
        })
    })?;
    let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (done, raised) {
        (done, Some(error)) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
            let told = match done {
                Ok(()) => "interrupted as it ended; all of it is done".to_owned(),
                Err(failure) => failure::as_keywords(&failure.message()),
            };
            Err(PyKeyboardInterrupt::new_err(told))
        }
        (_, Some(error)) => Err(error),
        (Err(failure), None) => Err(failure::of_command(&failure)),
        (Ok(()), None) => Ok(()),
    }
}

fn host(words: &[OsString], take: Py<PyAny>, raised: &Arc<Mutex<Option<PyErr>>>) -> Host {
    let keep = |raised: &Mutex<Option<PyErr>>, error: PyErr| {
        raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let (of_text, of_signals) = (Arc::clone(raised), Arc::clone(raised));
    let write = move |stream: Stream, text: &str| {
        Python::attach(|py| take.call1(py, (stream == Stream::Err, text)).map(drop)).map_err(|error| {
            keep(&of_text, error);
            io::Error::other("the program that called does not take it")
        })
    };
    let stop = move || {
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            keep(&of_signals, error);
        }
        of_signals.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    };
    Host { command: Some(shown(words)), program: None, write: Some(Box::new(write)), stop: Some(Box::new(stop)) }
}

fn shown(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The long flags of a command, as typed without their dashes, each with the default that its help names and its help.
#[pyfunction]
pub fn flags(command: &str) -> PyResult<Vec<(String, Option<String>, String)>> {
    let all = cli::flags(command).ok_or_else(|| failure::value(format!("no command '{command}'")))?;
    Ok(all)
}
