//! The UUID of an adapter, which wgpu does not tell but Vulkan does.
//!
//! Not here: what it is good for ([`super::choice`]).

/// As `nvidia-smi -L` writes it behind `GPU-`; empty where the backend has none.
#[cfg(any(target_os = "linux", windows))]
pub fn of(adapter: &wgpu::Adapter) -> String {
    use ash::vk;
    // SAFETY: the handle is asked for its properties and dropped before `adapter` is.
    let Some(adapter) = (unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }) else { return String::new() };
    let instance = adapter.shared_instance();
    if instance.instance_api_version() < vk::API_VERSION_1_1 {
        return String::new();
    }
    let mut identity = vk::PhysicalDeviceIDProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut identity);
    // SAFETY: the physical device is the instance's, which has this function from version 1.1 on.
    unsafe { instance.raw_instance().get_physical_device_properties2(adapter.raw_physical_device(), &mut properties) };
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let uuid = identity.device_uuid;
    [&uuid[..4], &uuid[4..6], &uuid[6..8], &uuid[8..10], &uuid[10..]].map(digits).join("-")
}

/// None: Metal has no UUIDs.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn of(_: &wgpu::Adapter) -> String {
    String::new()
}
