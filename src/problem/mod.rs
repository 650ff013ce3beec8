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
