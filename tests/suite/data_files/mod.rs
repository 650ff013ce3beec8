//! Data files: every format as its description has it, where files are looked for, and what is said of those that are wrong.

pub mod arrays;
pub mod files;
mod wrong;

use self::files::{PIXELS, cifar10, fixture, floats, gzip, load, mnist, npy, npz, pixels, refusal};
use crate::common::{ROUNDING_F32, assert_close};
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

/// Where the channels of images are is told by their sizes where these leave no doubt, else by the value of `--data`.
/// As other programs and archives name the files of MNIST.
#[test]
fn files_of_a_collection_are_found_under_names_that_differ_in_dots_dashes_and_case() {
    let rename = |folder: &Path, from: &str, to: &str| {
        fs::create_dir_all(folder.join(to).parent().unwrap()).unwrap();
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    mnist(folder.path(), 7, 3);
    let expected = load("mnist", folder.path());
    for (from, to) in [
        ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
        ("train-labels-idx1-ubyte", "TRAIN-LABELS.IDX1-UBYTE"),
        // A folder that is called as the file in it.
        ("t10k-images-idx3-ubyte", "unzipped"),
        ("unzipped", "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte"),
    ] {
        rename(folder.path(), from, to);
    }
    let labels = fs::read(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    fs::write(folder.path().join("t10k-labels.idx1-ubyte.gz"), gzip(&labels)).unwrap();
    fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert_eq!(load("mnist", folder.path()), expected);
    // The folder that torchvision was given.
    let root = tempfile::tempdir().unwrap();
    mnist(&root.path().join("Mnist/RAW"), 7, 3);
    assert_eq!(load("mnist", root.path()), expected);
    assert_eq!(load("mnist", &root.path().join("Mnist")), expected);
    tauscope(Some(root.path()), &["--data", "mnist", "--samples", "all"]).success().stdout(
        predicate::str::contains("on 7 samples of mnist").and(predicate::str::contains("(7, 1, 28, 28), 10 classes")),
    );
    // Both plain and zipped: the plain file.
    fs::write(root.path().join("Mnist/RAW/train-images-idx3-ubyte.gz"), b"no gzip").unwrap();
    assert_eq!(load("mnist", root.path()), expected);
    let python = tempfile::tempdir().unwrap();
    ["batches.meta", "data_batch_1"].iter().for_each(|name| fs::write(python.path().join(name), "").unwrap());
    assert!(refusal("cifar10", python.path()).contains("has the version for Python, not the binary one"));
}

/// Paths are bytes; where text is needed they are shown as far as they are text.
#[cfg(unix)]
#[test]
fn the_binary_reads_files_whose_names_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let named = |begin: &[u8], name: &[u8]| OsStr::from_bytes(&[begin, name].concat()).to_owned();
    fs::copy(fixture("plain.npz"), folder.path().join(named(b"", b"d\xe9.npz"))).unwrap();
    mnist(&folder.path().join(named(b"", b"m\xe9")), 7, 3);
    fs::write(folder.path().join(named(b"", b"t\xe9.csv")), "1\n0\n2\n").unwrap();
    let run = |arguments: &[&OsStr]| {
        let mut command = Command::cargo_bin("tauscope").unwrap();
        command
            .current_dir(folder.path())
            .args(["sweep", "--engine", "cpu", "--samples", "all"])
            .args(arguments)
            .assert()
    };
    let data = OsStr::new("--data");
    let flags: Vec<&OsStr> = ["--model", "linear", "--dry-run"].map(OsStr::new).to_vec();
    for (value, shown) in [
        (named(b"npz:", b"d\xe9.npz"), "samples of npz:d\u{fffd}.npz"),
        (named(b"npz:", b"d\xe9.npz#nhwc"), "error: d\u{fffd}.npz, array x: "),
        (named(b"mnist:", b"m\xe9"), "samples of mnist:m\u{fffd}"),
        (named(b"mnist:", b"n\xe9"), "error: --data mnist: n\u{fffd} is no folder"),
    ] {
        let output = run(&[&flags[..], &[data, &value]].concat()).get_output().clone();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains(shown), "{said}");
    }
    // The whole way: measured, with the name in every table as far as it is text.
    let schedule = named(b"trace:", b"t\xe9.csv");
    let flags = ["--model", "linear", "--rules", "sgd", "--tolerance", "0.2", "--quiet", "--out", "out", "--schedule"];
    let flags: Vec<&OsStr> = flags.map(OsStr::new).to_vec();
    let value = named(b"npz:", b"d\xe9.npz");
    run(&[&flags[..], &[&schedule, data, &value]].concat()).success();
    let table = fs::read_to_string(folder.path().join("out/thresholds.csv")).unwrap();
    assert!(table.contains("trace:t\u{fffd}.csv") && table.contains("npz:d\u{fffd}.npz"), "{table}");
    // What the run found is read back under such a name too.
    let minimum = named(b"", b"w\xe9.safetensors");
    fs::rename(folder.path().join("out/minimum.safetensors"), folder.path().join(&minimum)).unwrap();
    let again: Vec<&OsStr> = ["--force", "--minimum"].map(OsStr::new).to_vec();
    run(&[&flags[..], &[&schedule, data, &value], &again, &[&minimum]].concat()).success();
    let plan = fs::read_to_string(folder.path().join("out/run.json")).unwrap();
    assert!(plan.contains("w\u{fffd}.safetensors"), "{plan}");
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
