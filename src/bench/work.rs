//! Number of useful operations of a step, whatever an engine really computes.

use crate::model::graph::Graph;

/// Counts the floating-point operations of one step of one run on `rows` rows: the multiplications and additions of the
/// matrix products that a gradient needs.
///
/// A product of rows x inputs with a weight of inputs x outputs counts 2 rows inputs outputs; a convolution counts this for
/// each position of its window. Every layer has one such product forward and one for its weight gradient, and every layer
/// except those that read the data one backward, since the gradient with respect to the data is not needed. Biases,
/// activations, pools, norms, the loss and the update are not counted, nor is what an engine pads, recomputes or copies.
pub fn flops_of_step(graph: &Graph, rows: usize) -> u64 {
    let of = |node: usize| 2 * rows * graph.products_of(node) * if graph.nodes[node].input == 0 { 2 } else { 3 };
    (0..graph.nodes.len()).map(of).sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{Activation, Shape};
    use crate::model::Model;
    use crate::model::layers::Layers;

    #[test]
    fn a_hand_count_of_two_layers_and_of_one() {
        // 64-32-10 on 128 rows. Forward: 2 * 128 * (64*32 + 32*10) = 606208. Weight gradients: the same. Backward: only
        // through the last layer, 2 * 128 * 32*10 = 81920.
        let model = Model::mlp(64, &[32], 10, Activation::Tanh).graph;
        assert_eq!(flops_of_step(&model, 128), 606_208 + 606_208 + 81_920);
        // Linear: forward and weight gradient, and nothing below.
        let linear = Model::mlp(64, &[], 10, Activation::Tanh).graph;
        assert_eq!(flops_of_step(&linear, 7), 2 * 2 * 7 * 640);
    }

    #[test]
    fn a_hand_count_of_a_convolution() {
        // 4 x 4 places of a window of 3 x 3 x 2 for 5 channels, then 80 numbers to 10 classes.
        let layers: Layers = "conv(5,3),relu,dense".parse().unwrap();
        let graph = layers.graph(Shape::new(2, 6, 6), 10).unwrap();
        assert_eq!(flops_of_step(&graph, 3), 2 * 3 * (2 * 16 * 18 * 5 + 3 * 80 * 10));
    }
}
