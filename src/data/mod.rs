//! Data: labelled samples from files, from laws, or from inside the program; seeded subsets of them; a part to train on and
//! a part to test on.
//!
//! *What it is:* samples in memory, as f32, in the order of their file or in the order that a seed chose. *What it is not:*
//! minibatches ([`crate::batch::BatchOrder`]), nor anything that downloads.

mod arrays;
mod bytes;
mod cifar;
mod collection;
mod digits;
mod hessians;
mod idx;
mod images;
mod npz;
mod source;
mod synthetic;

use crate::math::Shape;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use hessians::Hessians;
pub use images::ImageSet;
pub use source::{DataSource, Layout};
pub use synthetic::{Law, Synthetic};

/// One part in this many is held out for testing where a source has no such part of its own.
const HELD_OUT: usize = 5;

/// Streams of the seed: which samples are taken, and which are held out or tested on.
const SUBSET: u64 = 0;
const SPLIT: u64 = 1;

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

/// Which samples of a source: those that gradients are taken of, or those held back for evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    Train,
    Test,
}

/// Data that cannot be had, or not in the asked amount.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("--samples {asked}: {of} has {available} samples; accepted: 1 to {available}, or 'all'")]
    TooMany { asked: usize, available: usize, of: String },
    #[error("{asked} samples to test on: {of} has {available}; accepted: 1 to {available}")]
    TooManyTest { asked: usize, available: usize, of: String },
    #[error("{0} has 1 sample; accepted: at least 2, one to train on and one to test on")]
    One(String),
    /// No folder has the files; the message has those that were tried.
    #[error("{0}")]
    Missing(String),
    /// A file that is not what it should be; the problem begins with the byte, where there is one.
    #[error("{file}: {problem}")]
    File { file: String, problem: String },
}

impl DataError {
    fn file(file: &str, problem: String) -> Self {
        // Names of arrays may hold anything, and the message is one line.
        Self::File { file: file.into(), problem: problem.replace(char::is_control, " ") }
    }
}

impl Dataset {
    /// Takes samples, labels and shape into a content hash.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) {
        let Self { inputs, labels, shape, classes } = self;
        hasher.update(format!("{shape:?} {classes} {}", labels.len()).as_bytes());
        hasher.update(bytemuck::cast_slice(inputs));
        hasher.update(bytemuck::cast_slice(labels));
    }

    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// How the samples are understood, axis by axis: `(N, C, H, W) = (160, 3, 16, 16), 4 classes`.
    pub fn describe(&self) -> String {
        let Shape { channels, height, width } = self.shape;
        let (samples, classes) = (self.samples(), self.classes);
        if self.shape.is_vector() {
            format!("(N, features) = ({samples}, {channels}), {classes} classes")
        } else {
            format!("(N, C, H, W) = ({samples}, {channels}, {height}, {width}), {classes} classes")
        }
    }

    /// Largest accuracy that is no better than guessing: the share of the most frequent class, and 3 standard deviations of the
    /// share of samples that a guesser who knows it gets right. Below 0 where there is one class, of which nothing can be learnt.
    pub fn guessing(&self) -> f64 {
        let mut counts = vec![0u64; self.classes];
        self.labels.iter().for_each(|label| counts[*label as usize] += 1);
        let samples = self.samples() as f64;
        let share = counts.into_iter().max().unwrap_or(0) as f64 / samples;
        if share < 1.0 { share + 3.0 * (share * (1.0 - share) / samples).sqrt() } else { -1.0 }
    }

    /// Numbers of one sample.
    pub fn features(&self) -> usize {
        self.shape.elements()
    }

    /// `samples` of the source (all where `None`), chosen without replacement by `seed`. Where the source has a part to test
    /// on, they come from the part to train on.
    ///
    /// # Errors
    /// Data that cannot be had, and when more samples are asked for than there are, or none.
    pub fn load(source: &DataSource, samples: Option<usize>, seed: u64) -> Result<Self, DataError> {
        let whole = match source {
            DataSource::Digits => digits::digits(),
            DataSource::Images { set, folder } => set.read(folder.as_deref(), Part::Train)?,
            DataSource::Npz { file, layout } => npz::read(file, *layout)?.0,
            DataSource::Synthetic(law) => law.draw(Part::Train),
        };
        whole.subset(samples, seed, source.to_string())
    }

    /// Some of the samples, in the order given.
    pub fn select(&self, rows: &[usize]) -> Self {
        let features = self.features();
        let inputs = rows.iter().flat_map(|row| &self.inputs[row * features..][..features]).copied().collect();
        Self { inputs, labels: rows.iter().map(|row| self.labels[*row]).collect(), ..*self }
    }

    /// `samples` of them by `seed`, in the order in which it draws them; all in their own where `None`.
    fn subset(self, samples: Option<usize>, seed: u64, of: String) -> Result<Self, DataError> {
        let available = self.samples();
        let Some(asked) = samples else { return Ok(self) };
        if !(1..=available).contains(&asked) {
            return Err(DataError::TooMany { asked, available, of });
        }
        Ok(self.select(&shuffled(available, seed, SUBSET)[..asked]))
    }
}

/// Samples to train on, and others to test on.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    pub train: Dataset,
    pub test: Dataset,
}

impl Parts {
    /// `samples` to train on and `test` to test on, both chosen without replacement by `seed`.
    ///
    /// A source with a part to test on keeps it, whole where `test` is `None`. From any other source, `test` samples, or a
    /// fifth, are held out before `samples` of the rest are chosen. Samples to test on stay in the order of the source.
    ///
    /// # Errors
    /// As [`Dataset::load`], for either part.
    pub fn load(
        source: &DataSource,
        samples: Option<usize>,
        test: Option<usize>,
        seed: u64,
    ) -> Result<Self, DataError> {
        let (whole, own) = match source {
            DataSource::Digits => (digits::digits(), None),
            DataSource::Images { set, folder } => {
                let read = |part| set.read(folder.as_deref(), part);
                (read(Part::Train)?, Some(read(Part::Test)?))
            }
            DataSource::Npz { file, layout } => npz::read(file, *layout)?,
            DataSource::Synthetic(law) => (law.draw(Part::Train), Some(law.draw(Part::Test))),
        };
        let (rows, of) = (whole.samples(), source.to_string());
        match own {
            Some(own) => {
                let available = own.samples();
                let (tested, _) = chosen(available, test.unwrap_or(available), available, &of, seed)?;
                Ok(Self { train: whole.subset(samples, seed, of)?, test: own.select(&tested) })
            }
            None if rows == 1 => Err(DataError::One(of)),
            None => {
                let asked = test.unwrap_or((rows / HELD_OUT).max(1));
                let (held_out, rest) = chosen(rows, asked, rows - 1, &of, seed)?;
                let of = format!("{of} without the {asked} samples to test on");
                Ok(Self { train: whole.select(&rest).subset(samples, seed, of)?, test: whole.select(&held_out) })
            }
        }
    }
}

/// `asked` of `rows` rows to test on, of which at most `available` may be, and the others; both in ascending order.
fn chosen(
    rows: usize,
    asked: usize,
    available: usize,
    of: &str,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    if !(1..=available).contains(&asked) {
        return Err(DataError::TooManyTest { asked, available, of: of.into() });
    }
    let mut order = shuffled(rows, seed, SPLIT);
    let mut rest = order.split_off(asked);
    order.sort_unstable();
    rest.sort_unstable();
    Ok((order, rest))
}

/// The rows in the order of one stream of a seed.
fn shuffled(rows: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_seeded_and_without_replacement() {
        let load = |seed| Dataset::load(&DataSource::Digits, Some(512), seed).unwrap();
        assert_eq!(load(3), load(3));
        assert_ne!(load(3), load(4));
        let error = Dataset::load(&DataSource::Digits, Some(1798), 0).unwrap_err().to_string();
        assert!(error.contains("1798") && error.contains("1 to 1797"), "{error}");
    }
}
