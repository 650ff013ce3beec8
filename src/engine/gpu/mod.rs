//! The GPU engine: all lanes of a wave in the same dispatches, weight versions resident on the device. The only place
//! that imports wgpu.
//!
//! Its folders, lowest first; each uses those before it:
//!
//! - [`device`] finds and opens an adapter, makes pipelines and dispatches of [`crate::kernels`], and turns whatever goes
//!   wrong into an [`EngineError`]
//! - `layers` says which kernels the layers of a model call
//! - `steps` says which buffers a wave has and which kernels its steps call on them, as data
//! - `plan` counts from these how many lanes fit the device, and how many steps a submit has
//! - `wave` runs the steps: it keeps the lanes, submits their steps and brings the observations back
//! - `self_test` says whether a device computes what it should, before it is used

pub mod device;
mod layers;
mod plan;
mod self_test;
mod steps;
mod wave;

pub use device::{AdapterChoice, AdapterReport, Checks, adapters, hindrances};

use super::{Engine, EngineError, EngineInfo, Footprint, Run, Wave, WaveSpec};
use device::{Device, Limits};
use plan::Plan;
pub use self_test::{Refusal, SelfTest};
use std::path::PathBuf;
use std::time::Duration;
pub use steps::path::Paths;
pub use wave::BenchmarkSteps;

/// How a device is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub checks: Checks,
    /// The directory of the pipeline cache; none where nothing is kept.
    pub cache: Option<PathBuf>,
    /// How waves may make their steps.
    pub paths: Paths,
    /// Floating-point operations that the first submit may hold, instead of what suits the kind of device: with a small
    /// number tests see steps cut into several submits without a network that is slow to compute.
    pub first_submit: Option<u64>,
    /// Limits of the device, none above the adapter's: so that tests see what smaller ones do.
    pub limits: Option<Limits>,
    /// When the device must prove that it computes what it should.
    pub self_test: SelfTest,
}

impl Default for Options {
    /// With the cache where the environment says.
    fn default() -> Self {
        let (checks, cache) = (Checks::default(), device::cache_directory());
        Self {
            checks,
            cache,
            paths: Paths::default(),
            first_submit: None,
            limits: None,
            self_test: SelfTest::default(),
        }
    }
}

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
    /// [`EngineError::Unavailable`], with the adapters that there are, where none fits the choice, where it lacks what the
    /// kernels need, or where it computes something else than it should.
    pub fn open(choice: &AdapterChoice) -> Result<Self, EngineError> {
        Self::open_with(choice, Options::default())
    }

    /// The same with other options than the default ones.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(choice: &AdapterChoice, options: Options) -> Result<Self, EngineError> {
        let (mut gpu, mut outcome) = Self::try_out(choice, options.clone())?;
        // Of several software adapters the fastest is taken. Which that is shows in their self-tests, where they are kept.
        let untried = gpu.device.untried();
        if options.cache.is_some() && options.self_test == SelfTest::Once && !untried.is_empty() {
            for index in untried {
                // One that cannot be opened, or is refused, has no time and comes last.
                let _ = Self::try_out(&AdapterChoice::Named(index.to_string()), options.clone());
            }
            (gpu, outcome) = Self::try_out(choice, options)?;
        }
        outcome.map_err(|refusal| {
            let adapter = &gpu.info().adapter;
            EngineError::Unavailable(format!("adapter '{adapter}' fails its self-test: {refusal}"))
        })?;
        Ok(gpu)
    }

    /// Opens an adapter however it computes, with the outcome of its self-test: how long its kernels take, where they ran.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] where none fits the choice, or it lacks what the kernels need.
    pub fn try_out(
        choice: &AdapterChoice,
        options: Options,
    ) -> Result<(Self, Result<Option<Duration>, Refusal>), EngineError> {
        let Options { checks, first_submit, self_test, ref limits, .. } = options;
        let device = Device::open(choice, checks, options.cache.as_deref(), first_submit, limits.as_ref())?;
        let outcome = self_test::verify(&device, self_test, options.cache.as_deref());
        Ok((Self { device, choice: choice.clone(), options }, outcome))
    }

    /// The same device, with waves on these paths alone, for tests and benchmarks of one of them.
    pub fn with_paths(&self, paths: Paths) -> Self {
        Self { options: Options { paths, ..self.options.clone() }, ..self.clone() }
    }

    fn plan(&self, spec: &WaveSpec) -> Result<Plan, EngineError> {
        if spec.needs.work.moments > 0 {
            return Err(EngineError::Unavailable(
                "local steps of adamw have no kernel on this engine; accepted: --engine cpu, or --local-rule sgd"
                    .into(),
            ));
        }
        Plan::new(spec, self.device.bounds(), self.options.paths)
    }

    /// The first steps of a wave of `runs`, one for each of its lanes, at most `most` steps: for benchmarks.
    ///
    /// # Errors
    /// As [`Engine::open`] and [`Wave::start`].
    pub fn benchmark_steps(
        &self,
        spec: WaveSpec,
        runs: impl IntoIterator<Item = Run>,
        most: usize,
    ) -> Result<BenchmarkSteps, EngineError> {
        let mut wave = wave::GpuWave::open(&self.device, spec, self.options.paths)?;
        runs.into_iter().enumerate().try_for_each(|(lane, run)| wave.start(lane, run))?;
        Ok(wave.benchmark_steps(most))
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
        Ok(Footprint { lane: (plan.bytes - shared) / lanes, shared, free: self.device.bounds().memory })
    }

    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        Ok(self.plan(spec)?.sizes.path.name().into())
    }

    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        Ok(Box::new(wave::GpuWave::open(&self.device, spec, self.options.paths)?))
    }

    fn reopen(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(Self::open_with(&self.choice, self.options.clone())?))
    }
}
