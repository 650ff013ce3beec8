//! Where a lane's gradients come from, in each precision: f32 by register tiles ([`super::fused`]), f64 layer by layer
//! through a library's products, which is the oracle for everything else.

use super::fused;
use crate::kernels::real::Real;
use crate::kernels::{gather, quadratic};
use crate::problem::Problem;
use crate::problem::network::Pass;
use pulp::Simd;
use std::sync::Arc;

/// A precision that the engine computes in.
pub trait Precision: Real {
    type Gradients: Gradients<Self>;
}

impl Precision for f32 {
    type Gradients = Fused;
}

impl Precision for f64 {
    type Gradients = Layered;
}

/// A problem as all lanes of a wave read it. Vectors of parameters lie as the implementation likes them.
pub trait Gradients<T>: Send + Sync + 'static {
    /// Buffers of one gradient, one for every thread.
    type Scratch: Send;

    fn new(problem: &Arc<Problem>) -> Self;

    /// As [`crate::engine::Engine::path`] names it.
    fn path(problem: &Problem) -> &'static str;

    /// Elements of a vector of all parameters, as lanes hold it.
    fn length(problem: &Problem) -> usize;

    /// A flat vector, P, as lanes hold it.
    fn pack(&self, flat: &[f64]) -> Vec<T>;

    /// The flat vector that lanes hold so.
    fn unpack(&self, packed: &[T]) -> Vec<f64>;

    /// For gradients over `rows` rows.
    fn scratch(&self, rows: usize) -> Self::Scratch;

    /// Mean loss over `rows` (numbers of samples; all where `None`) at `weights`; its gradient goes to `gradient`. No weight decay in either.
    fn loss_and_gradient<S: Simd>(
        &self,
        simd: S,
        weights: &[T],
        rows: Option<&[u32]>,
        scratch: &mut Self::Scratch,
        gradient: &mut [T],
    ) -> T;
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|x| T::of(*x)).collect()
}

fn widen<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

/// Gradients in f32.
pub enum Fused {
    Quadratic { eigenvalues: Vec<f32> },
    Network(fused::Network),
}

impl Gradients<f32> for Fused {
    type Scratch = fused::Scratch;

    fn new(problem: &Arc<Problem>) -> Self {
        match &**problem {
            Problem::Quadratic(quadratic) => Self::Quadratic { eigenvalues: narrow(&quadratic.eigenvalues) },
            Problem::Network(network) => {
                Self::Network(fused::Network::new(network, network.model.perceptron().expect("interim")))
            }
        }
    }

    fn path(problem: &Problem) -> &'static str {
        match problem {
            Problem::Quadratic(_) => "layered",
            Problem::Network(_) => "fused",
        }
    }

    fn length(problem: &Problem) -> usize {
        match problem {
            Problem::Quadratic(quadratic) => quadratic.eigenvalues.len(),
            Problem::Network(network) => fused::Layout::new(network.model.perceptron().expect("interim")).len(),
        }
    }

    fn pack(&self, flat: &[f64]) -> Vec<f32> {
        match self {
            Self::Quadratic { .. } => narrow(flat),
            Self::Network(network) => network.layout.pack(flat),
        }
    }

    fn unpack(&self, packed: &[f32]) -> Vec<f64> {
        match self {
            Self::Quadratic { .. } => widen(packed),
            Self::Network(network) => network.layout.unpack(packed),
        }
    }

    fn scratch(&self, rows: usize) -> fused::Scratch {
        match self {
            Self::Quadratic { .. } => fused::Scratch::default(),
            Self::Network(network) => network.scratch(rows),
        }
    }

    #[inline(always)]
    fn loss_and_gradient<S: Simd>(
        &self,
        simd: S,
        weights: &[f32],
        rows: Option<&[u32]>,
        scratch: &mut fused::Scratch,
        gradient: &mut [f32],
    ) -> f32 {
        match self {
            Self::Quadratic { eigenvalues } => quadratic::cpu(eigenvalues, weights, gradient),
            Self::Network(network) => network.loss_and_gradient(simd, weights, rows, scratch, gradient),
        }
    }
}

/// Gradients in f64.
pub struct Layered {
    problem: Arc<Problem>,
    /// Data, samples x features; empty for a quadratic.
    inputs: Vec<f64>,
}

/// The rows of a gradient, and the buffers of its pass; none of a quadratic.
#[derive(Default)]
pub struct LayeredScratch {
    pass: Option<Pass<f64>>,
    inputs: Vec<f64>,
    labels: Vec<u32>,
}

impl Gradients<f64> for Layered {
    type Scratch = LayeredScratch;

    fn new(problem: &Arc<Problem>) -> Self {
        let inputs = match &**problem {
            Problem::Quadratic(_) => Vec::new(),
            Problem::Network(network) => network.data.inputs.iter().map(|x| f64::from(*x)).collect(),
        };
        Self { problem: Arc::clone(problem), inputs }
    }

    fn path(_: &Problem) -> &'static str {
        "layered"
    }

    fn length(problem: &Problem) -> usize {
        problem.dimension()
    }

    fn pack(&self, flat: &[f64]) -> Vec<f64> {
        flat.to_vec()
    }

    fn unpack(&self, packed: &[f64]) -> Vec<f64> {
        packed.to_vec()
    }

    fn scratch(&self, rows: usize) -> LayeredScratch {
        let pass = match &*self.problem {
            Problem::Quadratic(_) => None,
            Problem::Network(network) => Some(Pass::new(&network.model.graph, network.loss, rows)),
        };
        LayeredScratch { pass, ..LayeredScratch::default() }
    }

    #[inline(always)]
    fn loss_and_gradient<S: Simd>(
        &self,
        _: S,
        weights: &[f64],
        rows: Option<&[u32]>,
        scratch: &mut LayeredScratch,
        gradient: &mut [f64],
    ) -> f64 {
        let LayeredScratch { pass, inputs, labels } = scratch;
        match (&*self.problem, pass) {
            (Problem::Quadratic(quadratic), _) => quadratic::cpu(&quadratic.eigenvalues, weights, gradient),
            (Problem::Network(network), Some(pass)) => match rows {
                None => pass.loss_and_gradient(weights, &self.inputs, &network.data.labels, gradient),
                Some(rows) => {
                    let (shape, data_labels) = (network.data.shape, &network.data.labels);
                    gather::cpu(rows, network.augmentation, shape, &self.inputs, data_labels, inputs, labels);
                    pass.loss_and_gradient(weights, inputs, labels, gradient)
                }
            },
            (Problem::Network(_), None) => unreachable!("the scratch of a network has a pass"),
        }
    }
}
