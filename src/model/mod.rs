//! Models: what maps a sample to the outputs that a loss sees.
//!
//! - [`Graph`]: operations on values, with the tensors of their parameters
//! - [`layers`]: lists of layers as text
//! - [`zoo`]: models that have a name
//! - [`perceptron`]: which graphs are perceptrons, for which engines have a path of their own
//! - [`Backprop`]: values and gradients on the processor, in any arithmetic
//!
//! Not here: the layers themselves ([`crate::layer`]), data and objective ([`crate::problem`]).

pub mod backprop;
pub mod graph;
pub mod layers;
pub mod perceptron;
pub mod zoo;

pub use backprop::Backprop;
pub use graph::Graph;

use crate::kernels::perceptron::Perceptron;
use crate::layer::tensor::{Initialisation, Start, Tensor, length};
use crate::layer::{ActivationLayer, AnyLayer, DenseLayer};
use crate::math::{Activation, Shape};
use crate::stages::NamedLayer;
use crate::update::Matrix;
use graph::Builder;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

/// A graph of layers and, where it is one, the perceptron that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub graph: Graph,
    perceptron: Option<Perceptron>,
}

impl From<Graph> for Model {
    fn from(graph: Graph) -> Self {
        let perceptron = perceptron::of(&graph);
        Self { graph, perceptron }
    }
}

impl Model {
    /// The perceptron with these `hidden` widths, none of a linear model. Every width must be positive. Its tensors are named
    /// as in PyTorch's `nn.Sequential(Linear, activation, Linear, ...)`, where dense layer i is module 2 i.
    pub fn mlp(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Self {
        let mut net = Builder::new(Shape::vector(inputs), outputs, Initialisation::Default);
        let mut add = |value: usize, layer: AnyLayer| {
            net.layer(value, &value.to_string(), layer).expect("dense layers and activations fit any value")
        };
        let dense = |outputs: Option<usize>| DenseLayer { outputs, bias: true }.into();
        let value = hidden.iter().fold(0, |value, width| {
            let made = add(value, dense(Some(*width)));
            add(made, ActivationLayer(activation).into())
        });
        add(value, dense(None));
        net.finish().expect("the last layer has as many outputs as asked for").into()
    }

    /// The layers with parameters, in their order, which hold all of them.
    pub fn layers(&self) -> Vec<NamedLayer> {
        let mut layers: Vec<NamedLayer> = Vec::new();
        for tensor in &self.graph.tensors.parameters {
            let module = tensor.name.rsplit_once('.').map_or(&tensor.name[..], |(module, _)| module);
            let end = tensor.offset + tensor.elements();
            match layers.last_mut() {
                Some((name, range)) if name == module => range.end = end,
                _ => layers.push((module.to_owned(), tensor.offset..end)),
            }
        }
        layers
    }

    /// Weights of hidden layers, dense or convolutions: all but those of the first and the last layer that have some.
    pub fn hidden_matrices(&self) -> Vec<Matrix> {
        let matrix = |tensor: &Tensor| {
            let (rows, rest) = tensor.shape.split_first()?;
            (!rest.is_empty()).then(|| Matrix { first: tensor.offset, rows: *rows, columns: rest.iter().product() })
        };
        let all: Vec<Matrix> = self.graph.tensors.parameters.iter().filter_map(matrix).collect();
        all.get(1..all.len().max(2) - 1).map_or_else(Vec::new, <[Matrix]>::to_vec)
    }

    /// Number of parameters P.
    pub fn parameters(&self) -> usize {
        length(&self.graph.tensors.parameters)
    }

    /// Numbers that are no parameters but go with them: running means and variances of its batch norms.
    pub fn statistics(&self) -> usize {
        length(&self.graph.tensors.statistics)
    }

    pub fn perceptron(&self) -> Option<&Perceptron> {
        self.perceptron.as_ref()
    }

    /// x_0, P, drawn tensor by tensor.
    pub fn init(&self, seed: u64) -> Vec<f64> {
        drawn(&self.graph.tensors.parameters, seed)
    }

    /// Statistics of a model that has seen nothing: means 0, variances 1, as in PyTorch.
    pub fn fresh_statistics(&self) -> Vec<f64> {
        drawn(&self.graph.tensors.statistics, 0)
    }
}

fn drawn(tensors: &[Tensor], seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut numbers = Vec::with_capacity(length(tensors));
    for tensor in tensors {
        let count = tensor.elements();
        match tensor.start {
            Start::Uniform { bound } => numbers.extend((0..count).map(|_| rng.random_range(-bound..bound))),
            Start::Normal { deviation } => {
                let normal = Normal::new(0.0, deviation).expect("a deviation is positive");
                numbers.extend((0..count).map(|_| normal.sample(&mut rng)));
            }
            Start::Constant(value) => numbers.extend(std::iter::repeat_n(value, count)),
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perceptron_is_the_graph_of_the_same_layers() {
        let model = Model::mlp(7, &[5, 3], 4, Activation::Tanh);
        let layers = &model.perceptron().unwrap().layers;
        let offsets: Vec<usize> = layers.iter().flat_map(|layer| [layer.weight, layer.bias]).collect();
        assert_eq!(offsets, model.graph.tensors.parameters.iter().map(|tensor| tensor.offset).collect::<Vec<_>>());
        let typed: layers::Layers = "dense(5),tanh,dense(3),tanh,dense".parse().unwrap();
        assert_eq!(model.graph, typed.graph(Shape::vector(7), 4).unwrap());
        assert_eq!(model.parameters(), model.perceptron().unwrap().parameters());
    }

    #[test]
    fn tensors_start_as_they_say() {
        let model = Model::from(zoo::Named::Vgg11Bn.graph(Shape::new(3, 32, 32), 10).unwrap());
        let start = model.init(3);
        assert_eq!(start, model.init(3));
        assert_ne!(start, model.init(4));
        for tensor in &model.graph.tensors.parameters {
            let numbers = tensor.of(&start);
            let square = numbers.iter().map(|x| x * x).sum::<f64>() / numbers.len() as f64;
            let expected = match tensor.start {
                Start::Uniform { bound } => bound * bound / 3.0,
                Start::Normal { deviation } => deviation * deviation,
                Start::Constant(value) => value * value,
            };
            // Five standard errors of a mean square, whose deviation is at most sqrt(2) of it.
            let error = 5.0 * (2.0 / numbers.len() as f64).sqrt() * expected;
            assert!((square - expected).abs() <= error, "{}: {square}, expected {expected}", tensor.name);
        }
        assert_eq!(model.fresh_statistics()[..128], [[0.0; 64], [1.0; 64]].concat());
    }
}
