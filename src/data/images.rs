//! Image collections by name: where their files are looked for, and how they are read.
//!
//! Not here: their constants ([`super::collection`]), nor the formats of the files ([`super::idx`], [`super::cifar`]).

use super::collection::{CIFAR10, CIFAR100, Collection, FASHION_MNIST, Format, MNIST};
use super::{DataError, Dataset, Part, cifar, idx};
use std::env;
use std::ffi::OsString;
use std::fs;
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
    pub fn read(self, folder: Option<&Path>, part: Part) -> Result<Dataset, DataError> {
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

    /// The folder with the files: the one given or below it, and no other, else below `datasets`, else where a package puts
    /// them.
    fn find(self, given: Option<&Path>, datasets: Option<OsString>) -> Result<PathBuf, DataError> {
        let definition = self.definition();
        let below = datasets.filter(|path| !path.is_empty()).map(PathBuf::from);
        let usual = |root: &Path| definition.folders.iter().map(|folder| beneath(root, folder)).collect::<Vec<_>>();
        let candidates: Vec<PathBuf> = match given {
            // What the collection's own programs make below the folder that they are given.
            Some(folder) => {
                let deeper = usual(folder).into_iter().chain([beneath(folder, "raw")]).filter(|path| path.is_dir());
                [folder.to_owned()].into_iter().chain(deeper).collect()
            }
            None => {
                let package = definition.package.map(|(folder, _)| folder.into());
                below.iter().flat_map(|below| usual(below)).chain(package).collect()
            }
        };
        let mut tried = Vec::new();
        for folder in candidates {
            let missing: Vec<&str> = definition.files().filter(|name| file(&folder, name).is_none()).collect();
            let (count, all) = (missing.len(), definition.files().count());
            match missing[..] {
                [] => return Ok(folder),
                _ if !folder.is_dir() => tried.push(format!("{} is no folder", folder.display())),
                // Batches for Python are programs for its unpickler.
                _ if count == all
                    && matches!(definition.format, Format::Cifar(_))
                    && ["batches.meta", "meta"].iter().any(|name| file(&folder, name).is_some()) =>
                {
                    tried.push(format!("{} has the version for Python, not the binary one", folder.display()))
                }
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

/// The folder below another, where each part of its path may be in upper or lower case.
fn beneath(root: &Path, folder: &str) -> PathBuf {
    folder.split('/').fold(root.to_owned(), |path, part| {
        let exact = path.join(part);
        if exact.is_dir() {
            return exact;
        }
        let alike = entries(&path).into_iter().find(|(name, path)| name.eq_ignore_ascii_case(part) && path.is_dir());
        alike.map_or(exact, |(_, path)| path)
    })
}

/// The file of this name, or of one that differs in dots, dashes and case alone, as `train-images.idx3-ubyte`; the gzip file
/// of it; or the file of this name in a folder that is called so, as some archives have it.
fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = [folder.join(name), folder.join(format!("{name}.gz"))];
    if let Some(path) = exact.into_iter().find(|path| path.is_file()) {
        return Some(path);
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace(['.', '_'], "-");
    let entries = entries(folder);
    let find = |wanted: String| entries.iter().filter(move |(name, _)| plain(name) == wanted);
    let find = |ending: &str| find(plain(&format!("{name}{ending}")));
    let files = find("").chain(find(".gz"));
    let inner = find("").map(|(_, path)| path.join(name));
    files.map(|(_, path)| path.clone()).chain(inner).find(|path| path.is_file())
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let mut named: Vec<(String, PathBuf)> = named.collect();
    named.sort();
    named
}
