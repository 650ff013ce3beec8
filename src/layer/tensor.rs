//! Tensors inside flat vectors of numbers: PyTorch's names and shapes, and how they start.
//!
//! Not here: drawing the numbers ([`crate::model::Model::init`]), nor files ([`crate::problem::weights`]).

use crate::math::Shape;

/// A tensor inside a flat vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// PyTorch's name.
    pub name: String,
    /// PyTorch's shape: (out, in) of a dense layer, (out, in, height, width) of a convolution.
    pub shape: Vec<usize>,
    /// Index of its first number in the vector.
    pub offset: usize,
    pub start: Start,
}

impl Tensor {
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The numbers of this tensor in `vector`.
    pub fn of<'a, T>(&self, vector: &'a [T]) -> &'a [T] {
        &vector[self.offset..][..self.elements()]
    }
}

/// How a tensor's numbers start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Uniform in +-bound.
    Uniform {
        bound: f64,
    },
    /// Normal around 0.
    Normal {
        deviation: f64,
    },
    Constant(f64),
}

/// How the weights of dense layers and convolutions start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// PyTorch's defaults: weight and bias uniform in +-1/sqrt(inputs of one output).
    Default,
    /// Those of PyTorch's image models: convolutions normal with variance 2 / (kernel^2 outputs) (He et al. 2015, arXiv
    /// 1502.01852, fan-out), dense weights normal with deviation 0.01, biases 0.
    Kaiming,
}

/// The flat vectors of a model, tensor by tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    pub parameters: Vec<Tensor>,
    /// Running statistics: no parameters, but kept with them.
    pub statistics: Vec<Tensor>,
    /// Names of numbers that PyTorch keeps and nothing here depends on; files get a 0 for each.
    pub counters: Vec<String>,
}

/// Numbers of a flat vector.
pub fn length(tensors: &[Tensor]) -> usize {
    tensors.last().map_or(0, |tensor| tensor.offset + tensor.elements())
}

/// Where a layer is put: what it acts on, and the vectors that its tensors are appended to.
#[derive(Debug)]
pub struct Site<'a> {
    /// Shape of the value that the layer acts on.
    pub input: Shape,
    /// Outputs of the whole model.
    pub classes: usize,
    /// Name of the layer, which its tensors' names begin with.
    pub name: &'a str,
    pub initialisation: Initialisation,
    pub tensors: &'a mut Tensors,
}

impl Site<'_> {
    /// Appends the parameter tensor `what`; returns its offset.
    pub fn parameter(&mut self, what: &str, shape: Vec<usize>, start: Start) -> usize {
        append(&mut self.tensors.parameters, self.name, what, shape, start)
    }

    /// Appends the running statistic `what`; returns its offset.
    pub fn statistic(&mut self, what: &str, shape: Vec<usize>, start: Start) -> usize {
        append(&mut self.tensors.statistics, self.name, what, shape, start)
    }

    pub fn counter(&mut self, what: &str) {
        self.tensors.counters.push(format!("{}.{what}", self.name));
    }

    /// Appends weight and, where `bias`, bias of a layer; the outputs come first in `shape`, and a bias lies right behind its
    /// weight. Returns their offsets.
    pub fn weight_and_bias(&mut self, shape: Vec<usize>, bias: bool) -> (usize, Option<usize>) {
        let (outputs, fan_in) = (shape[0], shape[1..].iter().product::<usize>());
        let bound = 1.0 / (fan_in as f64).sqrt();
        let (weights, biases) = match (self.initialisation, &shape[2..]) {
            (Initialisation::Default, _) => (Start::Uniform { bound }, Start::Uniform { bound }),
            (Initialisation::Kaiming, []) => (Start::Normal { deviation: 0.01 }, Start::Constant(0.0)),
            (Initialisation::Kaiming, kernel) => {
                let fan_out = outputs * kernel.iter().product::<usize>();
                (Start::Normal { deviation: (2.0 / fan_out as f64).sqrt() }, Start::Constant(0.0))
            }
        };
        let weight = self.parameter("weight", shape, weights);
        let bias = bias.then(|| self.parameter("bias", vec![outputs], biases));
        (weight, bias)
    }
}

fn append(tensors: &mut Vec<Tensor>, name: &str, what: &str, shape: Vec<usize>, start: Start) -> usize {
    let offset = length(tensors);
    tensors.push(Tensor { name: format!("{name}.{what}"), shape, offset, start });
    offset
}
