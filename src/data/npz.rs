//! Arrays of NumPy in a zip archive: `np.savez("data.npz", x=x, y=y)`, or with `x_test` and `y_test` too.
//!
//! | array | type | shape |
//! | --- | --- | --- |
//! | `x`, `x_test` | float32, float64, or uint8, which is divided by 255 | (n, features), (n, height, width) or (n, channels, height, width) |
//! | `y`, `y_test` | any integers, from 0 | (n,) |
//!
//! There are as many classes as the largest of all labels says, plus one; other arrays are left alone. The headers of arrays
//! are read here: the crates that would do it reserve memory for whatever a header claims, or overflow on it. Not here:
//! objects, structured types and Fortran order.

use super::bytes::Bytes;
use super::{DataError, Dataset};
use crate::math::Shape;
use std::fs::File;
use std::io::BufReader;
use zip::ZipArchive;

/// Longest header of an array, bytes; NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

/// Most classes: the last layer of a model has a row for each.
const MOST_CLASSES: i128 = 1 << 16;

/// The part to train on, and the part to test on where the file has one.
///
/// # Errors
/// What is no such file, arrays that do not go together, and values that are no data.
pub fn read(path: &str) -> Result<(Dataset, Option<Dataset>), DataError> {
    let fail = |problem: String| DataError::file(path, problem);
    let file = File::open(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
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
    let mut part = |x, y| -> Result<Dataset, DataError> {
        let (inputs, rows, shape) = inputs(Array::read(&mut archive, path, x)?)?;
        let labels = labels(Array::read(&mut archive, path, y)?, rows)?;
        Ok(Dataset { inputs, labels, shape, classes: 0 })
    };
    let mut train = part("x", "y")?;
    let mut test = if has("x_test") { Some(part("x_test", "y_test")?) } else { None };
    if let Some(test) = test.as_ref().filter(|test| test.shape != train.shape) {
        return Err(fail(format!("samples of x_test have shape {}; expected that of x, {}", test.shape, train.shape)));
    }
    let all = test.iter_mut().chain([&mut train]);
    let largest = all.flat_map(|part| part.labels.iter().copied()).max().unwrap_or(0);
    if largest == 0 {
        return Err(fail("every label is 0; expected at least 2 classes".into()));
    }
    let classes = largest as usize + 1;
    [Some(&mut train), test.as_mut()].into_iter().flatten().for_each(|part| part.classes = classes);
    Ok((train, test))
}

/// An array, and where it came from.
struct Array<'a> {
    source: Bytes<'a>,
    kind: Kind,
    shape: Vec<usize>,
    /// Byte at which the first element begins.
    start: u64,
    data: Vec<u8>,
}

/// `<f4` and the like: a letter, the bytes of an element, and their order.
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
        let (kind, shape) = parse(&String::from_utf8_lossy(&header)).map_err(|problem| source.refuse(at, problem))?;
        let start = source.offset();
        let bytes = shape.iter().try_fold(kind.size, |bytes, size| bytes.checked_mul(*size));
        let bytes = bytes.ok_or_else(|| source.refuse(at, format!("an array of shape {shape:?} fits no memory")))?;
        let what = format!("an array of shape {shape:?}");
        let data = source.take(bytes, &what)?;
        source.end(&what)?;
        Ok(Self { source, kind, shape, start, data })
    }

    /// The elements, least byte first in a field of 16 bytes; integers with their sign carried on.
    fn elements(&self) -> impl Iterator<Item = [u8; 16]> {
        let Kind { letter, size, big_endian } = self.kind;
        self.data.chunks_exact(size).map(move |element| {
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
        let at = self.start + (element * self.kind.size) as u64;
        self.source.refuse(at, format!("row {} has {problem}", element / columns))
    }
}

/// Type and shape, from the text of a header: a dictionary in Python's notation, as NumPy writes it.
fn parse(header: &str) -> Result<(Kind, Vec<usize>), String> {
    let value = |key: &str| {
        let (_, value) = header.split_once(&format!("'{key}':")).ok_or(format!("the header has no {key}"))?;
        Ok::<_, String>(value.trim_start())
    };
    let descr = value("descr")?;
    let text = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(text, _)| text);
    let text = text.ok_or("a structured type; expected plain numbers")?;
    let unknown = || format!("type '{text}'; expected float32, float64, uint8 or, for labels, integers");
    let mut letters = text.chars();
    let (order, letter) = letters.next().zip(letters.next()).ok_or_else(unknown)?;
    let size = letters.as_str().parse().map_err(|_| unknown())?;
    let big_endian = match order {
        '<' | '|' => false,
        '>' => true,
        _ => return Err(unknown()),
    };
    if !matches!((letter, size), ('f', 4 | 8) | ('i' | 'u', 1 | 2 | 4 | 8)) {
        return Err(unknown());
    }
    if !value("fortran_order")?.starts_with("False") {
        return Err("in Fortran order; expected C order, which np.ascontiguousarray gives".into());
    }
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(shape, _)| shape);
    let shape = shape.ok_or("the header's shape is no tuple")?;
    let size_of = |size: &str| size.parse().map_err(|_| format!("the header's shape has '{size}'"));
    let shape =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(size_of).collect::<Result<_, _>>()?;
    Ok((Kind { letter, size, big_endian }, shape))
}

/// The numbers of `x`, of how many samples they are, and the shape of a sample.
fn inputs(array: Array) -> Result<(Vec<f32>, usize, Shape), DataError> {
    let shape = match array.shape[..] {
        [_, features] => Shape::vector(features),
        [_, height, width] => Shape::new(1, height, width),
        [_, channels, height, width] => Shape::new(channels, height, width),
        _ => {
            let problem = format!(
                "shape {:?}; expected (n, features), (n, height, width) or (n, channels, height, width)",
                array.shape
            );
            return Err(array.source.refuse(array.start, problem));
        }
    };
    if array.data.is_empty() {
        let problem = format!("shape {:?}, no numbers; expected at least one sample of one number", array.shape);
        return Err(array.source.refuse(array.start, problem));
    }
    let number: fn([u8; 16]) -> (f64, f32) = match array.kind {
        Kind { letter: 'f', size: 4, .. } => |[a, b, c, d, ..]| {
            let number = f32::from_le_bytes([a, b, c, d]);
            (number.into(), number)
        },
        Kind { letter: 'f', .. } => |[a, b, c, d, e, f, g, h, ..]| {
            let number = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
            (number, number as f32)
        },
        Kind { letter: 'u', size: 1, .. } => |[pixel, ..]| (pixel.into(), f32::from(pixel) / 255.0),
        Kind { letter, size, .. } => {
            let problem = format!("numbers of type {letter}{size}; expected f4, f8 or u1");
            return Err(array.source.refuse(array.start, problem));
        }
    };
    let finite = |(place, element)| match number(element) {
        (_, number) if number.is_finite() => Ok(number),
        (stored, _) => {
            Err(array.refuse(place, shape.elements(), &format!("{stored:e}; expected numbers that are finite in f32")))
        }
    };
    let numbers = array.elements().enumerate().map(finite).collect::<Result<_, _>>()?;
    Ok((numbers, array.shape[0], shape))
}

/// The labels of `y`, one for each of so many rows of `x`.
fn labels(array: Array, rows: usize) -> Result<Vec<u32>, DataError> {
    if array.shape != [rows] {
        let problem = format!("shape {:?}; expected [{rows}], a label for each row of x", array.shape);
        return Err(array.source.refuse(array.start, problem));
    }
    if array.kind.letter == 'f' {
        let problem = format!("labels of type f{}; expected integers", array.kind.size);
        return Err(array.source.refuse(array.start, problem));
    }
    let class = |(row, element)| match i128::from_le_bytes(element) {
        label if (0..MOST_CLASSES).contains(&label) => Ok(label as u32),
        label => Err(array.refuse(row, 1, &format!("label {label}; expected 0 to {}", MOST_CLASSES - 1))),
    };
    array.elements().enumerate().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n";
        assert_eq!(parse(header), Ok((Kind { letter: 'f', size: 4, big_endian: false }, vec![3, 4])));
        let header = "{'descr': '>i8', 'fortran_order': False, 'shape': (7,), }\n";
        assert_eq!(parse(header), Ok((Kind { letter: 'i', size: 8, big_endian: true }, vec![7])));
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }";
        assert_eq!(parse(header), Ok((Kind { letter: 'u', size: 1, big_endian: false }, vec![])));
    }

    #[test]
    fn headers_of_anything_else_are_refused() {
        for (header, part) in [
            ("", "no descr"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "structured type"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "type '|O'"),
            ("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}", "type '<f2'; expected float32, float64"),
            ("{'descr': '', 'fortran_order': False, 'shape': (3,)}", "type ''"),
            ("{'descr': '=f4', 'fortran_order': False, 'shape': (3,)}", "type '=f4'"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}", "Fortran order; expected C order"),
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
