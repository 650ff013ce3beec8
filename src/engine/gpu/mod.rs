//! The GPU engine: all lanes of a wave in the same dispatches, weight versions resident on the device. The only place
//! that imports wgpu.
//!
//! Its folders, lowest first; each uses those before it:
//!
//! - [`device`] finds and opens an adapter, makes pipelines and dispatches of [`crate::kernels`], and turns whatever goes
//!   wrong into an [`EngineError`]
//! - `layers` makes the dispatches of the layers of any model
//! - [`plan`] counts what a wave takes before anything is allocated, and chooses the path that its steps take
//! - `steps` puts the dispatches of a wave's steps together on that path
//! - `wave` runs them: it keeps the lanes, submits their steps and brings the observations back

pub mod device;
mod layers;
pub mod plan;
mod steps;
mod wave;

pub use device::{AdapterChoice, AdapterReport, Checks, Options, adapters};

use super::{Engine, EngineError, EngineInfo, Footprint, Run, Wave, WaveSpec};
use device::Device;
pub use plan::Paths;
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
