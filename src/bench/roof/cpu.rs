//! Peak speed of the processor: all threads at once.

use super::ROUNDS;
use crate::math::vector::Instructions;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds in a chain: a round takes about ten milliseconds, much longer than a thread takes to start.
const LINKS: usize = 1 << 22;

/// Words of the source of a copy, over all threads: 128 MiB, several times larger than the last cache.
const WORDS: usize = 1 << 24;

pub fn flops_per_s(double: bool, instructions: Instructions) -> f64 {
    let chains = Chains { double, links: LINKS };
    best(|| rayon::broadcast(|_| instructions.run(chains)).iter().sum())
}

pub fn bytes_per_s() -> f64 {
    let threads = rayon::current_num_threads();
    let words = WORDS / threads;
    let mut buffers: Vec<(Vec<u64>, Vec<u64>)> =
        (0..threads as u64).into_par_iter().map(|thread| (vec![thread; words], vec![1; words])).collect();
    best(|| {
        buffers.par_iter_mut().with_max_len(1).for_each(|(from, to)| {
            to.copy_from_slice(from);
            black_box(to);
        });
        (2 * size_of::<u64>() * words * threads) as u64
    })
}

/// Returns the most work per second over [`ROUNDS`] calls, each of which returns its amount of work. A first call warms up.
fn best(mut work: impl FnMut() -> u64) -> f64 {
    work();
    let rates = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let done = work() as f64;
        done / begin.elapsed().as_secs_f64()
    });
    rates.fold(0.0, f64::max)
}

/// Independent chains of fused multiply-adds: enough to hide each other's latency, few enough for 16 registers.
const CHAINS: usize = 12;

/// One thread's arithmetic; returns the number of floating-point operations.
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
        // Converges to 1: no overflow, no subnormal numbers, and nothing that the compiler could compute in advance.
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
