//! What is minimised: a quadratic, or data + model + loss + weight decay.

pub mod dense;
pub mod network;
pub mod quadratic;
pub mod weights;

pub use dense::DenseQuadratic;
pub use network::Network;
pub use quadratic::Quadratic;

use crate::batch::Augmentation;
use crate::stages::NamedLayer;
use crate::update::Matrix;

/// An objective f over a flat parameter vector.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of a problem, and all share it")]
pub enum Problem {
    Quadratic(Quadratic),
    Dense(DenseQuadratic),
    Network(Network),
}

impl Problem {
    /// Number of parameters P.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Quadratic(quadratic) => quadratic.eigenvalues.len(),
            Self::Dense(quadratic) => quadratic.dimension(),
            Self::Network(network) => network.dimension(),
        }
    }

    /// The layers with parameters, in their order, which hold all of them; none of a quadratic.
    pub fn layers(&self) -> Vec<NamedLayer> {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => Vec::new(),
            Self::Network(network) => network.model.layers(),
        }
    }

    /// Weights of hidden layers ([`crate::model::Model::hidden_matrices`]); none of a quadratic.
    pub fn hidden_matrices(&self) -> Vec<Matrix> {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => Vec::new(),
            Self::Network(network) => network.model.hidden_matrices(),
        }
    }

    /// Number of samples that batches are drawn of, where there are any.
    pub fn samples(&self) -> Option<usize> {
        match self {
            Self::Quadratic(_) => None,
            Self::Dense(quadratic) => quadratic.samples(),
            Self::Network(network) => Some(network.data.samples()),
        }
    }

    /// Content hash of the samples, those held back for evaluation included, or of the Hessians of a file; none where there is
    /// neither.
    pub fn data_hash(&self) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Quadratic(_) => return None,
            Self::Dense(quadratic) => {
                hasher.update(format!("{:?} {}", quadratic.samples(), quadratic.dimension()).as_bytes());
                hasher.update(bytemuck::cast_slice(quadratic.hessians()));
            }
            Self::Network(network) => {
                std::iter::once(&network.data).chain(&network.test).for_each(|data| data.hash_into(&mut hasher));
            }
        }
        Some(hasher.finalize().to_hex()[..16].to_owned())
    }

    /// The diagonal of the Hessian, where that is all of it.
    pub fn curvature(&self) -> Option<&[f64]> {
        match self {
            Self::Quadratic(quadratic) => Some(&quadratic.eigenvalues),
            Self::Dense(_) | Self::Network(_) => None,
        }
    }

    /// v^T H_i v for every sample i, H_i the Hessian of the objective on that sample alone at `parameters`; none where there
    /// are no samples.
    pub fn curvatures(&self, parameters: &[f64], vector: &[f64]) -> Option<Vec<f64>> {
        match self {
            Self::Quadratic(_) => None,
            Self::Dense(quadratic) => quadratic.samples().map(|_| quadratic.curvatures(vector)),
            Self::Network(network) => Some(network.curvatures(parameters, vector)),
        }
    }

    /// What `seen` makes of the products H_i v of a sample's Hessian at `parameters` with `vectors`, sample by sample; none
    /// where there are no samples.
    pub fn sample_products<R: Send>(
        &self,
        parameters: &[f64],
        vectors: &[Vec<f64>],
        seen: impl Fn(Vec<Vec<f64>>) -> R + Sync,
    ) -> Option<Vec<R>> {
        match self {
            Self::Quadratic(_) => None,
            Self::Dense(quadratic) => quadratic.samples().map(|_| quadratic.sample_products(vectors, seen)),
            Self::Network(network) => Some(network.sample_products(parameters, vectors, seen)),
        }
    }

    /// H v at `parameters` for every one of `vectors`.
    pub fn hessian_products(&self, parameters: &[f64], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match self {
            Self::Quadratic(Quadratic { eigenvalues }) => {
                let product =
                    |vector: &Vec<f64>| vector.iter().zip(eigenvalues).map(|(v, lambda)| lambda * v).collect();
                vectors.iter().map(product).collect()
            }
            Self::Dense(quadratic) => {
                let product = |vector: &Vec<f64>| {
                    let mut product = vec![0.0; vector.len()];
                    quadratic.hessian_product(vector, &mut product);
                    product
                };
                vectors.iter().map(product).collect()
            }
            Self::Network(network) => network.hessian_products(parameters, vectors),
        }
    }

    /// Whether the gradient of a batch is the mean over its samples, each by itself.
    pub fn is_mean_of_samples(&self) -> bool {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => true,
            Self::Network(network) => !network.model.graph.joins_samples(),
        }
    }

    /// What is done to samples before a gradient is taken of them.
    pub fn augmentation(&self) -> Augmentation {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => Augmentation::default(),
            Self::Network(network) => network.augmentation,
        }
    }

    /// Running statistics of a run that has seen nothing.
    pub fn fresh_statistics(&self) -> Vec<f64> {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => Vec::new(),
            Self::Network(network) => network.model.fresh_statistics(),
        }
    }

    /// Coefficient of weight_decay / 2 ||x||^2 (a quadratic has none: it is in its Hessian).
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Quadratic(_) | Self::Dense(_) => 0.0,
            Self::Network(network) => network.weight_decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::math::{Activation, Loss, Shape};
    use crate::model::Model;

    #[test]
    fn every_sample_and_every_label_is_in_the_hash_of_the_data() {
        let data =
            Dataset { inputs: vec![0.5, 1.0, 2.0, 4.0], labels: vec![0, 1], shape: Shape::vector(2), classes: 2 };
        let hash = |data: &Dataset, test: Option<&Dataset>| {
            let model = Model::mlp(2, &[], 2, Activation::Tanh);
            let network = Network::new(model, Loss::Ce, 0.0, data.clone());
            Problem::Network(Network { test: test.cloned(), ..network }).data_hash().unwrap()
        };
        let [mut moved, mut renamed] = [data.clone(), data.clone()];
        moved.inputs[3] = 4.000_001;
        renamed.labels[1] = 0;
        let hashes = [
            hash(&data, None),
            hash(&moved, None),
            hash(&renamed, None),
            hash(&data, Some(&data)),
            hash(&data, Some(&moved)),
        ];
        let distinct: std::collections::HashSet<&String> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        assert_eq!(hash(&data, Some(&moved)), hashes[4]);
        assert_eq!(Problem::Quadratic(Quadratic { eigenvalues: vec![1.0] }).data_hash(), None);
    }

    #[test]
    fn every_entry_and_the_samples_of_a_dense_quadratic_are_in_the_hash_of_the_data() {
        let hash = |samples, entries: [f64; 4]| {
            let dimension = if samples == Some(4) { 1 } else { 2 };
            Problem::Dense(DenseQuadratic::new(dimension, samples, entries.to_vec()).unwrap()).data_hash()
        };
        let entries = [2.0, 0.5, 0.5, 1.0];
        let hashes =
            [hash(None, entries), hash(Some(1), entries), hash(Some(4), entries), hash(None, [2.0, 0.5, 0.5, 1.5])];
        let distinct: std::collections::HashSet<_> = hashes.iter().flatten().collect();
        assert_eq!(distinct.len(), hashes.len());
    }
}
