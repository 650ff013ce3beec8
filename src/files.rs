//! Files that appear whole or not at all: the one way in which anything is written for a user; and users' files opened to be
//! read.
//!
//! A file is written beside its name, as `NAME.PID.tauscope-partial`, brought to disk and renamed. Only a regular file is
//! ever replaced: links, devices and folders are refused by name. Not here: what stands in a file, nor journals and
//! checkpoints, which grow or have their own order ([`crate::session`]).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// What the name of a file ends in until it is whole.
const PARTIAL: &str = ".tauscope-partial";

/// Opens a user's file: a regular file or a pipe, which end. A device such as /dev/zero may never end.
///
/// # Errors
/// Where it cannot be opened, or is something else.
pub fn open_input(path: &Path) -> io::Result<File> {
    // Asked before it is opened: opening some devices does things.
    if is_endless(fs::metadata(path)?.file_type()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a device or socket; accepted: a regular file, or a pipe"));
    }
    File::open(path)
}

/// Reads a user's file whole; see [`open_input`].
///
/// # Errors
/// As [`open_input`], and where it cannot be read.
pub fn read_input(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_input(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn is_endless(kind: fs::FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_char_device() || kind.is_block_device() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_endless(_: fs::FileType) -> bool {
    false
}

/// A file in the making. It is removed where it is dropped before [`Self::finish`].
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    finished: bool,
}

impl WholeFile {
    /// # Errors
    /// Where something other than a regular file has the name, or nothing can be written beside it.
    pub fn create(path: &Path) -> io::Result<Self> {
        replaceable(path)?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}{PARTIAL}", std::process::id()));
        let partial = PathBuf::from(partial);
        // Left by a process that had this number before. `create_new` follows no link.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).open(&partial)?;
        Ok(Self { path: path.into(), partial, file, finished: false })
    }

    /// Puts the file under its name once it is on disk, in place of a file that had it.
    ///
    /// # Errors
    /// Where it cannot be brought to disk or renamed; what had the name before has it still.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        replaceable(&self.path)?;
        fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        Ok(())
    }

    /// As [`Self::finish`], but replaces nothing.
    ///
    /// # Errors
    /// Also where something has the name: [`ErrorKind::AlreadyExists`].
    pub fn finish_new(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match fs::hard_link(&self.partial, &self.path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        // A file system without hard links.
        if fs::symlink_metadata(&self.path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Puts `bytes` into the file at `path`, whole or not at all.
///
/// # Errors
/// Where the file cannot be written, or something other than a regular file has its name.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// As [`write_whole`], but replaces nothing.
///
/// # Errors
/// Also where something has the name: [`ErrorKind::AlreadyExists`].
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish_new()
}

/// Whether a file of this name is one that was never finished.
pub fn is_partial(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(PARTIAL.as_bytes())
}

/// Refuses what is there and no regular file.
fn replaceable(path: &Path) -> io::Result<()> {
    let what = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if there.is_file() => return Ok(()),
        Ok(there) if there.is_dir() => "a folder".to_owned(),
        Ok(there) if there.is_symlink() => match fs::read_link(path) {
            Ok(to) => format!("a link to {}", to.display()),
            Err(_) => "a link".to_owned(),
        },
        Ok(_) => "a device, pipe or socket".to_owned(),
    };
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what}, which is not replaced; accepted: a new name, or that of a regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_the_one_before_it_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        write_whole(&path, b"before").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(names(dir.path()).iter().any(|name| is_partial(OsStr::new(name))));
        drop(file);
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"before".to_vec(), vec!["table.csv".to_owned()]));
        write_whole(&path, b"after").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"after".to_vec(), vec!["table.csv".to_owned()]));
    }

    #[test]
    fn what_must_be_new_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.toml");
        write_new(&path, b"first").unwrap();
        assert_eq!(write_new(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"first".to_vec(), vec!["plan.toml".to_owned()]));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_folders_are_named_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, gone) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("gone"));
        write_whole(&file, b"mine").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink("nowhere", &gone).unwrap();
        for (path, told) in [(&link, "a link to "), (&gone, "a link to nowhere"), (&dir.path().into(), "a folder")] {
            let error = write_whole(path, b"other").unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        assert_eq!(names(dir.path()), ["file", "gone", "link"]);
    }
}
