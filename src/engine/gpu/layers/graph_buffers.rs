//! Which buffer each value and each delta of a graph lies in, and the order of the backward pass.
//!
//! The backward pass reads nearly all values, so each keeps a buffer of its own in training. The buffers of deltas, and of
//! the values of an evaluation, are used again as soon as nothing reads them any more.
//!
//! Not here: the kernels that compute them ([`super`]), nor how many samples a pass takes at once (`plan`).

use crate::layer::traits::Compute;
use crate::model::graph::Graph;

/// Values are numbered as in [`Graph`], buffers in the order in which they are first needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphBuffers {
    /// Numbers per sample of every buffer.
    pub sizes: Vec<usize>,
    /// The buffer of every value.
    pub values: Vec<usize>,
    /// The backward pass; the loss has left the outputs' delta in the outputs' buffer. Empty for an evaluation.
    pub backward: Vec<Backward>,
}

/// One operation of the backward pass. All fields but `node` and `value` are buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backward {
    /// The gradient of a node's parameters.
    Gradient { node: usize, delta: usize },
    /// The delta of a node's input.
    Input { node: usize, delta: usize, below: usize },
    /// sum = one + other, deltas of a value
    Add { value: usize, one: usize, other: usize, sum: usize },
    /// sum += more
    Accumulate { value: usize, more: usize, sum: usize },
}

impl GraphBuffers {
    pub fn for_training(graph: &Graph) -> Self {
        let mut pool = BufferPool::default();
        let values: Vec<usize> = (0..=graph.nodes.len()).map(|value| pool.take(elements(graph, value))).collect();
        let backward = backward(graph, &values, &mut pool);
        Self { sizes: pool.sizes, values, backward }
    }

    pub fn for_evaluation(graph: &Graph) -> Self {
        let mut last_reader = vec![0; graph.nodes.len() + 1];
        for node in 0..graph.nodes.len() {
            graph.inputs(node).for_each(|value| last_reader[value] = node);
        }
        let mut pool = BufferPool::default();
        let mut values = vec![pool.take(elements(graph, 0))];
        for node in 0..graph.nodes.len() {
            values.push(pool.take(elements(graph, node + 1)));
            let mut done: Vec<usize> = graph.inputs(node).filter(|value| last_reader[*value] == node).collect();
            done.dedup();
            done.into_iter().for_each(|value| pool.release(values[value]));
        }
        Self { sizes: pool.sizes, values, backward: Vec::new() }
    }
}

fn elements(graph: &Graph, value: usize) -> usize {
    graph.shape(value).elements()
}

fn backward(graph: &Graph, values: &[usize], pool: &mut BufferPool) -> Vec<Backward> {
    // A value that depends on no parameter needs no delta.
    let mut wanted = vec![false];
    for (index, node) in graph.nodes.iter().enumerate() {
        wanted.push(node.op.has_parameters() || graph.inputs(index).any(|value| wanted[value]));
    }
    let mut deltas = vec![Delta::default(); values.len()];
    let last = graph.nodes.len();
    deltas[last].own = Some(values[last]);
    let mut operations = Vec::new();
    for index in (0..last).rev() {
        let value = index + 1;
        let Some(delta) = std::mem::take(&mut deltas[value]).resolve(graph, value, pool, &mut operations) else {
            continue; // The outputs do not depend on it.
        };
        let node = graph.nodes[index];
        if node.op.has_parameters() {
            operations.push(Backward::Gradient { node: index, delta });
        }
        for input in graph.inputs(index).filter(|input| wanted[*input]) {
            if node.op.passes_delta_on() {
                pool.hold(delta);
                deltas[input].shared.push(delta);
                continue;
            }
            let below = pool.take(elements(graph, input));
            operations.push(Backward::Input { node: index, delta, below });
            match deltas[input].own {
                None => deltas[input].own = Some(below),
                Some(sum) => {
                    operations.push(Backward::Accumulate { value: input, more: below, sum });
                    pool.release(below);
                }
            }
        }
        pool.release(delta);
    }
    operations
}

/// The parts of a value's delta that are known so far.
#[derive(Clone, Debug, Default)]
struct Delta {
    /// The sum of what the operations that read the value computed.
    own: Option<usize>,
    /// Deltas of sums that the value is a term of: each is a part of its delta too. They are complete, so nothing writes
    /// to them any more.
    shared: Vec<usize>,
}

impl Delta {
    /// The buffer of the whole delta, if any part of it is known.
    fn resolve(
        self,
        graph: &Graph,
        value: usize,
        pool: &mut BufferPool,
        operations: &mut Vec<Backward>,
    ) -> Option<usize> {
        let Self { own, mut shared } = self;
        let sum = match (own, &shared[..]) {
            (Some(own), _) => own,
            (None, [] | [_]) => return shared.pop(),
            (None, [one, other, ..]) => {
                let sum = pool.take(elements(graph, value));
                operations.push(Backward::Add { value, one: *one, other: *other, sum });
                shared.drain(..2).for_each(|delta| pool.release(delta));
                sum
            }
        };
        for more in shared {
            operations.push(Backward::Accumulate { value, more, sum });
            pool.release(more);
        }
        Some(sum)
    }
}

/// Buffers that are used again once nothing needs their contents.
#[derive(Debug, Default)]
struct BufferPool {
    sizes: Vec<usize>,
    /// How many operations still need each one's contents.
    users: Vec<usize>,
}

impl BufferPool {
    /// An unused buffer: the smallest that holds `elements`, else the largest, which grows; a new one where all are in use.
    fn take(&mut self, elements: usize) -> usize {
        let free = (0..self.sizes.len()).filter(|buffer| self.users[*buffer] == 0);
        let best = free.min_by_key(|buffer| {
            let size = self.sizes[*buffer];
            (size < elements, size.abs_diff(elements))
        });
        let buffer = best.unwrap_or_else(|| {
            self.sizes.push(0);
            self.users.push(0);
            self.sizes.len() - 1
        });
        self.sizes[buffer] = self.sizes[buffer].max(elements);
        self.users[buffer] = 1;
        buffer
    }

    fn hold(&mut self, buffer: usize) {
        self.users[buffer] += 1;
    }

    fn release(&mut self, buffer: usize) {
        self.users[buffer] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::Shape;
    use crate::model::layers::Layers;
    use crate::model::zoo::Named;

    fn graph(layers: &str) -> Graph {
        layers.parse::<Layers>().unwrap().graph(Shape::new(2, 4, 4), 3).unwrap()
    }

    #[test]
    fn the_deltas_of_a_chain_alternate_between_two_buffers() {
        let buffers = GraphBuffers::for_training(&graph("conv(4,3,pad=1),relu,conv(5,3,pad=1),dense"));
        assert_eq!((&buffers.sizes[..5], &buffers.values[..]), (&[32, 64, 64, 80, 64][..], &[0, 1, 2, 3, 4][..]));
        let [of_outputs, one, two] = [4, 5, 6];
        let expected = [
            Backward::Gradient { node: 3, delta: of_outputs },
            Backward::Input { node: 3, delta: of_outputs, below: one },
            Backward::Gradient { node: 2, delta: one },
            // The outputs' buffer is free, and grows.
            Backward::Input { node: 2, delta: one, below: of_outputs },
            Backward::Input { node: 1, delta: of_outputs, below: one },
            Backward::Gradient { node: 0, delta: one },
        ];
        assert_eq!(buffers.backward, expected);
        assert_eq!((buffers.sizes[of_outputs], buffers.sizes.get(two)), (64, None));
    }

    #[test]
    fn the_terms_of_a_sum_share_its_delta_and_nothing_is_computed_for_the_data() {
        // Values: 1 the convolution, 2 the body, 3 the sum, 4 the outputs.
        let buffers = GraphBuffers::for_training(&graph("conv(2,1),res(conv(2,1)),dense"));
        let (sum, shortcut) = (5, 4);
        let expected = [
            Backward::Gradient { node: 3, delta: 4 },
            Backward::Input { node: 3, delta: 4, below: sum },
            Backward::Gradient { node: 1, delta: sum },
            Backward::Input { node: 1, delta: sum, below: shortcut },
            Backward::Accumulate { value: 1, more: sum, sum: shortcut },
            Backward::Gradient { node: 0, delta: shortcut },
        ];
        assert_eq!(buffers.backward, expected);
        // The data is a part of the sum.
        let buffers = GraphBuffers::for_training(&graph("relu,res(tanh),dense"));
        assert_eq!(buffers.backward, [Backward::Gradient { node: 3, delta: 4 }]);
        // Two sums and nothing else read a value.
        let buffers = GraphBuffers::for_training(&graph("conv(2,1),res(conv(2,1);res(conv(2,1))),dense"));
        assert!(buffers.backward.iter().any(|it| matches!(it, Backward::Accumulate { .. })), "{buffers:?}");
    }

    #[test]
    fn an_evaluation_keeps_what_is_still_read() {
        let buffers = GraphBuffers::for_evaluation(&graph("conv(4,3,pad=1),relu,conv(5,3,pad=1),dense"));
        assert_eq!((buffers.sizes, buffers.values), (vec![64, 80], vec![0, 1, 0, 1, 0]));
        let buffers = GraphBuffers::for_evaluation(&graph("conv(2,1),res(conv(2,1),relu),dense"));
        assert_eq!(buffers.values, [0, 1, 0, 2, 0, 1]);
        let deep = Named::Resnet20.graph(Shape::new(3, 32, 32), 10).unwrap();
        assert!(GraphBuffers::for_evaluation(&deep).sizes.len() <= 4);
        let training = GraphBuffers::for_training(&deep);
        assert!(training.sizes.len() <= training.values.len() + 4, "{:?}", training.sizes);
    }
}
