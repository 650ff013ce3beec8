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
use crate::math::{Activation, Loss, Number};
use pulp::Simd;

/// Buffers of one pass, forward and back.
#[derive(Clone, Debug)]
pub struct Backprop<T> {
    graph: Graph,
    loss: Loss,
    places: Vec<Place>,
    /// What nodes make, rows x the shape; empty for a node whose value takes the place of its input.
    values: Vec<Vec<T>>,
    kept: Vec<Kept<T>>,
    /// Gradients of the loss with respect to the values, while they are needed; empty before and after.
    deltas: Vec<Vec<T>>,
    /// Buffers of deltas that are needed no more. The latest, which is likely still in a cache, is taken first.
    spare: Vec<Vec<T>>,
    scratch: Scratch,
}

/// Where the value of a node is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Own,
    /// That of its input, which nobody else reads: an activation whose slope its value tells.
    OfInput(Activation),
}

/// The activation that takes the place of what a node makes.
fn activation_behind(graph: &Graph, places: &[Place], node: usize) -> Option<Activation> {
    // A value with one reader; builders append, so that it most likely is the next.
    let next = graph.nodes.iter().zip(places).skip(node + 1).find(|(next, _)| next.input == node + 1);
    next.and_then(|(_, place)| if let Place::OfInput(activation) = place { Some(*activation) } else { None })
}

/// Where the values of a graph are.
fn places(graph: &Graph) -> Vec<Place> {
    let mut readers = vec![0; graph.nodes.len() + 1];
    (0..graph.nodes.len()).flat_map(|node| graph.inputs(node)).for_each(|value| readers[value] += 1);
    // The sample is not ours to change.
    let of = |node: &Node| match node.op.in_place() {
        Some(activation) if node.input > 0 && readers[node.input] == 1 => Place::OfInput(activation),
        _ => Place::Own,
    };
    graph.nodes.iter().map(of).collect()
}

/// The node whose buffer holds the value of a node.
fn holder(graph: &Graph, places: &[Place], node: usize) -> usize {
    match places[node] {
        Place::Own => node,
        Place::OfInput(_) => holder(graph, places, graph.nodes[node].input - 1),
    }
}

impl<T: Number> Backprop<T> {
    /// Makes buffers for at most `rows` samples at a time.
    pub fn new(graph: &Graph, loss: Loss, rows: usize) -> Self {
        let places = places(graph);
        let room = |(node, place): (&Node, &Place)| match place {
            Place::Own => vec![T::zero(); rows * node.shape.elements()],
            Place::OfInput(_) => Vec::new(),
        };
        Self {
            values: graph.nodes.iter().zip(&places).map(room).collect(),
            kept: vec![Kept::default(); graph.nodes.len()],
            deltas: vec![Vec::new(); graph.nodes.len()],
            spare: Vec::new(),
            scratch: Scratch::default(),
            places,
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
        let Self { graph, places, values, kept, scratch, .. } = self;
        let rows = inputs.len() / graph.input.elements();
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Place::OfInput(activation) = places[index] {
                if graph.nodes[node.input - 1].op.folds() {
                    continue;
                }
                let value = &mut values[holder(graph, places, index)][..rows * node.shape.elements()];
                activation.alter(value, scratch.pieces);
                continue;
            }
            let (before, here) = values.split_at_mut(index);
            let value = |number: usize| match number {
                0 => inputs,
                number => &before[holder(graph, places, number - 1)][..rows * graph.shape(number).elements()],
            };
            node.op.forward(Forward {
                input: graph.shape(node.input),
                output: node.shape,
                parameters,
                mode,
                first: value(node.input),
                second: node.second.map(value),
                made: &mut here[0][..rows * node.shape.elements()],
                then: activation_behind(graph, places, index),
                kept: &mut kept[index],
                scratch,
            });
        }
        self.outputs(rows)
    }

    /// What the last node made of `rows` samples.
    fn outputs(&self, rows: usize) -> &[T] {
        let Self { graph, places, values, .. } = self;
        &values[holder(graph, places, graph.nodes.len() - 1)][..rows * graph.outputs()]
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
        let mut delta = self.spare.pop().unwrap_or_default();
        delta.clear();
        delta.extend_from_slice(self.outputs(rows));
        let value = loss::cpu(self.loss, labels, &mut delta);
        self.deltas[last] = delta;
        for index in (0..=last).rev() {
            // A value that nothing leads on from has no gradient, and neither has what it is made of.
            if !self.deltas[index].is_empty() {
                self.node_backward(index, rows, backward, inputs, gradient);
            }
        }
        value
    }

    /// From the delta of a node to its gradient and the deltas of the values that it acts on.
    fn node_backward(&mut self, index: usize, rows: usize, parameters: &[T], inputs: &[T], gradient: &mut [T]) {
        let Self { graph, places, values, deltas, kept, spare, scratch, .. } = self;
        let Node { op, input, second, shape } = graph.nodes[index];
        let mut delta = std::mem::take(&mut deltas[index]);
        if let Place::OfInput(activation) = places[index] {
            if graph.nodes[input - 1].op.folds_back() {
                deltas[input - 1] = delta;
                return;
            }
            let value = &values[holder(graph, places, index)][..delta.len()];
            activation.alter_delta(&mut delta, value, scratch.pieces);
            deltas[input - 1] = delta;
            return;
        }
        for (turn, number) in std::iter::once(input).chain(second).enumerate() {
            let is_last = turn == usize::from(second.is_some());
            let before = graph.shape(number);
            let first = match number {
                0 => inputs,
                number => &values[holder(graph, places, number - 1)][..rows * before.elements()],
            };
            // Nobody asks for the delta of the data. Straight to its place, unless another reader of the value has been there.
            let there = number.checked_sub(1);
            let is_first = there.is_some_and(|node| deltas[node].is_empty());
            if is_first && is_last && op.passes_delta_on() {
                deltas[number - 1] = std::mem::take(&mut delta);
                continue;
            }
            let made = &values[holder(graph, places, index)][..delta.len()];
            let mut below = there.map(|_| spare.pop().unwrap_or_default());
            if let Some(below) = &mut below {
                below.resize(rows * before.elements(), T::zero());
            }
            let at = Backward {
                input: before,
                output: shape,
                parameters,
                first,
                delta: &delta,
                behind: activation_behind(graph, places, index).map(|activation| (activation, made)),
                gradient,
                kept: &kept[index],
                scratch,
            };
            op.backward(at, below.as_deref_mut());
            let Some((node, below)) = there.zip(below) else { continue };
            if is_first {
                deltas[node] = below;
            } else {
                scratch.pieces.change(&mut deltas[node], &below, |there, more| *there += more);
                spare.push(below);
            }
        }
        if delta.capacity() > 0 {
            spare.push(delta);
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
        let places = places(graph);
        let kept = |(node, place): (&Node, &Place)| match place {
            Place::Own => (1 + node.op.keeps()) * node.shape.elements(),
            Place::OfInput(_) => 0,
        };
        let numbers: usize = graph.nodes.iter().zip(&places).map(kept).sum();
        let scratch = graph.nodes.iter().map(|node| node.op.scratch(graph.shape(node.input), node.shape));
        let all = rows * (numbers + deltas(graph, &places)) + scratch.max().unwrap_or(0);
        (all * size_of::<T>()) as u64
    }

    /// Takes the means and variances of the latest batch, of `rows` samples, into running `statistics`.
    pub fn update_statistics(&self, rows: usize, statistics: &mut [T]) {
        for (node, kept) in self.graph.nodes.iter().zip(&self.kept) {
            node.op.update_statistics(rows, node.shape, kept, statistics);
        }
    }
}

/// Numbers of all buffers of deltas, for one sample: the way back without the numbers themselves. A buffer grows to the largest delta
/// that it has held.
fn deltas(graph: &Graph, places: &[Place]) -> usize {
    let mut there: Vec<Option<usize>> = vec![None; graph.nodes.len()];
    let (mut spare, mut total) = (Vec::new(), 0);
    let mut grow = |spare: &mut Vec<usize>, elements: usize| {
        let before = spare.pop().unwrap_or(0);
        total += elements.saturating_sub(before);
        elements.max(before)
    };
    let last = graph.nodes.len() - 1;
    there[last] = Some(grow(&mut spare, graph.outputs()));
    for index in (0..=last).rev() {
        let Some(mut delta) = there[index].take() else { continue };
        let Node { op, input, second, .. } = graph.nodes[index];
        let passes_on = op.passes_delta_on() || places[index] != Place::Own;
        for (turn, number) in std::iter::once(input).chain(second).enumerate() {
            let is_last = turn == usize::from(second.is_some());
            let Some(node) = number.checked_sub(1) else { continue };
            if there[node].is_none() && is_last && passes_on {
                there[node] = Some(std::mem::take(&mut delta));
                continue;
            }
            let below = grow(&mut spare, graph.shape(number).elements());
            match there[node] {
                None => there[node] = Some(below),
                Some(_) => spare.push(below),
            }
        }
        if delta > 0 {
            spare.push(delta);
        }
    }
    total
}
