//! A network's objective: data + model + loss + weight decay, with exact gradients and Hessian-vector products.

use crate::batch::Augmentation;
use crate::data::Dataset;
use crate::math::{Loss, Number, ordered_sum};
use crate::model::{Backprop, Model};
use num_dual::Dual64;
use rayon::prelude::*;

/// mean over samples of the loss + weight_decay / 2 ||x||^2, over all parameters (biases too, as in PyTorch).
#[derive(Clone, Debug)]
pub struct Network {
    pub model: Model,
    pub loss: Loss,
    pub weight_decay: f64,
    /// Samples that the loss is a mean over.
    pub data: Dataset,
    /// Samples that evaluation sees as well.
    pub test: Option<Dataset>,
    /// What is done to the samples of minibatches before a gradient is taken of them.
    pub augmentation: Augmentation,
}

impl Network {
    /// A network without test data and augmentation.
    pub fn new(model: Model, loss: Loss, weight_decay: f64, data: Dataset) -> Self {
        Self { model, loss, weight_decay, data, test: None, augmentation: Augmentation::default() }
    }

    pub fn dimension(&self) -> usize {
        self.model.parameters()
    }

    /// Whether gradients can be taken of batches of `rows` samples.
    ///
    /// # Errors
    /// Where they cannot.
    pub fn check_rows(&self, rows: usize) -> Result<(), String> {
        self.model.graph.check_rows(rows)
    }

    /// Gradient of the objective over all data, in f64.
    pub fn gradient(&self, parameters: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; parameters.len()];
        FullBatch::new(self).loss_and_gradient(parameters, &mut gradient);
        gradient
    }

    /// What rounding makes of the gradient in f32: its difference from that in f64, at the weights of f32 nearest to
    /// `parameters`.
    pub fn rounding(&self, parameters: &[f64]) -> Vec<f64> {
        let single: Vec<f32> = parameters.iter().map(|x| *x as f32).collect();
        let double: Vec<f64> = single.iter().map(|x| f64::from(*x)).collect();
        let mut rounded = vec![0.0f32; single.len()];
        Pieces::<f32>::new(self).loss_and_gradient(&self.data.labels, &single, &mut rounded);
        let decay = self.weight_decay as f32;
        let rounded = rounded.iter().zip(&single).map(|(g, x)| f64::from(g + decay * x));
        rounded.zip(self.gradient(&double)).map(|(rounded, exact)| rounded - exact).collect()
    }

    /// v^T H_i v for every sample i, H_i the Hessian of the objective on that sample alone; f64.
    pub fn curvatures(&self, parameters: &[f64], vector: &[f64]) -> Vec<f64> {
        let along = |products: Vec<Vec<f64>>| ordered_sum(vector.len(), |i| products[0][i] * vector[i]);
        self.sample_products(parameters, &[vector.to_vec()], along)
    }

    /// What `seen` makes of the products of a sample's Hessian with `vectors`, sample by sample.
    pub fn sample_products<R: Send>(
        &self,
        parameters: &[f64],
        vectors: &[Vec<f64>],
        seen: impl Fn(Vec<Vec<f64>>) -> R + Sync,
    ) -> Vec<R> {
        let of = |sample: usize| {
            let (model, loss, data) = (self.model.clone(), self.loss, self.data.select(&[sample]));
            seen(Self::new(model, loss, self.weight_decay, data).products(parameters, vectors))
        };
        (0..self.data.samples()).into_par_iter().map(of).collect()
    }

    /// H v for every one of `vectors`; f64.
    pub fn hessian_products(&self, parameters: &[f64], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let share = vectors.len().div_ceil(rayon::current_num_threads()).max(1);
        vectors.par_chunks(share).flat_map_iter(|vectors| self.products(parameters, vectors)).collect()
    }

    /// B v for every one of `vectors` ([`FullBatch::backward_product`]); f64.
    pub fn backward_products(&self, parameters: &[f64], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let share = vectors.len().div_ceil(rayon::current_num_threads()).max(1);
        let of = |vectors| self.each_product(vectors, |batch, v, bv| batch.backward_product(parameters, v, bv));
        vectors.par_chunks(share).flat_map_iter(of).collect()
    }

    fn products(&self, parameters: &[f64], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        self.each_product(vectors, |batch, v, hv| batch.hessian_product(parameters, v, hv))
    }

    /// What `product` makes of every one of `vectors`, one after the other with the same buffers.
    fn each_product(
        &self,
        vectors: &[Vec<f64>],
        product: impl Fn(&mut FullBatch, &[f64], &mut [f64]),
    ) -> Vec<Vec<f64>> {
        let mut batch = FullBatch::new(self);
        let of = |vector: &Vec<f64>| {
            let mut made = vec![0.0; vector.len()];
            product(&mut batch, vector, &mut made);
            made
        };
        vectors.iter().map(of).collect()
    }
}

/// Numbers in all values of one piece of the batch, about. Larger pieces would not fit the caches nor, for a deep network,
/// memory.
const PIECE: usize = 1 << 24;

/// Pieces that a batch has at least, where its samples can be taken apart: threads that share it.
const PIECES: usize = 8;

/// The whole objective (weight decay included) over all of a network's data, in f64: the reference for both engines.
#[derive(Clone, Debug)]
pub struct FullBatch<'a> {
    network: &'a Network,
    values: Pieces<f64>,
    /// Made when it is first asked for.
    derivatives: Option<Pieces<Dual64>>,
}

impl<'a> FullBatch<'a> {
    pub fn new(network: &'a Network) -> Self {
        Self { network, values: Pieces::new(network), derivatives: None }
    }

    pub fn loss_and_gradient(&mut self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let loss = self.values.loss_and_gradient(&self.network.data.labels, parameters, gradient);
        let decay = self.network.weight_decay;
        for (g, x) in gradient.iter_mut().zip(parameters) {
            *g += decay * x;
        }
        loss + 0.5 * decay * ordered_sum(parameters.len(), |i| parameters[i] * parameters[i])
    }

    /// H v at `parameters`, exact: the derivative along v of the gradient (Pearlmutter 1994, "Fast exact multiplication by the
    /// Hessian"), by a pass in dual numbers.
    pub fn hessian_product(&mut self, parameters: &[f64], vector: &[f64], product: &mut [f64]) {
        let along: Vec<Dual64> = parameters.iter().zip(vector).map(|(x, v)| Dual64::new(*x, *v)).collect();
        let gradient = self.dual_gradient([&along, &along]);
        for ((product, gradient), v) in product.iter_mut().zip(gradient).zip(vector) {
            *product = gradient.eps + self.network.weight_decay * v;
        }
    }

    /// B v at `parameters`, exact: the derivative along v of the gradient with respect to the weights that the backward pass sends
    /// deltas through, those of the forward pass held fixed. H - B is the derivative with respect to the weights of the forward
    /// pass, weight decay included. B is not symmetric; it vanishes where every sample's loss has a gradient of zero with respect
    /// to the outputs.
    pub fn backward_product(&mut self, parameters: &[f64], vector: &[f64], product: &mut [f64]) {
        let forward: Vec<Dual64> = parameters.iter().map(|x| Dual64::of(*x)).collect();
        let backward: Vec<Dual64> = parameters.iter().zip(vector).map(|(x, v)| Dual64::new(*x, *v)).collect();
        let gradient = self.dual_gradient([&forward, &backward]);
        product.iter_mut().zip(gradient).for_each(|(product, gradient)| *product = gradient.eps);
    }

    /// The gradient, no weight decay in it, in dual numbers.
    fn dual_gradient(&mut self, versions: [&[Dual64]; 2]) -> Vec<Dual64> {
        let pieces = self.derivatives.get_or_insert_with(|| Pieces::new(self.network));
        let mut gradient = vec![Dual64::of(0.0); versions[0].len()];
        pieces.loss_and_gradient_at(&self.network.data.labels, versions, &mut gradient);
        gradient
    }
}

/// The batch in pieces of equal length (but for the last), as many of them at a time as there are threads. A batch norm needs
/// all samples together, so that there is one piece.
#[derive(Clone, Debug)]
struct Pieces<T> {
    /// Rows of a piece.
    rows: usize,
    /// samples x features
    inputs: Vec<T>,
    features: usize,
    workers: Vec<(Backprop<T>, Vec<T>)>,
}

impl<T: Number> Pieces<T> {
    fn new(network: &Network) -> Self {
        let (graph, samples) = (&network.model.graph, network.data.samples());
        let numbers: usize = graph.nodes.iter().map(|node| node.shape.elements()).sum();
        let rows = if graph.joins_samples() {
            samples
        } else {
            (PIECE / numbers.max(1)).clamp(1, samples.div_ceil(PIECES).max(1))
        };
        let (pieces, threads) = (samples.div_ceil(rows), rayon::current_num_threads());
        let count = pieces.min(threads);
        let pass = Backprop::new(graph, network.loss, rows).shared(pieces < threads);
        let worker = (pass, vec![T::zero(); network.dimension()]);
        Self {
            rows,
            inputs: network.data.inputs.iter().map(|x| T::of(f64::from(*x))).collect(),
            features: network.data.features(),
            workers: vec![worker; count],
        }
    }

    fn loss_and_gradient(&mut self, labels: &[u32], parameters: &[T], gradient: &mut [T]) -> T {
        self.loss_and_gradient_at(labels, [parameters, parameters], gradient)
    }

    /// Mean loss; its gradient goes to `gradient`, taken with one version of the parameters on the way forward and another on the
    /// way back. Pieces are added in a fixed order, so the result does not depend on the number of threads.
    fn loss_and_gradient_at(&mut self, labels: &[u32], versions: [&[T]; 2], gradient: &mut [T]) -> T {
        let [forward, backward] = versions;
        let Self { rows, inputs, features, workers } = self;
        if labels.len() <= *rows {
            let (pass, _) = &mut workers[0];
            return pass.loss_and_gradient_at(forward, backward, inputs, labels, gradient);
        }
        gradient.fill(T::zero());
        let mut total = T::zero();
        let pieces: Vec<_> = inputs.chunks(*rows * *features).zip(labels.chunks(*rows)).collect();
        for pieces in pieces.chunks(workers.len()) {
            let here = workers.par_iter_mut().zip(pieces);
            let losses: Vec<T> = here
                .map(|((pass, part), (inputs, labels))| {
                    pass.loss_and_gradient_at(forward, backward, inputs, labels, part)
                })
                .collect();
            for ((loss, (_, part)), (_, here)) in losses.into_iter().zip(&*workers).zip(pieces) {
                let share = T::of(here.len() as f64 / labels.len() as f64);
                total += share * loss;
                gradient.iter_mut().zip(part).for_each(|(sum, g)| *sum += share * *g);
            }
        }
        total
    }
}
