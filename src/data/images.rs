//! Image collections by name: where their files are looked for, and how they are read.
//!
//! Not here: their constants ([`super::collection`]), nor the formats of the files ([`super::idx`], [`super::cifar`]).

use super::collection::{CIFAR10, CIFAR100, Collection, FASHION_MNIST, Format, MNIST};
use super::{DataError, Dataset, Part, cifar, idx};
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

impl ImageSet {
    fn definition(self) -> &'static Collection {
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

/// The file of this name, or the gzip file of it.
fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}
