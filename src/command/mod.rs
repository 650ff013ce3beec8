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
