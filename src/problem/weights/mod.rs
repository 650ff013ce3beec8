//! Weights in files, with PyTorch's names and layouts, so that they move both ways.
//!
//! - [`to_safetensors`] writes parameters by the names of the model's tensors, in f64: `0.weight` as (out, in), `conv1.weight`
//!   as (out, in, height, width). A quadratic's are `x`. With running statistics also `running_mean`, `running_var` and
//!   `num_batches_tracked` of every batch norm: all that PyTorch's `load_state_dict` asks for.
//! - [`load`] reads a safetensors file or one of `torch.save`, under other names too (`names.rs`).
//!
//! Not here: whether the weights are a minimum ([`crate::minimum`]).

mod file;
mod names;
mod shapes;

pub use names::WeightMap;

use super::{Network, Problem};
use crate::layer::tensor::{Start, Tensor, Tensors};
use file::{Numbers, WeightFile};
use names::{Matching, Model};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// Weights that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct WeightsError {
    pub path: String,
    pub reason: String,
}

/// What is read of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Parameters,
    /// Running statistics too, where the model has some.
    WithStatistics,
}

/// Weights that a file brought.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedWeights {
    pub parameters: Vec<f64>,
    /// Empty where they are not wanted, or the model has none.
    pub statistics: Vec<f64>,
    /// Which names of the file became which of the model, and which tensors were not used: `fc1 -> 0, fc2 -> 2; not used: x`.
    /// None where there is nothing to say.
    pub mapping: Option<String>,
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
        Problem::Quadratic(_) | Problem::Dense(_) => extend(&[quadratic(parameters.len())], parameters),
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

/// The only tensor of a quadratic.
fn quadratic(dimension: usize) -> Tensor {
    Tensor { name: "x".into(), shape: vec![dimension], offset: 0, start: Start::Constant(0.0) }
}

/// Reads weights: floats of any width, under the model's names or others that can be told apart.
///
/// # Errors
/// A file that is missing or holds no tensors; tensors that are missing, misshapen, of another type or not finite; names
/// that could mean several tensors. The error names them.
pub fn load(
    problem: &Problem,
    path: &Path,
    map: Option<&WeightMap>,
    wanted: Wanted,
) -> Result<LoadedWeights, WeightsError> {
    let fail = failure(path);
    let file = WeightFile::open(path).map_err(&fail)?;
    of_file(problem, &file, map, wanted, Numbers::Finite).map_err(fail)
}

/// Reads the second moments of a rule of Adam's kind, P: by the names of the parameters, or marked as torch.optim does
/// (`fc1.weight.exp_avg_sq`). They are taken as they are, without bias correction.
///
/// # Errors
/// As [`load`]; a second moment that is negative; two for one parameter.
pub fn load_second_moments(problem: &Problem, path: &Path) -> Result<Vec<f64>, WeightsError> {
    let fail = failure(path);
    let mut file = WeightFile::open(path).and_then(WeightFile::second_moments).map_err(&fail)?;
    if let Problem::Network(Network { model, .. }) = problem {
        file.name_by_number(&model.graph.tensors.parameters);
    }
    let read = of_file(problem, &file, None, Wanted::Parameters, Numbers::FiniteNotNegative);
    read.map(|LoadedWeights { parameters, .. }| parameters).map_err(fail)
}

/// Makes an error of a reason. Names in a file may hold anything, and the message is one line.
fn failure(path: &Path) -> impl Fn(String) -> WeightsError {
    let path = path.display().to_string();
    move |reason| WeightsError { path: path.clone(), reason: reason.replace(char::is_control, " ") }
}

fn of_file(
    problem: &Problem,
    file: &WeightFile,
    map: Option<&WeightMap>,
    wanted: Wanted,
    accepted: Numbers,
) -> Result<LoadedWeights, String> {
    let of_quadratic;
    let model = match problem {
        Problem::Quadratic(_) | Problem::Dense(_) => {
            of_quadratic = [quadratic(problem.dimension())];
            Model { parameters: &of_quadratic, statistics: &[], counters: &[] }
        }
        Problem::Network(Network { model, .. }) => {
            let Tensors { parameters, statistics, counters } = &model.graph.tensors;
            Model { parameters, statistics, counters }
        }
    };
    let Matching { parameters, statistics, mapping } = model.matched(file, map, wanted)?;
    let numbers = |indices: Vec<usize>| -> Result<Vec<f64>, String> {
        let all: Result<Vec<Vec<f64>>, String> =
            indices.into_iter().map(|index| file.numbers(index, accepted)).collect();
        Ok(all?.concat())
    };
    Ok(LoadedWeights { parameters: numbers(parameters)?, statistics: numbers(statistics)?, mapping })
}
