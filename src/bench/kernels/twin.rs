//! What one thread of the processor runs.

use super::{Case, Product, coefficients, labels, numbers, order, parameters};
use crate::batch::Augmentation;
use crate::kernels::gather;
use crate::kernels::loss;
use crate::kernels::matmul;
use crate::kernels::step::{self, Landmarks, State};
use crate::math::vector::Instructions;
use crate::math::{Activation, Loss, Real, Shape};
use crate::update::StepSlots;
use pulp::{Simd, WithSimd};
use std::hint::black_box;

/// A kernel on one lane, with operands of its own.
pub trait Twin<T> {
    fn run(&mut self);

    /// What it wrote.
    fn result(&self) -> &[T];
}

impl Case {
    pub fn twin<T: Real>(&self) -> Box<dyn Twin<T>> {
        match *self {
            Self::Product { product, rows, inputs, outputs } => {
                let result = match product {
                    Product::Forward => rows * outputs,
                    Product::Backward => rows * inputs,
                    Product::Gradient => inputs * outputs + outputs,
                };
                Box::new(Layer {
                    product,
                    outputs,
                    weights: inputs * outputs,
                    parameters: parameters(inputs, outputs),
                    input: numbers(rows * inputs),
                    delta: numbers(rows * outputs),
                    slope: numbers(rows * inputs),
                    own_slope: vec![T::zero(); rows * outputs],
                    result: vec![T::zero(); result],
                })
            }
            Self::Loss { loss, rows, classes } => {
                Box::new(Outputs { loss, labels: labels(rows, classes), values: numbers(rows * classes) })
            }
            Self::Gather { samples, rows, features } => Box::new(Minibatch {
                order: order(samples, rows),
                data: numbers(samples * features),
                data_labels: labels(samples, 10),
                inputs: Vec::new(),
                labels: Vec::new(),
            }),
            Self::Step { parameters } => {
                let start = || numbers(parameters);
                let rest = State::at_rest(&start(), 1, 1, 0);
                let state = State { velocity: rest.server.clone(), ..rest };
                Box::new(Update { gradient: start(), landmarks: numbers(3 * parameters), state })
            }
        }
    }
}

struct Layer<T> {
    product: Product,
    outputs: usize,
    weights: usize,
    parameters: Vec<T>,
    input: Vec<T>,
    delta: Vec<T>,
    /// Slope of the layer below.
    slope: Vec<T>,
    own_slope: Vec<T>,
    result: Vec<T>,
}

impl<T: Real> Twin<T> for Layer<T> {
    fn run(&mut self) {
        let Self { product, outputs, weights, parameters, input, delta, slope, own_slope, result } = self;
        let (weight, bias) = parameters.split_at(*weights);
        match product {
            Product::Forward => matmul::forward(input, weight, bias, Some(Activation::Tanh), result, own_slope),
            Product::Backward => matmul::backward(delta, weight, *outputs, slope, result),
            Product::Gradient => {
                let (weight_gradient, bias_gradient) = result.split_at_mut(*weights);
                matmul::gradient(delta, input, weight_gradient, bias_gradient);
            }
        }
    }

    fn result(&self) -> &[T] {
        &self.result
    }
}

struct Outputs<T> {
    loss: Loss,
    labels: Vec<u32>,
    values: Vec<T>,
}

impl<T: Real> Twin<T> for Outputs<T> {
    fn run(&mut self) {
        loss::cpu(self.loss, &self.labels, &mut self.values);
    }

    fn result(&self) -> &[T] {
        &self.values
    }
}

struct Minibatch<T> {
    order: Vec<u32>,
    data: Vec<T>,
    data_labels: Vec<u32>,
    inputs: Vec<T>,
    labels: Vec<u32>,
}

impl<T: Real> Twin<T> for Minibatch<T> {
    fn run(&mut self) {
        let Self { order, data, data_labels, inputs, labels } = self;
        let shape = Shape::vector(data.len() / data_labels.len());
        gather::cpu(order, Augmentation::default(), shape, data, data_labels, inputs, labels);
    }

    fn result(&self) -> &[T] {
        &self.inputs
    }
}

/// As the engine makes it: compiled for the instruction set that it is dispatched to.
struct Update<T> {
    gradient: Vec<T>,
    landmarks: Vec<T>,
    state: State<T>,
}

impl<T: Real> Twin<T> for Update<T> {
    fn run(&mut self) {
        Instructions::best().run(self);
    }

    fn result(&self) -> &[T] {
        &self.state.velocity
    }
}

impl<T: Real> WithSimd for &mut Update<T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (minimum, rest) = self.landmarks.split_at(self.gradient.len());
        let (direction, curvature) = rest.split_at(minimum.len());
        let landmarks = Landmarks { minimum, direction, curvature };
        let slots = StepSlots { read: 0, write: 0, velocity: 0, velocity_read: 0, newest: 0, backward_write: None };
        // The moments too: a compiler leaves out what nobody looks at.
        black_box(step::cpu(
            &coefficients(),
            slots,
            0..self.gradient.len(),
            &self.gradient,
            landmarks,
            &mut self.state,
        ));
    }
}
