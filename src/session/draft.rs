//! A folder in the making: `DIR.partial`, locked, until it is whole and gets the name `DIR`.
//!
//! Every moment at which a process may die leaves one of these states, and each is recognised by its marks ([`super::marks`])
//! and finished by whoever comes next:
//!
//! ```text
//!      DIR.partial                       DIR                        DIR.replaced     what comes next
//!  1   empty, or a lock alone            -  (or whole)              -                any job takes it over
//!  2   lock plan journal ...             -  (or whole)              -                --resume goes on, --force discards
//!  3   lock plan journal tables run      -  (or whole)              -                as 2: --resume makes the tables again
//!  4   as 3                              whole, with a lock         -                as 3: --force has marked what it replaces
//!  5   as 3                              -                          whole, marked    --resume goes on; --force first puts the old
//!                                                                                    folder back
//!  6   -                                 whole, with lock plan      whole, marked    it is finished: merge, report and compare take
//!                                        journal                                     it; the next job of that name removes the rest
//!  7   -                                 whole                      lock and some    as 6
//!  8   -                                 whole                      -                finished
//! ```
//!
//! run.json is written last, and makes a folder whole; the rename from 3 to 6 is the one step that ends a job. Without
//! `--force` there is no DIR.replaced. A folder that is discarded loses its plan first and its lock last, which makes it 1 at
//! once. Not here: what is in the folder. The lock goes with it through its renaming and is removed last, so at no moment
//! can a second process take over what is being finished.

use super::lock::{LOCK, Lock};
use super::marks::{Remains, is_replaced, is_whole, remains};
use super::{JOURNAL, PLAN, RUN};
use crate::files::is_partial;
use crate::streams::warn;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a report, a plot or a comparison of the unfinished folder has left there; a whole folder has its own.
const OF_PARTIAL: [&str; 4] = ["report.html", "compare.csv", "compare.svg", "compare.png"];

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

/// A locked `DIR.partial`.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    partial: PathBuf,
    replace: bool,
    /// Whether there is an unfinished job to go on with.
    pub resumed: bool,
    /// Whether this process has put anything into it.
    begun: bool,
    lock: Option<Lock>,
}

/// Refuses a folder name that could not be used, before any work is done. Writes nothing.
///
/// # Errors
/// Where something stands there that `existing` does not allow to touch, or there is no folder that it could stand in.
pub fn check(target: &Path, existing: Existing) -> Result<()> {
    examine(target, existing).map(|_| ())
}

/// What stands at `DIR.partial`, if `existing` allows to touch it.
fn examine(target: &Path, existing: Existing) -> Result<Remains> {
    let (partial, old) = (beside(target, "partial")?, beside(target, "replaced")?);
    let (shown, unfinished) = (target.display(), partial.display());
    let exists = is_there(target)?;
    let remains = remains(&partial)?;
    if remains == Remains::Foreign {
        bail!(
            "--out {shown}: {unfinished} is in the way and was not made by tauscope; accepted: another folder, or another \
             name for what is in the way"
        );
    }
    match existing {
        Existing::Keep if exists => {
            bail!("--out {shown}: exists already; accepted: a new folder, or --force to replace it")
        }
        Existing::Keep if remains != Remains::Nothing => bail!(
            "--out {shown}: {unfinished} holds an unfinished job; accepted: --resume to continue it, or --force to \
             discard it"
        ),
        Existing::Replace if exists && !is_whole(target) => bail!(
            "--out {shown}: exists and is no results folder (it has no {RUN}), so --force does not replace it; accepted: \
             another folder"
        ),
        Existing::Resume if exists && remains != (Remains::Job { replace: true }) => {
            bail!("--out {shown}: it is finished; accepted: another folder, or --force to replace it")
        }
        Existing::Resume if !partial.exists() => {
            bail!("--resume: no unfinished job in {unfinished}; accepted: without --resume")
        }
        Existing::Replace | Existing::Resume if exists && old.exists() && !is_replaced(&old) => bail!(
            "--out {shown}: {} is in the way and was not made by --force; accepted: another folder, or another name for \
             what is in the way",
            old.display()
        ),
        _ => Ok(remains),
    }
}

/// Whether a folder stands at the name `target`.
///
/// # Errors
/// Where something else does, or where no folder can stand.
fn is_there(target: &Path) -> Result<bool> {
    let shown = target.display();
    match fs::symlink_metadata(target) {
        Ok(there) if there.is_symlink() => {
            let to = fs::read_link(target).unwrap_or_default();
            let dangling = if target.exists() { "" } else { ", which is not there" };
            bail!("--out {shown}: it is a link to {}{dangling}; accepted: a folder's own name", to.display())
        }
        Ok(there) if there.is_dir() => return Ok(true),
        Ok(_) => bail!("--out {shown}: exists already and is no folder; accepted: a new folder"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("--out {shown}: cannot be looked at")),
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        bail!("--out {shown}: {} is no folder; accepted: a new folder in one that is there", parent.display());
    }
    Ok(false)
}

impl Draft {
    /// Makes `DIR.partial`, or takes over what a process that is gone has left of it, and locks it. Nothing that is in it is
    /// touched before [`Self::begin`].
    ///
    /// # Errors
    /// See [`check`]; or where another process is at work there, or the folder cannot be written.
    pub fn open(target: &Path, existing: Existing) -> Result<Self> {
        // Without the slash at its end, which would lead through a link.
        let target = &target.components().collect::<PathBuf>();
        settle(target, existing)?;
        examine(target, existing)?;
        let partial = beside(target, "partial")?;
        let made = match fs::create_dir(&partial) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            made => made
                .with_context(|| format!("--out {}: cannot make {}", target.display(), partial.display()))
                .map(|()| true)?,
        };
        let lock = lock(target, &partial, made)?;
        // Another process may have come and gone since.
        let remains = examine(target, existing)?;
        let resumed = existing == Existing::Resume && matches!(remains, Remains::Job { .. });
        let replace = existing == Existing::Replace || (resumed && remains == Remains::Job { replace: true });
        Ok(Self { target: target.into(), partial, replace, resumed, begun: false, lock: Some(lock) })
    }

    /// Makes `NAME.partial`, or `NAME-2.partial` and so on where something has that name: processes that start in the same
    /// second each get a folder of their own.
    ///
    /// # Errors
    /// Where no folder can be made here.
    pub fn claim(name: &Path) -> Result<Self> {
        for number in 1.. {
            let mut target = name.as_os_str().to_owned();
            if number > 1 {
                target.push(format!("-{number}"));
            }
            let target = PathBuf::from(target);
            let partial = beside(&target, "partial")?;
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            match fs::create_dir(&partial) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made.with_context(|| format!("cannot make {}; accepted: --out DIR", partial.display()))?,
            }
            let lock = lock(&target, &partial, true)?;
            let draft = Self { target, partial, replace: false, resumed: false, begun: false, lock: Some(lock) };
            // Another process may have finished since, and given its folder the name.
            if fs::symlink_metadata(&draft.target).is_err() {
                return Ok(draft);
            }
        }
        unreachable!("numbers do not end")
    }

    /// The name that the folder gets when it is whole.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether what stands at the final name is to be replaced.
    pub fn replaces(&self) -> bool {
        self.replace
    }

    /// Where the files go.
    pub fn dir(&self) -> &Path {
        &self.partial
    }

    /// Removes what an earlier process has left, unless its job is gone on with; from here on the folder holds this job.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn begin(&mut self) -> Result<()> {
        self.begun = true;
        if !self.resumed {
            return empty(&self.partial);
        }
        sweep(&self.partial).with_context(|| format!("cannot empty {}", self.partial.display()))
    }

    /// Removes the folder again, unless it goes on with an earlier job.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn withdraw(self) -> Result<()> {
        if self.resumed { Ok(()) } else { discard(&self.partial) }
    }

    /// Gives the folder its name: the one step that ends the job. What only an unfinished folder needs, and what was
    /// replaced, is removed afterwards; where it cannot be, the next to open the folder does it.
    ///
    /// # Errors
    /// Where a folder cannot be renamed.
    pub fn publish(mut self) -> Result<()> {
        let (target, partial) = (&self.target, &self.partial);
        let renamed = |from: &Path, to: &Path| {
            fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
        };
        let old = beside(target, "replaced")?;
        for name in OF_PARTIAL {
            let _ = fs::remove_file(partial.join(name));
        }
        sync_dir(partial);
        if self.replace && is_there(target)? {
            examine(target, Existing::Replace)?;
            // By its lock it is known later, under its other name.
            let lock = Lock::take(target)?;
            if old.exists() {
                discard(&old)?;
            }
            renamed(target, &old)?;
            if let Err(error) = renamed(partial, target) {
                let _ = fs::rename(&old, target);
                return Err(error);
            }
            drop(lock);
        } else {
            renamed(partial, target)?;
        }
        sync_dir(target.parent().unwrap_or(Path::new("")));
        self.begun = true;
        if let Err(error) = tidy(target) {
            warn(&format!("{error:#}; the folder is whole all the same"));
        }
        if self.replace
            && is_replaced(&old)
            && let Err(error) = discard(&old)
        {
            warn(&format!("{error:#}; it holds what was replaced"));
        }
        self.lock = None;
        Ok(())
    }
}

/// A folder in which nothing was begun is no trace to leave.
impl Drop for Draft {
    fn drop(&mut self) {
        let only_locked = || {
            let mut entries = fs::read_dir(&self.partial).ok()?;
            Some(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
        };
        if !self.begun && only_locked() == Some(true) {
            let _ = fs::remove_file(self.partial.join(LOCK)).and_then(|()| fs::remove_dir(&self.partial));
        }
    }
}

/// Takes the lock of `DIR.partial`; where that fails, a folder that was only just `made` is not left behind.
fn lock(target: &Path, partial: &Path, made: bool) -> Result<Lock> {
    let lock = Lock::take(partial).with_context(|| format!("--out {}", target.display()));
    if lock.is_err() && made {
        let is_empty = |path: &Path| fs::metadata(path).is_ok_and(|there| there.len() == 0);
        if is_empty(&partial.join(LOCK)) {
            let _ = fs::remove_file(partial.join(LOCK));
        }
        let _ = fs::remove_dir(partial);
    }
    lock
}

/// Finishes the last steps of a process that died at them: the states 5 to 7 above.
fn settle(target: &Path, existing: Existing) -> Result<()> {
    let (partial, old) = (beside(target, "partial")?, beside(target, "replaced")?);
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|there| there.is_dir());
    if is_folder(target) && is_whole(target) && [JOURNAL, PLAN, LOCK].iter().any(|name| target.join(name).exists()) {
        // Where another process holds it, that one does it.
        if let Ok(_lock) = Lock::take(target) {
            tidy(target)?;
        }
    }
    if !is_replaced(&old) {
        return Ok(());
    }
    let resumes = existing == Existing::Resume && matches!(remains(&partial)?, Remains::Job { replace: true });
    if is_folder(target) {
        if is_whole(target)
            && let Ok(_lock) = Lock::take(&old)
        {
            discard(&old)?;
        }
    } else if !resumes && is_whole(&old) && fs::symlink_metadata(target).is_err() {
        fs::rename(&old, target).with_context(|| format!("cannot rename {} to {}", old.display(), target.display()))?;
        tidy(target)?;
    }
    Ok(())
}

/// Removes from a whole folder what only an unfinished one needs, the lock last.
fn tidy(target: &Path) -> Result<()> {
    [JOURNAL, PLAN, LOCK].into_iter().try_for_each(|name| removed(&target.join(name)))
}

/// Removes a folder that carries our mark, the mark last.
fn discard(folder: &Path) -> Result<()> {
    empty(folder)?;
    removed(&folder.join(LOCK))?;
    fs::remove_dir(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Removes what is in a folder but its lock; its plan first, so that nobody goes on from half of it.
fn empty(folder: &Path) -> Result<()> {
    removed(&folder.join(PLAN))?;
    let cannot = || format!("cannot empty {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
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

/// Removes files that a process which is gone did not finish.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sweep(&entry.path())?;
        } else if is_partial(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, if it is there.
fn removed(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Puts the names in a folder on disk, where the system can: files are, names may otherwise come later.
pub(super) fn sync_dir(path: &Path) {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let _ = File::open(path).and_then(|dir| dir.sync_all());
}

/// `DIR.partial` and the like.
///
/// # Errors
/// Where the path does not end in a name.
pub fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        bail!("--out '{}': accepted: a path that ends in a folder's name", target.display());
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(target.with_file_name(name))
}
