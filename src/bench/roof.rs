//! What the machine could do at best, measured: fused multiply-adds on registers, and copies between large buffers.
//!
//! Both are upper bounds that a kernel is held against, so the best of several rounds counts, and not their median.

use crate::engine::{EngineError, EngineInfo};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

/// The two roofs of a roofline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Roof {
    /// Floating-point operations per nanosecond; a fused multiply-add counts two.
    pub peak_gflops: f64,
    /// Bytes per nanosecond that a copy moves: what it reads plus what it writes.
    pub copy_gb_per_s: f64,
}

/// Measurements of each roof.
const ROUNDS: usize = 12;

impl Roof {
    /// That of the processor or adapter that an engine computes on, in its precision.
    ///
    /// # Errors
    /// Where the adapter cannot be opened, or fails.
    pub fn of(info: &EngineInfo) -> Result<Self, EngineError> {
        Ok(Self::of_cpu(info.precision == "f64"))
    }

    /// That of all of rayon's threads together.
    pub fn of_cpu(double: bool) -> Self {
        let chains = Chains { double, links: 1 << 18 };
        let threads = rayon::current_num_threads();
        let flops = best(|| {
            let sums: u64 = rayon::broadcast(|_| Arch::new().dispatch(chains)).iter().sum();
            sums as f64
        });
        let mut buffers: Vec<(Vec<u64>, Vec<u64>)> = (0..threads)
            .into_par_iter()
            .map(|thread| (vec![thread as u64; WORDS / threads], vec![1; WORDS / threads]))
            .collect();
        let bytes = best(|| {
            buffers.par_iter_mut().with_max_len(1).for_each(|(from, to)| {
                to.copy_from_slice(from);
                black_box(to);
            });
            (2 * size_of::<u64>() * (WORDS / threads) * threads) as f64
        });
        Self { peak_gflops: flops / 1e9, copy_gb_per_s: bytes / 1e9 }
    }
}

/// Words of the source of a copy, over all threads: 128 MiB, several times any processor's share of its last cache.
const WORDS: usize = 1 << 24;

/// The most work per second over [`ROUNDS`] calls, each of which says how much it did. One more before them warms up.
fn best(mut work: impl FnMut() -> f64) -> f64 {
    work();
    let rates = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let done = work();
        done / begin.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

/// Independent chains of fused multiply-adds: as many as hide the latency of each other, few enough for 16 registers.
const CHAINS: usize = 12;

/// A thread's share of the arithmetic; its result is the number of floating-point operations done.
#[derive(Clone, Copy)]
struct Chains {
    double: bool,
    /// Multiply-adds in a chain.
    links: usize,
}

impl WithSimd for Chains {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        // Towards the fixed point 1: neither overflow nor subnormal numbers, and nothing a compiler could foresee.
        let (factor, term) = (black_box(0.5), black_box(0.5));
        let lanes = if self.double {
            let (factor, term) = (simd.splat_f64s(factor), simd.splat_f64s(term));
            let mut sums = [term; CHAINS];
            for _ in 0..self.links {
                for sum in &mut sums {
                    *sum = simd.mul_add_e_f64s(*sum, factor, term);
                }
            }
            black_box(sums);
            S::F64_LANES
        } else {
            let (factor, term) = (simd.splat_f32s(factor as f32), simd.splat_f32s(term as f32));
            let mut sums = [term; CHAINS];
            for _ in 0..self.links {
                for sum in &mut sums {
                    *sum = simd.mul_add_e_f32s(*sum, factor, term);
                }
            }
            black_box(sums);
            S::F32_LANES
        };
        (2 * CHAINS * self.links * lanes) as u64
    }
}
