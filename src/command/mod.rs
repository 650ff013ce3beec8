//! One file per subcommand: from its flags to its output.

pub mod advise;
pub mod bench;
pub mod compare;
pub mod devices;
mod dry_run;
pub mod init;
pub mod merge;
pub mod plot;
pub mod report;
pub mod submit;
pub mod sweep;
pub mod theory;
pub mod train;

use std::io::{self, Write};

/// Writes to stdout. A reader that has seen enough (`tauscope ... | head`) is no error.
///
/// # Errors
/// Where stdout cannot be written for another reason.
fn to_stdout(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}
