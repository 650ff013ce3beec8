//! The dispatches of a graph's layers, before there is a device: every layer says which kernels ([`crate::layer`]), here they
//! get their buffers and their order.
//!
//! Not here: what comes before and behind a pass (`gradient`, `evaluation`), nor how lanes move ([`crate::kernels::step`]).

mod tape;

use crate::engine::gpu::device::{Buffer, Device, Dispatch};
use crate::kernels::Batch;
use crate::kernels::elementwise::Operation;
use crate::layer::device::{BufferRole, DeviceCall, DeviceNode, Purpose};
use crate::layer::traits::Compute;
use crate::model::Model;
use crate::model::graph::{Graph, Node};
use std::collections::HashMap;
use tape::{Move, Tape};

/// Binds a call to buffers.
pub fn dispatch(call: DeviceCall, device: &Device, buffers: &HashMap<BufferRole, Buffer>) -> Dispatch {
    let pipeline = device.pipeline(call.kernel, &call.variant);
    let roles = std::iter::once(BufferRole::LaneSteps).chain(call.buffers);
    let buffers: Vec<&Buffer> = roles.map(|role| &buffers[&role]).collect();
    device.bind(&pipeline, &buffers, call.params, call.workgroups)
}

/// A pass through a model: every layer of all lanes at once.
pub struct Pass<'a> {
    graph: &'a Graph,
    /// Running statistics of a lane.
    statistics: usize,
    tape: Tape,
    pub batch: Batch,
    purpose: Purpose<'a>,
}

impl<'a> Pass<'a> {
    pub fn new(model: &'a Model, batch: Batch, purpose: Purpose<'a>) -> Self {
        let tape = match purpose {
            Purpose::Training { .. } => Tape::of_training(&model.graph),
            Purpose::Evaluation(_) => Tape::of_evaluation(&model.graph),
        };
        Self { graph: &model.graph, statistics: model.statistics(), tape, batch, purpose }
    }

    /// Its own buffers: names for messages, and 32-bit words of a lane.
    pub fn buffers(&self) -> Vec<(BufferRole, &'static str, usize)> {
        let values = self.tape.buffers.iter().enumerate();
        let mut buffers: Vec<_> =
            values.map(|(buffer, numbers)| (BufferRole::Value(buffer), "values", self.batch.rows * numbers)).collect();
        if let Purpose::Training { .. } = self.purpose {
            let nodes = || (0..self.graph.nodes.len()).map(|index| (self.graph.nodes[index].op, self.node(index)));
            let scratch = nodes().map(|(op, node)| op.device_scratch(&node)).max();
            buffers.push((BufferRole::Scratch, "scratch", scratch.unwrap_or(0)));
            let kept = nodes().map(|(op, node)| (node.kept, "kept", op.device_keeps(&node)));
            buffers.extend(kept.filter(|(_, _, words)| *words > 0));
        }
        buffers
    }

    /// Those buffers on a device, and stand-ins for what is neither read nor written.
    pub fn allocate(&self, device: &Device) -> HashMap<BufferRole, Buffer> {
        let own = self.buffers().into_iter().map(|(role, name, words)| {
            (role, device.buffer(name, (self.batch.lanes * words * size_of::<f32>()) as u64))
        });
        let unused = [BufferRole::Unread, BufferRole::Unwritten].map(|role| (role, device.buffer("unused", 0)));
        own.chain(unused).collect()
    }

    pub fn inputs(&self) -> BufferRole {
        self.value(0)
    }

    pub fn outputs(&self) -> BufferRole {
        self.value(self.graph.nodes.len())
    }

    fn value(&self, value: usize) -> BufferRole {
        BufferRole::Value(self.tape.values[value])
    }

    fn node(&self, index: usize) -> DeviceNode<'a> {
        let Node { input, second, shape, .. } = self.graph.nodes[index];
        let is_training = matches!(self.purpose, Purpose::Training { .. });
        // Only what keeps something has a buffer for it.
        let kept = if is_training { BufferRole::Kept(index) } else { BufferRole::Unwritten };
        DeviceNode {
            batch: self.batch,
            purpose: self.purpose,
            input: self.graph.shape(input),
            output: shape,
            first: self.value(input),
            second: second.map_or(BufferRole::Unread, |second| self.value(second)),
            made: self.value(index + 1),
            kept,
            statistics: self.statistics,
        }
    }

    /// From the inputs to the outputs.
    pub fn forward(&self) -> Vec<DeviceCall> {
        let nodes = self.graph.nodes.iter().enumerate();
        nodes.flat_map(|(index, node)| node.op.device_forward(&self.node(index))).collect()
    }

    /// From the outputs' delta to the gradient.
    pub fn backward(&self) -> Vec<DeviceCall> {
        self.tape.moves.iter().flat_map(|it| self.back(it)).collect()
    }

    fn back(&self, it: &Move) -> Vec<DeviceCall> {
        let op = |node: usize| self.graph.nodes[node].op;
        let sum = |operation, value, buffers| {
            vec![DeviceCall::elementwise(operation, self.batch, self.graph.shape(value), buffers)]
        };
        match *it {
            Move::Gradient { node, delta } => op(node).device_gradient(&self.node(node), BufferRole::Value(delta)),
            Move::Backward { node, delta, below } => {
                op(node).device_backward(&self.node(node), BufferRole::Value(delta), BufferRole::Value(below))
            }
            Move::Add { value, one, other, sum: to } => {
                sum(Operation::Add, value, [one, other, to].map(BufferRole::Value))
            }
            Move::Accumulate { value, more, sum: to } => {
                let buffers = [BufferRole::Value(more), BufferRole::Unread, BufferRole::Value(to)];
                sum(Operation::Accumulate, value, buffers)
            }
        }
    }
}
