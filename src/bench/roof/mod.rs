//! Peak speed of the machine, measured: fused multiply-adds on registers, and copies between large buffers.
//!
//! Both are upper bounds that kernels are compared with, so the best of several rounds is taken, not their median.

mod cpu;
mod gpu;

use crate::engine::gpu::device::Device;
use crate::engine::gpu::{AdapterChoice, Gpu};
use crate::engine::{EngineError, EngineInfo};
use serde::Serialize;

/// Peak of arithmetic and of memory: the two limits of a roofline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Roof {
    /// Floating-point operations per nanosecond; a fused multiply-add counts two.
    pub peak_gflops: f64,
    /// Bytes per nanosecond that a copy moves: what it reads plus what it writes.
    pub copy_gb_per_s: f64,
}

/// Measurements of each peak.
const ROUNDS: usize = 12;

impl Roof {
    /// Measures the processor or adapter of an engine, in its precision.
    ///
    /// # Errors
    /// Where the adapter cannot be opened or fails.
    pub fn of(info: &EngineInfo) -> Result<Self, EngineError> {
        match info.engine.as_str() {
            "gpu" => Self::of_gpu(Gpu::open(&AdapterChoice::Named(info.adapter.clone()))?.device()),
            _ => Ok(Self::of_cpu(info.precision == "f64")),
        }
    }

    /// Measures all threads of rayon together; in f64 where `double`, else in f32.
    pub fn of_cpu(double: bool) -> Self {
        Self { peak_gflops: cpu::flops_per_s(double) / 1e9, copy_gb_per_s: cpu::bytes_per_s() / 1e9 }
    }

    /// Measures an adapter, in f32.
    ///
    /// # Errors
    /// Where the adapter fails.
    pub fn of_gpu(device: &Device) -> Result<Self, EngineError> {
        Ok(Self { peak_gflops: gpu::flops_per_s(device)? / 1e9, copy_gb_per_s: gpu::bytes_per_s(device)? / 1e9 })
    }
}
