//! What a folder is, told by the files in it: the marks by which a folder is known to be ours, and how far it had come.
//!
//! Only folders with a mark of this program are ever emptied or removed: a `lock` that it wrote, a plan.json or a run.json
//! of its own. Not here: what is done about a folder ([`super::draft`]).

use super::lock::{LOCK, is_marked};
use super::traces::TRACES;
use super::{PLAN, REPLACE, RUN, beside};
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Folders that a job makes before it has anything to put into them.
const FOLDERS: [&str; 2] = ["weights", TRACES];

/// What stands at `DIR.partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing, or of a process that ended before it had written anything to go on from.
    Nothing,
    /// An unfinished job, and whether it was to replace the folder that has its name.
    Job { replace: bool },
    /// Something that is not ours.
    Foreign,
}

/// # Errors
/// Where the folder cannot be read.
pub fn remains(partial: &Path) -> Result<Remains> {
    let cannot = || format!("cannot read {}", partial.display());
    match fs::symlink_metadata(partial) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Remains::Nothing),
        Err(error) => return Err(error).with_context(cannot),
        Ok(there) if !there.is_dir() => return Ok(Remains::Foreign),
        Ok(_) => {}
    }
    if let Some(plan) = json(&partial.join(PLAN), &["job", "plan", "engine"]) {
        return Ok(Remains::Job { replace: plan[REPLACE] == true });
    }
    if is_marked(partial) {
        // A plan that cannot be read is told of where it is opened.
        return Ok(if partial.join(PLAN).exists() { Remains::Job { replace: false } } else { Remains::Nothing });
    }
    let is_empty = is_empty(partial).with_context(cannot)?;
    Ok(if is_empty { Remains::Nothing } else { Remains::Foreign })
}

/// Whether there is nothing in a folder that anybody could miss: a process of ours was killed before it had put its mark
/// there, or after it had removed it.
fn is_empty(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_nothing = match entry.file_type()? {
            kind if kind.is_file() => entry.file_name() == LOCK && entry.metadata()?.len() == 0,
            kind if kind.is_dir() => {
                let name = entry.file_name();
                FOLDERS.iter().any(|folder| name == *folder) && fs::read_dir(entry.path())?.next().is_none()
            }
            _ => false,
        };
        if !is_nothing {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `DIR.replaced` was made by `--force`, which marks it before it renames it.
pub fn is_replaced(old: &Path) -> bool {
    let is_folder = fs::symlink_metadata(old).is_ok_and(|there| there.is_dir());
    is_folder && (is_marked(old) || is_empty(old).unwrap_or(false))
}

/// Whether a folder is whole: run.json is written last.
pub fn is_whole(folder: &Path) -> bool {
    json(&folder.join(RUN), &["plan", "plan_hash"]).is_some()
}

/// Whether a folder holds an unfinished job, also where it stands beside the name given (`DIR.partial`). A whole folder that a
/// killed process has left its plan in is finished.
pub fn is_unfinished(folder: &Path) -> bool {
    let beside = beside(folder, "partial").is_ok_and(|partial| partial.exists());
    let is_partial = folder.extension() == Some(OsStr::new("partial"));
    (!folder.exists() && beside) || (folder.join(PLAN).exists() && (is_partial || !is_whole(folder)))
}

/// The JSON object in a file, if it is one that has these keys.
fn json(path: &Path, keys: &[&str]) -> Option<Value> {
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    keys.iter().all(|key| value.get(key).is_some()).then_some(value)
}
