//! What the integration tests share: the one comparator (src/math/close.rs) with its tolerances, and the GPU they run on.
#![allow(dead_code, unused_imports, reason = "every test binary compiles this module and uses a part of it")]

use nalgebra::DMatrix;
use std::sync::OnceLock;
use tauscope::engine::gpu::{AdapterChoice, Checks, Gpu, Options};

pub use tauscope::math::{EXACT, KERNEL_F32, STEPS_F32, close};

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

/// An activation in f32 agrees with the exact one over the range of a trained network.
pub const ACTIVATION_F32: f64 = 5e-7;

/// Central differences in f64 with a step of 1e-5 agree with the derivative of a smooth function.
pub const DIFFERENCES: f64 = 1e-6;

/// Two f64 eigensolvers agree on an eigenvalue of a small, well-scaled matrix.
pub const EIGENVALUE: f64 = 1e-6;

/// A dozen operations in f64, in another order.
pub const ROUNDING_F64: f64 = 1e-14;

/// A number of f64 rounded to f32, a few of its operations before.
pub const ROUNDING_F32: f64 = 1e-7;

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
