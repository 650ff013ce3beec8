//! Data files: every format as its description has it, where files are looked for, and what is said of those that are wrong.

mod files;
mod wrong;

use self::files::{PIXELS, cifar10, fixture, floats, gzip, load, mnist, npy, npz, pixels, refusal, source};
use crate::common::{EXACT, ROUNDING_F32, assert_close};
use assert_cmd::Command;
use predicates::prelude::*;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fs;
use std::path::Path;
use tauscope::data::{DataSource, Dataset, Parts};
use tauscope::math::Shape;

/// (p / 255 - mean) / deviation, in f64.
fn normalised(pixels: &[u8], mean: f64, deviation: f64) -> Vec<f64> {
    pixels.iter().map(|pixel| (f64::from(*pixel) / 255.0 - mean) / deviation).collect()
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
    assert!(refusal("npz", &path).contains("has 1 sample; accepted: at least 2"));
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
    let nowhere = tempfile::tempdir().unwrap();
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
