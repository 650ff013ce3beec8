//! Devices: what an adapter can do once it is open, and how its failures are reported.
//!
//! - `adapter`: which adapters there are, with their `uuid`s; `choice`: which one is taken; `obstacles`: why there are no others
//! - `buffer`: buffers, and parts of one; `memory`: how much of it is left
//! - `pipeline`: pipelines and dispatches of kernels; `cache` keeps the pipelines for the next run, `kept` the passed self-test
//! - `fault`: failures, kept until they are asked for, and submits that hang
//! - `timing`: how long dispatches take

mod adapter;
mod buffer;
mod cache;
mod choice;
mod fault;
pub(super) mod kept;
mod memory;
mod obstacles;
mod pipeline;
mod timing;
mod uuid;

pub use adapter::{AdapterReport, IMMEDIATES, adapters, hindrances};
pub use buffer::{ALIGNMENT, Buffer};
pub use cache::directory as cache_directory;
pub use choice::AdapterChoice;
pub(super) use fault::Submission;
pub use pipeline::Dispatch;

use crate::engine::{EngineError, EngineInfo};
use crate::kernels::fused::MOST_ITERATIONS;
use adapter::{FEATURES, TakenAdapter, choose, driver, identity, is_software, missing};
use bytemuck::Pod;
use cache::PipelineCache;
use fault::{Fault, Watchdog};
use pipeline::Pipelines;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wgpu::BufferUsages;

pub use wgpu::Limits;

/// A buffer that the device writes and the host maps.
pub(super) type Staging = wgpu::Buffer;

/// What is used where the adapter has it: its own clock, for benchmarks, and what its driver made of the shaders before.
const WELCOME: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::PIPELINE_CACHE);

/// Whether shaders check every index before they use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Checks {
    /// They do: what lies outside a buffer is neither read nor written.
    Bounds,
    /// They do not: plan and tables keep every index inside its buffer.
    Trusted,
}

impl Default for Checks {
    /// Tests, which have debug assertions, run the checked build of all shaders.
    fn default() -> Self {
        if cfg!(debug_assertions) { Self::Bounds } else { Self::Trusted }
    }
}

/// What a device holds a wave to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    pub limits: &'a Limits,
    /// Loop iterations of one invocation in one dispatch, where there is a limit ([`MOST_ITERATIONS`]).
    pub iterations: usize,
    /// Floating-point operations in the first submit.
    pub work: u64,
    /// Bytes that a wave may take, where they are known.
    pub memory: Option<u64>,
}

/// Floating-point operations in the first submit at most; how fast the device is shows in it. Drivers kill submits that
/// take seconds; a small integrated GPU needs a tenth of a second for these.
pub const MOST_WORK: u64 = 40_000_000_000;

/// The same on a software adapter, which does a few thousand million of them in a second.
pub const MOST_SOFTWARE_WORK: u64 = 1_000_000_000;

/// The share of the free memory that waves are planned in: pipelines, copies between host and device, and the blocks that memory is
/// given out in take more.
const PLANNED_SHARE: f64 = 0.9;

/// An open device with its queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) handle: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: EngineInfo,
    place: String,
    identity: String,
    untried: Vec<usize>,
    pub(super) checks: Checks,
    limits: Limits,
    memory: Option<u64>,
    first_submit: Option<u64>,
    fault: Arc<Fault>,
    watchdog: Arc<Watchdog>,
    pub(super) pipelines: Arc<Mutex<Pipelines>>,
    pub(super) cache: Option<Arc<PipelineCache>>,
    made: Arc<AtomicU64>,
}

impl Device {
    /// # Errors
    /// As [`super::Gpu::open`]. The arguments are those of [`super::Options`].
    pub fn open(
        choice: &AdapterChoice,
        checks: Checks,
        cache: Option<&Path>,
        first_submit: Option<u64>,
        limits: Option<&Limits>,
    ) -> Result<Self, EngineError> {
        let passed = |identity: &str| cache.and_then(|directory| kept::passed(identity, directory));
        let TakenAdapter { adapter, place, untried } = choose(choice, checks, &passed)?;
        let info = adapter.get_info();
        if let Some(missing) = missing(&adapter) {
            return Err(EngineError::Unavailable(format!("adapter '{}' lacks {missing}", info.name)));
        }
        let (limits, memory) = (limits.cloned().unwrap_or_else(|| adapter.limits()), memory::free(&adapter));
        let (handle, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("tauscope"),
            required_features: FEATURES | (WELCOME & adapter.features()),
            required_limits: limits.clone(),
            ..Default::default()
        }))
        .map_err(|error| EngineError::Unavailable(format!("adapter '{}' cannot be opened: {error}", info.name)))?;

        let fault = Fault::listen(&handle);
        let cache = cache.and_then(|directory| PipelineCache::open(&handle, &info, directory));
        let cache = cache.map(Arc::new);
        let identity = identity(&adapter, checks);
        let info = EngineInfo {
            engine: "gpu".into(),
            driver: driver(&info),
            device_type: format!("{:?}", info.device_type),
            backend: format!("{:?}", info.backend),
            adapter: info.name,
            precision: "f32".into(),
            checks: <&str>::from(checks).into(),
        };
        let (watchdog, pipelines, made) = Default::default();
        Ok(Self {
            handle,
            queue,
            info,
            place,
            identity,
            untried,
            checks,
            limits,
            memory,
            first_submit,
            fault,
            watchdog,
            pipelines,
            cache,
            made,
        })
    }

    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Which of the machine's adapters it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What a change of adapter, driver or build of the shaders changes, in lines.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Other adapters that might have been taken in its place, had they been tried ([`choice::AdapterIdentity::took`]).
    pub(super) fn untried(&self) -> &[usize] {
        &self.untried
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What plans must keep to. Mesa's software rasteriser ends loops that turn too often; no hardware is known to.
    pub(super) fn bounds(&self) -> Bounds<'_> {
        let (iterations, work) =
            if self.is_software() { (MOST_ITERATIONS, MOST_SOFTWARE_WORK) } else { (usize::MAX, MOST_WORK) };
        let memory = self.memory.map(|free| (PLANNED_SHARE * free as f64) as u64);
        Bounds { limits: &self.limits, iterations, work: self.first_submit.unwrap_or(work), memory }
    }

    /// Whether it is a program on the processor.
    pub fn is_software(&self) -> bool {
        is_software(&self.info.device_type)
    }

    /// The first failure since the last check.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] where memory ran out, [`EngineError::Lost`] where the device is gone (at every check
    /// from then on), [`EngineError::Device`] for anything else.
    pub fn check(&self) -> Result<(), EngineError> {
        self.fault.check().inspect_err(|_| self.fault.abandon_if_dead(&self.handle, &self.queue))
    }

    /// Submits commands.
    pub(super) fn push(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        let _lock = fault::queue_lock();
        self.queue.submit([commands])
    }

    /// Submits commands; `what` describes them in the message where they hang.
    pub(super) fn submit(&self, commands: wgpu::CommandBuffer, what: &Arc<str>) -> Submission {
        self.watchdog.watch(self.push(commands), Arc::clone(what))
    }

    /// How long a single submit may take until it is taken to hang.
    pub fn set_patience(&self, patience: Duration) {
        self.watchdog.set_patience(patience);
    }

    /// Makes the device fail as if it had been pulled out: so that what follows can be tried.
    pub fn unplug(&self) {
        self.handle.destroy();
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn wait(&self) -> Result<(), EngineError> {
        let outcome = self.watchdog.wait(&self.handle, &self.fault);
        outcome.inspect_err(|_| self.fault.abandon_if_dead(&self.handle, &self.queue))
    }

    /// Waits until a submission is done, and those before it. Returns whether there was anything to wait for.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn wait_for(&self, submission: Submission) -> Result<bool, EngineError> {
        let outcome = self.watchdog.wait_for(submission, &self.handle, &self.fault);
        outcome.inspect_err(|_| self.fault.abandon_if_dead(&self.handle, &self.queue))
    }

    /// Bytes of all buffers that were made so far, but for those on their way to the host.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// A zeroed storage buffer of `bytes` bytes (at least one element, since nothing empty can be bound).
    pub fn buffer(&self, label: &str, bytes: u64) -> Buffer {
        self.made.fetch_add(bytes.max(16), Ordering::Relaxed);
        Buffer::new(self.handle.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(16),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        }))
    }

    /// A storage buffer that holds `values`.
    pub fn buffer_of<T: Pod>(&self, label: &str, values: &[T]) -> Buffer {
        let buffer = self.buffer(label, size_of_val(values) as u64);
        self.write(&buffer, 0, values);
        buffer
    }

    /// Overwrites the elements of `buffer` from element `first` on.
    pub fn write<T: Pod>(&self, buffer: &Buffer, first: usize, values: &[T]) {
        self.write_from(buffer, (first * size_of::<T>()) as u64, values);
    }

    /// Overwrites what begins at byte `offset` of `buffer`.
    pub(super) fn write_from<T: Pod>(&self, buffer: &Buffer, offset: u64, values: &[T]) {
        buffer.write(&self.queue, offset, bytemuck::cast_slice(values));
    }

    /// Copies `length` elements from element `first` on to the host, once all that was submitted is done.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn read<T: Pod>(&self, buffer: &Buffer, first: usize, length: usize) -> Result<Vec<T>, EngineError> {
        let bytes = (length * size_of::<T>()) as u64;
        let staging = self.staging(bytes);
        let mut encoder = self.handle.create_command_encoder(&Default::default());
        buffer.copy((first * size_of::<T>()) as u64, &staging, 0, bytes, &mut encoder);
        self.push(encoder.finish());
        self.read_staging(&staging, length)
    }

    /// A buffer that the device writes and the host maps.
    pub(super) fn staging(&self, bytes: u64) -> Staging {
        self.handle.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The first `length` elements of a staging buffer, once all that was submitted is done.
    pub(super) fn read_staging<T: Pod>(&self, staging: &Staging, length: usize) -> Result<Vec<T>, EngineError> {
        self.check()?;
        self.map(staging, length * size_of::<T>());
        self.wait()?;
        self.read_mapped(staging, length)
    }

    /// Sends the first `bytes` bytes of a staging buffer to the host, as soon as what was submitted has written them.
    pub(super) fn map(&self, staging: &Staging, bytes: usize) {
        // What fails here fails again in get_mapped_range.
        staging.slice(..bytes as u64).map_async(wgpu::MapMode::Read, |_| {});
    }

    /// The first `length` elements of a staging buffer that was mapped, once what was submitted before is done.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn read_mapped<T: Pod>(&self, staging: &Staging, length: usize) -> Result<Vec<T>, EngineError> {
        self.check()?;
        let slice = staging.slice(..(length * size_of::<T>()) as u64);
        let mapped = slice.get_mapped_range().map_err(|error| self.fault.behind(error))?;
        let values = bytemuck::pod_collect_to_vec(&mapped);
        drop(mapped);
        staging.unmap();
        Ok(values)
    }
}
