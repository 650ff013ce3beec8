//! One pass through a model: forward over its values, and back to the gradient, for a batch at a time.
//!
//! Written once over [`Number`]: in f32 it is what the CPU engine runs, in f64 the oracle, in dual numbers a Hessian-vector
//! product. Not here: weight decay, which whoever updates adds, and the objective as a whole ([`crate::problem::network::FullBatch`]).

use super::graph::{Graph, Node, Op};
use crate::kernels::conv::{Convolution, Scratch};
use crate::kernels::loss;
use crate::kernels::norm::{Moments, Norm};
use crate::kernels::pool::Pool;
use crate::math::{Loss, Number, View, product};

/// Buffers of one pass.
#[derive(Clone, Debug)]
pub struct Pass<T> {
    graph: Graph,
    loss: Loss,
    /// What every node makes, rows x its shape.
    values: Vec<Vec<T>>,
    /// Gradients of the loss with respect to them.
    deltas: Vec<Vec<T>>,
    kept: Vec<Kept<T>>,
    /// A delta on its way to where there is one already.
    spare: Vec<T>,
    scratch: Scratch<T>,
}

/// What a node keeps of the way forward for the way back.
#[derive(Clone, Debug)]
enum Kept<T> {
    Nothing,
    /// a'(z), rows x shape.
    Slopes(Vec<T>),
    /// Where each largest number was, rows x shape.
    Places(Vec<u32>),
    Moments(Moments<T>),
}

/// Which means and variances batch norms use.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a, T> {
    /// Those of the batch.
    Training,
    /// These running ones.
    Evaluation(&'a [T]),
}

impl<T: Number> Pass<T> {
    /// Of at most `rows` samples at a time.
    pub fn new(graph: &Graph, loss: Loss, rows: usize) -> Self {
        let zeros = |node: &Node| vec![T::zero(); rows * node.shape.elements()];
        let kept = |node: &Node| match node.op {
            Op::Activate(_) => Kept::Slopes(zeros(node)),
            Op::Pool { .. } => Kept::Places(vec![0; rows * node.shape.elements()]),
            Op::Normalise { .. } => Kept::Moments(Moments::default()),
            Op::Dense { .. } | Op::Convolve { .. } | Op::Add { .. } => Kept::Nothing,
        };
        Self {
            values: graph.nodes.iter().map(zeros).collect(),
            deltas: graph.nodes.iter().map(zeros).collect(),
            kept: graph.nodes.iter().map(kept).collect(),
            spare: Vec::new(),
            scratch: Scratch::default(),
            graph: graph.clone(),
            loss,
        }
    }

    /// The outputs, rows x classes, of `inputs` (rows x features) at `parameters`.
    pub fn forward(&mut self, parameters: &[T], inputs: &[T], mode: Mode<T>) -> &[T] {
        let rows = inputs.len() / self.graph.input.elements();
        for index in 0..self.graph.nodes.len() {
            self.node_forward(index, rows, parameters, inputs, mode);
        }
        let last = self.graph.nodes.len() - 1;
        &self.values[last][..rows * self.graph.outputs()]
    }

    fn node_forward(&mut self, index: usize, rows: usize, parameters: &[T], inputs: &[T], mode: Mode<T>) {
        let Self { graph, values, kept, scratch, .. } = self;
        let Node { op, input, shape } = graph.nodes[index];
        let (below, here) = values.split_at_mut(index);
        let before = graph.shape(input);
        let value = |number: usize| match number {
            0 => inputs,
            number => &below[number - 1][..rows * graph.shape(number).elements()],
        };
        let (x, y) = (value(input), &mut here[0][..rows * shape.elements()]);
        match (op, &mut kept[index]) {
            (Op::Dense { weight, bias }, _) => {
                let (depth, outputs) = (before.elements(), shape.channels);
                let weight = View::transposed(&parameters[weight..][..outputs * depth], depth);
                T::product([rows, depth, outputs], View::rows(x, depth), weight, false, y);
                if let Some(bias) = bias {
                    let bias = &parameters[bias..][..outputs];
                    let add = |row: &mut [T]| row.iter_mut().zip(bias).for_each(|(z, b)| *z += *b);
                    y.chunks_exact_mut(outputs).for_each(add);
                }
            }
            (Op::Convolve { window, weight, bias }, _) => {
                let convolution = Convolution { input: before, output: shape, window };
                let weight = &parameters[weight..][..shape.channels * convolution.depth()];
                let bias = bias.map(|bias| &parameters[bias..][..shape.channels]);
                convolution.forward(x, weight, bias, y, scratch);
            }
            (Op::Pool { kind, window }, Kept::Places(places)) => {
                Pool { kind, input: before, output: shape, window }.forward(x, y, places);
            }
            (Op::Normalise { over, weight }, Kept::Moments(moments)) => {
                let (weight, bias) = parameters[weight..][..2 * shape.channels].split_at(shape.channels);
                let norm = Norm { over, shape };
                match mode {
                    Mode::Training => norm.forward(x, weight, bias, moments, y),
                    Mode::Evaluation(statistics) => norm.evaluate(x, weight, bias, statistics, y),
                }
            }
            (Op::Activate(activation), Kept::Slopes(slopes)) => {
                y.copy_from_slice(x);
                activation.apply(y, slopes);
            }
            (Op::Add { other }, _) => {
                y.iter_mut().zip(x).zip(value(other)).for_each(|((sum, one), two)| *sum = *one + *two);
            }
            (Op::Pool { .. } | Op::Normalise { .. } | Op::Activate(_), _) => unreachable!("kept as new() laid it out"),
        }
    }

    /// Mean loss of `inputs` (rows x features) and `labels` at `parameters`, with the batch's own statistics; its gradient goes
    /// to `gradient`. No weight decay in either.
    pub fn loss_and_gradient(&mut self, parameters: &[T], inputs: &[T], labels: &[u32], gradient: &mut [T]) -> T {
        self.forward(parameters, inputs, Mode::Training);
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
                self.node_backward(index, rows, parameters, inputs, gradient, &mut reached);
            }
        }
        value
    }

    fn node_backward(
        &mut self,
        index: usize,
        rows: usize,
        parameters: &[T],
        inputs: &[T],
        gradient: &mut [T],
        reached: &mut [bool],
    ) {
        let Self { graph, values, deltas, kept, spare, scratch, .. } = self;
        let Node { op, input, shape } = graph.nodes[index];
        let before = graph.shape(input);
        let x = if input == 0 { inputs } else { &values[input - 1][..rows * before.elements()] };
        let (earlier, here) = deltas.split_at_mut(index);
        let delta = &here[0][..rows * shape.elements()];
        // Straight to its place, unless another reader of the value has been there.
        let mut onto = |value: usize, write: &mut dyn FnMut(&mut [T])| {
            let Some(node) = value.checked_sub(1) else { return };
            let there = &mut earlier[node][..rows * graph.shape(value).elements()];
            if std::mem::replace(&mut reached[node], true) {
                spare.resize(there.len(), T::zero());
                write(spare);
                there.iter_mut().zip(&*spare).for_each(|(there, more)| *there += *more);
            } else {
                write(there);
            }
        };
        match (op, &kept[index]) {
            (Op::Dense { weight, bias }, _) => {
                let (depth, outputs) = (before.elements(), shape.channels);
                let turned = View::transposed(delta, outputs);
                T::product(
                    [outputs, rows, depth],
                    turned,
                    View::rows(x, depth),
                    false,
                    &mut gradient[weight..][..outputs * depth],
                );
                if let Some(bias) = bias {
                    let sums = &mut gradient[bias..][..outputs];
                    sums.fill(T::zero());
                    let add = |row: &[T]| sums.iter_mut().zip(row).for_each(|(sum, d)| *sum += *d);
                    delta.chunks_exact(outputs).for_each(add);
                }
                let weight = &parameters[weight..][..outputs * depth];
                onto(input, &mut |below| {
                    product(rows, outputs, depth, View::rows(delta, outputs), View::rows(weight, depth), below);
                });
            }
            (Op::Convolve { window, weight, bias }, _) => {
                let convolution = Convolution { input: before, output: shape, window };
                let elements = shape.channels * convolution.depth();
                let kernels = &parameters[weight..][..elements];
                // A bias lies right behind its weight.
                let (weight_gradient, behind) = gradient[weight..].split_at_mut(elements);
                let bias_gradient = bias.map(|_| &mut behind[..shape.channels]);
                if input == 0 {
                    convolution.backward(x, kernels, delta, weight_gradient, bias_gradient, None, scratch);
                } else {
                    let mut bias_gradient = bias_gradient;
                    onto(input, &mut |below| {
                        let bias = bias_gradient.take();
                        convolution.backward(x, kernels, delta, weight_gradient, bias, Some(below), scratch);
                    });
                }
            }
            (Op::Pool { kind, window }, Kept::Places(places)) => {
                let pool = Pool { kind, input: before, output: shape, window };
                onto(input, &mut |below| pool.backward(delta, places, below));
            }
            (Op::Normalise { over, weight }, Kept::Moments(moments)) => {
                let channels = shape.channels;
                let factors = &parameters[weight..][..channels];
                let (weight_gradient, bias_gradient) = gradient[weight..][..2 * channels].split_at_mut(channels);
                let norm = Norm { over, shape };
                let mut to = |below: &mut [T]| {
                    norm.backward(x, factors, delta, moments, [&mut *weight_gradient, &mut *bias_gradient], below);
                };
                if input == 0 {
                    to(&mut vec![T::zero(); delta.len()]);
                } else {
                    onto(input, &mut to);
                }
            }
            (Op::Activate(_), Kept::Slopes(slopes)) => onto(input, &mut |below| {
                below.iter_mut().zip(delta).zip(slopes).for_each(|((below, d), slope)| *below = *d * *slope);
            }),
            (Op::Add { other }, _) => {
                onto(input, &mut |below| below.copy_from_slice(delta));
                onto(other, &mut |below| below.copy_from_slice(delta));
            }
            (Op::Pool { .. } | Op::Normalise { .. } | Op::Activate(_), _) => unreachable!("kept as new() laid it out"),
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

    /// Bytes of the buffers of a pass over `rows` samples, about.
    pub fn bytes(graph: &Graph, rows: usize) -> u64 {
        let numbers: usize = graph.nodes.iter().map(|node| (2 + node.op.keeps()) * node.shape.elements()).sum();
        let windows = graph.nodes.iter().enumerate().filter_map(|(index, node)| match node.op {
            Op::Convolve { window, .. } => {
                let input = graph.shape(graph.nodes[index].input);
                Some(Convolution { input, output: node.shape, window }.scratch())
            }
            _ => None,
        });
        ((rows * numbers + windows.max().unwrap_or(0)) * size_of::<T>()) as u64
    }

    /// Takes the means and variances of the latest batch, of `rows` samples, into running `statistics`.
    pub fn freshen(&self, rows: usize, statistics: &mut [T]) {
        for (node, kept) in self.graph.nodes.iter().zip(&self.kept) {
            if let (Op::Normalise { over, .. }, Kept::Moments(moments)) = (node.op, kept) {
                Norm { over, shape: node.shape }.freshen(rows, moments, statistics);
            }
        }
    }
}
