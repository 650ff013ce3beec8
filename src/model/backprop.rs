//! Backpropagation through a model: forward over its values, and back to the gradient, for a batch at a time.
//!
//! Written once over [`Number`]: in f32 it is what the CPU engine runs, in f64 the reference that everything is checked against,
//! in dual numbers a Hessian-vector product. Not here: weight decay, which the update adds, and the objective as a whole
//! ([`crate::problem::network::FullBatch`]).

use super::graph::{Graph, Node};
use crate::kernels::conv::Scratch;
use crate::kernels::loss;
use crate::layer::traits::{Backward, Compute, Forward, Kept, Mode};
use crate::math::vector::Instructions;
use crate::math::{Loss, Number};
use pulp::Simd;

/// Buffers of one pass, forward and back.
#[derive(Clone, Debug)]
pub struct Backprop<T> {
    graph: Graph,
    loss: Loss,
    /// What every node makes, rows x its shape.
    values: Vec<Vec<T>>,
    /// Gradients of the loss with respect to them.
    deltas: Vec<Vec<T>>,
    kept: Vec<Kept<T>>,
    /// A delta on its way to where there is one already.
    spare: Vec<T>,
    scratch: Scratch,
}

impl<T: Number> Backprop<T> {
    /// Makes buffers for at most `rows` samples at a time.
    pub fn new(graph: &Graph, loss: Loss, rows: usize) -> Self {
        let zeros = |node: &Node| vec![T::zero(); rows * node.shape.elements()];
        Self {
            values: graph.nodes.iter().map(zeros).collect(),
            deltas: graph.nodes.iter().map(zeros).collect(),
            kept: vec![Kept::default(); graph.nodes.len()],
            spare: Vec::new(),
            scratch: Scratch::default(),
            graph: graph.clone(),
            loss,
        }
    }

    /// Threads share the work of each pass, as far as it can be shared, where `parallel`; the bits are the same.
    #[must_use]
    pub fn shared(mut self, parallel: bool) -> Self {
        self.scratch.pieces.parallel = parallel;
        self
    }

    /// Later passes take the instructions that code over `S` is compiled for; before, the best that the processor has.
    pub fn compile_for<S: Simd>(&mut self) {
        self.scratch.pieces.instructions = Instructions::of::<S>();
    }

    /// The outputs, rows x classes, of `inputs` (rows x features) at `parameters`.
    pub fn forward(&mut self, parameters: &[T], inputs: &[T], mode: Mode<T>) -> &[T] {
        let Self { graph, values, kept, scratch, .. } = self;
        let rows = inputs.len() / graph.input.elements();
        for (index, node) in graph.nodes.iter().enumerate() {
            let (before, here) = values.split_at_mut(index);
            let value = |number: usize| match number {
                0 => inputs,
                number => &before[number - 1][..rows * graph.shape(number).elements()],
            };
            node.op.forward(Forward {
                input: graph.shape(node.input),
                output: node.shape,
                parameters,
                mode,
                first: value(node.input),
                second: node.second.map(value),
                made: &mut here[0][..rows * node.shape.elements()],
                kept: &mut kept[index],
                scratch,
            });
        }
        let last = graph.nodes.len() - 1;
        &values[last][..rows * graph.outputs()]
    }

    /// Mean loss of `inputs` (rows x features) and `labels` at `parameters`, with the batch's own statistics; its gradient goes
    /// to `gradient`. No weight decay in either.
    pub fn loss_and_gradient(&mut self, parameters: &[T], inputs: &[T], labels: &[u32], gradient: &mut [T]) -> T {
        self.loss_and_gradient_at(parameters, parameters, inputs, labels, gradient)
    }

    /// [`Self::loss_and_gradient`] of a pipeline that does not keep the weights of its forward passes (PipeDream without weight
    /// stashing): values, slopes and statistics are those of a forward pass at the parameters `forward`, and deltas go down through
    /// the weights of `backward`. The loss is that at `forward`; what comes out is no gradient of any function where the two differ.
    pub fn loss_and_gradient_at(
        &mut self,
        forward: &[T],
        backward: &[T],
        inputs: &[T],
        labels: &[u32],
        gradient: &mut [T],
    ) -> T {
        self.forward(forward, inputs, Mode::Training);
        let rows = labels.len();
        let last = self.graph.nodes.len() - 1;
        let outputs = rows * self.graph.outputs();
        self.deltas[last][..outputs].copy_from_slice(&self.values[last][..outputs]);
        let value = loss::cpu(self.loss, labels, &mut self.deltas[last][..outputs]);
        let mut reached = vec![false; self.graph.nodes.len()];
        reached[last] = true;
        for index in (0..=last).rev() {
            // A value that nothing leads on from has no gradient, and neither has what it is made of.
            if reached[index] {
                for input in self.graph.inputs(index) {
                    self.node_backward(index, input, rows, backward, inputs, gradient, &mut reached);
                }
            }
        }
        value
    }

    /// From the delta of a node to that of `input`, one of the values that it acts on.
    #[expect(clippy::too_many_arguments, reason = "one step of `loss_and_gradient_at`, which has all these at hand")]
    fn node_backward(
        &mut self,
        index: usize,
        input: usize,
        rows: usize,
        parameters: &[T],
        inputs: &[T],
        gradient: &mut [T],
        reached: &mut [bool],
    ) {
        let Self { graph, values, deltas, kept, spare, scratch, .. } = self;
        let Node { op, shape, .. } = graph.nodes[index];
        let before = graph.shape(input);
        let (earlier, here) = deltas.split_at_mut(index);
        let at = Backward {
            input: before,
            output: shape,
            parameters,
            first: if input == 0 { inputs } else { &values[input - 1][..rows * before.elements()] },
            delta: &here[0][..rows * shape.elements()],
            gradient,
            kept: &kept[index],
            scratch,
        };
        let pieces = at.scratch.pieces;
        // Nobody asks for the delta of the data.
        let Some(node) = input.checked_sub(1) else { return op.backward(at, None) };
        let there = &mut earlier[node][..rows * before.elements()];
        // Straight to its place, unless another reader of the value has been there.
        if std::mem::replace(&mut reached[node], true) {
            spare.resize(there.len(), T::zero());
            op.backward(at, Some(spare));
            pieces.change(there, spare, |there, more| *there += more);
        } else {
            op.backward(at, Some(there));
        }
    }

    /// Mean loss of `inputs` (rows x features) and `labels` at `parameters`, batch norms with running `statistics`, and how many
    /// of them are classified correctly: the first of the largest outputs is that of the label.
    pub fn evaluate(&mut self, parameters: &[T], statistics: &[T], inputs: &[T], labels: &[u32]) -> (T, u64) {
        let mut outputs = self.forward(parameters, inputs, Mode::Evaluation(statistics)).to_vec();
        let is_correct = |(row, label): (&[T], &u32)| {
            let chosen = (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best });
            chosen == *label as usize && row.iter().all(|f| f.partial_cmp(f).is_some())
        };
        let rows = outputs.chunks_exact(self.graph.outputs());
        let correct = rows.zip(labels).filter(|row| is_correct(*row)).count() as u64;
        (loss::cpu(self.loss, labels, &mut outputs), correct)
    }

    /// Bytes of the buffers for `rows` samples, about.
    pub fn bytes(graph: &Graph, rows: usize) -> u64 {
        let numbers: usize = graph.nodes.iter().map(|node| (2 + node.op.keeps()) * node.shape.elements()).sum();
        let scratch = graph.nodes.iter().map(|node| node.op.scratch(graph.shape(node.input), node.shape));
        ((rows * numbers + scratch.max().unwrap_or(0)) * size_of::<T>()) as u64
    }

    /// Takes the means and variances of the latest batch, of `rows` samples, into running `statistics`.
    pub fn update_statistics(&self, rows: usize, statistics: &mut [T]) {
        for (node, kept) in self.graph.nodes.iter().zip(&self.kept) {
            node.op.update_statistics(rows, node.shape, kept, statistics);
        }
    }
}
