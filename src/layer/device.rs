//! What a layer tells a device to do, as data: which kernels, on which buffers, in which grids.
//!
//! Not here: buffers and pipelines, nor any use of wgpu (`engine::gpu`, which turns every [`DeviceCall`] into a dispatch).

use crate::kernels::elementwise::{self, Operation};
use crate::kernels::packing::Packing;
use crate::kernels::perceptron::Perceptron;
use crate::kernels::{Batch, Call};
use crate::math::Shape;

/// A buffer of a pass through a graph, by what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BufferRole {
    /// Bound where a kernel reads nothing, and where it writes nothing: one buffer cannot be both.
    Unread,
    Unwritten,
    /// What every lane does at every step ([`crate::kernels::LaneStep`]).
    LaneSteps,
    /// The weights.
    Versions,
    /// Running statistics of all layers.
    Statistics,
    Gradient,
    /// Values or deltas by their number: lanes x rows x numbers of a sample.
    Value(usize),
    /// What a layer keeps from the way forward to the way back, by its node.
    Kept(usize),
    /// What calls of one layer hand to each other; the next layer overwrites it.
    Scratch,
}

/// A call of a kernel on the buffers of a pass.
pub type DeviceCall = Call<BufferRole>;

/// An elementwise operation on values of `shape`; `buffers` are the two that it reads and the one that it writes.
pub fn elementwise(
    operation: Operation,
    batch: Batch,
    shape: Shape,
    [one, other, result]: [BufferRole; 3],
) -> DeviceCall {
    let elements = batch.rows * shape.elements();
    elementwise::call(operation, batch.lanes, elements, [BufferRole::LaneSteps, one, other, result])
}

/// What a pass is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    Training {
        /// Whether running statistics take its batches in.
        updates_statistics: bool,
    },
    /// Batch norms use the running statistics. Weights may be packed.
    Evaluation(Option<(&'a Perceptron, &'a Packing)>),
}

/// A node of a graph on a device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceNode<'a> {
    pub batch: Batch,
    pub purpose: Purpose<'a>,
    /// Shapes of a sample.
    pub input: Shape,
    pub output: Shape,
    /// The values that it reads; `second` is [`BufferRole::Unread`] where it reads one.
    pub first: BufferRole,
    pub second: BufferRole,
    /// The value that it makes.
    pub made: BufferRole,
    /// Its own buffer of kept numbers; [`BufferRole::Unwritten`] in an evaluation.
    pub kept: BufferRole,
    /// Running statistics of a lane, those of all layers.
    pub statistics: usize,
}
