//! Where a lane's gradients come from: of perceptrons in f32 by register tiles ([`super::fused`]); of all other networks,
//! and in f64, layer by layer through a library's products ([`Backprop`]), which is the reference for everything else.

use super::fused;
use crate::kernels::perceptron::Perceptron;
use crate::kernels::{gather, hessian, quadratic};
use crate::math::Real;
use crate::model::Backprop;
use crate::problem::{Network, Problem};
use pulp::Simd;
use std::sync::Arc;

/// A precision that the engine computes in.
pub trait CpuPrecision: Real {
    type Gradients: Gradients<Self>;
}

impl CpuPrecision for f32 {
    type Gradients = F32Gradients;
}

impl CpuPrecision for f64 {
    type Gradients = LayeredGradients<f64>;
}

/// Gradients of one problem for all lanes of a wave. Every implementation has its own layout of parameters in a vector.
pub trait Gradients<T>: Send + Sync + 'static {
    /// Buffers of one gradient, one for every thread.
    type Scratch: Send;

    /// `split`: whether backward passes may read other weights than forward ones.
    fn new(problem: &Arc<Problem>, split: bool) -> Self;

    /// As [`crate::engine::Engine::path`] names it.
    fn path(problem: &Problem, split: bool) -> &'static str;

    /// Elements of a vector of all parameters in this layout.
    fn length(problem: &Problem, split: bool) -> usize;

    /// Brings a flat vector, P, into this layout.
    fn pack(&self, flat: &[f64]) -> Vec<T>;

    /// Where in this layout the parameters end that lie before the place `flat` of a flat vector, which is the end of a layer.
    fn position(&self, flat: usize) -> usize;

    /// Brings a vector in this layout back into a flat one.
    fn unpack(&self, packed: &[T]) -> Vec<f64>;

    /// Makes buffers for gradients over `rows` rows. Where `parallel`, threads share the work of one gradient as far as it can be shared;
    /// the bits are the same.
    fn scratch(&self, rows: usize, parallel: bool) -> Self::Scratch;

    /// Mean loss over `rows` (numbers of samples; all where `None`) at the first of the `weights`; its gradient, whose backward
    /// pass reads the second, goes to `gradient`. Neither contains weight decay.
    fn loss_and_gradient<S: Simd>(
        &self,
        simd: S,
        weights: [&[T]; 2],
        rows: Option<&[u32]>,
        scratch: &mut Self::Scratch,
        gradient: &mut [T],
    ) -> T;

    /// Updates running `statistics` with the means and variances of the latest batch.
    fn update_statistics(&self, scratch: &Self::Scratch, statistics: &mut [T]);
}

fn narrow<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|x| T::of(*x)).collect()
}

fn widen<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

/// Gradients in f32.
pub enum F32Gradients {
    Quadratic {
        eigenvalues: Vec<f32>,
    },
    Perceptron(fused::PanelNetwork),
    /// Any other problem.
    Layered(LayeredGradients<f32>),
}

/// Buffers of [`F32Gradients`].
pub enum F32Scratch {
    Nothing,
    Perceptron(fused::PanelScratch),
    Layered(Box<LayeredScratch<f32>>),
}

/// The perceptron of a network, if it is one whose samples are not augmented and whose passes read the same weights: the fused
/// pass reads both in place.
fn plain_perceptron(network: &Network, split: bool) -> Option<&Perceptron> {
    network.model.perceptron().filter(|_| network.augmentation.is_none() && !split)
}

impl Gradients<f32> for F32Gradients {
    type Scratch = F32Scratch;

    fn new(problem: &Arc<Problem>, split: bool) -> Self {
        match &**problem {
            Problem::Quadratic(quadratic) => Self::Quadratic { eigenvalues: narrow(&quadratic.eigenvalues) },
            Problem::Dense(_) => Self::Layered(LayeredGradients::new(problem, split)),
            Problem::Network(network) => match plain_perceptron(network, split) {
                Some(perceptron) => Self::Perceptron(fused::PanelNetwork::new(network, perceptron)),
                None => Self::Layered(LayeredGradients::new(problem, split)),
            },
        }
    }

    fn path(problem: &Problem, split: bool) -> &'static str {
        match problem {
            Problem::Network(network) if plain_perceptron(network, split).is_some() => "fused",
            Problem::Quadratic(_) | Problem::Dense(_) | Problem::Network(_) => "layered",
        }
    }

    fn length(problem: &Problem, split: bool) -> usize {
        match problem {
            Problem::Quadratic(_) | Problem::Dense(_) => problem.dimension(),
            Problem::Network(network) => {
                plain_perceptron(network, split).map_or(network.dimension(), |model| fused::Layout::new(model).len())
            }
        }
    }

    fn pack(&self, flat: &[f64]) -> Vec<f32> {
        match self {
            Self::Quadratic { .. } | Self::Layered(_) => narrow(flat),
            Self::Perceptron(network) => network.layout.pack(flat),
        }
    }

    fn position(&self, flat: usize) -> usize {
        match self {
            Self::Quadratic { .. } | Self::Layered(_) => flat,
            Self::Perceptron(network) => network.layout.position(flat),
        }
    }

    fn unpack(&self, packed: &[f32]) -> Vec<f64> {
        match self {
            Self::Quadratic { .. } | Self::Layered(_) => widen(packed),
            Self::Perceptron(network) => network.layout.unpack(packed),
        }
    }

    fn scratch(&self, rows: usize, parallel: bool) -> F32Scratch {
        match self {
            Self::Quadratic { .. } => F32Scratch::Nothing,
            Self::Perceptron(network) => F32Scratch::Perceptron(network.scratch(rows)),
            Self::Layered(layered) => F32Scratch::Layered(Box::new(layered.scratch(rows, parallel))),
        }
    }

    #[inline(always)]
    fn loss_and_gradient<S: Simd>(
        &self,
        simd: S,
        weights: [&[f32]; 2],
        rows: Option<&[u32]>,
        scratch: &mut F32Scratch,
        gradient: &mut [f32],
    ) -> f32 {
        match (self, scratch) {
            (Self::Quadratic { eigenvalues }, _) => quadratic::cpu(eigenvalues, weights[0], gradient),
            (Self::Perceptron(network), F32Scratch::Perceptron(scratch)) => {
                network.loss_and_gradient(simd, weights[0], rows, scratch, gradient)
            }
            (Self::Layered(layered), F32Scratch::Layered(scratch)) => {
                layered.loss_and_gradient(simd, weights, rows, scratch, gradient)
            }
            (Self::Perceptron(_) | Self::Layered(_), _) => unreachable!("the scratch of another problem"),
        }
    }

    fn update_statistics(&self, scratch: &F32Scratch, statistics: &mut [f32]) {
        if let (Self::Layered(layered), F32Scratch::Layered(scratch)) = (self, scratch) {
            layered.update_statistics(scratch, statistics);
        }
    }
}

/// Gradients layer by layer through a library's products.
pub struct LayeredGradients<T> {
    problem: Arc<Problem>,
    /// Data, samples x features; the eigenvalues of a quadratic; the Hessians of a dense one, and behind them their mean.
    numbers: Vec<T>,
}

/// Buffers of [`LayeredGradients`]; quadratics need none.
pub struct LayeredScratch<T> {
    pass: Option<Backprop<T>>,
    inputs: Vec<T>,
    labels: Vec<u32>,
    /// Rows of the latest gradient.
    rows: usize,
}

impl<T: Real> Gradients<T> for LayeredGradients<T> {
    type Scratch = LayeredScratch<T>;

    fn new(problem: &Arc<Problem>, _: bool) -> Self {
        let numbers = match &**problem {
            Problem::Quadratic(quadratic) => narrow(&quadratic.eigenvalues),
            Problem::Dense(quadratic) => narrow(&[quadratic.hessians(), quadratic.mean()].concat()),
            Problem::Network(network) => network.data.inputs.iter().map(|x| T::of(f64::from(*x))).collect(),
        };
        Self { problem: Arc::clone(problem), numbers }
    }

    fn path(_: &Problem, _: bool) -> &'static str {
        "layered"
    }

    fn length(problem: &Problem, _: bool) -> usize {
        problem.dimension()
    }

    fn pack(&self, flat: &[f64]) -> Vec<T> {
        narrow(flat)
    }

    fn position(&self, flat: usize) -> usize {
        flat
    }

    fn unpack(&self, packed: &[T]) -> Vec<f64> {
        widen(packed)
    }

    fn scratch(&self, rows: usize, parallel: bool) -> LayeredScratch<T> {
        let pass = match &*self.problem {
            Problem::Quadratic(_) | Problem::Dense(_) => None,
            Problem::Network(network) => Some(Backprop::new(&network.model.graph, network.loss, rows).shared(parallel)),
        };
        LayeredScratch { pass, inputs: Vec::new(), labels: Vec::new(), rows }
    }

    #[inline(always)]
    fn loss_and_gradient<S: Simd>(
        &self,
        _: S,
        weights: [&[T]; 2],
        rows: Option<&[u32]>,
        scratch: &mut LayeredScratch<T>,
        gradient: &mut [T],
    ) -> T {
        let LayeredScratch { pass, inputs, labels, .. } = scratch;
        match (&*self.problem, pass) {
            (Problem::Quadratic(_), _) => quadratic::cpu(&self.numbers, weights[0], gradient),
            (Problem::Dense(quadratic), _) => {
                let mean = quadratic.samples().unwrap_or(1) as u32;
                hessian::cpu(rows.unwrap_or(&[mean]), &self.numbers, weights[0], gradient)
            }
            (Problem::Network(network), Some(pass)) => {
                pass.compile_for::<S>();
                match rows {
                    None => {
                        pass.loss_and_gradient_at(weights[0], weights[1], &self.numbers, &network.data.labels, gradient)
                    }
                    Some(rows) => {
                        let (shape, data_labels) = (network.data.shape, &network.data.labels);
                        gather::cpu(rows, network.augmentation, shape, &self.numbers, data_labels, inputs, labels);
                        pass.loss_and_gradient_at(weights[0], weights[1], inputs, labels, gradient)
                    }
                }
            }
            (Problem::Network(_), None) => unreachable!("the scratch of a network has a pass"),
        }
    }

    fn update_statistics(&self, scratch: &LayeredScratch<T>, statistics: &mut [T]) {
        if let Some(pass) = &scratch.pass {
            pass.update_statistics(scratch.rows, statistics);
        }
    }
}
