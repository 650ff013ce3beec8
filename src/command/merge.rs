//! `tauscope merge`: the folders of all shards into the folder of the sweep.

use super::to_stdout;
use crate::session::{self, Existing, Totals};
use anyhow::Result;
use std::path::PathBuf;

/// Put the folders of all shards of a sweep together. The result has the bytes of the unsharded sweep.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folders of `tauscope sweep --shard`, one per shard, in any order
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Results folder to write; must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the results folder if it exists
    #[arg(long)]
    pub force: bool,
    /// Say nothing
    #[arg(long)]
    pub quiet: bool,
}

/// Merges, and says how much.
///
/// # Errors
/// Where the folders are not all the shards of one sweep, each once and whole; the message lists what is wrong. Where a
/// file cannot be read or written.
pub fn run(args: &Args) -> Result<()> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let command = std::iter::once("tauscope".into()).chain(std::env::args().skip(1)).collect();
    let Totals { cells, runs, .. } = session::merge(&args.folders, &args.out, existing, command)?;
    if args.quiet {
        return Ok(());
    }
    let shards = args.folders.len();
    to_stdout(&format!("merged {shards} shards, {cells} cells, {runs} runs\nwrote {}\n", args.out.display()))
}
