//! `tauscope init`: a commented example of a plan file.

use super::{tell, to_stdout};
use crate::files::{write_new, write_whole};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::io::ErrorKind;
use std::path::PathBuf;

/// A command that takes plan files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Planned {
    Sweep,
    Train,
}

impl Planned {
    fn example(self) -> &'static str {
        match self {
            Self::Sweep => include_str!("../../assets/example-plan.toml"),
            Self::Train => include_str!("../../assets/example-training-plan.toml"),
        }
    }
}

/// Write a commented example of a plan file, which the command that it is for runs in seconds.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to write it; - for stdout
    #[arg(default_value = "plan.toml")]
    pub file: PathBuf,
    /// The command that the plan is for
    #[arg(long = "for", value_enum, value_name = "COMMAND", default_value_t = Planned::Sweep)]
    pub command: Planned,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// Writes the example and says what to do with it.
///
/// # Errors
/// Where the file exists already, or cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let (shown, command, example) = (args.file.display(), args.command, args.command.example());
    if args.file.as_os_str() == "-" {
        return to_stdout(example);
    }
    let write = if args.force { write_whole } else { write_new };
    match write(&args.file, example.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{shown}: exists already; accepted: another name, or --force to replace it")
        }
        written => written.with_context(|| format!("cannot write {shown}"))?,
    }
    tell(&format!("wrote {shown}; look at it with `tauscope {command} {shown} --dry-run`, run it without\n"));
    Ok(())
}
