//! Peak speed of an adapter, measured with the kernels `peak` and `copy`.

use super::ROUNDS;
use crate::bench::fewer::fit;
use crate::engine::EngineError;
use crate::engine::gpu::device::{Buffer, Device, Dispatch};
use crate::kernels::{LaneStep, copy, peak};

/// Shortest useful duration of a dispatch, seconds: the clock's resolution and the launch are a small part of it.
const LONG: f64 = 5e-3;

/// Workgroups of `peak`: millions of invocations, many times more than any device runs at once.
const PEAK_GROUPS: u32 = 8192;

/// Workgroups of `copy`.
const COPY_GROUPS: u32 = 4096;

/// Most rounds of the loop of `peak`.
const MOST_LINKS: u32 = 1 << 14;

/// Most bytes of the source of a copy: ten times any adapter's cache.
const MOST_BYTES: u64 = 512 << 20;

/// Returns the step of the single lane of both kernels, which is busy.
fn lane_steps(device: &Device) -> Buffer {
    device.buffer_of("lane_steps", &[LaneStep { busy: 1, ..LaneStep::default() }])
}

pub fn flops_per_s(device: &Device) -> Result<f64, EngineError> {
    let lane_steps = lane_steps(device);
    let invocations = u64::from(PEAK_GROUPS) * peak::WORKGROUP as u64;
    let sums = device.buffer("sums", 16 * invocations);
    let mut links = 1;
    loop {
        let params = peak::Params { step: 0, lanes: 1, links, factor: 0.5 };
        let dispatch = device.bind(peak::call(&params, PEAK_GROUPS, [&lane_steps, &sums]));
        let flops = (invocations * peak::flops(links)) as f64;
        if device.time(std::slice::from_ref(&dispatch))?[0] >= LONG || links == MOST_LINKS {
            return Ok(flops / shortest(device, &dispatch)?);
        }
        links *= 2;
    }
}

pub fn bytes_per_s(device: &Device) -> Result<f64, EngineError> {
    let limits = device.limits();
    let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(MOST_BYTES);
    let stride = COPY_GROUPS * copy::WORKGROUP as u32;
    let speed = |quads: usize| {
        let bytes = 16 * quads as u64;
        let (source, copied) = (device.buffer("source", bytes), device.buffer("copied", bytes));
        let params = copy::Params { step: 0, lanes: 1, elements: quads as u32, stride };
        let dispatch = device.bind(copy::call(&params, [&lane_steps(device), &source, &copied]));
        Ok((2 * bytes) as f64 / shortest(device, &dispatch)?)
    };
    // Half as much where there is no room for it is still more than a cache.
    Ok(fit((most / 16) as usize, speed)?.outcome)
}

/// Returns the shortest of [`ROUNDS`] times, seconds, after a round that warms up.
fn shortest(device: &Device, dispatch: &Dispatch) -> Result<f64, EngineError> {
    device.time(std::slice::from_ref(dispatch))?;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        least = least.min(device.time(std::slice::from_ref(dispatch))?[0]);
    }
    Ok(least)
}
