//! A folder in the making: `DIR.partial`, locked, until it is whole and gets the name `DIR`.
//!
//! Not here: what is in it. The lock goes with the folder through its renaming and is removed last, so at no moment can
//! a second process take over what is being finished.

use super::lock::{LOCK, Lock};
use super::{JOURNAL, PLAN, RUN};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What to do where something already stands at the folder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to touch it.
    Keep,
    /// Replace a results folder, finished or not.
    Replace,
    /// Go on with an unfinished one.
    Resume,
}

/// What stands at `DIR.partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    /// Nothing, or of a process that died before it had written anything to go on from.
    Nothing,
    /// An unfinished job, and whether it was to replace the folder that has its name.
    Job { replace: bool },
    /// Something that is not ours.
    Foreign,
}

/// A locked `DIR.partial`.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    partial: PathBuf,
    replace: bool,
    /// Whether there is an unfinished job to go on with.
    pub resumed: bool,
    _lock: Lock,
}

/// Refuses a folder name that could not be used, before any work is done. Says whether there is a job to resume.
///
/// # Errors
/// Where something stands there that `existing` does not allow to touch.
pub fn check(target: &Path, existing: Existing) -> Result<()> {
    examine(target, existing).map(|_| ())
}

/// What stands at `DIR.partial`, if `existing` allows to touch it.
fn examine(target: &Path, existing: Existing) -> Result<Remains> {
    let partial = beside(target, "partial")?;
    let remains = remains(&partial)?;
    let (shown, unfinished) = (target.display(), partial.display());
    if remains == Remains::Foreign {
        bail!("--out {shown}: {unfinished} is in the way and holds no unfinished job; accepted: another folder");
    }
    match existing {
        Existing::Keep if target.exists() => {
            bail!("--out {shown}: exists already; accepted: a new folder, or --force to replace it")
        }
        Existing::Keep if remains != Remains::Nothing => bail!(
            "--out {shown}: an unfinished job lies in {unfinished}; accepted: --resume to continue it, or --force to \
             discard it"
        ),
        Existing::Replace if target.exists() && !target.join(RUN).is_file() => bail!(
            "--out {shown}: exists and is no results folder (it has no {RUN}), so --force does not replace it; accepted: \
             another folder"
        ),
        Existing::Resume if target.exists() && remains != (Remains::Job { replace: true }) => {
            bail!("--out {shown}: it is finished; accepted: another folder, or --force to replace it")
        }
        Existing::Resume if !partial.exists() => {
            bail!("--resume: no unfinished job in {unfinished}; accepted: without --resume")
        }
        _ => Ok(remains),
    }
}

fn remains(partial: &Path) -> Result<Remains> {
    let cannot = || format!("cannot read {}", partial.display());
    let names = match fs::read_dir(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remains::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Remains::Foreign),
        entries => {
            entries.and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
        }
    };
    let names = names.with_context(cannot)?;
    if names.iter().any(|name| name == PLAN) {
        let replace = super::read_plan(&partial.join(PLAN)).is_ok_and(|plan| plan[super::REPLACE] == true);
        return Ok(Remains::Job { replace });
    }
    let ours = names.is_empty() || names.iter().any(|name| name == LOCK);
    Ok(if ours { Remains::Nothing } else { Remains::Foreign })
}

impl Draft {
    /// Makes `DIR.partial`, or takes over what a process that is gone has left of it, and locks it.
    ///
    /// # Errors
    /// See [`check`]; or where another process is at work there, or the folder cannot be written.
    pub fn open(target: &Path, existing: Existing) -> Result<Self> {
        examine(target, existing)?;
        let partial = beside(target, "partial")?;
        if let Err(error) = fs::create_dir(&partial)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            let cannot = format!("--out {}: cannot make {}", target.display(), partial.display());
            return Err(error).context(cannot);
        }
        let lock = Lock::take(&partial).with_context(|| format!("--out {}", target.display()))?;
        // Another process may have come and gone since.
        let remains = examine(target, existing)?;
        let resumed = existing == Existing::Resume && matches!(remains, Remains::Job { .. });
        let replace = existing == Existing::Replace || (resumed && remains == Remains::Job { replace: true });
        let draft = Self { target: target.into(), partial, replace, resumed, _lock: lock };
        if !resumed {
            draft.clear()?;
        }
        Ok(draft)
    }

    /// Whether what stands at the final name is to be replaced.
    pub fn replaces(&self) -> bool {
        self.replace
    }

    /// Where the files go.
    pub fn dir(&self) -> &Path {
        &self.partial
    }

    /// Removes what an earlier process has left.
    fn clear(&self) -> Result<()> {
        let cannot = || format!("cannot empty {}", self.partial.display());
        for entry in fs::read_dir(&self.partial).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let is_folder = entry.file_type().with_context(cannot)?.is_dir();
            match entry.path() {
                _ if entry.file_name() == LOCK => Ok(()),
                path if is_folder => fs::remove_dir_all(path),
                path => fs::remove_file(path),
            }
            .with_context(cannot)?;
        }
        Ok(())
    }

    /// Gives the folder its name. What only an unfinished folder needs goes last: a death on the way leaves a whole
    /// folder or one to resume.
    ///
    /// # Errors
    /// Where a folder cannot be renamed or a file not removed.
    pub fn publish(self) -> Result<()> {
        let Self { target, partial, replace, _lock, .. } = self;
        let renamed = |from: &Path, to: &Path| {
            fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
        };
        let removed =
            |path: &Path| fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()));
        sync_dir(&partial);
        if replace && target.exists() {
            let old = beside(&target, "replaced")?;
            if old.exists() {
                removed(&old)?;
            }
            renamed(&target, &old)?;
            renamed(&partial, &target)?;
            removed(&old)?;
        } else {
            renamed(&partial, &target)?;
        }
        for name in [JOURNAL, PLAN, LOCK] {
            let path = target.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.with_context(|| format!("cannot remove {}", path.display()))?,
            }
        }
        if let Some(parent) = target.parent() {
            sync_dir(parent);
        }
        Ok(())
    }
}

/// Puts the names in a folder on disk, where the system can: files are, names may otherwise come later.
pub(super) fn sync_dir(path: &Path) {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let _ = File::open(path).and_then(|dir| dir.sync_all());
}

/// `DIR.partial` and the like.
pub fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        bail!("--out {}: accepted: a path that ends in a folder's name", target.display());
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(target.with_file_name(name))
}
