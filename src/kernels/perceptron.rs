//! Multilayer perceptrons as the fused steps of both engines take them: dense layers one after the other.
//!
//! Not here: which graphs are perceptrons ([`crate::model::perceptron`]).

use crate::math::Activation;

/// One dense layer inside the flat parameter vector: weight (outputs x inputs, row-major, PyTorch's layout), then bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerceptronLayer {
    pub inputs: usize,
    pub outputs: usize,
    /// Offset of the weight in the flat vector.
    pub weight: usize,
    /// Offset of the bias in the flat vector.
    pub bias: usize,
}

/// A multilayer perceptron: dense layers with an activation between them and none after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perceptron {
    pub layers: Vec<PerceptronLayer>,
    pub activation: Activation,
}

impl Perceptron {
    /// `hidden` widths between `inputs` and `outputs`; empty for a linear model. Every width must be positive.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Self {
        let widths: Vec<usize> = [&[inputs], hidden, &[outputs]].concat();
        let mut offset = 0;
        let layers = widths
            .windows(2)
            .map(|pair| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let weight = offset;
                let bias = weight + inputs * outputs;
                offset = bias + outputs;
                PerceptronLayer { inputs, outputs, weight, bias }
            })
            .collect();
        Self { layers, activation }
    }

    /// Number of parameters P.
    pub fn parameters(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias + layer.outputs)
    }

    /// The activation that follows layer `index`, none for the last.
    pub fn activation_after(&self, index: usize) -> Option<Activation> {
        (index + 1 < self.layers.len()).then_some(self.activation)
    }
}
