//! Engines: what advances many delayed runs at once. One trait, two implementations: [`cpu`] (rayon over lanes, f32 or
//! f64, no wgpu) and `gpu` (WGSL through wgpu).
//!
//! Not here: which learning rates to try, or what an observation means ([`crate::threshold`]).

mod blocks;
pub mod cpu;
pub mod gpu;
mod host_run;
mod lane_state;
mod observation;
pub mod pump;
mod run;

pub use host_run::HostRun;
pub use lane_state::{StateError, StateShape};
pub use observation::{Evaluation, Observation, Observations};
pub use run::{Needs, Run};

use crate::batch::{RowTables, Sampling};
pub use crate::data::Part;
use crate::problem::Problem;
use crate::update::Matrix;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::sync::Arc;

/// The machinery behind a result, as written into run.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `cpu` or `gpu`.
    pub engine: String,
    /// Adapter name; the processor architecture for `cpu`.
    pub adapter: String,
    /// Driver name and version; empty for `cpu`.
    pub driver: String,
    /// wgpu's device type (`DiscreteGpu`, ..., `Cpu` for a software adapter); `Native` for `cpu`.
    pub device_type: String,
    /// `Vulkan`, `Metal`, ...; `native` for `cpu`.
    pub backend: String,
    /// `f32` or `f64`.
    pub precision: String,
    /// Whether shaders check every index, `bounds`, or not, `trusted`; empty for `cpu`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checks: String,
}

/// What all lanes of a wave share.
#[derive(Clone, Debug)]
pub struct WaveSpec {
    pub problem: Arc<Problem>,
    /// Rows per gradient; `None` is the full batch, the only choice where the problem has no samples.
    pub batch: Option<usize>,
    /// Weights that distances are measured from, P.
    pub minimum: Arc<Vec<f64>>,
    /// Unit vector that displacements are projected on, P.
    pub direction: Arc<Vec<f64>>,
    /// Number of lanes.
    pub lanes: usize,
    /// Lanes that must run at the same time.
    pub together: usize,
    /// Which rows a minibatch holds.
    pub sampling: Sampling,
    /// What the wave's runs need room for.
    pub needs: Needs,
    /// Largest number of steps that one `advance` will be asked for.
    pub block: usize,
}

impl WaveSpec {
    /// Whether a run fits the wave.
    ///
    /// # Errors
    /// Where it needs room that was not announced.
    pub fn admits(&self, run: &Run) -> Result<(), EngineError> {
        let needs = run.needs(self.batch.is_some());
        let (own, wave) = (needs.work, self.needs.work);
        let differs = own.gradients != wave.gradients
            || own.stages != wave.stages
            || own.is_split != wave.is_split
            || own.is_spectral != wave.is_spectral;
        if self.needs.and(needs) != self.needs || differs {
            let (rule, room) = (run.rule.name(), self.needs);
            return Err(EngineError::TooLarge(format!(
                "a run of {rule} that needs {needs:?} does not fit a wave of {room:?}"
            )));
        }
        Ok(())
    }

    /// Updates of a step: one for each stage, or for each block of the parameters where matrices move as wholes.
    pub fn updates(&self) -> usize {
        if self.needs.work.is_spectral { blocks::blocks(&self.problem).len() } else { self.needs.work.stages }
    }

    /// The matrices that its runs move as wholes, each with the number of its update; none where they move none.
    pub fn matrices(&self) -> Vec<(usize, Matrix)> {
        if !self.needs.work.is_spectral {
            return Vec::new();
        }
        let blocks = blocks::blocks(&self.problem).into_iter().enumerate();
        blocks.filter_map(|(number, block)| Some((number, block.matrix?))).collect()
    }

    /// The rows that its runs draw, which all its lanes share; none where the batch is full.
    pub fn row_tables(&self) -> Option<Arc<RowTables>> {
        let (batch, samples) = self.batch.zip(self.problem.samples())?;
        Some(RowTables::new(samples, batch, self.sampling, self.problem.augmentation()))
    }
}

/// A lane that goes on from the present state of a lane, at another scale ([`crate::kernels::renew`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    pub lane: usize,
    /// Whose weights, velocities and place in schedule and epoch it takes over; itself where nothing is to be copied.
    pub source: usize,
    /// What displacements from the minimum are multiplied by.
    pub factor: f64,
    /// Where the randomness of its future comes from; as before where `None`.
    pub seed: Option<u64>,
}

/// What a wave takes of the memory that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Bytes of one lane.
    pub lane: u64,
    /// Bytes that a wave takes however many lanes it has: what threads compute in, or the data on a device.
    pub shared: u64,
    /// Bytes that are free, where the system tells.
    pub free: Option<u64>,
}

/// What an engine can say no to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan exceeds the device; the message has the numbers.
    #[error("{0}")]
    TooLarge(String),
    /// No adapter, a missing feature, an unknown adapter name, an unsupported combination.
    #[error("{0}")]
    Unavailable(String),
    /// The device has no room for a wave of so many lanes; one of fewer may fit.
    #[error("the device is out of memory: {0}")]
    OutOfMemory(String),
    /// The device is gone, and every wave on it; it may come back.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// The device failed while running.
    #[error("the device failed: {0}")]
    Device(String),
}

impl EngineError {
    /// Whether it is the device that failed, and no request that could be mended.
    pub fn is_of_the_device(&self) -> bool {
        matches!(self, Self::OutOfMemory(_) | Self::Lost(_) | Self::Device(_))
    }
}

/// Opens waves on one device.
pub trait Engine {
    fn info(&self) -> &EngineInfo;

    /// How many lanes of this kind fit at once, at most `spec.lanes`.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`], with the numbers, where not even one fits.
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError>;

    /// What lanes of this kind take.
    ///
    /// # Errors
    /// As [`Engine::capacity`].
    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError>;

    /// Bytes that [`Wave::save`] writes of a lane whose run has the needs of `spec`.
    fn checkpoint_bytes(&self, spec: &WaveSpec) -> u64 {
        let width = if self.info().precision == "f64" { 8 } else { 4 };
        StateShape::new(&spec.problem, &spec.needs, width).bytes()
    }

    /// How waves of this kind make their steps, as run.json names it: `fused`, where a lane goes through many whole steps
    /// at once, or `layered`, where every layer is a piece of work of its own.
    ///
    /// # Errors
    /// As [`Engine::capacity`].
    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError>;

    /// Opens a wave whose lanes are all idle.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] where `spec.lanes` exceeds the capacity.
    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError>;

    /// The same device again, after it was lost.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] where it has not come back, or cannot.
    fn reopen(&self) -> Result<Box<dyn Engine>, EngineError> {
        Err(EngineError::Unavailable(format!("the {} engine has no device to open again", self.info().engine)))
    }
}

/// Lanes that advance in lockstep, each with a run of its own or idle. A run's observations have the same bits in any
/// lane of any wave of the same engine and adapter.
pub trait Wave {
    /// Puts a run into a lane, in place of what was there.
    ///
    /// # Errors
    /// Where the run does not fit the wave's spec (more slots, a slot velocity that was not announced).
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError>;

    /// Makes a lane idle.
    fn retire(&mut self, lane: usize);

    /// Blocks that are worth having in flight beside the one that is looked at: none where the host itself does the steps.
    fn ahead(&self) -> usize {
        0
    }

    /// Has every busy lane advanced by `steps` (at most the spec's block), a block whose observations [`Self::collect`]
    /// brings. What is done to a lane afterwards happens after the block, and its observations stay as they are.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`], [`EngineError::Lost`] or [`EngineError::Device`] where the device fails.
    fn submit(&mut self, steps: usize) -> Result<(), EngineError>;

    /// The observations of the oldest block that was submitted and not collected yet; there must be one.
    ///
    /// # Errors
    /// As [`Self::submit`].
    fn collect(&mut self) -> Result<Observations, EngineError>;

    /// Advances every busy lane by `steps` and observes each step, where no block is in flight.
    ///
    /// # Errors
    /// As [`Self::submit`].
    fn advance(&mut self, steps: usize) -> Result<Observations, EngineError> {
        self.submit(steps)?;
        self.collect()
    }

    /// Renews lanes, all at once: sources are taken as they stand before the call, after all that was submitted. A lane that is copied elsewhere is not
    /// itself overwritten by a copy.
    ///
    /// # Errors
    /// [`EngineError::Device`] where the device fails.
    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError>;

    /// Writes a busy lane's whole state, after all that was submitted, a few vectors at a time.
    ///
    /// # Errors
    /// As [`Self::weights`], or where `out` cannot be written.
    fn save(&mut self, lane: usize, out: &mut dyn Write) -> Result<(), StateError>;

    /// Puts a run into a lane where [`Self::save`] wrote its state, after `made` steps. On the same engine and adapter
    /// everything that comes after has the same bits as without the interruption, whatever lane and wave it was in. Where it
    /// fails the lane is idle.
    ///
    /// # Errors
    /// As [`Self::start`], or where `state` cannot be read or is not the state of such a run after so many steps.
    fn restore(&mut self, lane: usize, run: Run, made: u64, state: &mut dyn Read) -> Result<(), StateError>;

    /// A busy lane's server weights, P, after all that was submitted.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`], [`EngineError::Lost`] or [`EngineError::Device`] where the device fails.
    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError>;

    /// The second moment that a busy lane's rule keeps, P, without bias correction, after all that was submitted; empty where it
    /// keeps none.
    ///
    /// # Errors
    /// As [`Self::weights`].
    fn second_moment(&mut self, lane: usize) -> Result<Vec<f64>, EngineError>;

    /// A busy lane's running statistics ([`crate::model::Model::statistics`]), after all that was submitted.
    ///
    /// # Errors
    /// As [`Self::weights`].
    fn statistics(&mut self, lane: usize) -> Result<Vec<f64>, EngineError>;

    /// What every lane's server weights make of a part of the data, after all that was submitted; batch norms use the running
    /// statistics. None for idle lanes. Only of a wave whose spec announced evaluations.
    ///
    /// # Errors
    /// As [`Self::weights`].
    fn evaluate(&mut self, part: Part) -> Result<Vec<Option<Evaluation>>, EngineError>;
}
