//! Errors and panics as Python exceptions, one sentence each.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A value that cannot be used.
pub fn value(error: impl Display) -> PyErr {
    PyValueError::new_err(as_keywords(&error.to_string()))
}

/// A message about flags as one about keywords: `--lr-scaling` is `lr_scaling`.
pub fn as_keywords(message: &str) -> String {
    let mut told = String::with_capacity(message.len());
    let mut rest = message;
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

/// Runs `work`. A panic in it becomes a `RuntimeError`: it is a fault of the program, and Python goes on.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let said = said.unwrap_or("no reason is known").replace(char::is_control, " ");
        Err(PyRuntimeError::new_err(format!("a fault in tauscope: {said}; nothing was changed by this call")))
    })
}
