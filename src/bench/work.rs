//! How operations are counted: the useful ones of a step, whatever an engine really does.

use crate::problem::model::Perceptron;

/// Floating-point operations of one step of one run on `rows` rows: the multiplications and additions of the matrix
/// products that a gradient cannot do without.
///
/// A product of rows x inputs with a weight of inputs x outputs counts 2 rows inputs outputs. Every layer has one forward
/// and one for its weight gradient, and every layer but the first one backward, since nobody asks for the gradient with
/// respect to the data: 6 rows weights - 2 rows (weights of the first layer). Biases, activations, the loss and the update
/// are not counted, nor is what an engine pads, recomputes or copies.
pub fn flops_of_step(model: &Perceptron, rows: usize) -> u64 {
    let weights = |layers: &[crate::problem::model::Layer]| -> usize {
        layers.iter().map(|layer| layer.inputs * layer.outputs).sum()
    };
    let (all, first) = (weights(&model.layers), weights(&model.layers[..1]));
    (6 * rows * all - 2 * rows * first) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::Activation;

    #[test]
    fn a_hand_count_of_two_layers_and_of_one() {
        // 64-32-10 on 128 rows. Forward: 2 * 128 * (64*32 + 32*10) = 606208. Weight gradients: the same. Backward: only
        // through the last layer, 2 * 128 * 32*10 = 81920.
        let model = Perceptron::new(64, &[32], 10, Activation::Tanh);
        assert_eq!(flops_of_step(&model, 128), 606_208 + 606_208 + 81_920);
        // Linear: forward and weight gradient, and nothing below.
        let linear = Perceptron::new(64, &[], 10, Activation::Tanh);
        assert_eq!(flops_of_step(&linear, 7), 2 * 2 * 7 * 640);
    }
}
