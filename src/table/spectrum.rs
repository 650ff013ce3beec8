//! The rows of eigenvalues.csv and energies.csv: the largest eigenvalues of the Hessian at a minimum, and where in the network their
//! eigenvectors are.

use super::row::{Row, row};
use serde::{Deserialize, Serialize};

row! {
    /// One of the largest eigenvalues.
    pub struct EigenvalueRow {
        /// From 1, the largest.
        pub index: u64,
        /// Eigenvalue of the Hessian at the minimum, 1 / (units of learning rate).
        pub eigenvalue: f64,
        /// ||H v - eigenvalue v|| of the unit eigenvector v that was found.
        pub residual: f64,
        /// `converged` or `unconverged`.
        pub status: Convergence,
        /// Hessian-vector products that found it.
        pub products: u64,
    }
}

row! {
    /// Part of an eigenvector that lies in one layer.
    pub struct EnergyRow {
        /// Index of its row in eigenvalues.csv.
        pub index: u64,
        /// As in the names of its tensors: `conv1` of `conv1.weight`.
        pub layer: String,
        /// Parameters of the layer.
        pub parameters: u64,
        /// Share of the eigenvector's squared norm; those of all layers add up to 1.
        pub energy: f64,
    }
}

/// Whether a residual fell below what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Convergence {
    Converged,
    Unconverged,
}

impl Row for EigenvalueRow {}

impl Row for EnergyRow {}
