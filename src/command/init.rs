//! `tauscope init`: a commented example of a plan file.

use super::to_stdout;
use anyhow::{Context, Result, bail};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const EXAMPLE: &str = include_str!("../../assets/example-plan.toml");

/// Write a commented example of a plan file; `tauscope sweep FILE` runs it in seconds.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to write it; - for stdout
    #[arg(default_value = "plan.toml")]
    pub file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// Writes the example and says what to do with it.
///
/// # Errors
/// Where the file exists already, or cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let shown = args.file.display();
    if args.file.as_os_str() == "-" {
        return to_stdout(EXAMPLE);
    }
    if args.force {
        fs::write(&args.file, EXAMPLE).with_context(|| format!("cannot write {shown}"))?;
    } else {
        let file = OpenOptions::new().write(true).create_new(true).open(&args.file);
        if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            bail!("{shown}: exists already; accepted: another name, or --force to replace it");
        }
        let written = file.and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
        written.with_context(|| format!("cannot write {shown}"))?;
    }
    to_stdout(&format!("wrote {shown}; look at it with `tauscope sweep {shown} --dry-run`, run it without\n"))
}
