//! The tape of a graph: in which buffers its values lie, and what is computed on the way back, in which order and where.
//!
//! The way back reads nearly all values, so that each keeps a buffer of its own in training; deltas, and the values of an
//! evaluation, give theirs back when nobody reads them any more.
//!
//! Not here: what the operations are on a device (`graph`), nor how many samples go through it at once (`plan`).

use crate::layer::traits::Compute;
use crate::model::graph::Graph;

/// Values are numbered as in [`Graph`], buffers as they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    /// Numbers per sample of every buffer.
    pub buffers: Vec<usize>,
    /// The buffer of every value.
    pub values: Vec<usize>,
    /// The way back; the loss has left the outputs' delta in their own buffer. None of an evaluation.
    pub moves: Vec<Move>,
}

/// A piece of the way back. All but `node` and `value` are buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The gradient of a node's parameters.
    Gradient { node: usize, delta: usize },
    /// The delta of a node's input.
    Backward { node: usize, delta: usize, below: usize },
    /// sum = one + other, deltas of a value
    Add { value: usize, one: usize, other: usize, sum: usize },
    /// sum += more
    Accumulate { value: usize, more: usize, sum: usize },
}

impl Tape {
    pub fn of_training(graph: &Graph) -> Self {
        let mut rooms = Rooms::default();
        let values: Vec<usize> = (0..=graph.nodes.len()).map(|value| rooms.take(elements(graph, value))).collect();
        let moves = way_back(graph, &values, &mut rooms);
        Self { buffers: rooms.sizes, values, moves }
    }

    pub fn of_evaluation(graph: &Graph) -> Self {
        let mut last_reader = vec![0; graph.nodes.len() + 1];
        for node in 0..graph.nodes.len() {
            graph.inputs(node).for_each(|value| last_reader[value] = node);
        }
        let mut rooms = Rooms::default();
        let mut values = vec![rooms.take(elements(graph, 0))];
        for node in 0..graph.nodes.len() {
            values.push(rooms.take(elements(graph, node + 1)));
            let mut done: Vec<usize> = graph.inputs(node).filter(|value| last_reader[*value] == node).collect();
            done.dedup();
            done.into_iter().for_each(|value| rooms.release(values[value]));
        }
        Self { buffers: rooms.sizes, values, moves: Vec::new() }
    }
}

fn elements(graph: &Graph, value: usize) -> usize {
    graph.shape(value).elements()
}

fn way_back(graph: &Graph, values: &[usize], rooms: &mut Rooms) -> Vec<Move> {
    // Where no parameter lies before a value, nobody asks for its delta.
    let mut wanted = vec![false];
    for (index, node) in graph.nodes.iter().enumerate() {
        wanted.push(node.op.has_parameters() || graph.inputs(index).any(|value| wanted[value]));
    }
    let mut deltas = vec![Delta::default(); values.len()];
    let last = graph.nodes.len();
    deltas[last].own = Some(values[last]);
    let mut moves = Vec::new();
    for index in (0..last).rev() {
        let value = index + 1;
        let Some(delta) = std::mem::take(&mut deltas[value]).resolve(graph, value, rooms, &mut moves) else {
            continue; // No way leads from it to the outputs.
        };
        let node = graph.nodes[index];
        if node.op.has_parameters() {
            moves.push(Move::Gradient { node: index, delta });
        }
        for input in graph.inputs(index).filter(|input| wanted[*input]) {
            if node.op.passes_delta_on() {
                rooms.hold(delta);
                deltas[input].lent.push(delta);
                continue;
            }
            let below = rooms.take(elements(graph, input));
            moves.push(Move::Backward { node: index, delta, below });
            match deltas[input].own {
                None => deltas[input].own = Some(below),
                Some(sum) => {
                    moves.push(Move::Accumulate { value: input, more: below, sum });
                    rooms.release(below);
                }
            }
        }
        rooms.release(delta);
    }
    moves
}

/// What has arrived of a value's delta.
#[derive(Clone, Debug, Default)]
struct Delta {
    /// The sum of what its readers computed.
    own: Option<usize>,
    /// Deltas of sums that the value is a part of, which are its delta too, or a part of it. They are complete, so that
    /// nobody writes them any more.
    lent: Vec<usize>,
}

impl Delta {
    /// The buffer of the whole delta, if anything has arrived.
    fn resolve(self, graph: &Graph, value: usize, rooms: &mut Rooms, moves: &mut Vec<Move>) -> Option<usize> {
        let Self { own, mut lent } = self;
        let sum = match (own, &lent[..]) {
            (Some(own), _) => own,
            (None, [] | [_]) => return lent.pop(),
            (None, [one, other, ..]) => {
                let sum = rooms.take(elements(graph, value));
                moves.push(Move::Add { value, one: *one, other: *other, sum });
                lent.drain(..2).for_each(|delta| rooms.release(delta));
                sum
            }
        };
        for more in lent {
            moves.push(Move::Accumulate { value, more, sum });
            rooms.release(more);
        }
        Some(sum)
    }
}

/// Buffers, which are given out and come back.
#[derive(Debug, Default)]
struct Rooms {
    sizes: Vec<usize>,
    /// How many need each.
    holders: Vec<usize>,
}

impl Rooms {
    /// A buffer that nobody needs: the smallest with room for `elements` or, as it grows, the largest; else a new one.
    fn take(&mut self, elements: usize) -> usize {
        let free = (0..self.sizes.len()).filter(|room| self.holders[*room] == 0);
        let best = free.min_by_key(|room| {
            let size = self.sizes[*room];
            (size < elements, size.abs_diff(elements))
        });
        let room = best.unwrap_or_else(|| {
            self.sizes.push(0);
            self.holders.push(0);
            self.sizes.len() - 1
        });
        self.sizes[room] = self.sizes[room].max(elements);
        self.holders[room] = 1;
        room
    }

    fn hold(&mut self, room: usize) {
        self.holders[room] += 1;
    }

    fn release(&mut self, room: usize) {
        self.holders[room] -= 1;
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
    fn a_chain_goes_back_through_two_buffers() {
        let tape = Tape::of_training(&graph("conv(4,3,pad=1),relu,conv(5,3,pad=1),dense"));
        assert_eq!((&tape.buffers[..5], &tape.values[..]), (&[32, 64, 64, 80, 64][..], &[0, 1, 2, 3, 4][..]));
        let [of_outputs, one, two] = [4, 5, 6];
        let expected = [
            Move::Gradient { node: 3, delta: of_outputs },
            Move::Backward { node: 3, delta: of_outputs, below: one },
            Move::Gradient { node: 2, delta: one },
            // The outputs' buffer is free, and grows.
            Move::Backward { node: 2, delta: one, below: of_outputs },
            Move::Backward { node: 1, delta: of_outputs, below: one },
            Move::Gradient { node: 0, delta: one },
        ];
        assert_eq!(tape.moves, expected);
        assert_eq!((tape.buffers[of_outputs], tape.buffers.get(two)), (64, None));
    }

    #[test]
    fn a_sum_lends_its_delta_and_nothing_is_computed_for_the_data() {
        // Values: 1 the convolution, 2 the body, 3 the sum, 4 the outputs.
        let tape = Tape::of_training(&graph("conv(2,1),res(conv(2,1)),dense"));
        let (sum, shortcut) = (5, 4);
        let expected = [
            Move::Gradient { node: 3, delta: 4 },
            Move::Backward { node: 3, delta: 4, below: sum },
            Move::Gradient { node: 1, delta: sum },
            Move::Backward { node: 1, delta: sum, below: shortcut },
            Move::Accumulate { value: 1, more: sum, sum: shortcut },
            Move::Gradient { node: 0, delta: shortcut },
        ];
        assert_eq!(tape.moves, expected);
        // The data is a part of the sum.
        let tape = Tape::of_training(&graph("relu,res(tanh),dense"));
        assert_eq!(tape.moves, [Move::Gradient { node: 3, delta: 4 }]);
        // Two sums and nothing else read a value.
        let tape = Tape::of_training(&graph("conv(2,1),res(conv(2,1);res(conv(2,1))),dense"));
        assert!(tape.moves.iter().any(|it| matches!(it, Move::Accumulate { .. })), "{tape:?}");
    }

    #[test]
    fn an_evaluation_keeps_what_is_still_read() {
        let tape = Tape::of_evaluation(&graph("conv(4,3,pad=1),relu,conv(5,3,pad=1),dense"));
        assert_eq!((tape.buffers, tape.values), (vec![64, 80], vec![0, 1, 0, 1, 0]));
        let tape = Tape::of_evaluation(&graph("conv(2,1),res(conv(2,1),relu),dense"));
        assert_eq!(tape.values, [0, 1, 0, 2, 0, 1]);
        let deep = Named::Resnet20.graph(Shape::new(3, 32, 32), 10).unwrap();
        assert!(Tape::of_evaluation(&deep).buffers.len() <= 4);
        let training = Tape::of_training(&deep);
        assert!(training.buffers.len() <= training.values.len() + 4, "{:?}", training.buffers);
    }
}
