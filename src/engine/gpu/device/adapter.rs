//! Adapters: which there are, and what they lack. Not here: which one is taken ([`super::choice`]).

use super::choice::{AdapterChoice, AdapterIdentity, pick, rivals};
use super::obstacles::obstacles;
use super::{Checks, uuid};
use crate::engine::EngineError;
use crate::kernels;
use serde::Serialize;
use std::time::Duration;
use wgpu::{Backends, DeviceType};

/// What the kernels cannot do without: the step of a block, and their parameters where there is room, are immediates.
pub const FEATURES: wgpu::Features = wgpu::Features::IMMEDIATES;

/// Bytes of immediates that an adapter must have. Vulkan, Metal and DirectX 12 have 128, which are enough for every kernel;
/// WebGPU has these, and the parameters of kernels that take more lie in a buffer there.
pub const IMMEDIATES: u32 = 64;

/// An adapter as `tauscope devices` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    /// What `--adapter` takes.
    pub index: usize,
    pub name: String,
    /// `bus:device.function`, where the system tells.
    pub pci: Option<String>,
    /// Where the system tells.
    pub uuid: Option<String>,
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
pub fn is_software(device_type: &str) -> bool {
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

/// Every adapter of this machine, hardware first.
///
/// # Errors
/// Where `WGPU_BACKEND` asks for what there is not.
pub fn adapters() -> Result<Vec<AdapterReport>, EngineError> {
    Ok(enumerate()?.iter().enumerate().map(|(index, adapter)| report(index, adapter)).collect())
}

/// The environment variable by which programs on wgpu are told their backends.
const BACKENDS: &str = "WGPU_BACKEND";

/// The backends that adapters are looked for in. Vulkan, Metal and DirectX 12: OpenGL has neither immediates nor the storage
/// buffers that the kernels need.
fn backends(variable: Option<&str>) -> Result<Backends, String> {
    let Some(text) = variable.filter(|text| !text.trim().is_empty()) else { return Ok(Backends::PRIMARY) };
    let mut backends = Backends::empty();
    for name in text.split(',') {
        let named = Backends::from_comma_list(name) & (Backends::VULKAN | Backends::METAL | Backends::DX12);
        if named.is_empty() {
            return Err(format!("{BACKENDS}={text}: '{}' has no kernels; accepted: vulkan, metal, dx12", name.trim()));
        }
        backends |= named;
    }
    Ok(backends)
}

/// What keeps adapters from being found, one sentence each; empty where nothing is known to.
pub fn hindrances() -> Vec<String> {
    let asked = std::env::var(BACKENDS).ok().filter(|text| !text.trim().is_empty());
    let Ok(found) = backends(asked.as_deref()) else { return Vec::new() };
    let limited = asked.map(|text| format!("{BACKENDS}={text} leaves other backends out; unset it to look in all"));
    let drivers = if found.contains(Backends::VULKAN) { obstacles() } else { Vec::new() };
    limited.into_iter().chain(drivers).collect()
}

fn enumerate() -> Result<Vec<wgpu::Adapter>, EngineError> {
    let backends = backends(std::env::var(BACKENDS).ok().as_deref()).map_err(EngineError::Unavailable)?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    Ok(adapters)
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let known = |text: String| (!text.is_empty()).then_some(text);
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    AdapterReport {
        index,
        pci: known(info.device_pci_bus_id.clone()),
        uuid: known(uuid::of(adapter)),
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

pub fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().into()
}

/// What the engine needs and the adapter lacks.
pub fn missing(adapter: &wgpu::Adapter) -> Option<String> {
    if !adapter.features().contains(FEATURES) {
        return Some("immediates".into());
    }
    let limits = adapter.limits();
    // Without the fused step, which a plan does without where it cannot be had.
    let indispensable = kernels::ALL.iter().filter(|kernel| kernel.name != kernels::fused::KERNEL.name);
    let buffers = indispensable.map(|kernel| kernel.buffers(limits.max_immediate_size) as u32).max().unwrap_or(0);
    let needed = [
        ("bytes of immediates", IMMEDIATES, limits.max_immediate_size),
        ("storage buffers per kernel", buffers, limits.max_storage_buffers_per_shader_stage),
    ];
    let short = needed.into_iter().find(|(_, needed, there)| there < needed);
    short.map(|(what, needed, there)| format!("{needed} {what}: it has {there}"))
}

/// What a change of adapter, driver or build of the shaders changes, in lines.
pub fn identity(adapter: &wgpu::Adapter, checks: Checks) -> String {
    let info = adapter.get_info();
    let (driver, uuid, checks) = (driver(&info), uuid::of(adapter), <&str>::from(checks));
    let wgpu::AdapterInfo { name, vendor, device, device_pci_bus_id: pci, backend, .. } = info;
    format!("{name}\n{vendor:x}:{device:x} {uuid} {pci}\n{backend:?} {driver}\n{checks}\n")
}

/// An adapter that was taken.
pub struct TakenAdapter {
    pub adapter: wgpu::Adapter,
    /// Which of the machine's adapters it is, for people.
    pub place: String,
    /// Others that might be taken in its place, once they are tried.
    pub untried: Vec<usize>,
}

/// Takes an adapter. `passed` says how long the self-test took on an adapter of this identity, where it did.
///
/// # Errors
/// Where none is what was asked for, or several are.
pub fn choose(
    choice: &AdapterChoice,
    checks: Checks,
    passed: &dyn Fn(&str) -> Option<Duration>,
) -> Result<TakenAdapter, EngineError> {
    let mut all = enumerate()?;
    let tell = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        let software = info.device_type == DeviceType::Cpu;
        AdapterIdentity {
            uuid: uuid::of(adapter),
            software,
            took: if software { passed(&identity(adapter, checks)) } else { None },
            backend: format!("{:?}", info.backend),
            name: info.name,
            pci: info.device_pci_bus_id,
        }
    };
    let identities: Vec<AdapterIdentity> = all.iter().map(tell).collect();
    let index = pick(choice, &identities).map_err(|message| {
        // Where hardware is there, what hinders other drivers is not the cause.
        let hinders = if identities.iter().all(|one| one.software) { hindrances() } else { Vec::new() };
        EngineError::Unavailable([vec![message], hinders].concat().join("; "))
    })?;
    let count = all.len();
    let pci = match &identities[index].pci {
        pci if pci.is_empty() => String::new(),
        pci => format!(", PCI {pci}"),
    };
    let place = format!("adapter {index} of {count}{pci}");
    Ok(TakenAdapter { adapter: all.swap_remove(index), place, untried: rivals(choice, &identities) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_backends_and_one_without_kernels_is_refused() {
        for (text, expected) in [
            (None, Backends::PRIMARY),
            (Some(" "), Backends::PRIMARY),
            (Some("vulkan"), Backends::VULKAN),
            (Some("vk, METAL"), Backends::VULKAN | Backends::METAL),
            (Some("dx12"), Backends::DX12),
        ] {
            assert_eq!(backends(text), Ok(expected), "{text:?}");
        }
        for text in ["gl", "vulkan,gl", "webgpu", "cuda", "vulkan,"] {
            let error = backends(Some(text)).unwrap_err();
            assert!(error.starts_with(&format!("WGPU_BACKEND={text}: '")), "{error}");
            assert!(error.ends_with("accepted: vulkan, metal, dx12"), "{error}");
        }
    }
}
