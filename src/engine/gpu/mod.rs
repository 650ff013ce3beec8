//! The GPU engine: all lanes of a wave in the same dispatches, weight versions resident on the device. The only place
//! that imports wgpu.
//!
//! - [`device`] finds and opens an adapter, and turns whatever goes wrong on it into an [`EngineError`]
//! - `fault` keeps what goes wrong on it, and says what hangs
//! - [`program`] makes pipelines and dispatches of [`crate::kernels`], which `cache` keeps for the next run
//! - `timing` says how long dispatches take
//! - [`plan`] counts what a wave takes, before anything is allocated, on the [`path`] that it takes; `sizes` lists its buffers
//! - `steps` puts the dispatches of a wave's steps together on that path: `fused`, or `layered` with its `gradient`
//! - `graph` makes dispatches of the layers of any model, in the order and on the buffers that its `tape` has
//! - `samples` is the data on the device, over which `evaluation` goes
//! - `starts` puts lanes at the beginning of their runs
//! - `tables` keeps the lanes, and works out what each does at every step
//! - `blocks` brings observations to the host while the device goes on, at the `pace` that the device keeps
//! - `wave` keeps these together

mod blocks;
mod cache;
pub mod device;
mod evaluation;
mod fault;
mod fused;
mod gradient;
mod graph;
mod layered;
mod pace;
pub mod path;
pub mod plan;
pub mod program;
mod samples;
mod sizes;
mod starts;
mod steps;
mod tables;
mod tape;
mod timing;
mod wave;

pub use device::{AdapterChoice, AdapterReport, Checks, Options, adapters};

use super::{Engine, EngineError, EngineInfo, Footprint, Run, Wave, WaveSpec};
use device::Device;
pub use path::Paths;
use plan::Plan;
pub use wave::Rehearsal;

/// A device that waves can be opened on.
#[derive(Clone, Debug)]
pub struct Gpu {
    device: Device,
    choice: AdapterChoice,
    options: Options,
}

impl Gpu {
    /// Opens the adapter that `choice` names.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`], with the adapters that there are, where none fits the choice or it lacks what the
    /// kernels need.
    pub fn open(choice: &AdapterChoice) -> Result<Self, EngineError> {
        Self::open_with(choice, Options::default())
    }

    /// The same, otherwise than by default.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(choice: &AdapterChoice, options: Options) -> Result<Self, EngineError> {
        Ok(Self { device: Device::open(choice, &options)?, choice: choice.clone(), options })
    }

    /// The same device, with waves on these paths alone, for tests and benchmarks of one of them.
    pub fn with_paths(&self, paths: Paths) -> Self {
        Self { options: Options { paths, ..self.options.clone() }, ..self.clone() }
    }

    fn plan(&self, spec: &WaveSpec) -> Result<Plan, EngineError> {
        Plan::new(spec, self.device.bounds(), self.options.paths)
    }

    /// The first steps of a wave of `runs`, one for each of its lanes, at most `most` steps: for benchmarks of what makes
    /// them.
    ///
    /// # Errors
    /// As [`Engine::open`] and [`Wave::start`].
    pub fn rehearse(
        &self,
        spec: WaveSpec,
        runs: impl IntoIterator<Item = Run>,
        most: usize,
    ) -> Result<Rehearsal, EngineError> {
        let mut wave = wave::GpuWave::open(&self.device, spec, self.options.paths)?;
        runs.into_iter().enumerate().try_for_each(|(lane, run)| wave.start(lane, run))?;
        Ok(wave.rehearse(most))
    }

    /// The device itself, for tests and benchmarks of single kernels.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl Engine for Gpu {
    fn info(&self) -> &EngineInfo {
        self.device.info()
    }

    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        Ok(self.plan(spec)?.capacity)
    }

    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        let plan = self.plan(spec)?;
        let (lanes, shared) = (plan.capacity.max(1) as u64, plan.shared_bytes);
        Ok(Footprint { lane: (plan.bytes - shared) / lanes, shared, free: None })
    }

    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        Ok(self.plan(spec)?.path.name().into())
    }

    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        Ok(Box::new(wave::GpuWave::open(&self.device, spec, self.options.paths)?))
    }

    fn reopen(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(Self::open_with(&self.choice, self.options.clone())?))
    }
}
