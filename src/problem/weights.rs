//! Weights as safetensors files with PyTorch's names and layouts, so that they move both ways.
//!
//! Parameters by the names of the model's tensors, in f64: `0.weight` as (out, in), `conv1.weight` as (out, in, height, width). A
//! quadratic's are `x`. With running statistics also `running_mean`, `running_var` and `num_batches_tracked` of every batch
//! norm: all that PyTorch's `load_state_dict` asks for.

use super::{Network, Problem};
use crate::layer::tensor::Tensor;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// Weights that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct WeightsError {
    pub path: String,
    pub reason: String,
}

/// A file's bytes; without `statistics` those of the parameters alone.
pub fn to_safetensors(problem: &Problem, parameters: &[f64], statistics: &[f64]) -> Vec<u8> {
    let bytes = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut extend = |list: &[Tensor], vector: &[f64]| {
        let of = |tensor: &Tensor| (tensor.name.clone(), Dtype::F64, tensor.shape.clone(), bytes(tensor.of(vector)));
        tensors.extend(list.iter().map(of));
    };
    match problem {
        Problem::Quadratic(_) => tensors.push(("x".into(), Dtype::F64, vec![parameters.len()], bytes(parameters))),
        Problem::Network(Network { model, .. }) => {
            let of_model = &model.graph.tensors;
            extend(&of_model.parameters, parameters);
            if !statistics.is_empty() {
                extend(&of_model.statistics, statistics);
                let zero = |name: &String| (name.clone(), Dtype::I64, Vec::new(), vec![0; 8]);
                tensors.extend(of_model.counters.iter().map(zero));
            }
        }
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("the bytes fill the shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("names and shapes are well-formed")
}

/// Reads parameters, f32 or f64.
///
/// # Errors
/// A file that is missing or no safetensors file, a tensor that is missing, misshapen or of another type; the error names it.
pub fn load(problem: &Problem, path: &Path) -> Result<Vec<f64>, WeightsError> {
    let bytes = read(path)?;
    let file = File::open(path, &bytes)?;
    match problem {
        Problem::Quadratic(quadratic) => file.numbers("x", &[quadratic.eigenvalues.len()]),
        Problem::Network(network) => file.vector(&network.model.graph.tensors.parameters),
    }
}

/// Reads parameters and running statistics, f32 or f64; the statistics are empty where the model has none.
///
/// # Errors
/// As [`load`].
pub fn load_with_statistics(network: &Network, path: &Path) -> Result<[Vec<f64>; 2], WeightsError> {
    let bytes = read(path)?;
    let file = File::open(path, &bytes)?;
    let tensors = &network.model.graph.tensors;
    Ok([file.vector(&tensors.parameters)?, file.vector(&tensors.statistics)?])
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let fail = |error: std::io::Error| WeightsError { path: path.display().to_string(), reason: error.to_string() };
    std::fs::read(path).map_err(fail)
}

struct File<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl<'a> File<'a> {
    fn open(path: &'a Path, bytes: &'a [u8]) -> Result<Self, WeightsError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| WeightsError {
            path: path.display().to_string(),
            reason: format!("not a safetensors file: {error}"),
        })?;
        Ok(Self { path, tensors })
    }

    fn fail(&self, reason: String) -> WeightsError {
        WeightsError { path: self.path.display().to_string(), reason }
    }

    fn vector(&self, tensors: &[Tensor]) -> Result<Vec<f64>, WeightsError> {
        let numbers = tensors.iter().map(|tensor| self.numbers(&tensor.name, &tensor.shape));
        Ok(numbers.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, WeightsError> {
        let found = || self.tensors.names().into_iter().map(String::from).collect::<Vec<_>>().join(", ");
        let missing = |_| self.fail(format!("no tensor '{name}'; the file has: {}", found()));
        let tensor = self.tensors.tensor(name).map_err(missing)?;
        if tensor.shape() != shape {
            let shown = tensor.shape();
            return Err(self.fail(format!("tensor '{name}' has shape {shown:?}; this model needs {shape:?}")));
        }
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => Ok(data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()),
            Dtype::F32 => Ok(data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect()),
            other => Err(self.fail(format!("tensor '{name}' is {other:?}; accepted: F32, F64"))),
        }
    }
}
