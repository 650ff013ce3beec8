//! Sharpness: the largest eigenvalue of the objective's Hessian, over some of the training samples, in f64 on the host; also of
//! the Hessian that the second moment of a rule of Adam's kind has divided, and the largest curvature over the steps of a rule that
//! takes signs or moves matrices as wholes.
//!
//! The objective is the one that is trained on, weight decay included, so that a weight decay of d adds d to the eigenvalue.
//! It is taken of the samples as they are, without augmentation. Batch norms take their statistics of as many samples as a
//! minibatch has, as in training; the objective is then the mean over such batches.
//!
//! Not here: Lanczos ([`crate::curvature`]), nor what is expected of the value ([`super::scaling::gain`]).

use crate::config::Samples;
use crate::curvature::generalised::{Ball, Generalised};
use crate::curvature::{self, Effort, Eigenpair};
use crate::problem::network::{FullBatch, Network};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Residual that is asked for, relative to the eigenvalue, whose own error goes with its square; what was reached stands
/// beside every value.
const RESIDUAL: f64 = 1e-3;

/// Products with the Hessian at most, and bytes that their vectors may take, as long as there are [`FEWEST`].
const MOST: usize = 200;
const BYTES: usize = 1 << 30;
const FEWEST: usize = 20;

/// The samples that sharpness is taken of.
#[derive(Clone, Debug)]
pub struct Sharpness {
    /// The batches that the objective is the mean over, with their shares in it.
    batches: Vec<(Network, f64)>,
}

impl Sharpness {
    /// At most `samples` of the training data, chosen by `seed`, for runs whose gradients have `rows` rows (all where `None`).
    pub fn new(network: &Network, samples: Samples, rows: Option<usize>, seed: u64) -> Self {
        let available = network.data.samples();
        let count = match samples {
            Samples::All => available,
            Samples::Count(count) => count.min(available),
        };
        let mut chosen: Vec<usize> = (0..available).collect();
        if count < available {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(2); // the ones before it chose and split the samples of the data
            chosen.shuffle(&mut rng);
            chosen.truncate(count);
        }
        let rows = rows.filter(|_| network.model.graph.joins_samples()).unwrap_or(count).min(count);
        // The last, partial one is dropped, as in an epoch.
        let batches = chosen.chunks_exact(rows).map(|rows| {
            Network::new(network.model.clone(), network.loss, network.weight_decay, network.data.select(rows))
        });
        let share = 1.0 / (count / rows) as f64;
        Self { batches: batches.map(|batch| (batch, share)).collect() }
    }

    /// Samples in all batches.
    pub fn samples(&self) -> usize {
        self.batches.iter().map(|(batch, _)| batch.data.samples()).sum()
    }

    /// The same samples without weight decay: what a rule sees whose decay is no part of the gradient.
    #[must_use]
    pub fn without_decay(&self) -> Self {
        let undecayed = |(batch, share): &(Network, f64)| (Network { weight_decay: 0.0, ..batch.clone() }, *share);
        Self { batches: self.batches.iter().map(undecayed).collect() }
    }

    /// The largest eigenpair at `weights`, sought near a vector that is close to its eigenvector, where one is known. None
    /// where the Hessian is not finite.
    pub fn at(&self, weights: &[f64], near: Option<&[f64]>) -> Option<Eigenpair> {
        curvature::largest(weights.len(), effort(weights.len()), near, self.product(weights))
    }

    /// The largest eigenpair of P^-1 H, of the diagonal P whose P^-1/2 is given ([`curvature::largest_preconditioned`]).
    pub fn preconditioned_at(&self, weights: &[f64], inverse_root: &[f64], near: Option<&[f64]>) -> Option<Eigenpair> {
        curvature::largest_preconditioned(inverse_root, effort(weights.len()), near, self.product(weights))
    }

    /// Generalised sharpness over the steps of a ball, sought near a direction that was the best one before.
    pub fn generalised_at(&self, weights: &[f64], ball: &Ball, near: Option<&[f64]>) -> Option<Generalised> {
        ball.sharpness(effort(weights.len()), near, self.product(weights))
    }

    /// Products of the Hessian at `weights`.
    fn product<'a>(&'a self, weights: &'a [f64]) -> impl FnMut(&[f64], &mut [f64]) + 'a {
        let mut part = vec![0.0; weights.len()];
        // Kept from product to product where there is one batch; of many, all together might not fit into memory.
        let mut only = match &self.batches[..] {
            [(batch, _)] => Some(FullBatch::new(batch)),
            _ => None,
        };
        move |v, hv| {
            if let Some(batch) = &mut only {
                return batch.hessian_product(weights, v, hv);
            }
            hv.fill(0.0);
            for (batch, share) in &self.batches {
                FullBatch::new(batch).hessian_product(weights, v, &mut part);
                hv.iter_mut().zip(&part).for_each(|(sum, one)| *sum += share * one);
            }
        }
    }
}

fn effort(dimension: usize) -> Effort {
    let iterations = (BYTES / (8 * dimension)).clamp(FEWEST, MOST);
    Effort { largest_residual: RESIDUAL, iterations, ..Effort::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::math::{Activation, Loss, Shape};
    use crate::model::Model;

    fn data(samples: usize) -> Dataset {
        let inputs = (0..2 * samples).map(|i| (0.7 * i as f32).sin()).collect();
        let labels = (0..samples).map(|i| (i % 2) as u32).collect();
        Dataset { inputs, labels, shape: Shape::vector(2), classes: 2 }
    }

    #[test]
    fn of_a_linear_model_under_mse_it_is_that_of_the_covariance() {
        // The Hessian is the second moment of (x, 1), once for each output, plus the weight decay.
        let network = Network::new(Model::mlp(2, &[], 2, Activation::Tanh), Loss::Mse, 0.25, data(7));
        let mut moment = nalgebra::DMatrix::<f64>::zeros(3, 3);
        for row in network.data.inputs.chunks(2) {
            let x = nalgebra::DVector::from_vec(vec![f64::from(row[0]), f64::from(row[1]), 1.0]);
            moment += &x * x.transpose() / 7.0;
        }
        let expected = nalgebra::SymmetricEigen::new(moment).eigenvalues.max() + 0.25;
        let sharpness = Sharpness::new(&network, Samples::All, Some(2), 0);
        assert_eq!(sharpness.samples(), 7, "batches matter to batch norms alone");
        let found = sharpness.at(&network.model.init(0), None).unwrap();
        assert!((found.value / expected - 1.0).abs() < 1e-6, "{} where {expected} is expected", found.value);
        assert_eq!(sharpness.at(&[f64::NAN; 6], None), None);
    }

    #[test]
    fn batch_norms_see_minibatches() {
        let layers: crate::model::layers::Layers = "dense(3),bn,tanh,dense".parse().unwrap();
        let model = Model::from(layers.graph(Shape::vector(2), 2).unwrap());
        let network = Network::new(model, Loss::Ce, 1e-3, data(11));
        let weights = network.model.init(1);
        let sharpness = Sharpness::new(&network, Samples::Count(9), Some(4), 3);
        assert_eq!(sharpness.samples(), 8);
        let found = sharpness.at(&weights, None).unwrap();
        // v^T H v is the mean of those of its two batches.
        let of_batches = sharpness.batches.iter().map(|(batch, share)| {
            let mut product = vec![0.0; weights.len()];
            FullBatch::new(batch).hessian_product(&weights, &found.vector, &mut product);
            share * product.iter().zip(&found.vector).map(|(hv, v)| hv * v).sum::<f64>()
        });
        let mean: f64 = of_batches.sum();
        assert!((mean / found.value - 1.0).abs() < 1e-6, "{mean} and {}", found.value);
    }
}
