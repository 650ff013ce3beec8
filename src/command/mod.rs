//! One file per subcommand: from its flags to its output.

pub mod advise;
pub mod bench;
pub mod columns;
pub mod compare;
pub mod devices;
mod dry_run;
pub mod init;
mod lines;
pub mod merge;
pub mod plot;
mod rates;
pub mod report;
mod results;
pub mod shell;
mod shown;
pub mod submit;
pub mod sweep;
pub mod theory;
pub mod train;
pub mod tune;

use crate::streams::{tell, to_stdout};
use std::io::{self, IsTerminal};
use std::path::Path;

/// The names of those files, or folders with a `/` behind them, that are in `folder`.
fn files_there(folder: &Path, names: &[&str]) -> String {
    names.iter().copied().filter(|name| folder.join(name).exists()).collect::<Vec<_>>().join(", ")
}

/// Columns of text where a person reads stdout; none where a file or a program takes it, whatever $COLUMNS says.
fn reader_width() -> Option<usize> {
    crate::streams::stdout_width().filter(|_| io::stdout().is_terminal())
}
