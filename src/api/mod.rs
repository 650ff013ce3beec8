//! Typed entries for programs that use the crate: settings in, rows of the tables out.
//!
//! - [`Sweep`] measures thresholds, in memory or into a results folder
//! - [`Train`] trains from scratch under delay, into a results folder
//! - [`crate::theory`] computes thresholds and advice in closed form, [`crate::table`] reads results folders
//!
//! The settings are those of the command line, with the same defaults, checks and messages: a builder fills in what
//! `tauscope sweep` or `tauscope train` would have parsed. Not here: how anything is measured ([`crate::sweep`],
//! [`crate::train`]), nor flags, progress and exit codes ([`crate::cli`], [`crate::command`]).

mod settings;
mod sweep;
mod train;

pub use sweep::{Sweep, SweepBuilder};
pub use train::{Train, TrainBuilder};

use crate::config::JobArgs;
use clap::{Args, Command};
use std::path::Path;

/// Returns the settings of a command of which no flag was given.
fn defaults<A: Args>() -> A {
    let command = A::augment_args(Command::new("defaults")).no_binary_name(true);
    let matches = command.get_matches_from(std::iter::empty::<&str>());
    A::from_arg_matches(&matches).expect("every flag of a job has a default")
}

/// Settings of a job that writes the folder `out` and prints nothing.
fn quiet(job: &JobArgs, out: &Path) -> JobArgs {
    JobArgs { out: Some(out.into()), quiet: true, ..job.clone() }
}
