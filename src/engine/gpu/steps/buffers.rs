//! The table of a wave's buffers: name, size and usage of each stand here and nowhere else. The plan adds up its rows, a wave
//! allocates them, and calls bind them by name.
//!
//! Not here: what they hold when a wave opens (`contents`), nor which kernel binds which ([`super::WaveLayout::calls`]).

use super::path::{FUSED, Path};
use super::{Call, WaveLayout};
use crate::data::Dataset;
use crate::engine::Part;
use crate::engine::gpu::device::{ALIGNMENT, Buffer, Device, Dispatch};
use crate::kernels::fused::Layer;
use crate::kernels::update::{Update, UpdateStep};
use crate::kernels::{LaneStep, evaluate, spectral};
use crate::layer::device::BufferRole;
use crate::problem::{Network, Problem};
use std::collections::HashMap;
use std::ops::{Index, Range};

/// Bytes of an f32 or u32.
pub const WORD: u64 = 4;

/// Distinct starts that a wave has memory for at first: a sweep has two.
pub const FIRST_STARTS: usize = 2;

/// 32-bit words of an observation.
pub const OBSERVATION: usize = 4;

/// A buffer of a wave. The shapes are those of its contents; P is the length of a stored vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Name {
    /// steps x lanes: slots and rows of every step.
    LaneSteps,
    /// steps x lanes x stages: what every update writes, then coefficients ([`crate::kernels::update`]).
    Updates,
    /// Row numbers of the minibatches, at most steps x lanes x rows; a stub where the batch is full.
    Order,
    /// Vectors of a fused wave, whose kernel reads and writes one buffer. `Server`, `History`, `State` and `MinimumGradient`
    /// are parts of it there ([`vectors`]).
    Vectors,
    /// lanes x P: the server's weights.
    Server,
    /// lanes x slots x numbers of a part: the weight versions, a part of each of them. There is one part, P, where they fit one
    /// binding ([`WaveLayout::ring_parts`]).
    History(usize),
    /// lanes x (velocities, then the second moment if any) x numbers of a part: what the rule remembers, in the same parts.
    State(usize),
    /// lanes x P: the weights that the step reads, where the ring has several parts.
    ReadWeights,
    /// lanes x P: those that its way back reads, where they are others.
    BackwardWeights,
    /// lanes x running statistics of the batch norms.
    Statistics,
    /// steps x lanes x 4.
    Observations,
    /// The same of a whole block, on its way to the host.
    Staging,
    /// 3 x P: the minimum, the direction that displacements are projected on, the diagonal of the Hessian.
    Landmarks,
    /// starts x P: distinct weights at which lanes start.
    Starts,
    /// lanes: those that start now, and where.
    Starting,
    /// lanes: those that are copied or scaled now, and their sources.
    Renewals,
    /// lanes: the scales of those.
    Factors,
    /// P: a quadratic's eigenvalues.
    Eigenvalues,
    /// samples x P x P: the Hessians of a dense quadratic's samples; their mean alone where the batch is full.
    Hessians,
    /// samples x features.
    Data(Part),
    /// samples.
    Labels(Part),
    /// The table of a perceptron's layers for the fused kernel.
    Layers,
    /// lanes x P.
    Gradient,
    /// lanes x P: the gradient of the loss at the minimum; a stub where no run is centred.
    MinimumGradient,
    /// lanes x partial sums.
    LossPartials,
    /// lanes x partial sums x 4.
    MomentPartials,
    /// lanes x rows x features: the samples of the minibatch.
    BatchInputs,
    /// lanes x rows.
    BatchLabels,
    /// The numbers of all rows, for a graph whose batch is full; of a dense quadratic 0, the number of the mean.
    AllRows,
    /// Outputs of a perceptron's layer: lanes x rows x outputs. The last layer's become, in place, its delta.
    LayerValues(usize),
    LayerSlopes(usize),
    LayerDeltas(usize),
    /// Bound where a product has no slopes.
    NoSlopes,
    /// lanes x numbers of the largest matrix that moves as a whole: two that its Newton-Schulz steps go between.
    Iterate(usize),
    /// lanes x the square of its smaller side: the products of its rows, and the polynomial of them.
    Gram,
    Polynomial,
    /// lanes x blocks: partial sums of its square.
    Squares,
    /// A buffer of the pass that makes gradients.
    Training(BufferRole),
    /// A buffer of the pass that evaluates.
    Evaluation(BufferRole),
    /// Row numbers of an evaluation, chunk by chunk.
    ChunkRows(Part),
    /// lanes x rows of a chunk.
    ChunkLabels,
    /// chunks x lanes.
    ChunkSteps,
    /// lanes x chunks x partial sums x 2.
    Results,
}

impl Name {
    /// As messages and the device's own tools show it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Training(buffer) | Self::Evaluation(buffer) => buffer.into(),
            name => name.into(),
        }
    }

    /// Advice where it is too large.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::History(_) | Self::State(_) | Self::Vectors => "shorter delays, another rule or a smaller model",
            Self::Landmarks
            | Self::Server
            | Self::ReadWeights
            | Self::BackwardWeights
            | Self::Gradient
            | Self::MinimumGradient
            | Self::Iterate(_)
            | Self::Gram
            | Self::Polynomial
            | Self::Starts => "a smaller model",
            Self::Data(_) | Self::Labels(_) | Self::Eigenvalues | Self::Hessians => "fewer samples",
            _ => "smaller batches or a smaller model",
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct TableRow {
    pub name: Name,
    /// Bytes that do not depend on the number of lanes.
    pub shared: u64,
    /// Bytes of each lane.
    pub per_lane: u64,
}

impl TableRow {
    /// Bytes of device memory that it takes in a wave of `lanes` lanes.
    pub fn bytes(&self, lanes: usize) -> u64 {
        self.shared + self.per_lane * lanes as u64
    }
}

/// Rows by their words.
struct Table(Vec<TableRow>);

impl Table {
    fn shared(&mut self, name: Name, words: usize) {
        self.0.push(TableRow { name, shared: words as u64 * WORD, per_lane: 0 });
    }

    fn per_lane(&mut self, name: Name, words: usize) {
        self.0.push(TableRow { name, shared: 0, per_lane: words as u64 * WORD });
    }
}

/// How many vectors of P every lane has that steps read and write.
fn own_vectors(layout: &WaveLayout) -> [(Name, usize); 4] {
    let needs = &layout.spec.needs;
    [
        (Name::Server, 1),
        (Name::History(0), needs.versions()),
        (Name::State(0), needs.memories()),
        (Name::MinimumGradient, usize::from(needs.centred)),
    ]
}

/// Where in [`Name::Vectors`] those of `lanes` lanes lie; bytes.
pub fn vectors(layout: &WaveLayout, lanes: usize) -> [(Name, Range<u64>); 4] {
    let mut end = 0u64;
    own_vectors(layout).map(|(name, vectors)| {
        let start = end.next_multiple_of(ALIGNMENT);
        // Nothing empty can be bound.
        end = start + ((lanes * vectors * layout.sizes.parameters) as u64 * WORD).max(16);
        (name, start..end)
    })
}

/// The buffers of a wave in device memory.
pub fn table(layout: &WaveLayout) -> Vec<TableRow> {
    let WaveLayout { spec, sizes, lanes, table_steps, .. } = *layout;
    let words = |bytes: usize| bytes / WORD as usize;
    let (place, update) = (words(size_of::<LaneStep>()), words(size_of::<UpdateStep>() + size_of::<Update>()));
    let parameters = sizes.parameters;
    let mut table = Table(Vec::new());
    table.per_lane(Name::LaneSteps, place * table_steps);
    table.per_lane(Name::Updates, update * spec.updates() * table_steps);
    table.per_lane(Name::Order, spec.batch.unwrap_or(0) * table_steps);
    let own = own_vectors(layout);
    if layout.is_fused() {
        // Room for as many gaps as there are parts.
        let shared = own.len() as u64 * ALIGNMENT;
        let per_lane = own.iter().map(|(_, vectors)| (vectors * parameters) as u64 * WORD).sum();
        table.0.push(TableRow { name: Name::Vectors, shared, per_lane });
    } else {
        own_buffers(&mut table, layout);
    }
    table.per_lane(Name::Statistics, spec.problem.fresh_statistics().len());
    table.per_lane(Name::Observations, OBSERVATION * table_steps);
    table.shared(Name::Landmarks, 3 * parameters);
    table.shared(Name::Starts, FIRST_STARTS.min(lanes) * parameters);
    table.per_lane(Name::Starting, place);
    table.per_lane(Name::Renewals, place);
    table.per_lane(Name::Factors, 1);
    if sizes.path == Path::Layered {
        table.per_lane(Name::Gradient, parameters);
        table.per_lane(Name::LossPartials, sizes.loss_partials);
        table.per_lane(Name::MomentPartials, 4 * sizes.moment_partials);
        table.shared(Name::NoSlopes, 0);
    }
    if spec.needs.work.is_spectral {
        let [numbers, squares, blocks] = spectral::scratch(spec.matrices().into_iter().map(|(_, matrix)| matrix));
        table.per_lane(Name::Iterate(0), numbers);
        table.per_lane(Name::Iterate(1), numbers);
        table.per_lane(Name::Gram, squares);
        table.per_lane(Name::Polynomial, squares);
        table.per_lane(Name::Squares, blocks);
    }
    match &*spec.problem {
        Problem::Quadratic(_) => table.shared(Name::Eigenvalues, parameters),
        Problem::Dense(quadratic) => {
            let hessians = if spec.batch.is_some() { quadratic.hessians() } else { quadratic.mean() };
            table.shared(Name::Hessians, hessians.len());
            table.shared(Name::AllRows, usize::from(spec.batch.is_none()));
        }
        Problem::Network(network) => {
            dataset(&mut table, layout, Part::Train, &network.data);
            gradients(&mut table, layout, network);
            evaluation(&mut table, layout, network);
        }
    }
    table.0
}

/// The vectors of a layered wave, each with a buffer of its own.
fn own_buffers(table: &mut Table, layout: &WaveLayout) {
    let parameters = layout.sizes.parameters;
    for (name, vectors) in own_vectors(layout) {
        match name {
            Name::History(_) | Name::State(_) => {
                for (part, range) in layout.ring_parts().enumerate() {
                    let name = if name == Name::State(0) { Name::State(part) } else { Name::History(part) };
                    table.per_lane(name, vectors * range.len());
                }
            }
            name => table.per_lane(name, vectors * parameters),
        }
    }
    if layout.is_cut() {
        table.per_lane(Name::ReadWeights, parameters);
        if layout.spec.needs.work.is_split {
            table.per_lane(Name::BackwardWeights, parameters);
        }
    }
}

/// The buffer of a block's observations: the host has one for every block in flight.
pub fn staging(layout: &WaveLayout) -> TableRow {
    TableRow {
        name: Name::Staging,
        shared: 0,
        per_lane: (OBSERVATION * layout.spec.block * layout.spec.needs.work.gradients) as u64 * WORD,
    }
}

fn dataset(table: &mut Table, layout: &WaveLayout, part: Part, data: &Dataset) {
    table.shared(Name::Data(part), data.samples() * layout.sample_stride(data));
    table.shared(Name::Labels(part), data.samples());
}

/// What gradients of a network need.
fn gradients(table: &mut Table, layout: &WaveLayout, network: &Network) {
    let rows = layout.sizes.rows;
    match (layout.sizes.path, network.model.perceptron()) {
        (Path::Fused(shape), model) => {
            let layers = shape.layers(model.expect(FUSED)).len();
            table.shared(Name::Layers, layers * size_of::<Layer>() / WORD as usize);
        }
        (Path::Layered, Some(model)) => {
            if layout.spec.batch.is_some() {
                table.per_lane(Name::BatchInputs, rows * network.data.features());
                table.per_lane(Name::BatchLabels, rows);
            }
            let hidden = model.layers.len() - 1;
            for (index, layer) in model.layers.iter().enumerate() {
                table.per_lane(Name::LayerValues(index), rows * layer.outputs);
                if index < hidden {
                    table.per_lane(Name::LayerSlopes(index), rows * layer.outputs);
                    table.per_lane(Name::LayerDeltas(index), rows * layer.outputs);
                }
            }
        }
        (Path::Layered, None) => {
            for (buffer, words) in layout.training_pass(network).buffers() {
                table.per_lane(Name::Training(buffer), words);
            }
            table.per_lane(Name::BatchLabels, rows);
            if layout.spec.batch.is_none() {
                table.shared(Name::AllRows, rows);
            }
        }
    }
}

/// What evaluations need.
fn evaluation(table: &mut Table, layout: &WaveLayout, network: &Network) {
    if !layout.spec.needs.evaluation {
        return;
    }
    let (rows, chunks) = (layout.sizes.chunk, layout.most_chunks(network));
    for (buffer, words) in layout.evaluation_pass(network).buffers() {
        table.per_lane(Name::Evaluation(buffer), words);
    }
    for (part, data) in layout.parts(network) {
        table.shared(Name::ChunkRows(part), layout.chunks(data) * rows);
        if part == Part::Test {
            dataset(table, layout, part, data);
        }
    }
    table.per_lane(Name::ChunkLabels, rows);
    table.per_lane(Name::Results, chunks * evaluate::partials(rows) * 2);
    table.per_lane(Name::ChunkSteps, chunks * size_of::<LaneStep>() / WORD as usize);
}

/// The buffers of a wave on a device.
pub struct Buffers(HashMap<Name, Buffer>);

impl Buffers {
    /// Makes every buffer of the table.
    pub fn allocate(layout: &WaveLayout, device: &Device) -> Self {
        let buffer = |row: TableRow| (row.name, device.buffer(row.name.label(), row.bytes(layout.lanes)));
        let mut buffers: HashMap<Name, Buffer> = table(layout).into_iter().map(buffer).collect();
        if let Some(whole) = buffers.get(&Name::Vectors).cloned() {
            let part = |(name, Range { start, end })| (name, whole.part(start, end - start));
            buffers.extend(vectors(layout, layout.lanes).map(part));
        }
        Self(buffers)
    }

    /// Replaces a buffer by a larger one, whose contents are still to be written.
    pub fn grow(&mut self, device: &Device, name: Name, bytes: u64) {
        self.0.insert(name, device.buffer(name.label(), bytes));
    }

    pub fn bind(&self, device: &Device, call: Call) -> Dispatch {
        device.bind(call.map(|name| &self[name]))
    }
}

impl Index<Name> for Buffers {
    type Output = Buffer;

    fn index(&self, name: Name) -> &Buffer {
        self.0.get(&name).unwrap_or_else(|| panic!("{name:?} is no buffer of this wave"))
    }
}
