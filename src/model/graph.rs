//! A model as a list of operations on values: shapes, parameters and where they lie. Value 0 is the sample; operation i
//! makes value i + 1 of one that came before, or of two.
//!
//! Not here: how such lists are typed ([`super::layers`]), and what the operations compute ([`crate::kernels`]).

use super::{Start, Tensor};
use crate::kernels::norm::Over;
use crate::kernels::pool::Pooling;
use crate::math::{Activation, Shape, Window};

/// A model of any layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Of a sample.
    pub input: Shape,
    /// The last one makes the outputs.
    pub nodes: Vec<Node>,
    /// Of the flat parameter vector, P.
    pub parameters: Vec<Tensor>,
    /// Of the flat vector of running statistics.
    pub statistics: Vec<Tensor>,
}

/// An operation and the value that it makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    /// The value that it is made of.
    pub input: usize,
    /// Shape of the value that it makes.
    pub shape: Shape,
}

/// Offsets are those of the flat parameter vector, but for `statistics`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// W x + b over all numbers of a sample; W is outputs x inputs.
    Dense {
        weight: usize,
        bias: Option<usize>,
    },
    /// Cross-correlation, as in PyTorch; the weight is outputs x inputs x kernel x kernel.
    Convolve {
        window: Window,
        weight: usize,
        bias: Option<usize>,
    },
    /// The largest of a window, or its mean.
    Pool {
        kind: Pooling,
        window: Window,
    },
    /// (x - mean) / sqrt(variance + [`crate::kernels::norm::EPSILON`]) weight + bias, weight and bias one for each channel; the bias follows the weight.
    Normalise {
        over: Over,
        weight: usize,
    },
    Activate(Activation),
    /// The sum with another value of the same shape.
    Add {
        other: usize,
    },
}

impl Op {
    /// Numbers that a pass keeps of it on the way forward, for each of its value's.
    pub fn keeps(&self) -> usize {
        usize::from(matches!(self, Self::Activate(_) | Self::Pool { .. }))
    }
}

impl Graph {
    /// Shape of value number `value`.
    pub fn shape(&self, value: usize) -> Shape {
        value.checked_sub(1).map_or(self.input, |node| self.nodes[node].shape)
    }

    pub fn outputs(&self) -> usize {
        self.shape(self.nodes.len()).elements()
    }

    /// Inputs of a node: one, or two of an addition.
    pub fn inputs(&self, node: usize) -> impl Iterator<Item = usize> {
        let Node { op, input, .. } = self.nodes[node];
        let other = if let Op::Add { other } = op { Some(other) } else { None };
        std::iter::once(input).chain(other)
    }

    /// Multiplications with weights in a forward pass of one sample.
    pub fn products(&self) -> usize {
        (0..self.nodes.len()).map(|node| self.products_of(node)).sum()
    }

    /// Those of one node.
    pub fn products_of(&self, node: usize) -> usize {
        let Node { op, input, shape } = self.nodes[node];
        match op {
            Op::Dense { .. } => shape.channels * self.shape(input).elements(),
            Op::Convolve { window, .. } => shape.elements() * self.shape(input).channels * window.pixels(),
            _ => 0,
        }
    }
}

/// How weights of dense layers and convolutions start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// PyTorch's defaults: weight and bias uniform in +-1/sqrt(inputs of one output).
    Default,
    /// Those of its image models: convolutions normal with variance 2 / (kernel^2 outputs) (He et al. 2015, arXiv 1502.01852,
    /// fan-out), dense weights normal with deviation 0.01, biases 0.
    Kaiming,
}

/// Lays out a graph, layer by layer. Every method takes the value that the layer acts on and returns the one it makes; its
/// error says what does not fit, in a sentence's second half.
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    initialisation: Initialisation,
}

impl Builder {
    pub fn new(input: Shape, initialisation: Initialisation) -> Self {
        let graph = Graph { input, nodes: Vec::new(), parameters: Vec::new(), statistics: Vec::new() };
        Self { graph, initialisation }
    }

    pub fn shape(&self, value: usize) -> Shape {
        self.graph.shape(value)
    }

    /// A dense layer named `name`.
    pub fn dense(&mut self, value: usize, name: &str, outputs: usize, bias: bool) -> usize {
        let inputs = self.shape(value).elements();
        let (weight, bias) = self.weights(name, vec![outputs, inputs], bias);
        self.push(Op::Dense { weight, bias }, value, Shape::vector(outputs))
    }

    /// A convolution named `name`.
    ///
    /// # Errors
    /// Where the window does not fit.
    pub fn convolve(
        &mut self,
        value: usize,
        name: &str,
        channels: usize,
        window: Window,
        bias: bool,
    ) -> Result<usize, String> {
        let shape = self.slide(value, window)?;
        let inputs = self.shape(value).channels;
        let (weight, bias) = self.weights(name, vec![channels, inputs, window.kernel, window.kernel], bias);
        Ok(self.push(Op::Convolve { window, weight, bias }, value, Shape { channels, ..shape }))
    }

    /// # Errors
    /// Where the window does not fit.
    pub fn pool(&mut self, value: usize, kind: Pooling, window: Window) -> Result<usize, String> {
        // PyTorch's rule: every place of the window has a pixel.
        if 2 * window.padding > window.kernel {
            let Window { kernel, padding, .. } = window;
            return Err(format!("a padding of {padding}, more than half of its window of {kernel}"));
        }
        let shape = self.slide(value, window)?;
        Ok(self.push(Op::Pool { kind, window }, value, shape))
    }

    /// The mean over all pixels of each channel.
    ///
    /// # Errors
    /// Where they are no square.
    pub fn pool_all(&mut self, value: usize, kind: Pooling) -> Result<usize, String> {
        let Shape { height, width, .. } = self.shape(value);
        if height != width {
            return Err(format!("{height} x {width} pixels, which are no square"));
        }
        self.pool(value, kind, Window { kernel: height, stride: 1, padding: 0 })
    }

    /// A batch norm named `name`.
    pub fn batch_norm(&mut self, value: usize, name: &str) -> usize {
        let channels = self.shape(value).channels;
        let statistics = super::length(&self.graph.statistics);
        for (what, start) in [("running_mean", 0.0), ("running_var", 1.0)] {
            let tensor = tensor(&self.graph.statistics, name, what, vec![channels], Start::Constant(start));
            self.graph.statistics.push(tensor);
        }
        self.normalise(value, name, Over::Batch { statistics })
    }

    /// A group norm named `name`.
    ///
    /// # Errors
    /// Where the channels do not make so many equal groups.
    pub fn group_norm(&mut self, value: usize, name: &str, groups: usize) -> Result<usize, String> {
        let channels = self.shape(value).channels;
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(format!("{groups} groups of {channels} channels"));
        }
        Ok(self.normalise(value, name, Over::Groups(groups)))
    }

    pub fn activate(&mut self, value: usize, activation: Activation) -> usize {
        self.push(Op::Activate(activation), value, self.shape(value))
    }

    /// # Errors
    /// Where the shapes differ.
    pub fn add(&mut self, value: usize, other: usize) -> Result<usize, String> {
        let (one, two) = (self.shape(value), self.shape(other));
        if one != two {
            return Err(format!("a body of {one} and a shortcut of {two}"));
        }
        Ok(self.push(Op::Add { other }, value, one))
    }

    /// # Errors
    /// Where the last value has not `classes` numbers, or there is no layer with parameters.
    pub fn finish(self, classes: usize) -> Result<Graph, String> {
        let outputs = self.graph.outputs();
        if outputs != classes || self.graph.nodes.is_empty() {
            return Err(format!("{outputs} outputs for {classes} classes"));
        }
        if self.graph.parameters.is_empty() {
            return Err("no parameters".into());
        }
        Ok(self.graph)
    }

    fn push(&mut self, op: Op, input: usize, shape: Shape) -> usize {
        self.graph.nodes.push(Node { op, input, shape });
        self.graph.nodes.len()
    }

    /// What a window makes of a value; the channels stay.
    fn slide(&self, value: usize, window: Window) -> Result<Shape, String> {
        let shape = self.shape(value);
        let Window { kernel, stride, padding } = window;
        if kernel == 0 || stride == 0 {
            return Err(format!("a window of {kernel} with stride {stride}; accepted: both at least 1"));
        }
        let fits = window.places(shape.height).zip(window.places(shape.width));
        let (height, width) = fits
            .ok_or_else(|| format!("a window of {kernel} x {kernel} with padding {padding} on a value of {shape}"))?;
        Ok(Shape { height, width, ..shape })
    }

    fn normalise(&mut self, value: usize, name: &str, over: Over) -> usize {
        let channels = self.shape(value).channels;
        let weight = self.parameter(name, "weight", vec![channels], Start::Constant(1.0));
        self.parameter(name, "bias", vec![channels], Start::Constant(0.0));
        self.push(Op::Normalise { over, weight }, value, self.shape(value))
    }

    /// Weight and bias of a layer whose outputs come first in `shape`.
    fn weights(&mut self, name: &str, shape: Vec<usize>, bias: bool) -> (usize, Option<usize>) {
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
        let weight = self.parameter(name, "weight", shape, weights);
        let bias = bias.then(|| self.parameter(name, "bias", vec![outputs], biases));
        (weight, bias)
    }

    fn parameter(&mut self, name: &str, what: &str, shape: Vec<usize>, start: Start) -> usize {
        let tensor = tensor(&self.graph.parameters, name, what, shape, start);
        let offset = tensor.offset;
        self.graph.parameters.push(tensor);
        offset
    }
}

/// The tensor `what` of layer `name`, behind those that are there.
fn tensor(there: &[Tensor], name: &str, what: &str, shape: Vec<usize>, start: Start) -> Tensor {
    Tensor { name: format!("{name}.{what}"), shape, offset: super::length(there), start }
}
