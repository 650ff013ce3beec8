//! Stdout and stderr: the only place that writes to them.
//!
//! Text on stderr (progress, warnings, notes) is never worth a run: where it cannot be written it is lost. Text on stdout
//! that a command is asked for is its product: where it cannot be written, the command fails. Both go to the
//! [host](crate::host), where there is one that takes them.

use crate::host::{Host, Stream};
use anyhow::{Context, Result};
use std::io::{self, ErrorKind, IsTerminal, Write};

/// A line on stderr, as far as it can be written.
pub fn to_stderr(line: &str) {
    let line = format!("{line}\n");
    let _ = write_to_host(Stream::Err, &line).unwrap_or_else(|| io::stderr().lock().write_all(line.as_bytes()));
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
    write_to_host(Stream::Out, text).unwrap_or_else(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    })
}

/// Whether stderr is a terminal, where a bar can move.
pub fn stderr_is_terminal() -> bool {
    Host::current().is_none_or(|host| host.write.is_none()) && io::stderr().is_terminal()
}

/// Columns of text of the terminal that stdout is; else $COLUMNS, where that is set. None where lines may be of any length.
pub fn stdout_width() -> Option<usize> {
    if Host::current().is_some_and(|host| host.write.is_some()) {
        return None;
    }
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((terminal_size::Width(columns), _)) => Some(columns.into()),
        None => std::env::var("COLUMNS").ok()?.parse().ok(),
    }
}

/// None where no host takes texts.
fn write_to_host(stream: Stream, text: &str) -> Option<io::Result<()>> {
    Host::current()?.write.as_ref().map(|write| write(stream, text))
}
