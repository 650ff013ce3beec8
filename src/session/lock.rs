//! One writer per folder: a kernel lock on a file in it, which dies with the process that holds it.
//!
//! Not a lease and not a pid file: nothing is left to expire or to clean up after a kill. What the file says is for the
//! reader of an error message only.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
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
    /// place for the file, or where its file system has no locks.
    pub fn take(folder: &Path) -> Result<Self> {
        let (path, shown) = (folder.join(LOCK), folder.display());
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
        // A disk too full for this line is told of where it matters.
        let host = sysinfo::System::host_name().unwrap_or_else(|_| "an unknown host".into());
        let _ = file.set_len(0).and_then(|()| writeln!(file, "process {} on {host}", std::process::id()));
        Ok(Self { _file: file })
    }
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
        drop(first);
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = format!("{:#}", Lock::take(&folder.path().join("gone")).unwrap_err());
        assert!(refused.contains("gone/lock"), "{refused}");
    }
}
