//! `quadratic`: the gradient of f(x) = 1/2 sum_i lambda_i x_i^2, elementwise lambda_i x_i, and f itself.

use super::real::{Real, ordered_sum};

/// Fills `gradient` and returns f at `weights`; all three slices have P elements.
pub fn cpu<T: Real>(eigenvalues: &[T], weights: &[T], gradient: &mut [T]) -> T {
    for ((g, lambda), x) in gradient.iter_mut().zip(eigenvalues).zip(weights) {
        *g = *lambda * *x;
    }
    T::of(0.5) * ordered_sum(weights.len(), |i| eigenvalues[i] * weights[i] * weights[i])
}
