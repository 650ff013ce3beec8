//! `tauscope report`: one HTML page from results folders.

use super::results::Results;
use super::tell;
use crate::report::{self, Reported};
use crate::streams::to_stderr;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Write one self-contained HTML page about results folders: answers, plots, tables, plan and machine. Of an unfinished folder,
/// what there is so far; several folders stand one below the other.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results folders, as written by `tauscope sweep` or `tauscope train`, finished or not
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// File to write [default: DIR/report.html, where there is one DIR]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Whether `file` is there and belongs to what a job has put into `folder`.
fn is_result_of(folder: &Path, file: &Path) -> bool {
    let is_page = file.extension().is_some_and(|extension| extension == "html");
    let parent = |file: &Path| file.canonicalize().ok()?.parent().map(Path::to_owned);
    !is_page && folder.canonicalize().ok().is_some_and(|folder| parent(file) == Some(folder))
}

/// Writes the page and prints its path.
///
/// # Errors
/// Where a folder or one of its files is missing or malformed, or the page cannot be written; the message names the
/// file.
pub fn run(args: &Args) -> Result<()> {
    let folders: Vec<Results> = args.dirs.iter().map(|dir| Results::open(dir)).collect::<Result<_>>()?;
    let out = match (&args.out, &folders[..]) {
        (Some(out), _) => out.clone(),
        (None, [only]) => only.named.join("report.html"),
        (None, many) => bail!("{} folders and no --out; accepted: --out FILE, the page about all of them", many.len()),
    };
    let reported: Vec<Reported> =
        folders.iter().map(|folder| Reported { named: &folder.named, tables: folder.tables() }).collect();
    if let Some(folder) = folders.iter().find(|folder| is_result_of(&folder.named, &out)) {
        let (out, named) = (out.display(), folder.named.display());
        bail!(
            "--out {out}: it is a result in {named}; accepted: a name that ends in .html, or one outside of that folder"
        );
    }
    report::write(&reported, &out)?;
    folders.iter().filter_map(Results::note).for_each(|note| to_stderr(&format!("note: {note}")));
    tell(&format!("{}\n", out.display()));
    Ok(())
}
