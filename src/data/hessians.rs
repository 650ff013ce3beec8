//! Hessians in an archive of NumPy: `np.savez("hessian.npz", h=h)`, h of shape (P, P), or (n, P, P) for those of n samples.
//!
//! Not here: whether they belong to a minimum (`problem`), nor samples with labels ([`super::npz`]).

use super::DataError;
use super::arrays::{Archive, Array, Kind};
use crate::memory;
use half::f16;
use std::path::Path;

/// Vectors of f64 as long as the array that are held at once: the file's bytes, the numbers, and an engine's.
const COPIES: u64 = 3;

/// Matrices as they stand in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Hessians {
    /// Rows and columns of each.
    pub dimension: usize,
    /// How many there are; none where the array has two axes.
    pub samples: Option<usize>,
    /// One after the other, row by row.
    pub entries: Vec<f64>,
}

impl Hessians {
    /// Reads the array `h`; others are left alone.
    ///
    /// # Errors
    /// What is no such file, another shape, and an array larger than the free memory.
    pub fn read(file: &Path) -> Result<Self, DataError> {
        let mut archive = Archive::open(file)?;
        if !archive.has("h") {
            return Err(archive.refuse(format!("no array h; found: {}; expected: h", archive.found())));
        }
        let bytes = archive.bytes("h").saturating_mul(COPIES);
        if let Some(free) = memory::free().filter(|free| bytes > *free) {
            return Err(archive.refuse(format!(
                "array h takes {bytes} bytes with its copies, and {free} bytes of memory are free; expected a smaller one"
            )));
        }
        let array = Array::read(&mut archive, "h")?;
        let (samples, dimension) = match array.shape[..] {
            [rows, columns] if rows == columns && rows > 0 => (None, rows),
            [samples, rows, columns] if rows == columns && rows > 0 && samples > 0 => (Some(samples), rows),
            _ => {
                let problem = format!("shape {:?}; expected (P, P), or (n, P, P) for n samples", array.shape);
                return Err(array.source.refuse(array.start, problem));
            }
        };
        let number: fn([u8; 16]) -> f64 = match array.kind {
            Kind { letter: 'f', size: 2, .. } => |[a, b, ..]| f16::from_le_bytes([a, b]).into(),
            Kind { letter: 'f', size: 4, .. } => |[a, b, c, d, ..]| f32::from_le_bytes([a, b, c, d]).into(),
            Kind { letter: 'f', .. } => |[a, b, c, d, e, f, g, h, ..]| f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            // Integers and bool.
            Kind { .. } => |element| i128::from_le_bytes(element) as f64,
        };
        Ok(Self { dimension, samples, entries: array.elements().map(number).collect() })
    }
}
