//! Constants of the image collections, and how their pixels become numbers.
//!
//! A pixel p, 0 to 255, becomes (p / 255 - mean) / deviation, with the usual constants of its collection and channel: mean
//! and standard deviation over the pixels of the part to train on. Not here: the formats of the files ([`super::idx`],
//! [`super::cifar`]), and where files are looked for ([`super::images`]).

use super::Dataset;
use crate::math::Shape;

/// Constants of a collection.
pub struct Collection {
    pub shape: Shape,
    pub classes: usize,
    /// Mean and standard deviation of each channel, as fractions of 255.
    pub channels: &'static [(f64, f64)],
    pub(super) format: Format,
    /// Folders below `$DATASETS`.
    pub(super) folders: &'static [&'static str],
    /// A folder, and the Debian package that puts the files there.
    pub(super) package: Option<(&'static str, &'static str)>,
    pub(super) train: &'static [&'static str],
    pub(super) test: &'static [&'static str],
}

/// Format of a collection's files.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Idx,
    /// The labels of a record; see [`super::cifar::read`].
    Cifar(&'static [(&'static str, usize)]),
}

pub(super) const MNIST: Collection = Collection {
    shape: Shape::new(1, 28, 28),
    classes: 10,
    channels: &[(0.1307, 0.3081)],
    format: Format::Idx,
    folders: &["mnist", "MNIST/raw"],
    package: None,
    train: &["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    test: &["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
};

pub(super) const FASHION_MNIST: Collection = Collection {
    channels: &[(0.2860, 0.3530)],
    folders: &["fashion-mnist", "FashionMNIST/raw"],
    package: Some(("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist")),
    ..MNIST
};

pub(super) const CIFAR10: Collection = Collection {
    shape: Shape::new(3, 32, 32),
    classes: 10,
    channels: &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)],
    format: Format::Cifar(&[("label", 10)]),
    folders: &["cifar-10-batches-bin", "cifar10"],
    package: None,
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: &["test_batch.bin"],
};

pub(super) const CIFAR100: Collection = Collection {
    classes: 100,
    channels: &[(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)],
    format: Format::Cifar(&[("coarse label", 20), ("fine label", 100)]),
    folders: &["cifar-100-binary", "cifar100"],
    train: &["train.bin"],
    test: &["test.bin"],
    ..CIFAR10
};

/// Images as files hold them.
#[derive(Debug, Default, PartialEq)]
pub struct Pixels {
    /// samples x channels x height x width
    pub bytes: Vec<u8>,
    /// One class for each sample.
    pub labels: Vec<u32>,
}

impl Collection {
    pub(super) fn files(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().chain(self.test).copied()
    }

    pub(super) fn normalise(&self, pixels: Pixels) -> Dataset {
        let scale = |(mean, deviation): &(f64, f64)| {
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / deviation) as f32)
        };
        let values: Vec<[f32; 256]> = self.channels.iter().map(scale).collect();
        let planes = pixels.bytes.chunks_exact(self.shape.pixels()).zip(values.iter().cycle());
        let inputs = planes.flat_map(|(plane, values)| plane.iter().map(|pixel| values[usize::from(*pixel)])).collect();
        Dataset { inputs, labels: pixels.labels, shape: self.shape, classes: self.classes }
    }
}
