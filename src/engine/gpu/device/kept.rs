//! A passed self-test, kept beside the pipeline cache: it holds for the same adapter, driver, shaders and version of tauscope. What was
//! refused is not kept.
//!
//! Not here: the self-test (`engine::gpu::self_test`), nor the pipelines ([`super::cache`]).

use crate::files::write_whole;
use crate::kernels;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a result holds for, in lines; `identity` is that of an adapter ([`super::adapter::identity`]).
fn key(identity: &str) -> String {
    let mut shaders = blake3::Hasher::new();
    for file in kernels::ALL.iter().flat_map(|kernel| kernel.files) {
        shaders.update(file.text.as_bytes());
    }
    let (version, shaders) = (env!("CARGO_PKG_VERSION"), shaders.finalize().to_hex());
    format!("tauscope {version}\nshaders {shaders}\n{identity}")
}

fn file(key: &str, directory: &Path) -> PathBuf {
    directory.join(format!("self-test-{}.txt", &blake3::hash(key.as_bytes()).to_hex()[..16]))
}

/// How long the kernels of the self-test took on an adapter that passed it.
pub fn passed(identity: &str, directory: &Path) -> Option<Duration> {
    read(&key(identity), directory)
}

fn read(key: &str, directory: &Path) -> Option<Duration> {
    let text = fs::read_to_string(file(key, directory)).ok()?;
    let took = text.strip_prefix(key)?.strip_prefix("passed in ")?.strip_suffix(" us\n")?;
    took.parse().ok().map(Duration::from_micros)
}

/// Keeps that an adapter passed. Where nothing can be written the next process tries it again.
pub fn keep(identity: &str, directory: &Path, took: Duration) {
    write(&key(identity), directory, took);
}

fn write(key: &str, directory: &Path, took: Duration) {
    let written = fs::create_dir_all(directory);
    let text = format!("{key}passed in {} us\n", took.as_micros());
    let _ = written.and_then(|()| write_whole(&file(key, directory), text.as_bytes()));
}

/// Forgets that it ever passed.
pub fn forget(identity: &str, directory: &Path) {
    let _ = fs::remove_file(file(&key(identity), directory));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_found_for_its_own_key_alone_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("made when it is needed");
        assert_eq!(read("driver 1\n", &directory), None);
        write("driver 1\n", &directory, Duration::from_micros(1234));
        assert_eq!(read("driver 1\n", &directory), Some(Duration::from_micros(1234)));
        assert_eq!(read("driver 2\n", &directory), None);
        // The place of another key, as if their hashes met.
        fs::copy(file("driver 1\n", &directory), file("driver 2\n", &directory)).unwrap();
        assert_eq!(read("driver 2\n", &directory), None);
        let whole = fs::read_to_string(file("driver 1\n", &directory)).unwrap();
        for length in 0..whole.len() {
            fs::write(file("driver 1\n", &directory), &whole[..length]).unwrap();
            assert_eq!(read("driver 1\n", &directory), None, "{length} bytes");
        }
    }
}
