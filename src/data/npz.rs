//! Arrays of NumPy in a zip archive: `np.savez("data.npz", x=x, y=y)`, or with `x_test` and `y_test` too.
//!
//! | array | type | shape |
//! | --- | --- | --- |
//! | `x`, `x_test` | float16, float32, float64, bool, or uint8, which is divided by 255 | (n, features), (n, height, width), (n, channels, height, width) or (n, height, width, channels) |
//! | `y`, `y_test` | integers from 0, whole floats, bool | (n,), (n, 1), or (n, classes) with a single 1 in each row |
//!
//! There are as many classes as the largest of all labels says, plus one, or as rows with a single 1 have columns; other
//! arrays are left alone. The headers of arrays are read here: the crates that would do it reserve memory for whatever a
//! header claims, or overflow on it. Not here: objects and structured types.

use super::bytes::Bytes;
use super::source::Layout;
use super::{DataError, Dataset};
use crate::files::open_input;
use crate::math::Shape;
use half::f16;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use zip::ZipArchive;

/// Longest header of an array, bytes; NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

/// Most classes: the last layer of a model has a row for each.
const MOST_CLASSES: i128 = 1 << 16;

/// The part to train on, and the part to test on where the file has one.
///
/// # Errors
/// What is no such file, arrays that do not go together, and values that are no data.
pub fn read(file: &Path, layout: Option<Layout>) -> Result<(Dataset, Option<Dataset>), DataError> {
    let shown = file.display().to_string();
    let path = shown.as_str();
    let fail = |problem: String| DataError::file(path, problem);
    let file = open_input(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| fail(format!("not an npz file: {error}")))?;
    let array = |name: &str| name.strip_suffix(".npy").map(String::from);
    let arrays: Vec<String> = archive.file_names().filter_map(|name| array(&name.ok()?)).collect();
    let has = |name: &str| arrays.iter().any(|array| array == name);
    for (one, other) in [("x", "y"), ("y", "x"), ("x_test", "y_test"), ("y_test", "x_test")] {
        if !has(one) && (has(other) || !one.ends_with("_test")) {
            let found = if arrays.is_empty() { "none".into() } else { arrays.join(", ") };
            return Err(fail(format!("no array {one}; found: {found}; expected: x, y and, if at all, x_test, y_test")));
        }
    }
    let mut kinds = Vec::new();
    let mut part = |x, y| -> Result<Dataset, DataError> {
        let array = Array::read(&mut archive, path, x)?;
        kinds.push(array.kind);
        let (inputs, rows, shape) = inputs(array, layout)?;
        let (labels, classes) = labels(Array::read(&mut archive, path, y)?, rows)?;
        Ok(Dataset { inputs, labels, shape, classes })
    };
    let mut train = part("x", "y")?;
    let mut test = if has("x_test") { Some(part("x_test", "y_test")?) } else { None };
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

/// An array, and where it came from.
struct Array<'a> {
    source: Bytes<'a>,
    kind: Kind,
    /// Whether the first axis runs fastest in memory.
    fortran: bool,
    shape: Vec<usize>,
    /// Byte at which the first element begins.
    start: u64,
    data: Vec<u8>,
}

/// `<f4` and the like: a letter, the bytes of an element, and their order in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind {
    letter: char,
    size: usize,
    big_endian: bool,
}

impl<'a> Array<'a> {
    fn read(archive: &'a mut ZipArchive<BufReader<File>>, path: &str, name: &str) -> Result<Self, DataError> {
        let name_shown = format!("{path}, array {name}");
        let entry = archive.by_name(&format!("{name}.npy"));
        let entry = entry.map_err(|error| DataError::file(&name_shown, format!("cannot be read: {error}")))?;
        let mut source = Bytes::new(name_shown, entry);
        let [magic @ .., major, _minor] = source.array::<8>("the magic number")?;
        if magic != *b"\x93NUMPY" || !(1..=3).contains(&major) {
            return Err(source.refuse(0, "no array of NumPy; expected its magic number and version 1, 2 or 3".into()));
        }
        let length = match major {
            1 => u16::from_le_bytes(source.array("the length of the header")?).into(),
            _ => u32::from_le_bytes(source.array("the length of the header")?) as usize,
        };
        if length > LONGEST_HEADER {
            return Err(source.refuse(8, format!("a header of {length} bytes; expected at most {LONGEST_HEADER}")));
        }
        let at = source.offset();
        let header = source.take(length, "the header")?;
        let (kind, fortran, shape) =
            parse(&String::from_utf8_lossy(&header)).map_err(|problem| source.refuse(at, problem))?;
        let start = source.offset();
        let bytes = shape.iter().try_fold(kind.size, |bytes, size| bytes.checked_mul(*size));
        let bytes = bytes.ok_or_else(|| source.refuse(at, format!("an array of shape {shape:?} fits no memory")))?;
        let what = format!("an array of shape {shape:?}");
        let data = source.take(bytes, &what)?;
        source.end(&what)?;
        Ok(Self { source, kind, fortran, shape, start, data })
    }

    /// Where in memory the element of this number is, counted with the last axis running fastest.
    fn place(&self, element: usize) -> usize {
        if !self.fortran {
            return element;
        }
        let (mut rest, mut place, mut stride) = (element, 0, self.shape.iter().product::<usize>());
        for size in self.shape.iter().rev() {
            stride /= size;
            place += rest % size * stride;
            rest /= size;
        }
        place
    }

    fn len(&self) -> usize {
        self.data.len() / self.kind.size
    }

    /// The elements with the last axis running fastest, least byte first in a field of 16 bytes; integers with their sign
    /// carried on.
    fn elements(&self) -> impl Iterator<Item = [u8; 16]> {
        let Kind { letter, size, big_endian } = self.kind;
        (0..self.len()).map(move |element| {
            let element = &self.data[self.place(element) * size..][..size];
            let most = if big_endian { element[0] } else { element[size - 1] };
            let mut wide = [if letter == 'i' && most >= 0x80 { 0xff } else { 0 }; 16];
            wide[..size].copy_from_slice(element);
            if big_endian {
                wide[..size].reverse();
            }
            wide
        })
    }

    /// What is wrong with the element of this number, of which each row has `columns`.
    fn refuse(&self, element: usize, columns: usize, problem: &str) -> DataError {
        let at = self.start + (self.place(element) * self.kind.size) as u64;
        self.source.refuse(at, format!("row {} has {problem}", element / columns))
    }
}

/// Type, whether in Fortran order, and shape, from the text of a header: a dictionary in Python's notation, as NumPy writes
/// it.
fn parse(header: &str) -> Result<(Kind, bool, Vec<usize>), String> {
    let value = |key: &str| {
        let (_, value) = header.split_once(&format!("'{key}':")).ok_or(format!("the header has no {key}"))?;
        Ok::<_, String>(value.trim_start())
    };
    let descr = value("descr")?;
    let text = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(text, _)| text);
    let text = text.ok_or("a structured type; expected plain numbers")?;
    let unknown = || format!("type '{text}'; expected float16, float32, float64, uint8, bool or, for labels, integers");
    let mut letters = text.chars();
    let (order, letter) = letters.next().zip(letters.next()).ok_or_else(unknown)?;
    let size = letters.as_str().parse().map_err(|_| unknown())?;
    let big_endian = match order {
        '<' | '|' => false,
        '>' => true,
        _ => return Err(unknown()),
    };
    if !matches!((letter, size), ('f', 2 | 4 | 8) | ('i' | 'u', 1 | 2 | 4 | 8) | ('b', 1)) {
        return Err(unknown());
    }
    let order = value("fortran_order")?;
    let fortran = order.starts_with("True");
    if !fortran && !order.starts_with("False") {
        return Err("the header's fortran_order is neither True nor False".into());
    }
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let shape = shape.ok_or("the header's shape is no tuple")?;
    let size_of = |size: &str| size.parse().map_err(|_| format!("the header's shape has '{size}'"));
    let shape =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(size_of).collect::<Result<_, _>>()?;
    Ok((Kind { letter, size, big_endian }, fortran, shape))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n";
        assert_eq!(parse(header), Ok((Kind { letter: 'f', size: 4, big_endian: false }, false, vec![3, 4])));
        let header = "{'descr': '>i8', 'fortran_order': True, 'shape': (7,), }\n";
        assert_eq!(parse(header), Ok((Kind { letter: 'i', size: 8, big_endian: true }, true, vec![7])));
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }";
        assert_eq!(parse(header), Ok((Kind { letter: 'u', size: 1, big_endian: false }, false, vec![])));
    }

    #[test]
    fn headers_of_anything_else_are_refused() {
        for (header, part) in [
            ("", "no descr"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "structured type"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "type '|O'"),
            (
                "{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}",
                "type '<c8'; expected float16, float32, float64",
            ),
            ("{'descr': '', 'fortran_order': False, 'shape': (3,)}", "type ''"),
            ("{'descr': '=f4', 'fortran_order': False, 'shape': (3,)}", "type '=f4'"),
            ("{'descr': '<f4', 'fortran_order': 1, 'shape': (3,)}", "neither True nor False"),
            ("{'descr': '<f4', 'shape': (3,)}", "no fortran_order"),
            ("{'descr': '<f4', 'fortran_order': False}", "no shape"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': 3}", "no tuple"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}", "shape has '-3'"),
        ] {
            let error = parse(header).unwrap_err();
            assert!(error.contains(part), "{header}: {error}");
        }
    }
}
