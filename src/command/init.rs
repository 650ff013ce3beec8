//! `tauscope init`: a commented example of a plan file.

use super::to_stdout;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
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
    if args.force {
        fs::write(&args.file, example).with_context(|| format!("cannot write {shown}"))?;
    } else {
        let file = OpenOptions::new().write(true).create_new(true).open(&args.file);
        if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            bail!("{shown}: exists already; accepted: another name, or --force to replace it");
        }
        let written = file.and_then(|mut file| file.write_all(example.as_bytes()));
        written.with_context(|| format!("cannot write {shown}"))?;
    }
    to_stdout(&format!("wrote {shown}; look at it with `tauscope {command} {shown} --dry-run`, run it without\n"))
}
