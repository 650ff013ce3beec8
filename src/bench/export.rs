//! File with a workload and its final state, from which other programs run the same and are compared: benches/peers reads it.

use super::step::FinalState;
use super::workload::Workload;
use crate::files::write_whole;
use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// Writes a safetensors file.
///
/// | tensor | shape | type | what |
/// | --- | --- | --- | --- |
/// | `x` | samples x features | F32 | data |
/// | `y` | samples | U32 | classes |
/// | `order` | steps x batch | U32 | rows of every step's minibatch; absent where the batch is full |
/// | `start` | P | F64 | x_0: weight (outputs x inputs) and bias of each layer in turn |
/// | `lr` | lanes | F64 | learning rates |
/// | `weights` | lanes x P | F64 | server weights after the steps |
/// | `loss` | steps x lanes | F64 | objective over every step's batch, at the weights that its gradient was taken at |
///
/// Everything else that another program needs is in the file's metadata, as text: `widths` (`64-32-10`), `activation`, `loss`,
/// `weight_decay`, `rule`, `momentum`, `dampening`, `slots`, `steps`, `lanes`, `batch`.
///
/// # Errors
/// Where the file cannot be written; the message names it.
pub fn write(path: &Path, workload: &Workload, state: &FinalState) -> Result<()> {
    let network = workload.network();
    let (samples, parameters) = (network.data.samples(), network.dimension());
    let mut tensors = vec![
        Tensor::new("x", Dtype::F32, [samples, network.data.features()], &network.data.inputs),
        Tensor::new("y", Dtype::U32, [samples], &network.data.labels),
        Tensor::new("start", Dtype::F64, [parameters], &workload.start()),
        Tensor::new("lr", Dtype::F64, [workload.lanes], &workload.learning_rates()),
        Tensor::new("weights", Dtype::F64, [workload.lanes, parameters], &state.weights),
        Tensor::new("loss", Dtype::F64, [workload.steps, workload.lanes], &state.loss),
    ];
    if let Some(order) = workload.order() {
        tensors.push(Tensor::new("order", Dtype::U32, [workload.steps, workload.rows()], &order));
    }
    let views = tensors.iter().map(|tensor| {
        let view =
            TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).expect("the bytes fill the shape");
        (tensor.name, view)
    });
    let bytes = safetensors::serialize(views, Some(metadata(workload)))?;
    write_whole(path, &bytes).with_context(|| format!("--export {}: cannot be written", path.display()))
}

struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Little-endian numbers, as the format requires.
    bytes: Vec<u8>,
}

impl Tensor {
    fn new<T: Number, const D: usize>(name: &'static str, dtype: Dtype, shape: [usize; D], values: &[T]) -> Self {
        Self { name, dtype, shape: shape.into(), bytes: values.iter().flat_map(|x| x.bytes()).collect() }
    }
}

/// Number type that can be written as little-endian bytes.
trait Number {
    fn bytes(&self) -> impl Iterator<Item = u8>;
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Number for $type {
            fn bytes(&self) -> impl Iterator<Item = u8> {
                self.to_le_bytes().into_iter()
            }
        })*
    };
}
numbers!(f32, f64, u32);

fn metadata(workload: &Workload) -> HashMap<String, String> {
    let network = workload.network();
    let inputs = std::iter::once(network.data.features());
    let model = network.model.perceptron().expect("only perceptrons are exported");
    let widths = inputs.chain(model.layers.iter().map(|layer| layer.outputs));
    let entries = [
        ("widths", widths.map(|width| width.to_string()).collect::<Vec<_>>().join("-")),
        ("activation", model.activation.to_string()),
        ("loss", network.loss.to_string()),
        ("weight_decay", network.weight_decay.to_string()),
        ("rule", workload.rule.name()),
        ("momentum", workload.rule.momentum.to_string()),
        ("dampening", workload.rule.dampening.to_string()),
        ("slots", workload.slots.to_string()),
        ("steps", workload.steps.to_string()),
        ("lanes", workload.lanes.to_string()),
        ("batch", workload.batch.map_or("full".into(), |batch| batch.to_string())),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
