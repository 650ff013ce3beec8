//! Arrays of NumPy in a zip archive: their headers, and their elements in one order.
//!
//! The headers are read here: the crates that would do it reserve memory for whatever a header claims, or overflow on it.
//! Not here: what the arrays mean ([`super::npz`], [`super::hessians`]), nor objects and structured types.

use super::DataError;
use super::bytes::Bytes;
use crate::files::open_input;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use zip::ZipArchive;

/// Longest header of an array, bytes; NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

/// A file of arrays.
pub struct Archive {
    /// As errors have it.
    path: String,
    arrays: Vec<String>,
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    pub fn open(file: &Path) -> Result<Self, DataError> {
        let path = file.display().to_string();
        if file.is_dir() {
            return Err(DataError::file(&path, "a folder; accepted: a file that numpy.savez wrote".into()));
        }
        let file = open_input(file).map_err(|error| DataError::file(&path, format!("cannot be read: {error}")))?;
        let zip = ZipArchive::new(BufReader::new(file));
        let zip = zip.map_err(|error| {
            DataError::file(&path, format!("not an npz file ({error}); accepted: a file that numpy.savez wrote"))
        })?;
        let array = |name: &str| name.strip_suffix(".npy").map(String::from);
        let arrays = zip.file_names().filter_map(|name| array(&name.ok()?)).collect();
        Ok(Self { path, arrays, zip })
    }

    /// As errors have it.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn has(&self, name: &str) -> bool {
        self.arrays.iter().any(|array| array == name)
    }

    /// Names of the arrays, for messages.
    pub fn found(&self) -> String {
        if self.arrays.is_empty() { "none".into() } else { self.arrays.join(", ") }
    }

    /// Bytes of an array in memory, as the archive says.
    pub fn bytes(&mut self, name: &str) -> u64 {
        self.zip.by_name(&format!("{name}.npy")).map_or(0, |entry| entry.size())
    }

    pub fn refuse(&self, problem: String) -> DataError {
        DataError::file(&self.path, problem)
    }
}

/// An array, and where it came from.
pub struct Array<'a> {
    pub source: Bytes<'a>,
    pub kind: Kind,
    /// Whether the first axis runs fastest in memory.
    fortran: bool,
    pub shape: Vec<usize>,
    /// Byte at which the first element begins.
    pub start: u64,
    pub data: Vec<u8>,
}

/// `<f4` and the like: a letter, the bytes of an element, and their order in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    pub letter: char,
    pub size: usize,
    big_endian: bool,
}

impl<'a> Array<'a> {
    pub fn read(Archive { path, zip, .. }: &'a mut Archive, name: &str) -> Result<Self, DataError> {
        let name_shown = format!("{path}, array {name}");
        let entry = zip.by_name(&format!("{name}.npy"));
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
    pub fn elements(&self) -> impl Iterator<Item = [u8; 16]> {
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
    pub fn refuse(&self, element: usize, columns: usize, problem: &str) -> DataError {
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
