//! Files of every format, as its description has it, and what becomes of them.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tauscope::data::{DataSource, Parts};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub const PIXELS: usize = 28 * 28;

/// The bytes of an IDX file.
pub fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    [&bytes, content].concat()
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Pixels that differ from image to image, and take all values.
pub fn pixels(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place * 7 + place / 256) as u8).collect()
}

/// The files of MNIST, with this many images to train on and to test on.
pub fn mnist(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    for (name, count) in [("train", train), ("t10k", test)] {
        let labels: Vec<u8> = (0..count).map(|row| (row * 3 % 10) as u8).collect();
        let images = idx(&[count as u32, 28, 28], &pixels(count * PIXELS));
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), idx(&[count as u32], &labels)).unwrap();
    }
}

/// The files of CIFAR-10, with `rows` records each, which begin with these labels.
pub fn cifar10(folder: &Path, rows: usize) {
    for (file, name) in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]).enumerate() {
        let record = |row: usize| [vec![((file + row) % 10) as u8], pixels(3072)].concat();
        fs::write(folder.join(name), (0..rows).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
}

pub fn source(name: &str, path: &Path) -> DataSource {
    format!("{name}:{}", path.display()).parse().unwrap()
}

pub fn load(name: &str, path: &Path) -> Parts {
    Parts::load(&source(name, path), None, None, 0).unwrap_or_else(|error| panic!("{error}"))
}

pub fn refusal(name: &str, path: &Path) -> String {
    match Parts::load(&source(name, path), None, None, 0) {
        Ok(parts) => panic!("accepted: {parts:?}"),
        Err(error) => error.to_string(),
    }
}

/// A file of NumPy: a header in a version of its own, and bytes.
pub fn npy(descr: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
}

/// The same with the first axis running fastest.
pub fn npy_of_fortran(descr: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let file = npy(descr, shape, content);
    let header = String::from_utf8_lossy(&file[10..]).replacen("False", "True ", 1);
    let end = header.find('\n').unwrap();
    [&file[..10], &header.as_bytes()[..=end], content].concat()
}

pub fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, content) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
