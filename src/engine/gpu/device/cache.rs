//! The pipeline cache: what a driver has made of the shaders, kept between runs where the user keeps such things, since
//! making it can take longer than a short sweep. Nothing that goes wrong with it is an error of a run.
//!
//! The environment variable TAUSCOPE_CACHE names another directory; `off` means that nothing is kept.

use crate::files::write_whole;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The environment variable that says where the cache is.
pub const VARIABLE: &str = "TAUSCOPE_CACHE";

/// Where the cache is to be: as `TAUSCOPE_CACHE` says, else `tauscope` in the user's cache directory. None where it is off, or
/// there is no such directory.
pub fn directory() -> Option<PathBuf> {
    resolve(std::env::var_os(VARIABLE), dirs::cache_dir())
}

fn resolve(variable: Option<OsString>, of_user: Option<PathBuf>) -> Option<PathBuf> {
    match variable {
        Some(text) if text == "off" => None,
        Some(text) if !text.is_empty() => Some(text.into()),
        _ => of_user.map(|directory| directory.join("tauscope")),
    }
}

/// The cache of one device, and the file that it is kept in.
#[derive(Debug)]
pub struct PipelineCache {
    pub cache: wgpu::PipelineCache,
    file: PathBuf,
    /// Hash of what the file holds.
    kept: Mutex<Option<blake3::Hash>>,
}

impl PipelineCache {
    /// What was kept for this adapter in `directory`; empty where that is nothing, or damaged. None where the device has no
    /// such cache.
    pub fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo, directory: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = directory.join(wgpu::util::pipeline_cache_key(adapter)?);
        let data = fs::read(&file).ok().and_then(|bytes| unseal(&bytes).map(<[u8]>::to_vec));
        let kept = Mutex::new(data.as_deref().map(blake3::hash));
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("tauscope"), data: data.as_deref(), fallback: true };
        // SAFETY: the data is what `get_data` returned, to the checksum, for an adapter of the same key; wgpu and the
        // driver check that they are the same versions, and `fallback` starts an empty cache where they are not.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, file, kept })
    }

    /// Keeps what the driver has made so far, where that is news.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let hash = blake3::hash(&data);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.replace(hash) != Some(hash) {
            let written = self.file.parent().map_or(Ok(()), fs::create_dir_all);
            // Where nothing can be written the next run compiles again.
            let _ = written.and_then(|()| write_whole(&self.file, &seal(&data)));
        }
    }
}

/// The data behind its checksum.
fn seal(data: &[u8]) -> Vec<u8> {
    [blake3::hash(data).as_bytes(), data].concat()
}

/// The data of a sealed file, if it is as it was written.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, data) = bytes.split_at_checked(blake3::OUT_LEN)?;
    (blake3::hash(data).as_bytes() == checksum).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_is_opened_only_as_it_was_written() {
        let sealed = seal(b"pipelines");
        assert_eq!(unseal(&sealed), Some(&b"pipelines"[..]));
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert_eq!(unseal(&damaged), None, "byte {index}");
            assert_eq!(unseal(&sealed[..index]), None, "{index} bytes");
        }
        assert_eq!(unseal(&seal(b"")), Some(&b""[..]));
    }

    #[test]
    fn the_variable_wins_over_the_users_directory() {
        let user = || Some(PathBuf::from("home"));
        assert_eq!(resolve(None, user()), Some(PathBuf::from("home/tauscope")));
        assert_eq!(resolve(Some("".into()), user()), Some(PathBuf::from("home/tauscope")));
        assert_eq!(resolve(Some("there".into()), user()), Some(PathBuf::from("there")));
        assert_eq!(resolve(Some("there".into()), None), Some(PathBuf::from("there")));
        assert_eq!(resolve(Some("off".into()), user()), None);
        assert_eq!(resolve(None, None), None);
    }
}
