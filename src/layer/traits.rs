//! What every layer has to say for itself: [`Layer`] is the layer as it is typed, [`Compute`] the operation that it becomes in a
//! graph, on the processor in any arithmetic and on a device.

use super::device::{BufferRole, DeviceCall, DeviceNode};
use super::tensor::Site;
use super::text::Call;
use crate::kernels::conv::Scratch;
use crate::kernels::norm::Moments;
use crate::math::{Activation, Number, Shape};
use std::fmt::Display;

/// A layer as it is typed. [`Display`] shows the text that makes it.
pub trait Layer: Display + Sized {
    /// [`std::convert::Infallible`] where nothing is to be computed.
    type Op;

    /// The forms that its text may have, for messages.
    fn usage() -> String;

    /// `None` where it is not the text of this layer.
    ///
    /// # Errors
    /// Where it is, but with a value that cannot be.
    fn parse(call: &Call) -> Result<Option<Self>, String>;

    /// Appends its tensors to those of the model; returns its operation and the shape of what that makes, or `None` where its
    /// value is its input.
    ///
    /// # Errors
    /// What does not fit, as the second half of a sentence.
    fn place(&self, site: &mut Site) -> Result<Option<(Self::Op, Shape)>, String>;
}

/// Which means and variances batch norms use.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a, T> {
    /// Means and variances of the batch itself.
    Training,
    /// Running statistics, those of all layers in one vector.
    Evaluation(&'a [T]),
}

/// What an operation keeps from the way forward to the way back; each uses what it needs.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    pub numbers: Vec<T>,
    pub indices: Vec<u32>,
    pub moments: Moments<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { numbers: Vec::new(), indices: Vec::new(), moments: Moments::default() }
    }
}

/// The way forward through one operation.
#[derive(Debug)]
pub struct Forward<'a, T> {
    /// Shapes of a sample.
    pub input: Shape,
    pub output: Shape,
    /// P
    pub parameters: &'a [T],
    pub mode: Mode<'a, T>,
    /// rows x input
    pub first: &'a [T],
    /// The second value, rows x input, of an operation that takes two.
    pub second: Option<&'a [T]>,
    /// rows x output
    pub made: &'a mut [T],
    /// What is done with every number that is made, by operations that [`Compute::folds`].
    pub then: Option<Activation>,
    pub kept: &'a mut Kept<T>,
    /// Buffers that all operations share.
    pub scratch: &'a mut Scratch,
}

/// The way back through one operation.
#[derive(Debug)]
pub struct Backward<'a, T> {
    /// Shapes of a sample.
    pub input: Shape,
    pub output: Shape,
    /// P. They may be others than those of the way forward, so that only the delta of the input may depend on them: what the way
    /// forward made of its own is in `kept`.
    pub parameters: &'a [T],
    /// rows x input
    pub first: &'a [T],
    /// Gradient of the loss with respect to what the operation made, rows x output.
    pub delta: &'a [T],
    /// The activation behind an operation that [`Compute::folds_back`], and what that made, rows x output. The delta is then that of the
    /// activation.
    pub behind: Option<(Activation, &'a [T])>,
    /// P; every operation writes the part of its own parameters.
    pub gradient: &'a mut [T],
    pub kept: &'a Kept<T>,
    pub scratch: &'a mut Scratch,
}

/// An operation of a graph. Offsets into flat vectors are its own; all else comes with each call.
pub trait Compute: Copy {
    fn has_parameters(&self) -> bool {
        false
    }

    /// Multiplications with weights in a forward pass of one sample.
    fn products(&self, _input: Shape, _output: Shape) -> usize {
        0
    }

    /// Numbers that a forward pass keeps for each number that it makes.
    fn keeps(&self) -> usize {
        0
    }

    /// The activation that it is, where the value alone tells the slope, so that the value may take the place of its input.
    fn in_place(&self) -> Option<Activation> {
        None
    }

    /// Whether it takes an activation behind it that is [`Self::in_place`] into its own loop on the way forward.
    fn folds(&self) -> bool {
        false
    }

    /// Whether it does so on the way back.
    fn folds_back(&self) -> bool {
        false
    }

    /// Numbers of shared buffers that it needs.
    fn scratch(&self, _input: Shape, _output: Shape) -> usize {
        0
    }

    /// Whether what becomes of a sample depends on the other samples of its batch.
    fn joins_samples(&self) -> bool {
        false
    }

    /// # Errors
    /// Where it has no gradient over `rows` samples.
    fn check_rows(&self, _rows: usize, _output: Shape) -> Result<(), String> {
        Ok(())
    }

    fn forward<T: Number>(&self, at: Forward<T>);

    /// Writes the gradient of its parameters and, where `below` is asked for, the delta of its input, rows x input. An operation
    /// that takes two values is called for each of them.
    fn backward<T: Number>(&self, at: Backward<T>, below: Option<&mut [T]>);

    /// Takes what it kept of the latest batch, of `rows` samples, into running `statistics`, those of all layers.
    fn update_statistics<T: Number>(&self, _rows: usize, _output: Shape, _kept: &Kept<T>, _statistics: &mut [T]) {}

    /// Words of [`DeviceNode::kept`] that a lane needs in training.
    fn device_keeps(&self, _at: &DeviceNode) -> usize {
        0
    }

    /// Words of [`BufferRole::Scratch`] that a lane needs in training.
    fn device_scratch(&self, _at: &DeviceNode) -> usize {
        0
    }

    fn device_forward(&self, at: &DeviceNode) -> Vec<DeviceCall>;

    /// The gradient of its parameters.
    fn device_gradient(&self, _at: &DeviceNode, _delta: BufferRole) -> Vec<DeviceCall> {
        Vec::new()
    }

    /// The delta of its input. Not asked for where [`Compute::passes_delta_on`].
    fn device_backward(&self, at: &DeviceNode, delta: BufferRole, below: BufferRole) -> Vec<DeviceCall>;

    /// Whether the delta of what it makes is also that of every value it takes, so that a device computes nothing.
    fn passes_delta_on(&self) -> bool {
        false
    }
}
