//! The byte form of a lane's whole state, with which its run goes on in another lane of another wave.
//!
//! ```text
//! header                   8 numbers of 8 bytes: steps made, changes of the seed, then the shape
//! changes of the seed      2 numbers of 8 bytes each: steps made before it, seed
//! server weights           P
//! weight versions          slots x P
//! velocities               P, or slots x P where every slot has its own
//! second moment            P, where the rule keeps one
//! running statistics
//! ```
//!
//! All numbers are little-endian; vectors are in the precision of the engine and in the order of the model's parameters,
//! without padding. Learning rates, the age of every slot and the positions of the random streams follow from the steps
//! made ([`super::host_run`]).
//!
//! Not here: files and checksums ([`crate::store::checkpoint`]). Lengths are checked nevertheless, so that bytes that are
//! none of this run's are an error and no panic.

use super::host_run::{HostRun, Reseed};
use super::{EngineError, Needs};
use crate::problem::Problem;
use std::io::{self, ErrorKind, Read, Write};

/// Why a lane's state was not saved or not restored.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What it was to be written to or read from failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no state of this run.
    #[error("the saved state of a run {0}")]
    Damaged(String),
}

/// How long a lane's vectors are, and how many there are of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateShape {
    /// Bytes of a number of a vector: 4 or 8.
    pub width: usize,
    pub parameters: usize,
    pub slots: usize,
    pub velocities: usize,
    /// Second moments.
    pub seconds: usize,
    /// Running statistics.
    pub statistics: usize,
}

/// Numbers of the header.
const HEADER: usize = 8;

/// Bytes of a number of the header.
const WORD: usize = size_of::<u64>();

impl StateShape {
    /// Shape of a run with these needs in numbers of `width` bytes.
    pub fn new(problem: &Problem, needs: &Needs, width: usize) -> Self {
        Self {
            width,
            parameters: problem.dimension(),
            slots: needs.versions(),
            velocities: needs.velocities(),
            seconds: needs.second_moments(),
            statistics: problem.fresh_statistics().len(),
        }
    }

    /// Bytes of a state whose run never changed its seed.
    pub fn bytes(&self) -> u64 {
        let Self { width, parameters, slots, velocities, seconds, statistics } = *self;
        let numbers = (1 + slots + velocities + seconds) as u64 * parameters as u64 + statistics as u64;
        (HEADER * WORD) as u64 + width as u64 * numbers
    }

    fn words(&self) -> [(u64, &'static str); 6] {
        let Self { width, parameters, slots, velocities, seconds, statistics } = *self;
        [
            (width as u64, "bytes a number"),
            (parameters as u64, "parameters"),
            (slots as u64, "slots"),
            (velocities as u64, "velocities"),
            (seconds as u64, "second moments"),
            (statistics as u64, "running statistics"),
        ]
    }
}

/// Writes a state: first what the host knows, then every vector in the order of the module's table.
pub struct StateWriter<'a> {
    out: &'a mut dyn Write,
    width: usize,
}

impl<'a> StateWriter<'a> {
    /// # Errors
    /// Where `out` cannot be written.
    pub fn begin(out: &'a mut dyn Write, shape: StateShape, steps: &HostRun) -> io::Result<Self> {
        let reseeds = steps.reseeds();
        let counts = [steps.made(), reseeds.len() as u64];
        let header = counts.into_iter().chain(shape.words().map(|(word, _)| word));
        let words = header.chain(reseeds.iter().flat_map(|Reseed { made, seed }| [*made, *seed]));
        for word in words {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { out, width: shape.width })
    }

    /// Writes vectors in full precision.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn numbers(&mut self, numbers: &[f64]) -> io::Result<()> {
        let bytes: Vec<u8> = match self.width {
            8 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            // Exact: these numbers were f32 before.
            _ => numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        };
        self.out.write_all(&bytes)
    }
}

/// Reads a state back.
pub struct StateReader<'a> {
    input: &'a mut dyn Read,
    width: usize,
}

impl<'a> StateReader<'a> {
    /// Reads what the host knows: a run that has made `made` steps, whose vectors have this shape. Gives back the changes of
    /// its seed.
    ///
    /// # Errors
    /// Where `input` cannot be read, or holds the state of something else.
    pub fn begin(input: &'a mut dyn Read, shape: StateShape, made: u64) -> Result<(Self, Vec<Reseed>), StateError> {
        let mut reader = Self { input, width: shape.width };
        let (there, count) = (reader.word()?, reader.word()?);
        for (expected, what) in [(made, "steps made")].into_iter().chain(shape.words()) {
            let found = if what == "steps made" { there } else { reader.word()? };
            if found != expected {
                return Err(StateError::Damaged(format!("has {found} {what}; accepted: {expected}")));
            }
        }
        let mut reseeds: Vec<Reseed> = Vec::new();
        for _ in 0..count {
            let reseed = Reseed { made: reader.word()?, seed: reader.word()? };
            let before = reseeds.last().map_or(0, |reseed| reseed.made);
            if !(before..=made).contains(&reseed.made) {
                let after = reseed.made;
                return Err(StateError::Damaged(format!(
                    "changes its seed after step {after}; accepted: {before} to {made}"
                )));
            }
            reseeds.push(reseed);
        }
        Ok((reader, reseeds))
    }

    /// The next `count` numbers.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn numbers(&mut self, count: usize) -> Result<Vec<f64>, StateError> {
        let mut bytes = vec![0; count * self.width];
        self.fill(&mut bytes)?;
        Ok(match self.width {
            8 => bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            _ => bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x).into()).collect(),
        })
    }

    fn word(&mut self) -> Result<u64, StateError> {
        let mut bytes = [0; WORD];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StateError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => StateError::Damaged("ends too early".into()),
            _ => StateError::Io(error),
        })
    }
}
