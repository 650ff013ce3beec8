//! Data: the embedded digits, and the choice of a seeded subset.

use super::Shape;
use flate2::read::GzDecoder;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

static DIGITS: &[u8] = include_bytes!("../../../data/digits.csv.gz");

/// Where samples come from, by the names of `--data`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::EnumIter, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DataSource {
    /// 1,797 handwritten digits, 8 x 8 pixels in [0, 1], 10 classes; shipped inside the program.
    Digits,
}

/// Labelled samples in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// samples x features, row-major.
    pub inputs: Vec<f32>,
    /// One class in 0..classes for each sample.
    pub labels: Vec<u32>,
    pub shape: Shape,
    pub classes: usize,
}

/// Data that cannot be had, or not in the asked amount.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("--samples {asked}: {source_name} has {available} samples; accepted: 1 to {available}, or 'all'")]
    TooMany { asked: usize, available: usize, source_name: DataSource },
}

impl Dataset {
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// Numbers of one sample.
    pub fn features(&self) -> usize {
        self.shape.elements()
    }

    /// `samples` of the source (all where `None`), chosen without replacement by `seed`.
    ///
    /// # Errors
    /// When more samples are asked for than there are, or none.
    pub fn load(source: DataSource, samples: Option<usize>, seed: u64) -> Result<Self, DataError> {
        let whole = match source {
            DataSource::Digits => digits(),
        };
        let available = whole.samples();
        let Some(asked) = samples else { return Ok(whole) };
        if !(1..=available).contains(&asked) {
            return Err(DataError::TooMany { asked, available, source_name: source });
        }
        let mut rows: Vec<usize> = (0..available).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        rows.truncate(asked);
        Ok(whole.select(&rows))
    }

    /// Some of the samples, in the order given.
    pub fn select(&self, rows: &[usize]) -> Self {
        let features = self.features();
        let inputs = rows.iter().flat_map(|row| &self.inputs[row * features..][..features]).copied().collect();
        Self { inputs, labels: rows.iter().map(|row| self.labels[*row]).collect(), ..*self }
    }
}

/// The embedded digits, pixels divided by 16 (exact in f32).
fn digits() -> Dataset {
    const FEATURES: usize = SHAPE.elements();
    const SHAPE: Shape = Shape::new(1, 8, 8);
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
        let data = Dataset::load(DataSource::Digits, None, 0).unwrap();
        assert_eq!((data.samples(), data.inputs.len()), (1797, 1797 * 64));
        assert!(data.inputs.iter().all(|x| (0.0..=1.0).contains(x)));
        let mut counts = [0; 10];
        data.labels.iter().for_each(|label| counts[*label as usize] += 1);
        // Class counts as published with the data set.
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn a_subset_is_seeded_and_without_replacement() {
        let load = |seed| Dataset::load(DataSource::Digits, Some(512), seed).unwrap();
        assert_eq!(load(3), load(3));
        assert_ne!(load(3), load(4));
        let error = Dataset::load(DataSource::Digits, Some(1798), 0).unwrap_err().to_string();
        assert!(error.contains("1798") && error.contains("1 to 1797"), "{error}");
    }
}
