//! The binary version of CIFAR-10 and CIFAR-100: records of one or two labels and the planes of an image, red, green, blue.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html> describes it. Not here: the versions for Python and Matlab.

use super::DataError;
use super::bytes::Bytes;
use super::collection::{Collection, Pixels};
use std::path::PathBuf;

/// The records of all files, in their order. A record begins with a label of every one of `labels`, a name and a number of
/// classes; the last of them is the one that counts.
///
/// # Errors
/// A file that is empty or ends within a record, and labels that are none.
pub fn read(files: &[PathBuf], of: &Collection, labels: &[(&str, usize)]) -> Result<Pixels, DataError> {
    let length = labels.len() + of.shape.elements();
    let mut pixels = Pixels::default();
    for path in files {
        let mut file = Bytes::open(path)?;
        for row in 0.. {
            if row > 0 && file.at_end()? {
                break;
            }
            let start = file.offset();
            let record = file.take(length, &format!("record {row}, of which each has {length}"))?;
            let (head, image) = record.split_at(labels.len());
            let mut label = 0;
            for ((at, byte), (name, classes)) in (start..).zip(head).zip(labels) {
                label = file.label(name, *byte, *classes, row, at)?;
            }
            pixels.labels.push(label);
            pixels.bytes.extend_from_slice(image);
        }
    }
    Ok(pixels)
}
