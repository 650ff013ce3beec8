//! One writer per folder: a kernel lock on a file in it, which dies with the process that holds it.
//!
//! Not a lease and not a pid file: nothing is left to expire or to clean up after a kill. What the file says is for the
//! reader of an error message, and the mark by which a folder is known to be ours ([`is_marked`]).

use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The file that is locked.
pub const LOCK: &str = "lock";

/// A folder's lock, held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder`, which must exist.
    ///
    /// # Errors
    /// Where another process holds it (named with its pid and host, where it could write them), where the folder has no
    /// place for the file, where the file is another program's, or where its file system has no locks.
    pub fn take(folder: &Path) -> Result<Self> {
        let (path, shown) = (folder.join(LOCK), folder.display());
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
            bail!("{} is no file of this program; accepted: another folder", path.display());
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{shown} is being written by {}; accepted: another folder, or this one once that process has ended",
                holder(&mut file)
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!(
                        "{}: this file system keeps no locks, so nothing would keep two sweeps out of one folder; \
                         accepted: a folder on another file system",
                        path.display()
                    )
                });
            }
        }
        // The folder may have got its final name, or been removed, between opening the file and locking it.
        if !is_at(&file, &path) {
            bail!("{shown} was finished or removed by another process just now");
        }
        let mut text = String::new();
        let read = file.read_to_string(&mut text);
        if read.is_err() || !(text.is_empty() || is_mark(&text)) {
            bail!("{} is no file of this program; accepted: another folder", path.display());
        }
        let host = sysinfo::System::host_name().unwrap_or_else(|_| "an unknown host".into());
        let line = format!("process {} on {host}\n", std::process::id());
        // Over what stands there: at no moment does the folder lose its mark.
        let written = file.rewind().and_then(|()| file.write_all(line.as_bytes()));
        written
            .and_then(|()| file.set_len(line.len() as u64))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// Whether a folder has a lock file that this program wrote.
pub fn is_marked(folder: &Path) -> bool {
    let path = folder.join(LOCK);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|there| there.is_file());
    is_file && fs::read_to_string(&path).is_ok_and(|text| is_mark(&text))
}

/// Whether a process holds the lock of `folder`: its job is running. Where that cannot be told, it is.
pub fn is_held(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Whether a lock file says what this program writes into one, or what a death while writing it leaves of that.
fn is_mark(text: &str) -> bool {
    const FIRST: &str = "process ";
    const THEN: &str = " on ";
    let Some(rest) = text.strip_prefix(FIRST) else { return !text.is_empty() && FIRST.starts_with(text) };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    THEN.starts_with(rest) || rest.starts_with(THEN)
}

/// Who holds the lock, as far as the file tells.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().into(),
        _ => "another process".into(),
    }
}

/// Whether `path` still leads to the open `file`.
#[cfg(unix)]
pub fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(open), Ok(named)) if identity(&open) == identity(&named))
}

/// Whether `path` still leads to the open `file`; elsewhere a file cannot be removed while it is open.
#[cfg(not(unix))]
pub fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_folder_and_the_holder_and_granted_once_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let refused = format!("{:#}", Lock::take(folder.path()).unwrap_err());
        let host = sysinfo::System::host_name().unwrap();
        for part in [folder.path().to_str().unwrap(), &std::process::id().to_string(), &host] {
            assert!(refused.contains(part), "'{part}' in: {refused}");
        }
        assert!(is_held(folder.path()));
        drop(first);
        assert!(!is_held(folder.path()) && !is_held(&folder.path().join("gone")));
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_lock_file_of_another_program_is_named_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for (text, ours) in
            [("", true), ("proc", true), ("process 12", true), ("process 1 on a host\n", true), ("4711\n", false)]
        {
            fs::write(folder.path().join(LOCK), text).unwrap();
            let taken = Lock::take(folder.path());
            assert_eq!(taken.is_ok(), ours, "{text}");
            assert_eq!(is_marked(folder.path()), ours, "{text}");
        }
        assert_eq!(fs::read_to_string(folder.path().join(LOCK)).unwrap(), "4711\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = format!("{:#}", Lock::take(&folder.path().join("gone")).unwrap_err());
        assert!(refused.contains("gone/lock"), "{refused}");
    }
}
