//! Which graphs are perceptrons: dense layers with biases, one after the other, with the same activation between them.
//!
//! Engines have a faster path for these, however they were typed: `mlp:16` and `layers:dense(16),tanh,dense` are one model.

use super::graph::{Graph, Node};
use crate::kernels::perceptron::{Perceptron, PerceptronLayer};
use crate::layer::{ActivationOp, DenseOp, Op};
use crate::math::Activation;

/// The perceptron that a graph is, if it is one. A single layer has no activation; tanh stands in its place.
pub fn of(graph: &Graph) -> Option<Perceptron> {
    let (mut layers, mut activation) = (Vec::new(), None);
    for (index, Node { op, input, .. }) in graph.nodes.iter().enumerate() {
        if *input != index {
            return None;
        }
        match *op {
            Op::DenseOp(DenseOp { weight, bias: Some(bias) }) if index.is_multiple_of(2) => {
                let (inputs, outputs) = (graph.shape(index).elements(), graph.shape(index + 1).elements());
                layers.push(PerceptronLayer { inputs, outputs, weight, bias });
            }
            Op::ActivationOp(ActivationOp(this)) if !index.is_multiple_of(2) => {
                if *activation.get_or_insert(this) != this {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let ends_with_layer = !graph.nodes.len().is_multiple_of(2);
    ends_with_layer.then(|| Perceptron { layers, activation: activation.unwrap_or(Activation::Tanh) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::Shape;
    use crate::model::layers::Layers;

    fn perceptron(layers: &str) -> Option<Perceptron> {
        of(&layers.parse::<Layers>().unwrap().graph(Shape::new(1, 2, 3), 4).unwrap())
    }

    #[test]
    fn dense_layers_with_one_activation_between_them_are_a_perceptron() {
        let made = |hidden: &[usize], activation| Some(Perceptron::new(6, hidden, 4, activation));
        assert_eq!(perceptron("dense"), made(&[], Activation::Tanh));
        assert_eq!(perceptron("flatten,dense(5),relu,dense(3),relu,dense(4)"), made(&[5, 3], Activation::Relu));
    }

    #[test]
    fn what_is_anything_else_is_none() {
        for layers in [
            "dense(5),tanh,dense(5),relu,dense",
            "dense(5),tanh,dense(nobias)",
            "dense(5,nobias),tanh,dense",
            "dense(5),dense",
            "tanh,dense",
            "dense(5),tanh,dense,tanh",
            "dense(5),bn,tanh,dense",
            "dense(5),res(tanh),dense",
            "conv(2,1),relu,dense",
            "dense(5),tanh,res(dense(5)),tanh,dense",
        ] {
            assert_eq!(perceptron(layers), None, "{layers}");
        }
    }
}
