//! Errors and panics as Python exceptions, one sentence each.

use pyo3::exceptions::{
    PyFileExistsError, PyFileNotFoundError, PyIsADirectoryError, PyNotADirectoryError, PyOSError, PyPermissionError,
    PyRuntimeError, PySystemExit, PyValueError,
};
use pyo3::prelude::*;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tauscope::cli::Failure;

/// A value that cannot be used, or a file that it names.
pub fn value(error: impl Display) -> PyErr {
    of_message(as_keywords(&error.to_string()))
}

/// What ended a command early: an exception of the type that Python has for it.
pub fn of_command(failure: &Failure) -> PyErr {
    let message = as_keywords(&failure.message());
    if let Some(interrupted) = failure.interrupted() {
        return PySystemExit::new_err(interrupted.code());
    }
    if failure.is_no_fault_of_the_user() {
        return PyRuntimeError::new_err(message);
    }
    of_message(message)
}

fn of_message(message: String) -> PyErr {
    // Errors of the system end in its number, wherever they come from.
    let number = message.split_once("(os error ").and_then(|(_, rest)| rest.split(')').next()?.parse::<u32>().ok());
    match number.map(|number| io::Error::from_raw_os_error(number.cast_signed()).kind()) {
        None if message.contains(": exists already") => PyFileExistsError::new_err(message),
        None => PyValueError::new_err(message),
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(message),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(message),
        Some(ErrorKind::AlreadyExists) => PyFileExistsError::new_err(message),
        Some(ErrorKind::NotADirectory) => PyNotADirectoryError::new_err(message),
        Some(ErrorKind::IsADirectory) => PyIsADirectoryError::new_err(message),
        Some(_) => PyOSError::new_err(message),
    }
}

/// What stands in messages of the command line, and what a caller from Python would say.
const SAID: [(&str, &str); 8] = [
    ("`tauscope sweep --help`", "help(tauscope.sweep)"),
    ("`tauscope train --help`", "help(tauscope.train)"),
    ("`tauscope advise --help`", "help(tauscope.advise)"),
    ("`tauscope tune --help`", "help(tauscope.tune)"),
    ("the same command with --resume and --out", "the same call with resume=True and out ="),
    ("--resume goes on", "resume=True goes on"),
    ("--resume to", "resume=True to"),
    ("--force to", "force=True to"),
];

/// A message about flags as one about keywords: `--lr-scaling` is `lr_scaling`.
pub fn as_keywords(message: &str) -> String {
    let message = SAID.iter().fold(message.to_owned(), |message, (flag, keyword)| message.replace(flag, keyword));
    let mut told = String::with_capacity(message.len());
    let message = without_placeholders(&message);
    let mut rest = message.as_str();
    while let Some(start) = rest.find("--") {
        let name = &rest[start + 2..];
        let length = name.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(name.len());
        let stands_alone = !rest[..start].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '/');
        told.push_str(&rest[..start]);
        if stands_alone && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            told.push_str(&name[..length].replace('-', "_"));
        } else {
            told.push_str(&rest[start..start + 2 + length]);
        }
        rest = &name[length..];
    }
    told + rest
}

/// `'--engine <CHOICE>'` as `'--engine'`.
fn without_placeholders(message: &str) -> String {
    let mut told = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find("'--") {
        let end = rest[start + 1..].find('\'').map_or(rest.len(), |length| start + 1 + length);
        let name = rest[start..end].split(" <").next().unwrap_or_default();
        told.push_str(&rest[..start]);
        told.push_str(name);
        rest = &rest[end..];
    }
    told + rest
}

/// Runs `work`. A panic in it becomes a `RuntimeError`: it is a fault of the program, and Python goes on.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let said = said.unwrap_or("no reason is known").replace(char::is_control, " ");
        Err(PyRuntimeError::new_err(format!("a fault in tauscope: {said}; please report it with what you called")))
    })
}

/// Panics, for the tests: wheels that are built for users do not have it.
#[cfg(debug_assertions)]
#[pyfunction]
pub fn planted_panic() -> PyResult<()> {
    guarded(|| panic!("planted\nhere"))
}
