//! Arrays of NumPy: every type, order and shape that they come in, and what they are understood as.

use super::files::{fixture, floats, load, npy, npy_of_fortran, npz, pixels, source};
use crate::common::{EXACT, ROUNDING_F32, assert_close};
use tauscope::data::{DataSource, Dataset, Parts};
use tauscope::math::Shape;

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
fn arrays_are_read_in_any_order_and_every_type_of_numbers_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let load = |x: Vec<u8>, y: Vec<u8>| {
        npz(&path, &[("x", x), ("y", y)]);
        Dataset::load(&source("npz", &path), None, 0).unwrap()
    };
    let labels = || npy("|u1", "(2,)", &[2, 0]);
    // Rows 0 1 2 and 3 4 5, whatever runs fastest.
    let expected: Vec<f64> = (0..6).map(f64::from).collect();
    let c = load(npy("<f4", "(2, 3)", &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])), labels());
    assert_close("C order", &c.inputs, &expected, EXACT);
    let fortran = npy_of_fortran("<f4", "(2, 3)", &floats(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    assert_eq!(load(fortran, labels()), c);
    // (2, 1, 3, 2): element (n, c, h, w) is at n + 2 (c + h + 3 w).
    let images: Vec<u8> = (0..12).map(|place| (place % 2 * 6 + place / 2 % 3 * 2 + place / 6) as u8).collect();
    let images = load(npy_of_fortran("|u1", "(2, 1, 3, 2)", &images), labels());
    assert_close("images", &images.inputs, &(0..12).map(|i| f64::from(i) / 255.0).collect::<Vec<_>>(), ROUNDING_F32);
    // 0.5, -2, 65504 and the smallest number in half precision.
    let half = [0x3800_u16, 0xc000, 0x7bff, 0x0001].map(u16::to_be_bytes).concat();
    let half = load(npy(">f2", "(2, 2)", &half), labels());
    assert_close("float16", &half.inputs, &[0.5, -2.0, 65504.0, 2f64.powi(-24)], EXACT);
    assert_close("bool", &load(npy("|b1", "(2, 2)", &[0, 1, 1, 0]), labels()).inputs, &[0.0, 1.0, 1.0, 0.0], EXACT);

    let x = || npy("<f4", "(2, 1)", &floats(&[0.0, 1.0]));
    for (y, expected, classes) in [
        (npy("|b1", "(2,)", &[1, 0]), [1, 0], 2),
        (npy("<f4", "(2,)", &floats(&[2.0, 0.0])), [2, 0], 3),
        (npy(">f8", "(2, 1)", &[2.0_f64, 0.0].map(f64::to_be_bytes).concat()), [2, 0], 3),
        (npy("<f2", "(2,)", &[0x00, 0x40, 0, 0]), [2, 0], 3),
        (npy("|u1", "(2, 1)", &[2, 0]), [2, 0], 3),
        // One column for each class, also for those that do not occur.
        (npy("<f4", "(2, 4)", &floats(&[0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])), [2, 0], 4),
        (npy_of_fortran("|b1", "(2, 3)", &[0, 1, 0, 0, 1, 0]), [2, 0], 3),
    ] {
        let data = load(x(), y);
        assert_eq!((&data.labels[..], data.classes), (&expected[..], classes));
    }
}

#[test]
fn images_have_their_channels_first_or_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let write = |[first, second, third]: [usize; 3]| {
        let shape = format!("(2, {first}, {second}, {third})");
        let pixels = pixels(2 * first * second * third);
        npz(&path, &[("x", npy("|u1", &shape, &pixels)), ("y", npy("|u1", "(2,)", &[0, 1]))]);
    };
    let load = |layout: &str| {
        let source: DataSource = format!("npz:{}{layout}", path.display()).parse().unwrap();
        Dataset::load(&source, None, 0).map_err(|error| error.to_string())
    };
    let axes = |layout: &str| load(layout).map(|data| data.describe());
    for (sizes, channels, height, width) in [
        ([16, 16, 3], 3, 16, 16),
        ([28, 28, 1], 1, 28, 28),
        ([3, 16, 16], 3, 16, 16),
        ([1, 28, 28], 1, 28, 28),
        ([64, 4, 4], 64, 4, 4),
        ([5, 6, 7], 5, 6, 7),
        ([9, 1, 1], 9, 1, 1),
        ([1, 1, 1], 1, 1, 1),
    ] {
        write(sizes);
        let data = load("").unwrap();
        assert_eq!(data.shape, Shape::new(channels, height, width), "{sizes:?}");
    }
    for sizes in [[3, 3, 3], [4, 4, 4], [16, 24, 3], [3, 32, 3], [1, 28, 1], [4, 4, 1], [8, 8, 5]] {
        write(sizes);
        let error = load("").unwrap_err();
        assert!(error.contains("channels of") && error.contains("expected npz:FILE#nchw or npz:FILE#nhwc"), "{error}");
        let [a, b, c] = sizes;
        assert_eq!(axes("#nchw").unwrap(), format!("(N, C, H, W) = (2, {a}, {b}, {c}), 2 classes"));
        assert_eq!(axes("#nhwc").unwrap(), format!("(N, C, H, W) = (2, {c}, {a}, {b}), 2 classes"));
    }
    // Sample 1, channel 2, row 1, column 0 of 2 x 4 images is number 16 - 8 + 3 * 4 + 2 after the first of the sample.
    write([2, 4, 3]);
    let (last, first) = (load("#nhwc").unwrap(), load("#nchw").unwrap());
    assert_eq!(last.inputs[24 + 2 * 8 + 4], first.inputs[24 + 4 * 3 + 2]);
    // Only images have a layout.
    npz(&path, &[("x", npy("<f4", "(2, 1)", &floats(&[0.0, 1.0]))), ("y", npy("|u1", "(2,)", &[0, 1]))]);
    assert!(load("#nhwc").unwrap_err().contains("shape [2, 1]; expected 4 axes where a layout is given"));
    assert_eq!(axes("").unwrap(), "(N, features) = (2, 1), 2 classes");
    // Pixels are scaled and floats are not: one file has one of them.
    let labels = npy("|u1", "(2,)", &[0, 1]);
    let (x, x_test) = (npy("|u1", "(2, 1)", &[0, 150]), npy("<f4", "(2, 1)", &floats(&[0.0, 150.0])));
    npz(&path, &[("x", x), ("y", labels.clone()), ("x_test", x_test), ("y_test", labels)]);
    assert!(load("").unwrap_err().contains("x has numbers of type u1 and x_test f4; expected both as floats"));
}
