//! Collections of images by name: where their files are looked for, how they are named, and how pixels become numbers.
//!
//! A pixel p, 0 to 255, becomes (p / 255 - mean) / deviation, with the usual constants of its collection and channel: mean
//! and standard deviation over the pixels of the part to train on. Not here: the formats of the files ([`super::idx`],
//! [`super::cifar`]).

use super::{DataError, Dataset, Part, cifar, idx};
use crate::math::Shape;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names a folder of data sets.
const VARIABLE: &str = "DATASETS";

/// A collection of images, by its name in `--data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::EnumString, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum ImageSet {
    Mnist,
    FashionMnist,
    Cifar10,
    Cifar100,
}

/// What there is to know of a collection.
pub struct Definition {
    pub shape: Shape,
    pub classes: usize,
    /// Mean and standard deviation of each channel, as fractions of 255.
    pub channels: &'static [(f64, f64)],
    format: Format,
    /// Below `$DATASETS`.
    folders: &'static [&'static str],
    /// A folder, and the Debian package that puts the files there.
    package: Option<(&'static str, &'static str)>,
    train: &'static [&'static str],
    test: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Format {
    Idx,
    /// The labels of a record; see [`cifar::read`].
    Cifar(&'static [(&'static str, usize)]),
}

const MNIST: Definition = Definition {
    shape: Shape::new(1, 28, 28),
    classes: 10,
    channels: &[(0.1307, 0.3081)],
    format: Format::Idx,
    folders: &["mnist", "MNIST/raw"],
    package: None,
    train: &["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    test: &["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
};

const FASHION_MNIST: Definition = Definition {
    channels: &[(0.2860, 0.3530)],
    folders: &["fashion-mnist", "FashionMNIST/raw"],
    package: Some(("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist")),
    ..MNIST
};

const CIFAR10: Definition = Definition {
    shape: Shape::new(3, 32, 32),
    classes: 10,
    channels: &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)],
    format: Format::Cifar(&[("label", 10)]),
    folders: &["cifar-10-batches-bin", "cifar10"],
    package: None,
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: &["test_batch.bin"],
};

const CIFAR100: Definition = Definition {
    classes: 100,
    channels: &[(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)],
    format: Format::Cifar(&[("coarse label", 20), ("fine label", 100)]),
    folders: &["cifar-100-binary", "cifar100"],
    train: &["train.bin"],
    test: &["test.bin"],
    ..CIFAR10
};

/// Images as files have them.
#[derive(Debug, Default, PartialEq)]
pub struct Pixels {
    /// samples x channels x height x width
    pub bytes: Vec<u8>,
    /// One class for each sample.
    pub labels: Vec<u32>,
}

impl ImageSet {
    fn definition(self) -> &'static Definition {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::Cifar10 => &CIFAR10,
            Self::Cifar100 => &CIFAR100,
        }
    }

    /// One part of the collection, from `folder` or, where that is `None`, from the first place that has the files.
    ///
    /// # Errors
    /// No folder with all the files, or files that are not what they should be.
    pub fn read(self, folder: Option<&str>, part: Part) -> Result<Dataset, DataError> {
        let definition = self.definition();
        let folder = self.find(folder, env::var_os(VARIABLE))?;
        let names = match part {
            Part::Train => definition.train,
            Part::Test => definition.test,
        };
        let files: Vec<PathBuf> = names.iter().filter_map(|name| file(&folder, name)).collect();
        let pixels = match (definition.format, &files[..]) {
            (Format::Idx, [images, labels]) => idx::read(images, labels, definition)?,
            (Format::Idx, _) => unreachable!("the folder has both files, and IDX has no more"),
            (Format::Cifar(labels), files) => cifar::read(files, definition, labels)?,
        };
        Ok(definition.normalise(pixels))
    }

    /// The folder with the files: the one given and no other, else below `datasets`, else where a package puts them.
    fn find(self, given: Option<&str>, datasets: Option<OsString>) -> Result<PathBuf, DataError> {
        let definition = self.definition();
        let below = datasets.filter(|path| !path.is_empty()).map(PathBuf::from);
        let candidates: Vec<PathBuf> = match given {
            Some(folder) => vec![folder.into()],
            None => {
                let usual = below.iter().flat_map(|below| definition.folders.iter().map(|folder| below.join(folder)));
                usual.chain(definition.package.map(|(folder, _)| folder.into())).collect()
            }
        };
        let mut tried = Vec::new();
        for folder in candidates {
            let missing: Vec<&str> = definition.files().filter(|name| file(&folder, name).is_none()).collect();
            match missing[..] {
                [] => return Ok(folder),
                _ if !folder.is_dir() => tried.push(format!("{} is no folder", folder.display())),
                _ => tried.push(format!("{} lacks {}", folder.display(), missing.join(", "))),
            }
        }
        if given.is_none() && below.is_none() {
            tried.push(format!("{VARIABLE} is not set"));
        }
        let files: Vec<&str> = definition.files().collect();
        let package = definition.package.map_or(String::new(), |(_, name)| format!(", or Debian's package {name}"));
        Err(DataError::Missing(format!(
            "--data {self}: {}; accepted: {self}:DIR, or ${VARIABLE} with a folder {}{package}; the folder has {}, each \
             plain or with .gz",
            tried.join("; "),
            definition.folders.join(" or "),
            files.join(", "),
        )))
    }
}

impl Definition {
    fn files(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().chain(self.test).copied()
    }

    fn normalise(&self, pixels: Pixels) -> Dataset {
        let scale = |(mean, deviation): &(f64, f64)| {
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / deviation) as f32)
        };
        let values: Vec<[f32; 256]> = self.channels.iter().map(scale).collect();
        let planes = pixels.bytes.chunks_exact(self.shape.pixels()).zip(values.iter().cycle());
        let inputs = planes.flat_map(|(plane, values)| plane.iter().map(|pixel| values[usize::from(*pixel)])).collect();
        Dataset { inputs, labels: pixels.labels, shape: self.shape, classes: self.classes }
    }
}

/// The file of this name, or the gzip file of it.
fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}
