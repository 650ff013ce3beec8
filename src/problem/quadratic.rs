//! The quadratic f(x) = 1/2 sum_i lambda_i x_i^2: the problem on which theory is exact.

/// A diagonal quadratic with its minimum at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadratic {
    /// Hessian eigenvalues, all positive.
    pub eigenvalues: Vec<f64>,
}
