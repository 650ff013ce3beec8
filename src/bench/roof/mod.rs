//! Peak speed of the machine, measured: fused multiply-adds on registers, and copies between large buffers.
//!
//! Both are upper bounds that kernels are compared with, so the best of several rounds is taken, not their median.

mod cpu;
mod gpu;

use crate::engine::gpu::device::Device;
use crate::engine::gpu::{AdapterChoice, Gpu};
use crate::engine::{EngineError, EngineInfo};
use crate::math::vector::Instructions;
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

/// How much of the higher one the lower one of two peaks must be: with less, something else worked on the machine meanwhile.
const STEADY: f64 = 0.8;

impl Roof {
    /// Measures the adapter of an engine, or the processor with these instructions, in the engine's precision.
    ///
    /// # Errors
    /// Where the adapter cannot be opened or fails.
    pub fn of(info: &EngineInfo, instructions: Instructions) -> Result<Self, EngineError> {
        match info.engine.as_str() {
            "gpu" => Self::of_gpu(Gpu::open(&AdapterChoice::Named(info.adapter.clone()))?.device()),
            _ => Ok(Self::of_cpu(info.precision == "f64", instructions)),
        }
    }

    /// The higher one of both peaks: what is a bound above is the more so the higher it is.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            peak_gflops: self.peak_gflops.max(other.peak_gflops),
            copy_gb_per_s: self.copy_gb_per_s.max(other.copy_gb_per_s),
        }
    }

    /// Whether what was measured between two roofs, at `gflops`, says something: the machine was as fast after as before, and nothing
    /// was faster than its best.
    pub fn is_steady(before: Self, after: Self, gflops: f64) -> bool {
        let (one, other) = (before.peak_gflops, after.peak_gflops);
        one.min(other) >= STEADY * one.max(other) && gflops <= one.max(other)
    }

    /// Measures all threads of rayon together; in f64 where `double`, else in f32.
    pub fn of_cpu(double: bool, instructions: Instructions) -> Self {
        Self { peak_gflops: cpu::flops_per_s(double, instructions) / 1e9, copy_gb_per_s: cpu::bytes_per_s() / 1e9 }
    }

    /// Measures an adapter, in f32.
    ///
    /// # Errors
    /// Where the adapter fails.
    pub fn of_gpu(device: &Device) -> Result<Self, EngineError> {
        Ok(Self { peak_gflops: gpu::flops_per_s(device)? / 1e9, copy_gb_per_s: gpu::bytes_per_s(device)? / 1e9 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slowed_down_or_was_beaten_is_not_steady() {
        let roof = |peak_gflops| Roof { peak_gflops, copy_gb_per_s: 1.0 };
        for (before, after, gflops, steady) in
            [(100.0, 90.0, 60.0, true), (90.0, 100.0, 99.0, true), (100.0, 70.0, 60.0, false), (2.0, 1.9, 100.0, false)]
        {
            assert_eq!(Roof::is_steady(roof(before), roof(after), gflops), steady, "{before} {after} {gflops}");
            assert_eq!(roof(before).or(roof(after)), roof(f64::max(before, after)));
        }
    }
}
