//! What is said of files that are wrong, and that none of them makes a loader panic.

use super::files::{PIXELS, cifar10, fixture, floats, gzip, idx, mnist, npy, npz, pixels, refusal, source};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use tauscope::data::{DataSource, Parts};

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
#[cfg(unix)]
fn devices_that_never_end_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &["--model", "quadratic:1", "--schedule", "trace:/dev/zero"][..],
        &["--model", "quadratic:1", "--schedule", "iid:/dev/zero"],
        &["--data", "npz:/dev/zero"],
        &["--minimum", "/dev/zero"],
        &["/dev/zero"],
    ] {
        let mut sweep = assert_cmd::Command::cargo_bin("tauscope").unwrap();
        let refused = sweep.current_dir(folder.path()).args(["sweep", "--engine", "cpu"]).args(flags).assert().code(2);
        let error = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(
            error.contains("/dev/zero") && error.contains("a device or socket; accepted: a regular file"),
            "{error}"
        );
    }
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
        (vec![("x", npy("<i4", "(2, 1)", &[0; 8])), ("y", y())], &["numbers of type i4; expected f2, f4 or f8, which"]),
        (vec![("x", npy("<c8", "(2, 1)", &[0; 16])), ("y", y())], &["byte 10: type '<c8'"]),
        (vec![("x", npy("<f2", "(2, 1)", &[0, 0, 0, 0x7c])), ("y", y())], &["row 1 has inf; expected numbers"]),
        (vec![("x", npy("<f4", "(9999999999, 9999999999)", &[])), ("y", y())], &["fits no memory"]),
        (vec![("x", npy("<f4", "(99999999, 9999)", &[])), ("y", y())], &["truncated"]),
        (vec![("x", long), ("y", y())], &["byte 8: a header of 65535 bytes; expected at most 10000"]),
        (vec![("x", vec![7; 40]), ("y", y())], &["byte 0: no array of NumPy"]),
        (
            vec![("x", x()), ("y", npy("<f4", "(2,)", &floats(&[0.0, 1.5])))],
            &["row 1 has label 1.5; expected a whole number"],
        ),
        (
            vec![("x", x()), ("y", npy("<f4", "(2,)", &floats(&[0.0, f32::NAN])))],
            &["row 1 has label NaN; expected a whole"],
        ),
        (
            vec![("x", x()), ("y", npy("<f4", "(2,)", &floats(&[-1.0, 1.0])))],
            &["row 0 has label -1; expected a whole number"],
        ),
        (vec![("x", x()), ("y", npy("|u1", "(3,)", &[0; 3]))], &["array y: ", "shape [3]; expected [2]"]),
        (vec![("x", x()), ("y", npy("|u1", "(2, 1)", &[3; 2]))], &["every label is 3; expected at least 2 classes"]),
        (
            vec![("x", x()), ("y", npy("|u1", "(2, 2)", &[1, 0, 1, 1]))],
            &["row 1 has labels in 2 columns that are not one 1"],
        ),
        (vec![("x", x()), ("y", npy("|u1", "(2, 2)", &[0, 0, 1, 0]))], &["row 0 has labels in 2 columns"]),
        (vec![("x", x()), ("y", npy("|u1", "(2, 2)", &[2, 0, 1, 0]))], &["row 0 has labels in 2 columns"]),
        (
            vec![
                ("x", x()),
                ("y", npy("|u1", "(2, 2)", &[1, 0, 0, 1])),
                ("x_test", x()),
                ("y_test", npy("|u1", "(2, 3)", &[1, 0, 0, 0, 1, 0])),
            ],
            &["y has 2 columns and y_test 3; expected as many"],
        ),
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
