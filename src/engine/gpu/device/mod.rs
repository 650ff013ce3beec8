//! Adapters and devices: which one is taken, what it can do, and how its failures are told.

mod cache;
mod fault;
mod pipeline;
mod timing;

pub(super) use fault::Submission;
pub use pipeline::{Dispatch, Pipeline};

use crate::engine::gpu::plan::Paths;
use crate::engine::gpu::plan::{Bounds, MOST_SOFTWARE_WORK, MOST_WORK};
use crate::engine::{EngineError, EngineInfo};
use crate::kernels::{self, fused::MOST_TURNS};
use bytemuck::Pod;
use cache::PipelineCache;
use fault::{Fault, Watchdog};
use pipeline::Pipelines;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wgpu::{BufferUsages, DeviceType};

pub use wgpu::{Buffer, Limits};

/// What the kernels cannot do without: their parameters are immediates.
const FEATURES: wgpu::Features = wgpu::Features::IMMEDIATES;

/// What is used where the adapter has it: its own clock, for benchmarks, and what its driver made of the shaders before.
const WELCOME: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::PIPELINE_CACHE);

/// Bytes of immediates that every Vulkan, Metal and DirectX 12 adapter has; no kernel takes more.
pub const IMMEDIATES: u32 = 128;

/// Which adapter to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterChoice {
    /// A hardware GPU, discrete before integrated before virtual; never a software adapter.
    Hardware,
    /// The same, but rather a software adapter than none.
    Any,
    /// The first whose name contains this text, whatever its case; a software adapter too.
    Named(String),
}

impl AdapterChoice {
    fn admits(&self, info: &wgpu::AdapterInfo) -> bool {
        match self {
            Self::Hardware => info.device_type != DeviceType::Cpu,
            Self::Any => true,
            Self::Named(part) => info.name.to_lowercase().contains(&part.to_lowercase()),
        }
    }
}

impl std::fmt::Display for AdapterChoice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hardware => formatter.write_str("hardware GPU"),
            Self::Any => formatter.write_str("adapter"),
            Self::Named(part) => write!(formatter, "adapter whose name contains '{part}'"),
        }
    }
}

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
}

impl Default for Options {
    /// With the cache where the environment says.
    fn default() -> Self {
        Self { checks: Checks::default(), cache: cache::directory(), paths: Paths::default(), first_submit: None }
    }
}

/// An adapter as `tauscope devices` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    pub name: String,
    pub backend: String,
    pub driver: String,
    pub device_type: String,
    /// Whether it has what the engine needs; if not, what is missing.
    pub missing: Option<String>,
    /// Largest single buffer that a kernel can see, bytes.
    pub max_storage_buffer_binding_size: u64,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    pub max_storage_buffers_per_shader_stage: u32,
    pub max_compute_workgroups_per_dimension: u32,
    pub max_compute_invocations_per_workgroup: u32,
    /// Workgroup memory, bytes.
    pub max_compute_workgroup_storage_size: u32,
    pub max_immediate_size: u32,
    pub subgroup_min_size: u32,
    pub subgroup_max_size: u32,
    /// Those of wgpu's features that compute kernels can use.
    pub features: Vec<String>,
}

impl AdapterReport {
    /// Whether it is a program on the processor, such as Mesa's lavapipe.
    pub fn is_software(&self) -> bool {
        is_software(&self.device_type)
    }
}

/// Whether a device of this type, as wgpu names it, is a program on the processor.
fn is_software(device_type: &str) -> bool {
    device_type == format!("{:?}", DeviceType::Cpu)
}

/// Features worth a line in `tauscope devices`: needed, or of use to faster kernels.
const NOTEWORTHY: [(wgpu::Features, &str); 6] = [
    (wgpu::Features::IMMEDIATES, "immediates"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
    (wgpu::Features::SUBGROUP, "subgroup"),
    (wgpu::Features::SHADER_F16, "shader-f16"),
    (wgpu::Features::SHADER_F64, "shader-f64"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline-cache"),
];

/// Every adapter of this machine, best first.
pub fn adapters() -> Vec<AdapterReport> {
    enumerate().iter().map(report).collect()
}

/// Vulkan, Metal and DirectX 12: OpenGL has neither immediates nor the storage buffers that the kernels need.
fn enumerate() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    adapters
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    AdapterReport {
        driver: driver(&info),
        missing: missing(adapter),
        name: info.name,
        backend: format!("{:?}", info.backend),
        device_type: format!("{:?}", info.device_type),
        max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
        max_buffer_size: limits.max_buffer_size,
        max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
        max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
        max_immediate_size: limits.max_immediate_size,
        subgroup_min_size: info.subgroup_min_size,
        subgroup_max_size: info.subgroup_max_size,
        features: NOTEWORTHY
            .iter()
            .filter(|(feature, _)| features.contains(*feature))
            .map(|(_, name)| (*name).into())
            .collect(),
    }
}

fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().into()
}

/// What the engine needs and the adapter lacks.
fn missing(adapter: &wgpu::Adapter) -> Option<String> {
    if !adapter.features().contains(FEATURES) {
        return Some("immediates".into());
    }
    let limits = adapter.limits();
    // Without the fused step, which a plan does without where it cannot be had.
    let indispensable = kernels::ALL.iter().filter(|kernel| kernel.name != kernels::fused::KERNEL.name);
    let buffers = indispensable.map(|kernel| kernel.bindings.len() as u32).max().unwrap_or(0);
    let needed = [
        ("bytes of immediates", IMMEDIATES, limits.max_immediate_size),
        ("storage buffers per kernel", buffers, limits.max_storage_buffers_per_shader_stage),
    ];
    let short = needed.into_iter().find(|(_, needed, there)| there < needed);
    short.map(|(what, needed, there)| format!("{needed} {what}: it has {there}"))
}

fn choose(choice: &AdapterChoice) -> Result<wgpu::Adapter, EngineError> {
    let all = enumerate();
    let listed = all.iter().map(|adapter| {
        let info = adapter.get_info();
        format!("'{}' ({:?})", info.name, info.device_type)
    });
    let there_are = match listed.collect::<Vec<_>>().join(", ") {
        list if list.is_empty() => "this machine has no adapter at all (Vulkan, Metal or DirectX 12)".into(),
        list => format!("this machine has {list}"),
    };
    all.into_iter()
        .find(|adapter| choice.admits(&adapter.get_info()))
        .ok_or_else(|| EngineError::Unavailable(format!("no {choice}: {there_are}")))
}

/// An open device with its queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) handle: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: EngineInfo,
    pub(super) checks: Checks,
    limits: Limits,
    first_submit: Option<u64>,
    fault: Arc<Fault>,
    watchdog: Arc<Watchdog>,
    pub(super) pipelines: Arc<Mutex<Pipelines>>,
    pub(super) cache: Option<Arc<PipelineCache>>,
    made: Arc<AtomicU64>,
}

impl Device {
    /// # Errors
    /// As [`super::Gpu::open`].
    pub fn open(choice: &AdapterChoice, options: &Options) -> Result<Self, EngineError> {
        let adapter = choose(choice)?;
        let info = adapter.get_info();
        if let Some(missing) = missing(&adapter) {
            return Err(EngineError::Unavailable(format!("adapter '{}' lacks {missing}", info.name)));
        }
        let limits = adapter.limits();
        let (handle, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("tauscope"),
            required_features: FEATURES | (WELCOME & adapter.features()),
            required_limits: limits.clone(),
            ..Default::default()
        }))
        .map_err(|error| EngineError::Unavailable(format!("adapter '{}' cannot be opened: {error}", info.name)))?;

        let fault = Fault::listen(&handle);
        let cache = options.cache.as_deref().and_then(|directory| PipelineCache::open(&handle, &info, directory));
        let cache = cache.map(Arc::new);
        let Options { checks, .. } = *options;
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
        let first_submit = options.first_submit;
        Ok(Self { handle, queue, info, checks, limits, first_submit, fault, watchdog, pipelines, cache, made })
    }

    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What plans must keep to. Mesa's software rasteriser ends loops that turn too often; no hardware is known to.
    pub(super) fn bounds(&self) -> Bounds<'_> {
        let (turns, work) = if self.is_software() { (MOST_TURNS, MOST_SOFTWARE_WORK) } else { (usize::MAX, MOST_WORK) };
        Bounds { limits: &self.limits, turns, work: self.first_submit.unwrap_or(work) }
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
        let _turn = fault::turn();
        self.queue.submit([commands])
    }

    /// Submits commands that `what` describes to whoever waits for them in vain.
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
        self.handle.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(16),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A storage buffer that holds `values`.
    pub fn buffer_of<T: Pod>(&self, label: &str, values: &[T]) -> Buffer {
        let buffer = self.buffer(label, size_of_val(values) as u64);
        self.write(&buffer, 0, values);
        buffer
    }

    /// Overwrites the elements of `buffer` from element `first` on.
    pub fn write<T: Pod>(&self, buffer: &Buffer, first: usize, values: &[T]) {
        self.queue.write_buffer(buffer, (first * size_of::<T>()) as u64, bytemuck::cast_slice(values));
    }

    /// Copies `length` elements from element `first` on to the host, once all that was submitted is done.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn read<T: Pod>(&self, buffer: &Buffer, first: usize, length: usize) -> Result<Vec<T>, EngineError> {
        let bytes = (length * size_of::<T>()) as u64;
        let staging = self.staging(bytes);
        let mut encoder = self.handle.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, (first * size_of::<T>()) as u64, &staging, 0, bytes);
        self.push(encoder.finish());
        self.read_staging(&staging, length)
    }

    /// A buffer that the device writes and the host maps.
    pub(super) fn staging(&self, bytes: u64) -> Buffer {
        self.handle.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The first `length` elements of a staging buffer, once all that was submitted is done.
    pub(super) fn read_staging<T: Pod>(&self, staging: &Buffer, length: usize) -> Result<Vec<T>, EngineError> {
        self.check()?;
        self.map(staging, length * size_of::<T>());
        self.wait()?;
        self.read_mapped(staging, length)
    }

    /// Sends the first `bytes` bytes of a staging buffer to the host, as soon as what was submitted has written them.
    pub(super) fn map(&self, staging: &Buffer, bytes: usize) {
        // What fails here fails again in get_mapped_range.
        staging.slice(..bytes as u64).map_async(wgpu::MapMode::Read, |_| {});
    }

    /// The first `length` elements of a staging buffer that was mapped, once what was submitted before is done.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn read_mapped<T: Pod>(&self, staging: &Buffer, length: usize) -> Result<Vec<T>, EngineError> {
        self.check()?;
        let slice = staging.slice(..(length * size_of::<T>()) as u64);
        let mapped = slice.get_mapped_range().map_err(|error| self.fault.behind(error))?;
        let values = bytemuck::pod_collect_to_vec(&mapped);
        drop(mapped);
        staging.unmap();
        Ok(values)
    }
}
