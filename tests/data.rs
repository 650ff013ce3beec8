//! Data files: every format as its description has it, where files are looked for, and what is said of those that are wrong.

mod common;

use assert_cmd::Command;
use common::{EXACT, ROUNDING_F32, assert_close};
use flate2::Compression;
use flate2::write::GzEncoder;
use predicates::prelude::*;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tauscope::problem::Shape;
use tauscope::problem::data::{DataSource, Dataset, Parts};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const PIXELS: usize = 28 * 28;

/// The bytes of an IDX file.
fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    [&bytes, content].concat()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Pixels that differ from image to image, and take all values.
fn pixels(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place * 7 + place / 256) as u8).collect()
}

/// The files of MNIST, with this many images to train on and to test on.
fn mnist(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    for (name, count) in [("train", train), ("t10k", test)] {
        let labels: Vec<u8> = (0..count).map(|row| (row * 3 % 10) as u8).collect();
        let images = idx(&[count as u32, 28, 28], &pixels(count * PIXELS));
        fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), idx(&[count as u32], &labels)).unwrap();
    }
}

/// The files of CIFAR-10, with `rows` records each, which begin with these labels.
fn cifar10(folder: &Path, rows: usize) {
    for (file, name) in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]).enumerate() {
        let record = |row: usize| [vec![((file + row) % 10) as u8], pixels(3072)].concat();
        fs::write(folder.join(name), (0..rows).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
}

fn source(name: &str, path: &Path) -> DataSource {
    format!("{name}:{}", path.display()).parse().unwrap()
}

fn load(name: &str, path: &Path) -> Parts {
    Parts::load(&source(name, path), None, None, 0).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(name: &str, path: &Path) -> String {
    match Parts::load(&source(name, path), None, None, 0) {
        Ok(parts) => panic!("accepted: {parts:?}"),
        Err(error) => error.to_string(),
    }
}

/// (p / 255 - mean) / deviation, in f64.
fn normalised(pixels: &[u8], mean: f64, deviation: f64) -> Vec<f64> {
    pixels.iter().map(|pixel| (f64::from(*pixel) / 255.0 - mean) / deviation).collect()
}

/// A file of NumPy: a header in a version of its own, and bytes.
fn npy(descr: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, content) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn idx_files_are_read_plain_or_gzip_and_normalised() {
    for (name, mean, deviation) in [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)] {
        let folder = tempfile::tempdir().unwrap();
        mnist(folder.path(), 7, 3);
        let Parts { train, test } = load(name, folder.path());
        assert_eq!((train.shape, train.classes), (Shape::new(1, 28, 28), 10));
        assert_eq!((&train.labels[..], &test.labels[..]), (&[0, 3, 6, 9, 2, 5, 8][..], &[0, 3, 6][..]));
        assert_close(name, &train.inputs, &normalised(&pixels(7 * PIXELS), mean, deviation), ROUNDING_F32);
        assert_close(name, &test.inputs, &normalised(&pixels(3 * PIXELS), mean, deviation), ROUNDING_F32);
        // With its ending or without: the content says what it is.
        for (file, ending) in [("train-images-idx3-ubyte", ".gz"), ("t10k-labels-idx1-ubyte", "")] {
            let plain = fs::read(folder.path().join(file)).unwrap();
            fs::remove_file(folder.path().join(file)).unwrap();
            fs::write(folder.path().join(format!("{file}{ending}")), gzip(&plain)).unwrap();
        }
        assert_eq!(load(name, folder.path()), Parts { train, test });
    }
}

#[test]
fn cifar_files_are_read_in_order_and_normalised_by_channel() {
    let folder = tempfile::tempdir().unwrap();
    cifar10(folder.path(), 3);
    let Parts { train, test } = load("cifar10", folder.path());
    assert_eq!((train.shape, train.classes, train.samples()), (Shape::new(3, 32, 32), 10, 15));
    assert_eq!(train.labels, [0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6]);
    assert_eq!(test.labels, [5, 6, 7]);
    let image = pixels(3072);
    let constants = [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)];
    let channel = |(place, (mean, deviation))| normalised(&image[1024 * place..][..1024], mean, deviation);
    let expected: Vec<f64> = constants.into_iter().enumerate().flat_map(channel).collect();
    assert_close("the last image", &train.inputs[14 * 3072..], &expected, ROUNDING_F32);

    let folder = tempfile::tempdir().unwrap();
    for (name, fine) in [("train.bin", [99, 0]), ("test.bin", [7, 42])] {
        let records = fine.map(|fine| [vec![19, fine], image.clone()].concat()).concat();
        fs::write(folder.path().join(name), records).unwrap();
    }
    let Parts { train, test } = load("cifar100", folder.path());
    assert_eq!((train.labels, train.classes, test.labels), (vec![99, 0], 100, vec![7, 42]));
    let red = normalised(&image[..1024], 0.5071, 0.2673);
    assert_close("red", &train.inputs[..1024], &red, ROUNDING_F32);
}

#[test]
fn files_of_numpy_are_read() {
    let plain = Dataset::load(&source("npz", &fixture("plain.npz")), None, 0).unwrap();
    assert_eq!((plain.shape, plain.classes), (Shape::vector(3), 3));
    let quarters: Vec<f64> = (0..15).map(|i| f64::from(i) / 4.0).collect();
    assert_close("float32", &plain.inputs, &quarters, EXACT);
    assert_eq!(plain.labels, [0, 2, 1, 0, 2]);

    let Parts { train, test } = load("npz", &fixture("compressed.npz"));
    // The largest label is in the part to test on.
    assert_eq!((train.shape, train.classes, test.classes), (Shape::new(2, 3, 2), 4, 4));
    let bytes = |count| (0..count).map(|i| f64::from(i) / 255.0).collect::<Vec<_>>();
    assert_close("uint8", &train.inputs, &bytes(48), ROUNDING_F32);
    assert_close("uint8", &test.inputs, &bytes(24), ROUNDING_F32);
    assert_eq!((&train.labels[..], &test.labels[..]), (&[0, 1, 1, 0][..], &[3, 1][..]));
}

#[test]
fn arrays_have_any_byte_order_and_width() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let values = [0.5, -3.0, 2.25, 1e-3_f64, 7.0, -0.125];
    let (little, big) = (values.map(f64::to_le_bytes).concat(), values.map(f64::to_be_bytes).concat());
    let single = values.map(|value| (value as f32).to_be_bytes()).concat();
    let labels: [(&str, Vec<u8>); 8] = [
        ("|u1", vec![1, 0]),
        ("|i1", vec![1, 0]),
        ("<i2", vec![1, 0, 0, 0]),
        (">u2", vec![0, 1, 0, 0]),
        (">i4", vec![0, 0, 0, 1, 0, 0, 0, 0]),
        ("<u4", vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("<i8", [1_i64, 0].map(i64::to_le_bytes).concat()),
        (">u8", [1_u64, 0].map(u64::to_be_bytes).concat()),
    ];
    for (descr, content) in [("<f8", little), (">f8", big), (">f4", single)] {
        for (kind, of_labels) in &labels {
            npz(&path, &[("x", npy(descr, "(2, 1, 3)", &content)), ("y", npy(kind, "(2,)", of_labels))]);
            let data = Dataset::load(&source("npz", &path), None, 0).unwrap();
            assert_eq!((data.shape, data.labels), (Shape::new(1, 1, 3), vec![1, 0]), "{kind}");
            assert_close(descr, &data.inputs, &values, ROUNDING_F32);
        }
    }
}

#[test]
fn idx_files_that_are_wrong_are_named_with_the_byte() {
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte";
    let good = idx(&[2, 28, 28], &pixels(2 * PIXELS));
    for (file, content, parts) in [
        (
            images,
            good[..100].to_vec(),
            &["byte 100: truncated", "after 84 of 1568 bytes of the pixels of 2 images"][..],
        ),
        (images, good[..9].to_vec(), &["byte 9: truncated", "1 of 4 bytes of the sizes"]),
        (images, vec![], &["byte 0: truncated", "0 of 4 bytes of the magic number"]),
        (images, [&good[..], b"x"].concat(), &["byte 1584: trailing bytes", "after 2 images"]),
        (images, idx(&[2], &[1, 2]), &["byte 0: magic number 0x00000801; expected 0x00000803"]),
        (images, idx(&[2, 32, 32], &pixels(2048)), &["byte 8: images of 32 x 32 pixels; expected 28 x 28"]),
        (images, idx(&[0, 28, 28], &[]), &["byte 4: 0 images; expected at least 1"]),
        (images, idx(&[u32::MAX, 28, 28], &pixels(99)), &["byte 115: truncated", "of 3367254359", "bytes"]),
        (images, gzip(&good)[..40].to_vec(), &["(unzipped): byte ", "corrupt or truncated"]),
        (labels, idx(&[3], &[0, 1, 2]), &["byte 4: 3 labels; expected 2, the number of images in", images]),
        (labels, idx(&[2], &[0, 10]), &["byte 9: row 1 has label 10; expected 0 to 9"]),
        (labels, idx(&[2], &[0]), &["byte 9: truncated", "1 of 2 bytes of 2 labels"]),
        (labels, idx(&[2], &[0, 1, 2]), &["byte 10: trailing bytes", "after 2 labels"]),
        (
            labels,
            good.clone(),
            &["byte 0: magic number 0x00000803; expected 0x00000801, unsigned bytes in 1 dimension"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        mnist(folder.path(), 2, 1);
        let path = folder.path().join(file);
        fs::write(&path, content).unwrap();
        let error = refusal("mnist", folder.path());
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
    // A checksum that is wrong at the very end.
    let folder = tempfile::tempdir().unwrap();
    mnist(folder.path(), 2, 1);
    let mut content = gzip(&good);
    let crc = content.len() - 8;
    content[crc] ^= 1;
    fs::write(folder.path().join(images), content).unwrap();
    let error = refusal("mnist", folder.path());
    assert!(error.contains("(unzipped): byte 1584: corrupt"), "{error}");
}

#[test]
fn cifar_files_that_are_wrong_are_named_with_the_byte() {
    let record = |labels: &[u8]| [labels, &pixels(3072)].concat();
    let two = [record(&[3]), record(&[10])].concat();
    for (content, part) in [
        (two[..3100].to_vec(), "byte 3100: truncated: the file ends after 27 of 3073 bytes of record 1"),
        (two.clone(), "byte 3073: row 1 has label 10; expected 0 to 9"),
        (vec![], "byte 0: truncated"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        cifar10(folder.path(), 1);
        let path = folder.path().join("data_batch_4.bin");
        fs::write(&path, content).unwrap();
        let error = refusal("cifar10", folder.path());
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains(part), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.bin"), record(&[0, 0])).unwrap();
    for (labels, part) in
        [([20, 0], "byte 0: row 0 has coarse label 20"), ([0, 100], "byte 1: row 0 has fine label 100")]
    {
        fs::write(folder.path().join("train.bin"), record(&labels)).unwrap();
        let error = refusal("cifar100", folder.path());
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn npz_files_that_are_wrong_are_named_with_array_and_byte() {
    let x = || npy("<f4", "(2, 1)", &floats(&[0.0, 1.0]));
    let y = || npy("|u1", "(2,)", &[0, 1]);
    let start = (x().len() - 8) as u64;
    let row_1 = format!("byte {}: row 1 has", start + 4);
    let ends = format!("byte {}: truncated: the file ends after 8 of 12 bytes of an array of shape [3, 1]", start + 8);
    let label = format!("byte {}: row 1 has label", y().len() - 1);
    let nan = npy("<f4", "(2, 1)", &floats(&[0.0, f32::NAN]));
    let large = npy("<f8", "(2, 1)", &[0.0, 1e300].map(f64::to_le_bytes).concat());
    let mut long = x();
    long[8..10].copy_from_slice(&[0xff, 0xff]);
    for (arrays, parts) in [
        (vec![("x", x())], &["no array y; found: x; expected: x, y"][..]),
        (vec![("X", x()), ("y", y())], &["no array x; found: X, y"]),
        (vec![], &["no array x; found: none"]),
        (vec![("x", x()), ("y", y()), ("x_test", x())], &["no array y_test"]),
        (vec![("x", x()), ("y", y()), ("y_test", y())], &["no array x_test"]),
        (vec![("x", nan), ("y", y())], &["array x: ", &row_1, "NaN; expected numbers that are finite"]),
        (vec![("x", large), ("y", y())], &["row 1 has 1e300; expected"]),
        (vec![("x", npy("<f4", "(3, 1)", &floats(&[0.0, 1.0]))), ("y", y())], &[&ends]),
        (vec![("x", npy("<f4", "(1, 1)", &floats(&[0.0, 1.0]))), ("y", y())], &["trailing bytes", "shape [1, 1]"]),
        (vec![("x", npy("<f4", "(2,)", &floats(&[0.0, 1.0]))), ("y", y())], &["shape [2]; expected (n, features)"]),
        (vec![("x", npy("<f4", "(2, 0)", &[])), ("y", y())], &["shape [2, 0], no numbers"]),
        (vec![("x", npy("<f4", "(0, 2)", &[])), ("y", npy("|u1", "(0,)", &[]))], &["shape [0, 2], no numbers"]),
        (vec![("x", npy("<i4", "(2, 1)", &[0; 8])), ("y", y())], &["numbers of type i4; expected f4, f8 or u1"]),
        (vec![("x", npy("<f2", "(2, 1)", &[0; 4])), ("y", y())], &["byte 10: type '<f2'"]),
        (vec![("x", npy("<f4", "(9999999999, 9999999999)", &[])), ("y", y())], &["fits no memory"]),
        (vec![("x", npy("<f4", "(99999999, 9999)", &[])), ("y", y())], &["truncated"]),
        (vec![("x", long), ("y", y())], &["byte 8: a header of 65535 bytes; expected at most 10000"]),
        (vec![("x", vec![7; 40]), ("y", y())], &["byte 0: no array of NumPy"]),
        (vec![("x", x()), ("y", npy("<f4", "(2,)", &floats(&[0.0, 1.0])))], &["labels of type f4; expected integers"]),
        (vec![("x", x()), ("y", npy("|u1", "(3,)", &[0; 3]))], &["array y: ", "shape [3]; expected [2]"]),
        (vec![("x", x()), ("y", npy("|u1", "(2, 1)", &[0; 2]))], &["shape [2, 1]; expected [2]"]),
        (vec![("x", x()), ("y", npy("|i1", "(2,)", &[0, 0xff]))], &[&label, "label -1; expected 0 to 65535"]),
        (vec![("x", x()), ("y", npy("<u8", "(2,)", &[0xff; 16]))], &["row 0 has label 18446744073709551615"]),
        (vec![("x", x()), ("y", npy("|u1", "(2,)", &[0, 0]))], &["every label is 0; expected at least 2 classes"]),
        (
            vec![
                ("x", x()),
                ("y", y()),
                ("x_test", npy("|u1", "(1, 2)", &[0; 2])),
                ("y_test", npy("|u1", "(1,)", &[0])),
            ],
            &["samples of x_test have shape 2; expected that of x, 1"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        npz(&path, &arrays);
        let error = refusal("npz", &path);
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.npz"), "no archive").unwrap();
    assert!(refusal("npz", &folder.path().join("text.npz")).contains("not an npz file"));
    assert!(refusal("npz", &folder.path().join("none.npz")).contains("none.npz: cannot be read"));
}

#[test]
fn the_digits_are_chosen_as_ever() {
    let digits = DataSource::Digits;
    let whole = Dataset::load(&digits, None, 9).unwrap();
    for (samples, seed) in [(1, 0), (512, 0), (1797, 1), (37, 5)] {
        let mut rows: Vec<usize> = (0..1797).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let expected = whole.select(&rows[..samples]);
        assert_eq!(Dataset::load(&digits, Some(samples), seed).unwrap(), expected);
    }
}

/// Samples as sortable text: no two digits are the same.
fn rows_of(data: &Dataset) -> Vec<String> {
    let mut rows: Vec<String> = data.inputs.chunks_exact(data.features()).map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

#[test]
fn a_source_without_a_part_to_test_on_holds_some_out() {
    let load = |samples, test, seed| Parts::load(&DataSource::Digits, samples, test, seed);
    let whole = rows_of(&Dataset::load(&DataSource::Digits, None, 0).unwrap());
    for (test, held_out) in [(None, 359), (Some(1), 1), (Some(1796), 1796)] {
        let Parts { train, test } = load(None, test, 3).unwrap();
        assert_eq!((train.samples(), test.samples()), (1797 - held_out, held_out));
        let mut both = [rows_of(&train), rows_of(&test)].concat();
        both.sort();
        assert_eq!(both, whole, "each digit is in one part");
    }
    // The number of samples to train on changes nothing about the others.
    let (some, all) = (load(Some(100), None, 3).unwrap(), load(None, None, 3).unwrap());
    assert_eq!(some.test, all.test);
    assert_eq!(some.train.samples(), 100);
    assert!(rows_of(&some.train).iter().all(|row| rows_of(&all.train).contains(row)));
    assert_ne!(load(None, None, 4).unwrap().test, all.test);

    let error = load(Some(1439), None, 0).unwrap_err().to_string();
    let expected =
        "--samples 1439: digits without the 359 samples to test on has 1438 samples; accepted: 1 to 1438, or 'all'";
    assert_eq!(error, expected);
    for test in [0, 1797] {
        let error = load(None, Some(test), 0).unwrap_err().to_string();
        assert_eq!(error, format!("{test} samples to test on: digits has 1796; accepted: 1 to 1796"));
    }
}

#[test]
fn a_source_with_a_part_to_test_on_keeps_it() {
    let source: DataSource = "synthetic:clusters:samples=50:test=20".parse().unwrap();
    let load = |samples, test| Parts::load(&source, samples, test, 1);
    let whole = load(None, None).unwrap();
    assert_eq!((whole.train.samples(), whole.test.samples()), (50, 20));
    assert_eq!(whole.train, Dataset::load(&source, None, 7).unwrap());
    let some = load(Some(10), Some(5)).unwrap();
    assert_eq!(some.train, Dataset::load(&source, Some(10), 1).unwrap());
    assert_eq!(some.test.samples(), 5);
    assert!(rows_of(&some.test).iter().all(|row| rows_of(&whole.test).contains(row)));
    assert!(load(Some(51), None).unwrap_err().to_string().contains("accepted: 1 to 50, or 'all'"));
    assert!(load(None, Some(21)).unwrap_err().to_string().contains("accepted: 1 to 20"));

    // One sample cannot be in both parts.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.npz");
    npz(&path, &[("x", npy("<f4", "(1, 1)", &floats(&[0.5]))), ("y", npy("|u1", "(1,)", &[1]))]);
    assert!(refusal("npz", &path).contains("has 1 sample, and one part to train on"));
}

/// The real binary, with this as `$DATASETS`.
fn tauscope(datasets: Option<&Path>, flags: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.env_remove("DATASETS").args(["sweep", "--dry-run", "--engine", "cpu", "--model", "linear"]).args(flags);
    datasets.map(|folder| command.env("DATASETS", folder));
    command.assert()
}

#[test]
fn the_binary_looks_below_datasets() {
    let folder = tempfile::tempdir().unwrap();
    mnist(&folder.path().join("MNIST/raw"), 12, 1);
    let flags = ["--data", "mnist", "--samples", "all"];
    tauscope(Some(folder.path()), &flags).success().stdout(predicate::str::contains("on 12 samples of mnist"));
    // The first folder comes first, and is passed over where it is not whole.
    mnist(&folder.path().join("mnist"), 11, 1);
    tauscope(Some(folder.path()), &flags).success().stdout(predicate::str::contains("on 11 samples of mnist"));
    fs::remove_file(folder.path().join("mnist/t10k-labels-idx1-ubyte")).unwrap();
    tauscope(Some(folder.path()), &flags).success().stdout(predicate::str::contains("on 12 samples of mnist"));
    // One that is given is the only one.
    let given = format!("mnist:{}", folder.path().join("mnist").display());
    let lacks = format!("{} lacks t10k-labels-idx1-ubyte; accepted: mnist:DIR", folder.path().join("mnist").display());
    let refused = tauscope(Some(folder.path()), &["--data", &given]).code(2);
    refused.stderr(predicate::str::contains(lacks).and(predicate::str::contains("error: --data mnist: ")));
}

#[test]
fn the_binary_says_where_it_looked_and_what_it_wants() {
    let nowhere: TempDir = tempfile::tempdir().unwrap();
    let says = |parts: &[String]| {
        let parts = parts.to_vec();
        predicate::function(move |text: &str| parts.iter().all(|part| text.contains(part)))
    };
    let below = |folder: &str| format!("{} is no folder", nowhere.path().join(folder).display());
    let expected = [below("cifar-10-batches-bin"), below("cifar10"), "data_batch_5.bin, test_batch.bin".into()];
    tauscope(Some(nowhere.path()), &["--data", "cifar10"]).code(2).stderr(says(&expected));
    let expected =
        ["DATASETS is not set", "cifar100:DIR, or $DATASETS with a folder cifar-100-binary", "train.bin, test.bin"];
    tauscope(None, &["--data", "cifar100"]).code(2).stderr(says(&expected.map(String::from)));
    let given = format!("fashion-mnist:{}", nowhere.path().join("gone").display());
    let expected =
        [below("gone"), "Debian's package dataset-fashion-mnist; the folder has train-images-idx3-ubyte".into()];
    tauscope(None, &["--data", &given]).code(2).stderr(says(&expected));

    mnist(nowhere.path(), 2, 1);
    let path = nowhere.path().join("train-images-idx3-ubyte");
    fs::write(&path, &fs::read(&path).unwrap()[..1000]).unwrap();
    let expected = [format!("error: {}: byte 1000: truncated: the file ends after 984 of 1568 bytes", path.display())];
    let given = format!("mnist:{}", nowhere.path().display());
    tauscope(None, &["--data", &given]).code(2).stderr(says(&expected));
}

#[test]
fn the_binary_knows_how_many_samples_there_are() {
    let given = format!("npz:{}", fixture("plain.npz").display());
    let asked = tauscope(None, &["--data", &given]).code(2);
    asked.stderr(
        predicate::str::contains("--samples 512: npz:").and(predicate::str::contains("accepted: 1 to 5, or 'all'")),
    );
    let flags = ["--data", &given, "--samples", "all", "--batch", "6"];
    let expected = "error: --batch 6: more than the 5 samples; accepted: 1 to 5, or full";
    tauscope(None, &flags).code(2).stderr(predicate::str::contains(expected));
    let refused = tauscope(None, &["--data", "mnist:"]).code(2);
    refused.stderr(predicate::str::contains("for '--data <DATA>': mnist: names no folder; accepted: mnist, mnist:DIR"));
}

/// A file of each format that is whole, and the value of `--data` that reads it.
fn whole(format: usize, folder: &Path) -> (DataSource, PathBuf) {
    match format {
        0 | 1 => {
            mnist(folder, 2, 1);
            let file = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"][format];
            let path = folder.join(file);
            let content = fs::read(&path).unwrap();
            fs::write(&path, if format == 0 { gzip(&content) } else { content }).unwrap();
            (source("mnist", folder), path)
        }
        2 => {
            cifar10(folder, 1);
            (source("cifar10", folder), folder.join("data_batch_1.bin"))
        }
        _ => {
            let path = folder.join("data.npz");
            fs::copy(fixture(["plain.npz", "compressed.npz"][format - 3]), &path).unwrap();
            (source("npz", &path), path)
        }
    }
}

/// Loads, or is refused with the name of the file.
fn loads_or_says(source: &DataSource, path: &Path) {
    if let Err(error) = Parts::load(source, None, None, 0) {
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.lines().count() == 1, "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_loader_panic(format in 0..5_usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let (source, path) = whole(format, folder.path());
        fs::write(&path, bytes).unwrap();
        loads_or_says(&source, &path);
    }

    #[test]
    fn no_damage_makes_a_loader_panic(
        format in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (source, path) = whole(format, folder.path());
        let mut content = fs::read(&path).unwrap();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if cut {
            content.truncate(end.index(content.len()));
        }
        fs::write(&path, content).unwrap();
        loads_or_says(&source, &path);
    }
}
