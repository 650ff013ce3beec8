//! The IDX format of MNIST and Fashion-MNIST: a magic number, sizes, unsigned bytes; integers are big-endian.
//!
//! <https://web.archive.org/web/2022/http://yann.lecun.com/exdb/mnist/> has the format's description.

use super::DataError;
use super::bytes::Bytes;
use super::collection::{Collection, Pixels};
use std::path::Path;

/// Two zero bytes, the code of unsigned bytes, and the number of dimensions, which is to be added.
const UNSIGNED_BYTES: u32 = 0x0000_0800;

/// The images of one file, with the labels of another.
///
/// # Errors
/// What is no such file, or belongs to other images.
pub fn read(images: &Path, labels: &Path, of: &Collection) -> Result<Pixels, DataError> {
    let mut file = Bytes::open(images)?;
    let [count, height, width] = sizes(&mut file)?;
    let shape = of.shape;
    if (height, width) != (shape.height, shape.width) {
        let problem = format!("images of {height} x {width} pixels; expected {} x {}", shape.height, shape.width);
        return Err(file.refuse(8, problem));
    }
    if count == 0 {
        return Err(file.refuse(4, "0 images; expected at least 1".into()));
    }
    // Both fit 32 bits.
    let bytes = file.take(count * shape.elements(), &format!("the pixels of {count} images"))?;
    file.end(&format!("{count} images"))?;

    let mut file = Bytes::open(labels)?;
    let [labelled] = sizes(&mut file)?;
    if labelled != count {
        let problem = format!("{labelled} labels; expected {count}, the number of images in {}", images.display());
        return Err(file.refuse(4, problem));
    }
    let first = file.offset();
    let labels = file.take(count, &format!("{count} labels"))?;
    file.end(&format!("{count} labels"))?;
    let label = |(row, label): (usize, &u8)| file.label("label", *label, of.classes, row, first + row as u64);
    Ok(Pixels { bytes, labels: labels.iter().enumerate().map(label).collect::<Result<_, _>>()? })
}

/// The magic number, and the sizes that follow it.
fn sizes<const RANK: usize>(file: &mut Bytes) -> Result<[usize; RANK], DataError> {
    let magic = u32::from_be_bytes(file.array("the magic number")?);
    let expected = UNSIGNED_BYTES + RANK as u32;
    if magic != expected {
        let problem = format!(
            "magic number {magic:#010x}; expected {expected:#010x}, unsigned bytes in {RANK} dimension{}",
            if RANK == 1 { "" } else { "s" }
        );
        return Err(file.refuse(0, problem));
    }
    let mut sizes = [0; RANK];
    for size in &mut sizes {
        *size = u32::from_be_bytes(file.array("the sizes")?) as usize;
    }
    Ok(sizes)
}
