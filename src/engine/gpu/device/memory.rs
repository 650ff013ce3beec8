//! How much of an adapter's memory this process may still take: asked before a wave is planned, as a device that runs out of it can be
//! lost.
//!
//! Not here: what a wave takes (`engine::gpu::plan`), nor main memory ([`crate::memory`]).

/// Bytes of the memory that the adapter computes in, where Vulkan tells: what the system leaves this process of it
/// (`VK_EXT_memory_budget`), else all of it. That of a software adapter is what main memory is free, whatever it says.
#[cfg(any(target_os = "linux", windows))]
pub fn free(adapter: &wgpu::Adapter) -> Option<u64> {
    use ash::{ext, vk};
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return crate::memory::free();
    }
    // SAFETY: the handle is asked for its properties and dropped before `adapter` is.
    let raw = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = raw.shared_instance();
    if instance.instance_api_version() < vk::API_VERSION_1_1 {
        return None;
    }
    let has_budget = raw.physical_device_capabilities().supports_extension(ext::memory_budget::NAME);
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
    if has_budget {
        properties = properties.push_next(&mut budget);
    }
    // SAFETY: the physical device is the instance's, which has this function from version 1.1 on; a device that has the
    // extension fills in its structure.
    unsafe {
        instance.raw_instance().get_physical_device_memory_properties2(raw.raw_physical_device(), &mut properties)
    };
    let memory = properties.memory_properties;
    let heaps = memory.memory_heaps.iter().take(memory.memory_heap_count as usize).zip(0_usize..);
    let own = heaps.filter(|(heap, _)| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
    let (heap, index) = own.max_by_key(|(heap, _)| heap.size)?;
    let size = heap.size;
    let left = budget.heap_budget[index].saturating_sub(budget.heap_usage[index]);
    Some(if has_budget { left } else { size })
}

/// None: neither Metal nor wgpu tells.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn free(_: &wgpu::Adapter) -> Option<u64> {
    None
}
