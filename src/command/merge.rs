//! `tauscope merge`: the folders of all shards into the folder of the whole job.

use super::tell;
use crate::plot;
use crate::rates::RatesTables;
use crate::session::{self, Existing, JobName, Merged};
use crate::sweep::SweepTables;
use crate::table::{SummaryRow, ThresholdRow};
use crate::text::counted;
use crate::train::TrainTables;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Put the folders of all shards of a sweep or a training together. The result has the bytes of the unsharded job.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folders made with `--shard`, one per shard, in any order
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
/// Where the folders are not all the shards of one job, each once and whole; the message lists what is wrong. Where a
/// file cannot be read or written.
pub fn run(args: &Args) -> Result<()> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let (target, command) = (&args.out, session::command_line());
    let merged = Merged::open(&args.folders)?;
    let totals = match merged.job() {
        JobName::Sweep => {
            let pictures =
                |rows: &Vec<ThresholdRow>, dir: &Path| plot::thresholds(rows, dir, plot::Theme::Light).map(drop);
            session::merge::<SweepTables>(merged, target, existing, command, &pictures)?.to_string()
        }
        JobName::Rates => session::merge::<RatesTables>(merged, target, existing, command, &|_, _| Ok(()))?.to_string(),
        JobName::Training => {
            let pictures = |_: &Vec<SummaryRow>, dir: &Path| plot::training(dir, plot::Theme::Light).map(drop);
            session::merge::<TrainTables>(merged, target, existing, command, &pictures)?.to_string()
        }
    };
    if args.quiet {
        return Ok(());
    }
    let shards = args.folders.len();
    tell(&format!("merged {}, {totals}\nwrote {}\n", counted(shards, "shard"), args.out.display()));
    Ok(())
}
