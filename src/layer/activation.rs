//! `tanh`, `relu`, `leaky-relu`, `gelu`: an activation of every number by itself ([`Activation`]).

use super::device::{BufferRole, DeviceCall, DeviceNode, elementwise};
use super::tensor::Site;
use super::text::Call;
use super::traits::{Backward, Compute, Forward, Layer};
use crate::kernels::elementwise::Operation;
use crate::math::{Activation, Number, Shape};
use std::fmt;
use strum::IntoEnumIterator;

#[derive(Clone, Debug, PartialEq)]
pub struct ActivationLayer(pub Activation);

impl Layer for ActivationLayer {
    type Op = ActivationOp;

    fn usage() -> String {
        Activation::iter().map(|activation| activation.to_string()).collect::<Vec<_>>().join(", ")
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        let named = Activation::iter().find(|activation| activation.to_string() == call.name());
        Ok(named.filter(|_| call.numbers(&[]) == Some(&[])).map(Self))
    }

    fn place(&self, site: &mut Site) -> Result<Option<(ActivationOp, Shape)>, String> {
        Ok(Some((ActivationOp(self.0), site.input)))
    }
}

impl fmt::Display for ActivationLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationOp(pub Activation);

impl Compute for ActivationOp {
    /// The slopes, where they cost more to compute again than to read.
    fn keeps(&self) -> usize {
        match self.0 {
            Activation::Relu | Activation::LeakyRelu => 0,
            Activation::Tanh | Activation::Gelu => 1,
        }
    }

    fn in_place(&self) -> Option<Activation> {
        match self.0 {
            Activation::Relu | Activation::LeakyRelu | Activation::Tanh => Some(self.0),
            Activation::Gelu => None,
        }
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        let pieces = at.scratch.pieces;
        match self.0 {
            Activation::Relu => pieces.map(at.made, at.first, |z| Activation::Relu.value_and_slope(z).0),
            Activation::LeakyRelu => pieces.map(at.made, at.first, |z| Activation::LeakyRelu.value_and_slope(z).0),
            Activation::Tanh | Activation::Gelu => {
                at.kept.numbers.resize(at.made.len(), T::zero());
                self.0.apply(at.first, at.made, &mut at.kept.numbers, pieces);
            }
        }
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        let (Some(below), delta, pieces) = (below, at.delta, at.scratch.pieces) else { return };
        let slopes = &at.kept.numbers;
        match self.0 {
            Activation::Relu => {
                pieces.map_two(below, delta, at.first, |delta, z| delta * Activation::Relu.value_and_slope(z).1);
            }
            Activation::LeakyRelu => {
                pieces.map_two(below, delta, at.first, |delta, z| delta * Activation::LeakyRelu.value_and_slope(z).1);
            }
            Activation::Tanh | Activation::Gelu => pieces.map_two(below, delta, slopes, |delta, slope| delta * slope),
        }
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        let buffers = [at.first, BufferRole::Unread, at.made];
        vec![elementwise(Operation::Activate(self.0), at.batch, at.output, buffers)]
    }

    /// The slope is computed once more: to keep it would take as much memory as the value.
    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        let buffers = [at.first, delta, below];
        vec![elementwise(Operation::Differentiate(self.0), at.batch, at.output, buffers)]
    }
}
