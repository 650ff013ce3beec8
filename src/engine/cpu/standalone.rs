//! Gradients without a run, for benchmarks: what a step computes before it changes anything, on one thread.

use super::gradient::{CpuPrecision, Gradients};
use crate::math::vector::Instructions;
use crate::problem::Problem;
use aligned_vec::AVec;
use pulp::{Simd, WithSimd};
use std::sync::Arc;

/// Loss and gradient of a problem at fixed weights.
pub struct StandaloneGradient<T: CpuPrecision> {
    instructions: Instructions,
    gradients: T::Gradients,
    /// In the layout of [`Gradients::pack`].
    weights: AVec<T>,
    scratch: <T::Gradients as Gradients<T>>::Scratch,
    gradient: AVec<T>,
}

impl<T: CpuPrecision> StandaloneGradient<T> {
    /// Prepares gradients at `weights`, P, over `rows` rows. The processor must have `instructions`.
    pub fn new(problem: &Arc<Problem>, weights: &[f64], rows: usize, instructions: Instructions) -> Self {
        let gradients = T::Gradients::new(problem, false);
        let weights = AVec::from_iter(0, gradients.pack(weights));
        let gradient = AVec::from_iter(0, std::iter::repeat_n(T::zero(), weights.len()));
        Self { instructions, scratch: gradients.scratch(rows, false), gradients, weights, gradient }
    }

    /// Mean loss over `rows` (numbers of samples; all where `None`), without weight decay, and its gradient.
    pub fn run(&mut self, rows: Option<&[u32]>) -> T {
        self.instructions.run(Once { of: self, rows })
    }

    /// The latest gradient, P.
    pub fn gradient(&self) -> Vec<f64> {
        self.gradients.unpack(&self.gradient)
    }
}

/// One gradient, compiled for the instruction set that it is dispatched to.
struct Once<'a, T: CpuPrecision> {
    of: &'a mut StandaloneGradient<T>,
    rows: Option<&'a [u32]>,
}

impl<T: CpuPrecision> WithSimd for Once<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        let StandaloneGradient { gradients, weights, scratch, gradient, .. } = self.of;
        gradients.loss_and_gradient(simd, [weights; 2], self.rows, scratch, gradient)
    }
}
