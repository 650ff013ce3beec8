//! What the integration tests share: the one comparator, and the GPU they run on.
#![allow(dead_code, reason = "every test binary compiles this module and uses a part of it")]

use nalgebra::DMatrix;
use std::sync::OnceLock;
use tauscope::engine::gpu::{AdapterChoice, Checks, Gpu, Options};

/// The only tolerance logic of the tests. `expected` must be finite and not all zero; every element of `actual` must
/// then lie within `tolerance` times the largest expected magnitude of its counterpart. Stated as what must be close,
/// never as what may not be far, so that NaN fails.
///
/// # Errors
/// Says what differs first, and where.
pub fn close<A, E>(what: &str, actual: &[A], expected: &[E], tolerance: f64) -> Result<(), String>
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if expected.is_empty() || actual.len() != expected.len() {
        return Err(format!("{what}: {} elements where {} are expected", actual.len(), expected.len()));
    }
    let expected: Vec<f64> = expected.iter().map(|e| (*e).into()).collect();
    let scale = expected.iter().fold(0.0, |scale: f64, e| scale.max(e.abs()));
    let usable = expected.iter().all(|e| e.is_finite()) && scale > 0.0;
    if !usable {
        return Err(format!("{what}: an oracle that is not finite, or zero throughout, proves nothing"));
    }
    for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        let actual: f64 = (*actual).into();
        let is_close = (actual - expected).abs() <= tolerance * scale;
        if !is_close {
            let error = (actual - expected).abs() / scale;
            return Err(format!(
                "{what}: element {index} is {actual:e} where {expected:e} is expected: {error:.1e} of the scale \
                 {scale:e}, promised {tolerance:e}"
            ));
        }
    }
    Ok(())
}

/// [`close`], or the test fails.
#[track_caller]
pub fn assert_close<A, E>(what: &str, actual: &[A], expected: &[E], tolerance: f64)
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if let Err(difference) = close(what, actual, expected, tolerance) {
        panic!("{difference}");
    }
}

/// One kernel in f32 agrees with its twin in f64 on sums of a few hundred terms.
pub const KERNEL_F32: f64 = 2e-6;

/// An activation in f32 agrees with the exact one over the range of a trained network.
pub const ACTIVATION_F32: f64 = 5e-7;

/// A dozen steps in f32 agree with the same steps in f64, far from any threshold.
pub const STEPS_F32: f64 = 2e-5;

/// Central differences in f64 with a step of 1e-5 agree with the derivative of a smooth function.
pub const DIFFERENCES: f64 = 1e-6;

/// Two f64 eigensolvers agree on an eigenvalue of a small, well-scaled matrix.
pub const EIGENVALUE: f64 = 1e-6;

/// A dozen operations in f64, in another order.
pub const ROUNDING_F64: f64 = 1e-14;

/// A number of f64 rounded to f32, a few of its operations before.
pub const ROUNDING_F32: f64 = 1e-7;

/// Numbers that f64 holds exactly are met exactly.
pub const EXACT: f64 = 0.0;

/// How the shaders of the tests are made: checked, or as they ship where the environment variable TAUSCOPE_TEST_SHADERS says
/// `trusted`.
pub fn checks() -> Checks {
    match std::env::var("TAUSCOPE_TEST_SHADERS").as_deref() {
        Err(_) | Ok("checked") => Checks::Bounds,
        Ok("trusted") => Checks::Trusted,
        Ok(other) => panic!("TAUSCOPE_TEST_SHADERS={other}: accepted: checked, trusted"),
    }
}

/// The adapter of the tests: a hardware GPU where there is one, else a software adapter. There is no way to skip.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let options = Options { checks: checks(), cache: None, ..Options::default() };
        Gpu::open_with(&AdapterChoice::Any, options).unwrap_or_else(|error| {
            panic!("{error}\nGPU tests need an adapter: scripts/test sets up software Vulkan where there is none")
        })
    })
}

/// `lim ||A^n||^(1/n)` at `n = 2^36`, by repeated squaring: unlike a QR iteration it does not mind the many zero
/// eigenvalues of a history.
pub fn spectral_radius(matrix: DMatrix<f64>) -> f64 {
    const SQUARINGS: i32 = 36;
    let mut power = matrix;
    let mut log_norm = 0.0;
    for _ in 0..SQUARINGS {
        let norm = power.norm();
        if norm == 0.0 {
            return 0.0;
        }
        power /= norm;
        log_norm = 2.0 * (log_norm + norm.ln());
        power = &power * &power;
    }
    ((log_norm + power.norm().ln()) / 2_f64.powi(SQUARINGS)).exp()
}
