//! A wave's steps as data: which buffers it has, and which kernels are called on them in which order. What counts memory,
//! what allocates and what binds all read the same table and the same calls.
//!
//! - [`path`]: whether one dispatch makes many whole steps (`fused`) or every layer is a dispatch (`layered`)
//! - [`buffers`]: the table of a wave's buffers
//! - `contents`: what the host writes into them when a wave opens
//! - `fused`, `layered` with its `gradient` and `matrices`, `evaluation`: the calls
//!
//! Not here: how many lanes fit a device (`plan`), nor when anything runs (`wave`).

pub mod buffers;
mod contents;
mod evaluation;
mod fused;
mod gradient;
mod layered;
mod matrices;
pub mod path;

pub use fused::Fused;

use crate::data::Dataset;
use crate::engine::gpu::device::{Bounds, Device, Dispatch};
use crate::engine::gpu::layers::Pass;
use crate::engine::{EngineError, WaveSpec};
use crate::kernels::packing::{Packing, padded};
use crate::kernels::{self, Batch, hessian, loss, quadratic, renew, spectral, start, step};
use crate::layer::device::Purpose;
use crate::problem::{Network, Problem};
use buffers::{Buffers, Name};
use path::{FUSED, Path, Paths};
use std::ops::Range;

/// A call of a kernel on buffers of the table.
pub type Call = kernels::Call<Name>;

/// The sizes of one lane's vectors and sums. They depend on the problem and the device's limits, never on the number of
/// lanes, since a run has the same bits in every wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub path: Path,
    /// How vectors of P numbers are stored.
    pub packing: Packing,
    /// Numbers of a stored vector: P, or more where it is packed.
    pub parameters: usize,
    /// Rows per gradient; 0 for a diagonal quadratic, 1, the mean, for the full batch of a dense one.
    pub rows: usize,
    /// Partial sums of the loss.
    pub loss_partials: usize,
    /// Partial sums of the moments.
    pub moment_partials: usize,
    /// Samples that an evaluation takes at once.
    pub chunk: usize,
    /// Floating-point operations of a step.
    pub work: usize,
}

impl Sizes {
    /// # Errors
    /// [`EngineError::Unavailable`] where a norm has too few numbers; [`EngineError::TooLarge`] where only the fused path is
    /// allowed and the wave does not fit it.
    pub fn new(spec: &WaveSpec, bounds: Bounds, paths: Paths) -> Result<Self, EngineError> {
        let parameters = spec.problem.dimension();
        let (rows, loss_partials, work, chunk) = match &*spec.problem {
            Problem::Quadratic(_) => (0, quadratic::partials(parameters), parameters, 0),
            Problem::Dense(_) => {
                let rows = spec.batch.unwrap_or(1);
                (rows, hessian::partials(parameters), 2 * rows * parameters * parameters, 0)
            }
            Problem::Network(network) => {
                let rows = spec.batch.unwrap_or_else(|| network.data.samples());
                network.check_rows(rows).map_err(EngineError::Unavailable)?;
                let weights = network.model.graph.products();
                (rows, loss::partials(rows), 6 * rows * weights, chunk(network, rows))
            }
        };
        let work = work + spec.matrices().iter().map(|(_, matrix)| spectral::work(matrix)).sum::<usize>();
        let path = Path::new(spec, rows, work, bounds, paths)?;
        let packing = match (&path, &*spec.problem) {
            (Path::Fused(_), Problem::Network(network)) => Packing::of(network.model.perceptron().expect(FUSED)),
            _ => Packing::none(parameters),
        };
        let moment_partials = step::partials(parameters);
        let parameters = packing.length();
        Ok(Self { path, packing, parameters, rows, loss_partials, moment_partials, chunk, work })
    }
}

/// Samples that an evaluation takes at once: about as many as a gradient, but neither so few that a device idles nor so
/// many that their values outweigh a lane's weights.
fn chunk(network: &Network, rows: usize) -> usize {
    let parts = std::iter::once(&network.data).chain(&network.test);
    rows.clamp(32, 256).min(parts.map(Dataset::samples).max().unwrap_or(rows))
}

/// A wave of so many lanes: what its buffers and its calls follow from.
#[derive(Clone, Copy, Debug)]
pub struct WaveLayout<'a> {
    pub spec: &'a WaveSpec,
    pub sizes: &'a Sizes,
    pub lanes: usize,
    /// Steps that the tables of a submit hold.
    pub table_steps: usize,
    /// Numbers of a stored vector that a buffer of the ring has, the last one fewer: all, unless the ring is larger than a binding
    /// (`plan`). Whole workgroups of [`step`].
    pub part: usize,
}

impl<'a> WaveLayout<'a> {
    pub fn network(&self) -> Option<&'a Network> {
        match &*self.spec.problem {
            Problem::Quadratic(_) | Problem::Dense(_) => None,
            Problem::Network(network) => Some(network),
        }
    }

    fn is_fused(&self) -> bool {
        matches!(self.sizes.path, Path::Fused(_))
    }

    /// Numbers from one sample of the data to the next: on the fused path each is padded to whole vec4s.
    fn sample_stride(&self, data: &Dataset) -> usize {
        if self.is_fused() { padded(data.features()) } else { data.features() }
    }

    /// Numbers from one lane's ring to the next, from one lane's rule state to the next, and where in the latter the second
    /// moment begins, of vectors of so many numbers.
    fn strides(&self, length: usize) -> [u32; 3] {
        let needs = self.spec.needs;
        [needs.versions(), needs.memories(), needs.velocities()].map(|vectors| (vectors * length) as u32)
    }

    /// The numbers of a vector that each part of the ring, and of the rule's state, has.
    pub fn ring_parts(&self) -> impl Iterator<Item = Range<usize>> {
        let (parameters, part) = (self.sizes.parameters, self.part.max(1));
        (0..parameters).step_by(part).map(move |first| first..(first + part).min(parameters))
    }

    /// Whether the ring has several parts.
    fn is_cut(&self) -> bool {
        self.part < self.sizes.parameters
    }

    /// Where a step reads its weights, and how many versions each lane has there.
    fn weights(&self) -> (Name, usize) {
        if self.is_cut() { (Name::ReadWeights, 1) } else { (Name::History(0), self.spec.needs.versions()) }
    }

    /// Where its way back reads them.
    fn backward_weights(&self) -> Name {
        if self.is_cut() && self.spec.needs.work.is_split { Name::BackwardWeights } else { self.weights().0 }
    }

    /// The pass through a graph that makes gradients.
    fn training_pass(&self, network: &'a Network) -> Pass<'a> {
        let Sizes { rows, parameters, .. } = *self.sizes;
        let batch = Batch { lanes: self.lanes, rows, parameters, slots: self.weights().1 };
        Pass::new(&network.model, batch, Purpose::Training { updates_statistics: true })
    }

    /// The pass that evaluates the server's weights.
    fn evaluation_pass(&self, network: &'a Network) -> Pass<'a> {
        let Sizes { chunk, parameters, .. } = *self.sizes;
        let batch = Batch { lanes: self.lanes, rows: chunk, parameters, slots: 1 };
        let packed = network.model.perceptron().filter(|_| self.is_fused()).map(|model| (model, &self.sizes.packing));
        Pass::new(&network.model, batch, Purpose::Evaluation(packed))
    }

    /// Puts lanes at the beginning of their runs: a call for each part of the ring.
    pub fn start(&self) -> Vec<Call> {
        let call = |(part, range): (usize, Range<usize>)| {
            let params = start::Params {
                step: 0,
                parameters: self.sizes.parameters as u32,
                first: range.start as u32,
                length: range.len() as u32,
                slots: self.spec.needs.versions() as u32,
                memories: self.spec.needs.memories() as u32,
            };
            let buffers = [Name::Starting, Name::Starts, Name::Server, Name::History(part), Name::State(part)];
            start::call(&params, self.lanes, buffers)
        };
        self.ring_parts().enumerate().map(call).collect()
    }

    /// Copies lanes and scales them about the minimum: a call for each part of the ring.
    pub fn renew(&self) -> Vec<Call> {
        let call = |(part, range): (usize, Range<usize>)| {
            let params = renew::Params {
                step: 0,
                parameters: self.sizes.parameters as u32,
                first: range.start as u32,
                length: range.len() as u32,
                slots: self.spec.needs.versions() as u32,
                velocities: self.spec.needs.velocities() as u32,
                seconds: self.spec.needs.second_moments() as u32,
            };
            let (history, state) = (Name::History(part), Name::State(part));
            let buffers = [Name::Renewals, Name::Factors, Name::Landmarks, Name::Server, history, state];
            renew::call(&params, self.lanes, buffers)
        };
        self.ring_parts().enumerate().map(call).collect()
    }

    /// Everything that such a wave calls.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = [self.start(), self.renew()].concat();
        match Fused::of(self) {
            Some(fused) => calls.push(fused.call(1)),
            None => calls.extend(layered::calls(self)),
        }
        calls.extend(self.evaluated_parts().into_iter().flat_map(|part| self.evaluation(part)));
        calls
    }
}

/// What makes the steps of a wave.
pub enum Steps {
    /// One dispatch for many steps.
    Fused { fused: Box<Fused>, dispatch: Dispatch },
    /// The dispatches of one step.
    Layered(Vec<Dispatch>),
}

impl Steps {
    /// Binds the calls of `layout` to its buffers.
    pub fn new(layout: &WaveLayout, device: &Device, buffers: &Buffers) -> Self {
        match Fused::of(layout) {
            Some(fused) => Self::Fused { dispatch: buffers.bind(device, fused.call(1)), fused: Box::new(fused) },
            None => Self::Layered(layered::calls(layout).into_iter().map(|call| buffers.bind(device, call)).collect()),
        }
    }

    /// The dispatches of the first `steps` steps of the wave's tables, or of each of them on the layered path.
    pub fn dispatches(&self, device: &Device, steps: usize) -> Vec<Dispatch> {
        match self {
            Self::Fused { fused, dispatch } => vec![device.with_params(dispatch, &fused.params(steps))],
            Self::Layered(dispatches) => dispatches.clone(),
        }
    }

    /// Encodes the first `steps` steps of the wave's tables, to be submitted one after the other: a single one in up to
    /// `pieces` pieces.
    pub fn encode(&self, device: &Device, steps: usize, pieces: usize) -> Vec<wgpu::CommandEncoder> {
        match self {
            Self::Fused { .. } => vec![device.encode(&self.dispatches(device, steps), 0..1)],
            Self::Layered(dispatches) => device.encode_in(dispatches, 0..steps, pieces),
        }
    }

    /// Names of the kernels, in their order.
    pub fn kernels(&self) -> Vec<&'static str> {
        match self {
            Self::Fused { dispatch, .. } => vec![dispatch.kernel],
            Self::Layered(dispatches) => dispatches.iter().map(|dispatch| dispatch.kernel).collect(),
        }
    }
}
