//! The one comparator: whether numbers are those that are expected. All tests go by it, and so does the self-test of a device.
//!
//! Not here: what is compared with what.

/// `expected` must be finite and not all zero; every element of `actual` must then lie within `tolerance` times the largest
/// expected magnitude of its counterpart. Stated as what must be close, never as what may not be far, so that NaN fails.
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

/// One kernel in f32 agrees with its twin in f64 on sums of a few hundred terms.
pub const KERNEL_F32: f64 = 2e-6;

/// A dozen steps in f32 agree with the same steps in f64, far from any threshold.
pub const STEPS_F32: f64 = 2e-5;

/// Numbers that f64 holds exactly are met exactly.
pub const EXACT: f64 = 0.0;
