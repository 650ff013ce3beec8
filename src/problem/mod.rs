//! What is minimised: a quadratic, or data + model + loss + weight decay.

pub mod network;
pub mod quadratic;
pub mod weights;

pub use network::Network;
pub use quadratic::Quadratic;

use crate::batch::Augmentation;

/// An objective f over a flat parameter vector.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of a problem, and all share it")]
pub enum Problem {
    Quadratic(Quadratic),
    Network(Network),
}

impl Problem {
    /// Number of parameters P.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Quadratic(quadratic) => quadratic.eigenvalues.len(),
            Self::Network(network) => network.dimension(),
        }
    }

    /// Number of samples, where there is data.
    pub fn samples(&self) -> Option<usize> {
        match self {
            Self::Quadratic(_) => None,
            Self::Network(network) => Some(network.data.samples()),
        }
    }

    /// Content hash of the samples, those held back for evaluation included; none where there is no data.
    pub fn data_hash(&self) -> Option<String> {
        let Self::Network(network) = self else { return None };
        let mut hasher = blake3::Hasher::new();
        std::iter::once(&network.data).chain(&network.test).for_each(|data| data.hash_into(&mut hasher));
        Some(hasher.finalize().to_hex()[..16].to_owned())
    }

    /// The diagonal of the Hessian, where it is known and the same everywhere.
    pub fn curvature(&self) -> Option<&[f64]> {
        match self {
            Self::Quadratic(quadratic) => Some(&quadratic.eigenvalues),
            Self::Network(_) => None,
        }
    }

    /// What is done to samples before a gradient is taken of them.
    pub fn augmentation(&self) -> Augmentation {
        match self {
            Self::Quadratic(_) => Augmentation::default(),
            Self::Network(network) => network.augmentation,
        }
    }

    /// Running statistics of a run that has seen nothing.
    pub fn fresh_statistics(&self) -> Vec<f64> {
        match self {
            Self::Quadratic(_) => Vec::new(),
            Self::Network(network) => network.model.fresh_statistics(),
        }
    }

    /// Coefficient of weight_decay / 2 ||x||^2 (a quadratic has none: it is in its eigenvalues).
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Quadratic(_) => 0.0,
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
}
