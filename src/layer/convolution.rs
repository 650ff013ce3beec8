//! `conv(N,K)`: cross-correlation with N windows of K x K pixels, as in PyTorch's `nn.Conv2d`; the weight is outputs x inputs x
//! K x K.

use super::device::{BufferRole, DeviceCall, DeviceNode};
use super::tensor::Site;
use super::text::{Call, show};
use super::traits::{Backward, Compute, Forward, Layer};
use super::window;
use crate::kernels::conv::{self, Convolution, Product};
use crate::math::{Number, Shape, Window};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct ConvolutionLayer {
    pub channels: usize,
    pub window: Window,
    pub bias: bool,
}

/// Stride where none is typed.
const STRIDE: usize = 1;

impl Layer for ConvolutionLayer {
    type Op = ConvolutionOp;

    fn usage() -> String {
        "conv(N,K) (with stride=S, pad=P, nobias)".into()
    }

    fn parse(call: &Call) -> Result<Option<Self>, String> {
        let [stride, pad] = window::OPTIONS;
        let ("conv", Some(&[channels, kernel])) = (call.name(), call.numbers(&[stride, pad, "nobias"])) else {
            return Ok(None);
        };
        Ok(Some(Self { channels, window: window::read(call, kernel, STRIDE)?, bias: !call.has("nobias") }))
    }

    fn place(&self, site: &mut Site) -> Result<Option<(ConvolutionOp, Shape)>, String> {
        let Self { channels, window, bias } = *self;
        let shape = window::slide(site.input, window)?;
        let (weight, bias) =
            site.weight_and_bias(vec![channels, site.input.channels, window.kernel, window.kernel], bias);
        Ok(Some((ConvolutionOp { window, weight, bias }, Shape { channels, ..shape })))
    }
}

impl fmt::Display for ConvolutionLayer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut parts = vec![self.channels.to_string(), self.window.kernel.to_string()];
        parts.extend(window::show(self.window, STRIDE));
        parts.extend((!self.bias).then(|| "nobias".into()));
        f.write_str(&show("conv", &parts))
    }
}

/// Offsets in the flat parameter vector; a bias lies right behind its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvolutionOp {
    pub window: Window,
    pub weight: usize,
    pub bias: Option<usize>,
}

impl ConvolutionOp {
    fn between(self, input: Shape, output: Shape) -> Convolution {
        Convolution { input, output, window: self.window }
    }

    fn on_device(self, at: &DeviceNode) -> conv::Layer {
        let convolution = self.between(at.input, at.output);
        conv::Layer { batch: at.batch, convolution, weight: self.weight, bias: self.bias }
    }

    fn call(self, at: &DeviceNode, product: Product, [a, b, c]: [BufferRole; 3]) -> DeviceCall {
        self.on_device(at).call(product, [BufferRole::LaneSteps, a, b, c])
    }
}

impl Compute for ConvolutionOp {
    fn has_parameters(&self) -> bool {
        true
    }

    fn products(&self, input: Shape, output: Shape) -> usize {
        output.elements() * input.channels * self.window.pixels()
    }

    fn scratch(&self, input: Shape, output: Shape) -> usize {
        self.between(input, output).scratch()
    }

    fn folds(&self) -> bool {
        true
    }

    fn forward<T: Number>(&self, at: Forward<T>) {
        let convolution = self.between(at.input, at.output);
        let weight = &at.parameters[self.weight..][..at.output.channels * convolution.depth()];
        let bias = self.bias.map(|bias| &at.parameters[bias..][..at.output.channels]);
        convolution
            .forward(conv::Forward { input: at.first, weight, bias, then: at.then, output: at.made }, at.scratch);
    }

    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>) {
        let convolution = self.between(at.input, at.output);
        let elements = at.output.channels * convolution.depth();
        let weight = &at.parameters[self.weight..][..elements];
        let (of_weight, behind) = at.gradient[self.weight..].split_at_mut(elements);
        let of_bias = self.bias.map(|_| &mut behind[..at.output.channels]);
        let (input, delta) = (at.first, at.delta);
        convolution.backward(conv::Backward { input, weight, delta, of_weight, of_bias, below }, at.scratch);
    }

    fn device_scratch(&self, at: &DeviceNode) -> usize {
        self.on_device(at).partials()
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall> {
        vec![self.call(at, Product::Forward, [at.first, BufferRole::Versions, at.made])]
    }

    fn device_gradient(&self, at: &DeviceNode, delta: BufferRole) -> Vec<DeviceCall> {
        let product = |to: BufferRole| self.call(at, Product::Gradient, [delta, at.first, to]);
        match self.on_device(at).reduce([BufferRole::LaneSteps, BufferRole::Scratch, BufferRole::Gradient]) {
            None => vec![product(BufferRole::Gradient)],
            Some(sum) => vec![product(BufferRole::Scratch), sum],
        }
    }

    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall> {
        vec![self.call(at, Product::Backward, [delta, BufferRole::Versions, below])]
    }
}
