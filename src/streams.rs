//! Stdout and stderr: the only place that writes to them.
//!
//! Text on stderr (progress, warnings, notes) is never worth a run: where it cannot be written it is lost. Text on stdout
//! that a command is asked for is its product: where it cannot be written, the command fails.

use anyhow::{Context, Result};
use std::io::{self, ErrorKind, Write};

/// A line on stderr, as far as it can be written.
pub fn to_stderr(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// A line on stderr that begins with `warning`.
pub fn warn(line: &str) {
    to_stderr(&format!("warning: {line}"));
}

/// Writes to stdout what the command is for.
///
/// # Errors
/// Where it cannot be written; a reader that has gone away (`| head`) is none.
pub fn to_stdout(text: &str) -> Result<()> {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// Writes to stdout what a command tells of files that it has written: where it cannot be written, the files count.
pub fn tell(text: &str) {
    if let Err(error) = to_stdout(text) {
        warn(&format!("{error:#}"));
    }
}

/// Writes to stdout, at once.
///
/// # Errors
/// Where it cannot be written, also for lack of a reader.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}
