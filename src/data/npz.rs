//! Arrays of NumPy in a zip archive: `np.savez("data.npz", x=x, y=y)`, or with `x_test` and `y_test` too.
//!
//! | array | type | shape |
//! | --- | --- | --- |
//! | `x`, `x_test` | float16, float32, float64, bool, or uint8, which is divided by 255 | (n, features), (n, height, width), (n, channels, height, width) or (n, height, width, channels) |
//! | `y`, `y_test` | integers from 0, whole floats, bool | (n,), (n, 1), or (n, classes) with a single 1 in each row |
//!
//! There are as many classes as the largest of all labels says, plus one, or as rows with a single 1 have columns; other
//! arrays are left alone. Not here: how arrays are read ([`super::arrays`]).

use super::arrays::{Archive, Array, Kind};
use super::source::Layout;
use super::{DataError, Dataset};
use crate::math::Shape;
use half::f16;
use std::path::Path;

/// Most classes: the last layer of a model has a row for each.
const MOST_CLASSES: i128 = 1 << 16;

/// The part to train on, and the part to test on where the file has one.
///
/// # Errors
/// What is no such file, arrays that do not go together, and values that are no data.
pub fn read(file: &Path, layout: Option<Layout>) -> Result<(Dataset, Option<Dataset>), DataError> {
    let mut archive = Archive::open(file)?;
    let path = archive.path().to_owned();
    let fail = |problem: String| DataError::file(&path, problem);
    for (one, other) in [("x", "y"), ("y", "x"), ("x_test", "y_test"), ("y_test", "x_test")] {
        if !archive.has(one) && (archive.has(other) || !one.ends_with("_test")) {
            let found = archive.found();
            return Err(fail(format!("no array {one}; found: {found}; expected: x, y and, if at all, x_test, y_test")));
        }
    }
    let (mut kinds, has_test) = (Vec::new(), archive.has("x_test"));
    let mut part = |x, y| -> Result<Dataset, DataError> {
        let array = Array::read(&mut archive, x)?;
        kinds.push(array.kind);
        let (inputs, rows, shape) = inputs(array, layout)?;
        let (labels, classes) = labels(Array::read(&mut archive, y)?, rows)?;
        Ok(Dataset { inputs, labels, shape, classes })
    };
    let mut train = part("x", "y")?;
    let mut test = if has_test { Some(part("x_test", "y_test")?) } else { None };
    if let Some(test) = test.as_ref().filter(|test| test.shape != train.shape) {
        return Err(fail(format!("samples of x_test have shape {}; expected that of x, {}", test.shape, train.shape)));
    }
    // Pixels are divided by 255 and floats are not.
    if kinds.iter().any(|kind| kind.letter != kinds[0].letter) {
        let [x, x_test] = [0, 1].map(|part| format!("{}{}", kinds[part].letter, kinds[part].size));
        return Err(fail(format!(
            "x has numbers of type {x} and x_test {x_test}; expected both as floats, or both as u1"
        )));
    }
    let all = || [Some(&train), test.as_ref()].into_iter().flatten();
    let first = train.labels[0];
    let several = all().map(Dataset::samples).sum::<usize>() > 1;
    if (several || first == 0) && all().all(|part| part.labels.iter().all(|label| *label == first)) {
        return Err(fail(format!("every label is {first}; expected at least 2 classes")));
    }
    let columns: Vec<usize> = all().map(|part| part.classes).filter(|columns| *columns > 0).collect();
    if let [one, other] = columns[..]
        && one != other
    {
        return Err(fail(format!("y has {one} columns and y_test {other}; expected as many, one for each class")));
    }
    let largest = all().flat_map(|part| part.labels.iter().copied()).max().unwrap_or(0);
    let classes = columns.first().copied().unwrap_or(0).max(largest as usize + 1);
    [Some(&mut train), test.as_mut()].into_iter().flatten().for_each(|part| part.classes = classes);
    Ok((train, test))
}

/// The numbers of `x`, of how many samples they are, and the shape of a sample.
fn inputs(array: Array, layout: Option<Layout>) -> Result<(Vec<f32>, usize, Shape), DataError> {
    let refuse = |problem: String| Err(array.source.refuse(array.start, problem));
    let (shape, layout) = match array.shape[..] {
        [_, first, second, third] => match layout.map_or_else(|| told_by([first, second, third]), Ok) {
            Ok(Layout::Nchw) => (Shape::new(first, second, third), Layout::Nchw),
            Ok(Layout::Nhwc) => (Shape::new(third, first, second), Layout::Nhwc),
            Err(problem) => return refuse(format!("shape {:?}, {problem}", array.shape)),
        },
        [_, ..] if layout.is_some() => {
            return refuse(format!("shape {:?}; expected 4 axes where a layout is given", array.shape));
        }
        [_, features] => (Shape::vector(features), Layout::Nchw),
        [_, height, width] => (Shape::new(1, height, width), Layout::Nchw),
        _ => {
            return refuse(format!(
                "shape {:?}; expected (n, features), (n, height, width), (n, channels, height, width) or (n, height, width, \
                 channels)",
                array.shape
            ));
        }
    };
    if array.data.is_empty() {
        return refuse(format!("shape {:?}, no numbers; expected at least one sample of one number", array.shape));
    }
    let number: fn([u8; 16]) -> (f64, f32) = match array.kind {
        Kind { letter: 'f', size: 2, .. } => |[a, b, ..]| {
            let number = f16::from_le_bytes([a, b]);
            (number.into(), number.into())
        },
        Kind { letter: 'f', size: 4, .. } => |[a, b, c, d, ..]| {
            let number = f32::from_le_bytes([a, b, c, d]);
            (number.into(), number)
        },
        Kind { letter: 'f', .. } => |[a, b, c, d, e, f, g, h, ..]| {
            let number = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
            (number, number as f32)
        },
        Kind { letter: 'u', size: 1, .. } => |[pixel, ..]| (pixel.into(), f32::from(pixel) / 255.0),
        Kind { letter: 'b', .. } => |[bit, ..]| (bit.into(), if bit == 0 { 0.0 } else { 1.0 }),
        Kind { letter, size, .. } => {
            return refuse(format!(
                "numbers of type {letter}{size}; expected f2, f4 or f8, which stay as they are, or u1, pixels that are \
                 divided by 255: x.astype('f4') or x.astype('u1')"
            ));
        }
    };
    let finite = |(place, element)| match number(element) {
        (_, number) if number.is_finite() => Ok(number),
        (stored, _) => {
            Err(array.refuse(place, shape.elements(), &format!("{stored:e}; expected numbers that are finite in f32")))
        }
    };
    let numbers: Vec<f32> = array.elements().enumerate().map(finite).collect::<Result<_, _>>()?;
    let numbers = if layout == Layout::Nhwc { channels_first(&numbers, shape) } else { numbers };
    Ok((numbers, array.shape[0], shape))
}

/// Channels that images have: grey, colours, colours and opacity.
const CHANNELS: [usize; 3] = [1, 3, 4];

/// Which axis of images has the channels, where their sizes leave no doubt.
fn told_by([first, second, third]: [usize; 3]) -> Result<Layout, String> {
    let square = (first == second, second == third);
    let may_be_channels = (CHANNELS.contains(&first), CHANNELS.contains(&third));
    match (may_be_channels, square) {
        // Equal sizes of the first two axes alone speak for channels behind them, whatever their number.
        ((_, false), (false, _) | (true, true)) | (_, (false, true)) => Ok(Layout::Nchw),
        ((false, true), (true, false)) => Ok(Layout::Nhwc),
        _ if [first, second, third] == [1, 1, 1] => Ok(Layout::Nchw),
        _ => Err(format!(
            "which may be {first} channels of {second} x {third} or {third} channels of {first} x {second}; expected \
             npz:FILE#nchw or npz:FILE#nhwc, which says so"
        )),
    }
}

/// Samples of height x width x channels as samples of channels x height x width.
fn channels_first(numbers: &[f32], shape: Shape) -> Vec<f32> {
    let samples = numbers.chunks_exact(shape.elements());
    let planes = |sample| {
        let plane = move |channel| Iterator::skip(<[f32]>::iter(sample), channel).step_by(shape.channels).copied();
        (0..shape.channels).flat_map(plane)
    };
    samples.flat_map(planes).collect()
}

/// The labels of `y`, one for each of so many rows of `x`, and the number of columns where there is one for each class.
fn labels(array: Array, rows: usize) -> Result<(Vec<u32>, usize), DataError> {
    let columns = match array.shape[..] {
        [count] | [count, 1] if count == rows => 0,
        [count, columns] if count == rows && (2..=MOST_CLASSES as usize).contains(&columns) => columns,
        _ => {
            let problem = format!("shape {:?}; expected [{rows}], a label for each row of x", array.shape);
            return Err(array.source.refuse(array.start, problem));
        }
    };
    let most = (MOST_CLASSES - 1) as f64;
    let Kind { letter, size, .. } = array.kind;
    let whole = |(place, element): (usize, [u8; 16])| {
        let [a, b, c, d, e, f, g, h, ..] = element;
        let label = match (letter, size) {
            ('f', 2) => f16::from_le_bytes([a, b]).into(),
            ('f', 4) => f32::from_le_bytes([a, b, c, d]).into(),
            ('f', _) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => {
                let label = i128::from_le_bytes(element);
                if (0..MOST_CLASSES).contains(&label) {
                    return Ok(label as u32);
                }
                let problem = format!("label {label}; expected 0 to {}", MOST_CLASSES - 1);
                return Err(array.refuse(place, columns.max(1), &problem));
            }
        };
        if (0.0..=most).contains(&label) && label.fract() == 0.0 {
            return Ok(label as u32);
        }
        Err(array.refuse(place, columns.max(1), &format!("label {label}; expected a whole number from 0 to {most}")))
    };
    let numbers: Vec<u32> = array.elements().enumerate().map(whole).collect::<Result<_, _>>()?;
    if columns == 0 {
        return Ok((numbers, 0));
    }
    let class = |(row, marks): (usize, &[u32])| match marks.iter().position(|mark| *mark == 1) {
        Some(class) if marks.iter().filter(|mark| **mark != 0).count() == 1 => Ok(class as u32),
        _ => {
            let problem =
                format!("labels in {columns} columns that are not one 1 and else 0; expected a class of each row");
            Err(array.refuse(row * columns, columns, &problem))
        }
    };
    Ok((numbers.chunks_exact(columns).enumerate().map(class).collect::<Result<_, _>>()?, columns))
}
