//! The digits inside the program.

use super::Dataset;
use crate::math::Shape;
use flate2::read::GzDecoder;

static DIGITS: &[u8] = include_bytes!("../../data/digits.csv.gz");

const SHAPE: Shape = Shape::new(1, 8, 8);

/// 1,797 handwritten digits, 8 x 8 pixels divided by 16 (exact in f32).
pub fn digits() -> Dataset {
    const FEATURES: usize = SHAPE.elements();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(GzDecoder::new(DIGITS));
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for record in reader.deserialize::<Vec<u8>>() {
        let record = record.expect("the embedded digits are well-formed: a test reads them all");
        inputs.extend(record[..FEATURES].iter().map(|pixel| f32::from(*pixel) / 16.0));
        labels.push(u32::from(record[FEATURES]));
    }
    Dataset { inputs, labels, shape: SHAPE, classes: 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_digits_are_whole() {
        let data = digits();
        assert_eq!((data.samples(), data.inputs.len()), (1797, 1797 * 64));
        assert!(data.inputs.iter().all(|x| (0.0..=1.0).contains(x)));
        let mut counts = [0; 10];
        data.labels.iter().for_each(|label| counts[*label as usize] += 1);
        // Class counts as published with the data set.
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }
}
