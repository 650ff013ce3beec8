//! A network's objective: data + model + loss + weight decay, with exact gradients and Hessian-vector products.

use super::data::Dataset;
use super::model::{Model, Perceptron};
use crate::kernels::loss::{self, Loss};
use crate::kernels::matmul::{self, View};
use crate::kernels::real::{Real, ordered_sum};
use crate::schedule::Augmentation;
use rayon::prelude::*;

/// mean over samples of the loss + weight_decay / 2 ||x||^2, over all parameters (biases too, as in PyTorch).
#[derive(Clone, Debug)]
pub struct Network {
    pub model: Model,
    pub loss: Loss,
    pub weight_decay: f64,
    /// What is minimised over.
    pub data: Dataset,
    /// What evaluation sees beside it.
    pub test: Option<Dataset>,
    /// Of the samples of minibatches.
    pub augmentation: Augmentation,
}

impl Network {
    /// Without test data or augmentation.
    pub fn new(model: Model, loss: Loss, weight_decay: f64, data: Dataset) -> Self {
        Self { model, loss, weight_decay, data, test: None, augmentation: Augmentation::default() }
    }

    pub fn dimension(&self) -> usize {
        self.model.parameters()
    }

    /// v^T H_i v for every sample i, H_i the Hessian of the objective on that sample alone; f64.
    pub fn curvatures(&self, parameters: &[f64], vector: &[f64]) -> Vec<f64> {
        let of = |sample: usize| {
            let alone = Self { data: self.data.select(&[sample]), ..self.clone() };
            let mut product = vec![0.0; vector.len()];
            FullBatch::new(&alone).hessian_product(parameters, vector, &mut product);
            ordered_sum(vector.len(), |i| product[i] * vector[i])
        };
        (0..self.data.samples()).into_par_iter().map(of).collect()
    }
}

/// A network ready to compute in T: the data in that precision, and the buffers of one forward and backward pass.
#[derive(Clone, Debug)]
pub struct Backprop<T> {
    model: Perceptron,
    loss: Loss,
    /// Per layer, rows x outputs: activations (for the last layer: outputs, then the loss gradient).
    values: Vec<Vec<T>>,
    /// Per layer, rows x outputs: a'(z).
    slopes: Vec<Vec<T>>,
    /// Per layer, rows x outputs: gradient of the loss with respect to z.
    deltas: Vec<Vec<T>>,
}

impl<T: Real> Backprop<T> {
    /// Buffers for `rows` samples.
    pub fn new(network: &Network, rows: usize) -> Self {
        let model = network.model.perceptron().expect("interim").clone();
        let buffers = || model.layers.iter().map(|layer| vec![T::zero(); rows * layer.outputs]).collect::<Vec<_>>();
        Self { values: buffers(), slopes: buffers(), deltas: buffers(), loss: network.loss, model }
    }

    /// Mean loss of `inputs` (rows x features) and `labels` at `parameters`; its gradient goes to `gradient`. No weight
    /// decay in either: whoever updates adds it.
    pub fn loss_and_gradient(&mut self, parameters: &[T], inputs: &[T], labels: &[u32], gradient: &mut [T]) -> T {
        let Self { model, loss, values, slopes, deltas } = self;
        let last = model.layers.len() - 1;
        for (index, layer) in model.layers.iter().enumerate() {
            let (below, here) = values.split_at_mut(index);
            let input = if index == 0 { inputs } else { &below[index - 1] };
            let activation = model.activation_after(index);
            let (weight, bias) = (layer.weight(parameters), layer.bias(parameters));
            matmul::forward(input, weight, bias, activation, &mut here[0], &mut slopes[index]);
        }
        deltas[last].copy_from_slice(&values[last]);
        let value = loss::cpu(*loss, labels, &mut deltas[last]);
        for (index, layer) in model.layers.iter().enumerate().rev() {
            let (below, here) = deltas.split_at_mut(index);
            let input = if index == 0 { inputs } else { &values[index - 1] };
            let (weight_gradient, bias_gradient) = layer.split_mut(gradient);
            matmul::gradient(&here[0], input, weight_gradient, bias_gradient);
            if index > 0 {
                let (slope, below) = (&slopes[index - 1], &mut below[index - 1]);
                matmul::backward(&here[0], layer.weight(parameters), layer.outputs, slope, below);
            }
        }
        value
    }
}

/// The whole objective (weight decay included) over all of a network's data, in f64: the oracle.
#[derive(Clone, Debug)]
pub struct FullBatch<'a> {
    network: &'a Network,
    inputs: Vec<f64>,
    pass: Backprop<f64>,
}

impl<'a> FullBatch<'a> {
    pub fn new(network: &'a Network) -> Self {
        let inputs = network.data.inputs.iter().map(|x| f64::from(*x)).collect();
        Self { network, inputs, pass: Backprop::new(network, network.data.samples()) }
    }

    pub fn loss_and_gradient(&mut self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let loss = self.pass.loss_and_gradient(parameters, &self.inputs, &self.network.data.labels, gradient);
        let decay = self.network.weight_decay;
        for (g, x) in gradient.iter_mut().zip(parameters) {
            *g += decay * x;
        }
        loss + 0.5 * decay * ordered_sum(parameters.len(), |i| parameters[i] * parameters[i])
    }

    /// H v at `parameters`, exact (Pearlmutter 1994, "Fast exact multiplication by the Hessian"): the directional
    /// derivative along v of every quantity of the forward and backward pass, R{.} below.
    pub fn hessian_product(&mut self, parameters: &[f64], vector: &[f64], product: &mut [f64]) {
        self.loss_and_gradient(parameters, product);
        let Backprop { model, loss, values, slopes, deltas } = &self.pass;
        let labels = &self.network.data.labels;
        let rows = labels.len();
        let last = model.layers.len() - 1;

        // Forward: R{z} = V_l h + W R{h} + c_l with (V_l, c_l) the layer's part of v; R{h} = a'(z) R{z}.
        let mut tangents: Vec<Vec<f64>> = Vec::with_capacity(model.layers.len()); // R{z}
        let mut scratch = Vec::new();
        for (index, layer) in model.layers.iter().enumerate() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let mut tangent = vec![0.0; rows * outputs];
            let input = if index == 0 { &self.inputs } else { &values[index - 1] };
            let (v, w) = (layer.weight(vector), layer.weight(parameters));
            matmul::product(
                rows,
                inputs,
                outputs,
                View::rows(input, inputs),
                View::transposed(v, inputs),
                &mut tangent,
            );
            if index > 0 {
                let moving: Vec<f64> = tangents[index - 1].iter().zip(&slopes[index - 1]).map(|(t, s)| t * s).collect();
                scratch.resize(rows * outputs, 0.0);
                let (moving, w) = (View::rows(&moving, inputs), View::transposed(w, inputs));
                matmul::product(rows, inputs, outputs, moving, w, &mut scratch);
                tangent.iter_mut().zip(&scratch).for_each(|(t, s)| *t += s);
            }
            for row in tangent.chunks_exact_mut(outputs) {
                row.iter_mut().zip(layer.bias(vector)).for_each(|(t, c)| *t += c);
            }
            tangents.push(tangent);
        }

        // Backward: R{delta_last} = (Hessian of the loss) R{z_last}.
        let mut moving_delta = tangents[last].clone();
        loss::hessian_product(*loss, labels, &deltas[last], &mut moving_delta);
        for (index, layer) in model.layers.iter().enumerate().rev() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let input = if index == 0 { &self.inputs } else { &values[index - 1] };
            // R{gradient} = R{delta}^T h + delta^T R{h}
            let (weight_product, bias_product) = layer.split_mut(product);
            matmul::gradient(&moving_delta, input, weight_product, bias_product);
            if index == 0 {
                break;
            }
            let (tangent, slope) = (&tangents[index - 1], &slopes[index - 1]);
            let moving: Vec<f64> = tangent.iter().zip(slope).map(|(t, s)| t * s).collect();
            scratch.resize(outputs * inputs, 0.0);
            let delta = View::transposed(&deltas[index], outputs);
            matmul::product(outputs, rows, inputs, delta, View::rows(&moving, inputs), &mut scratch);
            weight_product.iter_mut().zip(&scratch).for_each(|(p, s)| *p += s);
            // R{delta_below} = (R{delta} W + delta V) a'(z) + (delta W) a''(z) R{z}; delta_below = (delta W) a'(z).
            let (v, w) = (layer.weight(vector), layer.weight(parameters));
            let ones = vec![1.0; rows * inputs];
            let mut upstream = vec![0.0; rows * inputs];
            matmul::backward(&deltas[index], w, outputs, &ones, &mut upstream);
            let mut below = vec![0.0; rows * inputs];
            matmul::backward(&moving_delta, w, outputs, &ones, &mut below);
            scratch.resize(rows * inputs, 0.0);
            matmul::backward(&deltas[index], v, outputs, &ones, &mut scratch[..rows * inputs]);
            let preactivations = self.preactivations(parameters, index - 1);
            for (i, below) in below.iter_mut().enumerate() {
                let bend = model.activation.curvature(preactivations[i]);
                *below = (*below + scratch[i]) * slope[i] + upstream[i] * bend * tangent[i];
            }
            moving_delta = below;
        }
        let decay = self.network.weight_decay;
        product.iter_mut().zip(vector).for_each(|(p, v)| *p += decay * v);
    }

    /// z of layer `index`, recomputed from the stored input of that layer.
    fn preactivations(&self, parameters: &[f64], index: usize) -> Vec<f64> {
        let layer = &self.pass.model.layers[index];
        let input = if index == 0 { &self.inputs } else { &self.pass.values[index - 1] };
        let mut z = vec![0.0; self.pass.values[index].len()];
        let mut unused = z.clone();
        matmul::forward(input, layer.weight(parameters), layer.bias(parameters), None, &mut z, &mut unused);
        z
    }
}
