//! Any bytes as a file of each format of data. The first byte chooses the format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tauscope::data::{DataSource, Parts};
use tempfile::TempDir;

const FORMATS: [(&str, &str); 4] = [
    ("mnist", "train-images-idx3-ubyte"),
    ("mnist", "train-labels-idx1-ubyte"),
    ("cifar100", "train.bin"),
    ("npz", "data.npz"),
];

/// A folder for each format. Beside the file that is made of any bytes stand those that must be there.
fn folder(format: usize) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28], &[9; 784][..]].concat();
        let label = [0, 0, 8, 1, 0, 0, 0, 1, 5];
        for format in 0..FORMATS.len() {
            let folder = folder.path().join(format.to_string());
            fs::create_dir(&folder).expect("a folder");
            for part in ["train", "t10k"] {
                fs::write(folder.join(format!("{part}-images-idx3-ubyte")), &image).expect("a file");
                fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), label).expect("a file");
            }
            fs::write(folder.join("test.bin"), [1; 3074]).expect("a file");
        }
        folder
    });
    folder.path().join(format.to_string())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (format, bytes) = input;
    let format = usize::from(format) % FORMATS.len();
    let ((name, file), folder) = (FORMATS[format], folder(format));
    let path = folder.join(file);
    fs::write(&path, bytes).expect("a file");
    let place = if name == "npz" { &path } else { &folder };
    let source: DataSource = format!("{name}:{}", place.display()).parse().expect("a source");
    if let Err(error) = Parts::load(&source, None, None, 0) {
        let message = error.to_string();
        assert!(message.contains(path.to_str().expect("a path")), "{message}");
    }
});
