//! Files that hold named tensors: safetensors, and what `torch.save` writes.
//!
//! A file of `torch.save` is a program for Python's unpickler; the reader used here takes tensors from it and executes
//! nothing. Not here: which tensor is which of a model ([`super::names`]).

use crate::files::{open_input, read_input};
use crate::layer::tensor::Tensor;
use half::{bf16, f16};
use pytorch_reader::PytorchReader;
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// What torch.optim calls a second moment.
const MARK: &str = "exp_avg_sq";

/// Bytes that say what a file is.
const START: u64 = 512;

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub name: String,
    /// The name in the file, where second moments are called otherwise.
    pub written: String,
    pub shape: Vec<usize>,
    /// `F32`, `BF16`, `I64`, ...
    pub kind: String,
}

/// A tensor by another name than the file's.
pub struct Named<'a> {
    pub name: String,
    pub stored: &'a Stored,
}

/// `conv1` and `weight` of `conv1.weight`.
pub fn module(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// The tensors of a file, by name.
pub struct WeightFile {
    pub tensors: Vec<Stored>,
    bytes: Bytes,
}

/// Where the numbers of tensors are, in the order of [`WeightFile::tensors`].
enum Bytes {
    Read(Vec<Vec<u8>>),
    Torch(Vec<pytorch_reader::Tensor>),
}

impl WeightFile {
    /// # Errors
    /// A file that cannot be read, or is of no format that holds tensors.
    pub fn open(path: &Path) -> Result<Self, String> {
        let fail = |error: std::io::Error| error.to_string();
        let mut start = Vec::new();
        open_input(path).and_then(|file| file.take(START).read_to_end(&mut start)).map_err(fail)?;
        if is_of_torch(&start) {
            return Self::of_torch(path);
        }
        let bytes = read_input(path).map_err(fail)?;
        let safetensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            format!("not a safetensors file: {error}; accepted: files of safetensors, or of PyTorch's torch.save")
        })?;
        let mut tensors: Vec<_> = safetensors.tensors();
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        let stored = |(name, tensor): &(String, safetensors::tensor::TensorView)| Stored {
            name: name.clone(),
            written: name.clone(),
            shape: tensor.shape().to_vec(),
            kind: format!("{:?}", tensor.dtype()),
        };
        Ok(Self {
            tensors: tensors.iter().map(stored).collect(),
            bytes: Bytes::Read(tensors.iter().map(|(_, tensor)| tensor.data().to_vec()).collect()),
        })
    }

    fn of_torch(path: &Path) -> Result<Self, String> {
        let reader = PytorchReader::new(path).map_err(|error| {
            format!(
                "no file of torch.save that can be read: {error}; accepted: state dicts, and safetensors, which Python writes \
                 with `from safetensors.torch import save_file` and `save_file(model.state_dict(), 'weights.safetensors')`"
            )
        })?;
        let mut tensors: Vec<_> = reader.into_tensors().into_iter().collect();
        if tensors.is_empty() {
            return Err("it holds no tensor of PyTorch; accepted: a state dict, as torch.save(model.state_dict(), FILE) writes it".into());
        }
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        let stored = |(name, tensor): &(String, pytorch_reader::Tensor)| Stored {
            name: name.clone(),
            written: name.clone(),
            shape: tensor.shape().to_vec(),
            kind: format!("{:?}", tensor.dtype()),
        };
        Ok(Self {
            tensors: tensors.iter().map(stored).collect(),
            bytes: Bytes::Torch(tensors.into_iter().map(|(_, tensor)| tensor).collect()),
        })
    }

    /// Where the tensors are numbered as those of an optimizer's state dict (`state.0`, `state.1`, ...), gives them the names of the
    /// `parameters` in that order: that of `model.parameters()`.
    pub fn name_by_number(&mut self, parameters: &[Tensor]) {
        let number = |stored: &Stored| stored.name.strip_prefix("state.")?.parse::<usize>().ok();
        let numbers: Option<Vec<usize>> = self.tensors.iter().map(number).collect();
        let Some(numbers) = numbers.filter(|numbers| numbers.iter().all(|number| *number < parameters.len())) else {
            return;
        };
        for (stored, number) in self.tensors.iter_mut().zip(numbers) {
            stored.name.clone_from(&parameters[number].name);
        }
    }

    /// Where the file marks second moments as torch.optim does, by `exp_avg_sq` before or behind the name of the parameter, those alone,
    /// by that name; else all of it.
    ///
    /// # Errors
    /// Two tensors for one parameter: one of them marked, and the other marked otherwise or not at all.
    pub fn second_moments(self) -> Result<Self, String> {
        let of = |name: &str| {
            let name = name.strip_suffix(MARK).map(|name| name.trim_end_matches('.')).or_else(|| {
                let (before, name) = name.split_once(MARK)?;
                (before.is_empty() || before.ends_with('.')).then(|| name.trim_start_matches('.'))
            });
            name.filter(|name| !name.is_empty()).map(str::to_owned)
        };
        let names: Vec<Option<String>> = self.tensors.iter().map(|stored| of(&stored.name)).collect();
        if names.iter().all(Option::is_none) {
            return Ok(self);
        }
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for (stored, name) in self.tensors.iter().zip(&names) {
            let parameter = name.as_ref().unwrap_or(&stored.name);
            if let Some(other) = seen.insert(parameter, &stored.name) {
                return Err(format!(
                    "tensors '{other}' and '{}' are both there for parameter '{parameter}'; accepted: one second moment for each \
                     parameter",
                    stored.name
                ));
            }
        }
        let tensors = self
            .tensors
            .into_iter()
            .zip(&names)
            .filter_map(|(stored, name)| Some(Stored { name: name.clone()?, ..stored }));
        let mut is_kept = names.iter().map(Option::is_some);
        let mut keep = || is_kept.next().unwrap_or(false);
        let bytes = match self.bytes {
            Bytes::Read(all) => Bytes::Read(all.into_iter().filter(|_| keep()).collect()),
            Bytes::Torch(all) => Bytes::Torch(all.into_iter().filter(|_| keep()).collect()),
        };
        Ok(Self { tensors: tensors.collect(), bytes })
    }

    /// The numbers of one tensor, exactly as they are stored.
    ///
    /// # Errors
    /// A tensor that holds no floats, or one that is not `accepted`.
    pub fn numbers(&self, index: usize, accepted: Numbers) -> Result<Vec<f64>, String> {
        let Stored { written: name, kind, shape, .. } = &self.tensors[index];
        let read;
        let bytes = match &self.bytes {
            Bytes::Read(tensors) => &tensors[index],
            Bytes::Torch(tensors) => {
                read = tensors[index].read().map_err(|error| error.to_string())?;
                &read
            }
        };
        let numbers: Vec<f64> = match kind.as_str() {
            "F64" => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).into()).collect(),
            "BF16" => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).into()).collect(),
            other => return Err(format!("tensor '{name}' is {other}; accepted: F64, F32, F16, BF16")),
        };
        let is_wrong = |number: &f64| !number.is_finite() || accepted == Numbers::FiniteNotNegative && *number < 0.0;
        match numbers.iter().position(is_wrong) {
            Some(place) => {
                let (number, place) = (numbers[place], element(place, shape));
                Err(format!("tensor '{name}' has {number:e} at {place}; accepted: {}", accepted.described()))
            }
            None => Ok(numbers),
        }
    }
}

/// Numbers that a tensor may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    Finite,
    FiniteNotNegative,
}

impl Numbers {
    fn described(self) -> &'static str {
        match self {
            Self::Finite => "finite numbers",
            Self::FiniteNotNegative => "finite numbers of 0 or more",
        }
    }
}

/// The index of the number at a place in a tensor, as PyTorch writes it, from 0: `[3, 1]`.
fn element(place: usize, shape: &[usize]) -> String {
    let mut rest = place;
    let mut index: Vec<String> = Vec::new();
    for size in shape.iter().rev() {
        index.push((rest % size).to_string());
        rest /= size;
    }
    index.reverse();
    format!("[{}]", index.join(", "))
}

/// How zip archives, pickles of protocol 2 and later and tar archives begin; a safetensors file begins with the length of
/// its header, and its header with a brace.
fn is_of_torch(bytes: &[u8]) -> bool {
    let is_safetensors = bytes.get(8) == Some(&b'{');
    !is_safetensors
        && (bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80]) || bytes.get(257..262) == Some(b"ustar"))
}
