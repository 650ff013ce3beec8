//! The kernels of a graph's layers: every layer says which it calls ([`crate::layer`]); here the calls get their order and
//! their buffers. It knows no device.
//!
//! Not here: what comes before and after a pass (`steps`), nor the update of the weights ([`crate::kernels::step`]).

mod graph_buffers;

use crate::kernels::Batch;
use crate::kernels::elementwise::Operation;
use crate::layer::device::{BufferRole, DeviceCall, DeviceNode, Purpose, elementwise};
use crate::layer::traits::Compute;
use crate::model::Model;
use crate::model::graph::{Graph, Node};
use graph_buffers::{Backward, GraphBuffers};

/// A pass through a model: every layer of all lanes at once.
pub struct Pass<'a> {
    graph: &'a Graph,
    /// Running statistics of a lane.
    statistics: usize,
    buffers: GraphBuffers,
    pub batch: Batch,
    purpose: Purpose<'a>,
}

impl<'a> Pass<'a> {
    pub fn new(model: &'a Model, batch: Batch, purpose: Purpose<'a>) -> Self {
        let buffers = match purpose {
            Purpose::Training { .. } => GraphBuffers::for_training(&model.graph),
            Purpose::Evaluation(_) => GraphBuffers::for_evaluation(&model.graph),
        };
        Self { graph: &model.graph, statistics: model.statistics(), buffers, batch, purpose }
    }

    /// Its own buffers, and the 32-bit words that one lane takes in each.
    pub fn buffers(&self) -> Vec<(BufferRole, usize)> {
        let values = self.buffers.sizes.iter().enumerate();
        let mut buffers: Vec<_> =
            values.map(|(buffer, numbers)| (BufferRole::Value(buffer), self.batch.rows * numbers)).collect();
        if let Purpose::Training { .. } = self.purpose {
            let nodes = || (0..self.graph.nodes.len()).map(|index| (self.graph.nodes[index].op, self.node(index)));
            let scratch = nodes().map(|(op, node)| op.device_scratch(&node)).max();
            buffers.push((BufferRole::Scratch, scratch.unwrap_or(0)));
            let kept = nodes().map(|(op, node)| (node.kept, op.device_keeps(&node)));
            buffers.extend(kept.filter(|(_, words)| *words > 0));
        }
        buffers.extend([(BufferRole::Unread, 0), (BufferRole::Unwritten, 0)]);
        buffers
    }

    /// The buffer of the samples.
    pub fn inputs(&self) -> BufferRole {
        self.value(0)
    }

    /// The buffer of the outputs, and of their delta in training.
    pub fn outputs(&self) -> BufferRole {
        self.value(self.graph.nodes.len())
    }

    fn value(&self, value: usize) -> BufferRole {
        BufferRole::Value(self.buffers.values[value])
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
        self.buffers.backward.iter().flat_map(|operation| self.back(operation)).collect()
    }

    fn back(&self, operation: &Backward) -> Vec<DeviceCall> {
        let op = |node: usize| self.graph.nodes[node].op;
        let sum =
            |operation, value, buffers| vec![elementwise(operation, self.batch, self.graph.shape(value), buffers)];
        match *operation {
            Backward::Gradient { node, delta } => op(node).device_gradient(&self.node(node), BufferRole::Value(delta)),
            Backward::Input { node, delta, below } => {
                op(node).device_backward(&self.node(node), BufferRole::Value(delta), BufferRole::Value(below))
            }
            Backward::Add { value, one, other, sum: to } => {
                sum(Operation::Add, value, [one, other, to].map(BufferRole::Value))
            }
            Backward::Accumulate { value, more, sum: to } => {
                let buffers = [BufferRole::Value(more), BufferRole::Unread, BufferRole::Value(to)];
                sum(Operation::Accumulate, value, buffers)
            }
        }
    }
}
