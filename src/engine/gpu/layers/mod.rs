//! The dispatches of a graph's layers, before there is a device: which kernels, on which of the tape's buffers, in which grids.
//!
//! Not here: what comes before and behind a pass (`gradient`, `evaluation`), nor how lanes move ([`crate::kernels::step`]).

mod tape;

use crate::engine::gpu::device::Dispatch;
use crate::engine::gpu::device::{Buffer, Device};
use crate::kernels::conv::{self, Convolution, Product};
use crate::kernels::elementwise::{self, Operation};
use crate::kernels::matmul::{self, Dense, Epilogue, Operand};
use crate::kernels::norm::{self, Norm};
use crate::kernels::packing::{Packing, padded};
use crate::kernels::perceptron::Perceptron;
use crate::kernels::pool::{self, Pool};
use crate::kernels::tile::Tile;
use crate::kernels::{Batch, Kernel, reduce};
use crate::math::Shape;
use crate::model::Model;
use crate::model::graph::{Graph, Node, Op};
use std::collections::HashMap;
use tape::{Move, Tape};

/// A buffer of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Room {
    /// Where a kernel reads nothing, and where it writes nothing: one buffer cannot be both.
    Unread,
    Unwritten,
    Places,
    /// The weights.
    Versions,
    Running,
    Gradient,
    /// A buffer of the tape: lanes x rows x numbers.
    Tape(usize),
    /// Of a norm, by its node.
    Moments(usize),
    /// Slices of whatever gradient is being computed.
    Partials,
}

/// A dispatch whose buffers are not there yet.
pub struct Call {
    pub kernel: &'static Kernel,
    variant: Vec<(&'static str, f64)>,
    /// Behind the lane steps.
    buffers: Vec<Room>,
    params: Vec<u8>,
    pub workgroups: [u32; 3],
    /// Turns of an invocation's loops.
    pub turns: usize,
}

impl Call {
    fn new<P: bytemuck::Pod>(
        kernel: &'static Kernel,
        variant: &[(&'static str, f64)],
        buffers: &[Room],
        params: &P,
        workgroups: [u32; 3],
        turns: usize,
    ) -> Self {
        let (variant, buffers, params) = (variant.to_vec(), buffers.to_vec(), bytemuck::bytes_of(params).to_vec());
        Self { kernel, variant, buffers, params, workgroups, turns }
    }

    /// On the buffers of `rooms`.
    pub fn dispatch(self, device: &Device, rooms: &HashMap<Room, Buffer>) -> Dispatch {
        let pipeline = device.pipeline(self.kernel, &self.variant);
        let lane_steps = std::iter::once(Room::Places);
        let buffers: Vec<&Buffer> = lane_steps.chain(self.buffers).map(|room| &rooms[&room]).collect();
        device.bind(&pipeline, &buffers, self.params, self.workgroups)
    }
}

/// What a pass is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    Training {
        /// Whether running statistics take its batches in.
        freshens: bool,
    },
    /// Batch norms use the running statistics. Weights may be packed.
    Evaluation(Option<(&'a Perceptron, &'a Packing)>),
}

/// A pass through a model: every layer of all lanes at once.
pub struct Pass<'a> {
    graph: &'a Graph,
    /// Running statistics of a lane.
    statistics: usize,
    pub tape: Tape,
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

    /// Its own buffers: what they are called, and 32-bit words of a lane.
    pub fn rooms(&self) -> Vec<(Room, &'static str, usize)> {
        let values = self.tape.buffers.iter().enumerate();
        let mut rooms: Vec<_> =
            values.map(|(room, numbers)| (Room::Tape(room), "values", self.batch.rows * numbers)).collect();
        if let Purpose::Training { .. } = self.purpose {
            let partials = |(index, node): (usize, &Node)| match node.op {
                Op::Convolve { .. } => self.convolution(index).partials(),
                _ => 0,
            };
            let nodes = self.graph.nodes.iter().enumerate();
            rooms.push((Room::Partials, "partials", nodes.clone().map(partials).max().unwrap_or(0)));
            rooms.extend(nodes.filter_map(|(index, node)| match node.op {
                Op::Normalise { over, .. } => {
                    let sets = Norm { over, shape: node.shape }.sets(self.batch.rows);
                    Some((Room::Moments(index), "moments", 2 * sets))
                }
                _ => None,
            }));
        }
        rooms
    }

    /// Those buffers on a device, and the stubs.
    pub fn allocate(&self, device: &Device) -> HashMap<Room, Buffer> {
        let own = self.rooms().into_iter().map(|(room, name, words)| {
            (room, device.buffer(name, (self.batch.lanes * words * size_of::<f32>()) as u64))
        });
        let stubs = [Room::Unread, Room::Unwritten].map(|room| (room, device.buffer("stub", 0)));
        own.chain(stubs).collect()
    }

    fn is_training(&self) -> bool {
        matches!(self.purpose, Purpose::Training { .. })
    }

    fn room(&self, value: usize) -> Room {
        Room::Tape(self.tape.values[value])
    }

    /// From the inputs to the outputs.
    pub fn forward(&self) -> Vec<Call> {
        (0..self.graph.nodes.len()).map(|index| self.node_forward(index)).collect()
    }

    fn node_forward(&self, index: usize) -> Call {
        let Node { op, input, shape } = self.graph.nodes[index];
        let (x, y) = (self.room(input), self.room(index + 1));
        match op {
            Op::Dense { bias, .. } => {
                let params = self.packed(index, self.dense(index).forward());
                let epilogue = if bias.is_some() { Epilogue::Forward(None) } else { Epilogue::Plain };
                product(epilogue, &params, [x, Room::Versions, y])
            }
            Op::Convolve { .. } => self.convolve(index, Product::Forward, [x, Room::Versions, y]),
            Op::Pool { .. } => self.pool(index, pool::Pass::Forward, [x, Room::Unread, y]),
            Op::Normalise { .. } => {
                let pass = if self.is_training() { norm::Pass::Forward } else { norm::Pass::Evaluate };
                self.normalise(index, pass, Room::Unread, y)
            }
            Op::Activate(activation) => self.each(Operation::Activate(activation), shape, [x, Room::Unread, y]),
            Op::Add { other } => self.each(Operation::Add, shape, [x, self.room(other), y]),
        }
    }

    /// From the outputs' delta to the gradient.
    pub fn backward(&self) -> Vec<Call> {
        self.tape.moves.iter().flat_map(|it| self.back(it)).collect()
    }

    fn back(&self, it: &Move) -> Vec<Call> {
        match *it {
            Move::Gradient { node, delta } => self.gradient(node, Room::Tape(delta)),
            Move::Backward { node, delta, below } => {
                vec![self.node_backward(node, Room::Tape(delta), Room::Tape(below))]
            }
            Move::Add { value, one, other, sum } => {
                vec![self.each(Operation::Add, self.graph.shape(value), [one, other, sum].map(Room::Tape))]
            }
            Move::Accumulate { value, more, sum } => {
                let buffers = [Room::Tape(more), Room::Unread, Room::Tape(sum)];
                vec![self.each(Operation::Accumulate, self.graph.shape(value), buffers)]
            }
        }
    }

    fn gradient(&self, index: usize, delta: Room) -> Vec<Call> {
        let Node { op, input, .. } = self.graph.nodes[index];
        let x = self.room(input);
        match op {
            Op::Dense { bias, .. } => {
                let params = self.dense(index).gradient();
                // Without a bias there is no column for it.
                let (epilogue, columns) = match bias {
                    Some(_) => (Epilogue::Gradient, params.columns),
                    None => (Epilogue::Plain, params.columns - 1),
                };
                vec![product(epilogue, &matmul::Params { columns, ..params }, [delta, x, Room::Gradient])]
            }
            Op::Convolve { .. } => match self.convolution(index).reduction() {
                None => vec![self.convolve(index, Product::Gradient, [delta, x, Room::Gradient])],
                Some((params, workgroups)) => {
                    let buffers = [Room::Partials, Room::Gradient];
                    let turns = params.slices as usize;
                    vec![
                        self.convolve(index, Product::Gradient, [delta, x, Room::Partials]),
                        Call::new(&reduce::KERNEL, &[], &buffers, &params, workgroups, turns),
                    ]
                }
            },
            Op::Normalise { .. } => vec![self.normalise(index, norm::Pass::Gradient, delta, Room::Gradient)],
            Op::Pool { .. } | Op::Activate(_) | Op::Add { .. } => unreachable!("a layer without parameters"),
        }
    }

    fn node_backward(&self, index: usize, delta: Room, below: Room) -> Call {
        let Node { op, input, shape } = self.graph.nodes[index];
        let x = self.room(input);
        match op {
            Op::Dense { .. } => product(Epilogue::Plain, &self.dense(index).backward(), [delta, Room::Versions, below]),
            Op::Convolve { .. } => self.convolve(index, Product::Backward, [delta, Room::Versions, below]),
            Op::Pool { .. } => self.pool(index, pool::Pass::Backward, [x, delta, below]),
            Op::Normalise { .. } => self.normalise(index, norm::Pass::Backward, delta, below),
            Op::Activate(activation) => self.each(Operation::Differentiate(activation), shape, [x, delta, below]),
            Op::Add { .. } => unreachable!("a sum lends its delta"),
        }
    }

    fn dense(&self, index: usize) -> Dense {
        let Node { op: Op::Dense { weight, bias }, input, shape } = self.graph.nodes[index] else {
            unreachable!("a dense layer")
        };
        let Batch { lanes, rows, parameters, slots } = self.batch;
        let inputs = self.graph.shape(input).elements();
        Dense {
            lanes: lanes as u32,
            rows: rows as u32,
            inputs: inputs as u32,
            outputs: shape.channels as u32,
            weight: weight as u32,
            bias: bias.unwrap_or(0) as u32,
            parameters: parameters as u32,
            slots: slots as u32,
            input_lane_stride: (rows * inputs) as u32,
        }
    }

    /// The product with the weights where they are, if they are packed.
    fn packed(&self, index: usize, params: matmul::Params) -> matmul::Params {
        let Purpose::Evaluation(Some((model, packing))) = self.purpose else { return params };
        let before = self.graph.nodes[..index].iter().filter(|node| matches!(node.op, Op::Dense { .. })).count();
        let (layer, weight) = (&model.layers[before], packing.weights[before]);
        let stride = padded(layer.outputs) as u32;
        let b = Operand { offset: weight as u32, row_stride: stride, column_stride: 1, ..params.b };
        matmul::Params { b, bias: weight as u32 + padded(layer.inputs) as u32 * stride, ..params }
    }

    fn convolution(&self, index: usize) -> conv::Layer {
        let Node { op: Op::Convolve { window, weight, bias }, input, shape } = self.graph.nodes[index] else {
            unreachable!("a convolution")
        };
        let convolution = Convolution { input: self.graph.shape(input), output: shape, window };
        conv::Layer { batch: self.batch, convolution, weight, bias }
    }

    fn convolve(&self, index: usize, product: Product, buffers: [Room; 3]) -> Call {
        let layer = self.convolution(index);
        let (variant, workgroups) = (layer.variant(product), layer.workgroups(product));
        let turns = layer.tile(product).turns(layer.slices(product)[1]);
        Call::new(&conv::KERNEL, &variant, &buffers, &layer.params(product), workgroups, turns)
    }

    fn pool(&self, index: usize, pass: pool::Pass, buffers: [Room; 3]) -> Call {
        let Node { op: Op::Pool { kind, window }, input, shape } = self.graph.nodes[index] else {
            unreachable!("a pooling")
        };
        let pool = Pool { kind, input: self.graph.shape(input), output: shape, window };
        let (params, workgroups) = pool.params(pass, self.batch.lanes, self.batch.rows);
        Call::new(&pool::KERNEL, &pool.variant(pass), &buffers, &params, workgroups, pool.turns(pass, self.batch.rows))
    }

    fn normalise(&self, index: usize, pass: norm::Pass, delta: Room, output: Room) -> Call {
        let Node { op: Op::Normalise { over, weight }, input, shape } = self.graph.nodes[index] else {
            unreachable!("a norm")
        };
        let (freshens, moments) = match self.purpose {
            Purpose::Training { freshens } => (freshens, Room::Moments(index)),
            Purpose::Evaluation(_) => (false, Room::Unwritten),
        };
        let norm = Norm { over, shape };
        let layer = norm::Layer { batch: self.batch, norm, weight, statistics: self.statistics, freshens };
        let buffers = [Room::Versions, self.room(input), delta, moments, Room::Running, output];
        let (variant, workgroups) = (layer.variant(pass), layer.workgroups(pass));
        Call::new(&norm::KERNEL, &variant, &buffers, &layer.params(), workgroups, layer.turns())
    }

    /// Of every number of a value of this shape.
    fn each(&self, operation: Operation, shape: Shape, buffers: [Room; 3]) -> Call {
        let elements = self.batch.rows * shape.elements();
        let (params, workgroups) = elementwise::params(self.batch.lanes, elements);
        let turns = elements.div_ceil(params.apart as usize);
        Call::new(&elementwise::KERNEL, &operation.variant(), &buffers, &params, workgroups, turns)
    }
}

/// `buffers`: a, b, c.
fn product(epilogue: Epilogue, params: &matmul::Params, buffers: [Room; 3]) -> Call {
    let tile = Tile::for_shape(params.rows, params.columns);
    let [a, b, c] = buffers;
    let workgroups = tile.workgroups(params.rows, params.columns, params.lanes);
    let variant = matmul::variant(tile, epilogue);
    Call::new(
        &matmul::KERNEL,
        &variant,
        &[a, b, c, Room::Unwritten],
        params,
        workgroups,
        tile.turns(params.inner as usize),
    )
}
