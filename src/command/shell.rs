//! `tauscope completions` and `tauscope man`: what a shell and `man` want to know of the command line.

use super::{tell, to_stdout};
use crate::files::write_whole;
use anyhow::{Context, Result};
use clap_complete::Shell;
use std::path::PathBuf;

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// Its name
    pub shell: Shell,
}

/// Where to put pages.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder that the pages go into, as ~/.local/share/man/man1; it is made if need be
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes the script that completes the words of `command` to stdout.
///
/// # Errors
/// Where stdout cannot be written.
pub fn completions(args: &CompletionArgs, mut command: clap::Command) -> Result<()> {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    to_stdout(&String::from_utf8_lossy(&script))
}

/// Writes a page for `command` and for each of its subcommands.
///
/// # Errors
/// Where a page cannot be written; the message names it.
pub fn man(args: &ManArgs, mut command: clap::Command) -> Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    command.build();
    // Built subcommands are displayed as `tauscope-sweep`.
    let own = command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned();
    let pages: Vec<clap::Command> = std::iter::once(command.clone()).chain(own).collect();
    for page in &pages {
        let name = page.get_display_name().unwrap_or(page.get_name()).to_owned();
        let (path, mut text) = (args.dir.join(format!("{name}.1")), Vec::new());
        clap_mangen::Man::new(page.clone()).render(&mut text)?;
        write_whole(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(&format!("wrote {} pages to {}\n", pages.len(), args.dir.display()));
    Ok(())
}
