//! The self-test of a device: every kernel at one awkward size against its CPU twin, and whole steps against the CPU engine. A device
//! that computes nothing, stale or wrong numbers is refused before a result rests on it.
//!
//! - `stand`: lanes, buffers and comparisons; `layers`, `samples`, `updates`: the kernels; `whole`: steps
//! - `probe`: what is tried at every opening
//!
//! Not here: which device is tried, and what becomes of it then ([`super::Gpu::open`]); the result between processes (`device::kept`).

mod layers;
mod probe;
mod samples;
mod stand;
mod updates;
mod whole;

use crate::engine::EngineError;
use crate::engine::gpu::device::{Device, kept};
use rayon::prelude::*;
use stand::Case;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use whole::Whole;

/// When the self-test of a device runs. The probe runs at every opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfTest {
    /// Unless it was passed before by the same adapter, driver, shaders and version.
    #[default]
    Once,
    Always,
    /// For tests of something else.
    Never,
}

/// Why a device is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kernel that differs, or what was done.
    pub kernel: String,
    /// What differs first, and where; or how the device failed.
    pub difference: String,
}

impl Refusal {
    fn new(kernel: &str, difference: String) -> Self {
        Self { kernel: kernel.into(), difference }
    }

    fn failed(kernel: &str, error: &EngineError) -> Self {
        Self::new(kernel, error.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kernel, self.difference)
    }
}

/// Makes a kernel's buffers and pipelines.
type MakeCase = fn(&Device) -> Case;

/// Every kernel but `fused`, which [`Whole`] compares.
const CASES: [MakeCase; 23] = [
    samples::copy,
    layers::elementwise,
    layers::dense_forward,
    layers::dense_backward,
    layers::dense_gradient,
    layers::conv,
    layers::reduce,
    layers::pool,
    layers::norm,
    samples::loss,
    samples::evaluate,
    samples::gather,
    samples::quadratic,
    samples::hessian,
    samples::observe,
    samples::peak,
    updates::start,
    updates::fetch,
    updates::finish,
    updates::local,
    updates::spectral,
    updates::step,
    updates::renew,
];

/// Tries a device that was just opened: the probe always, the self-test as `when` says. Returns how long the kernels of the
/// self-test take, as it was measured when they passed; none where they never ran. `directory` is where results are kept.
///
/// # Errors
/// The first difference.
pub fn verify(device: &Device, when: SelfTest, directory: Option<&Path>) -> Result<Option<Duration>, Refusal> {
    probe::probe(device)?;
    let before = directory.and_then(|directory| kept::passed(device.identity(), directory));
    match (when, before) {
        (SelfTest::Never, before) => return Ok(before),
        (SelfTest::Once, Some(took)) => return Ok(Some(took)),
        _ => {}
    }
    match run(device) {
        Ok(took) => {
            directory.iter().for_each(|directory| kept::keep(device.identity(), directory, took));
            Ok(Some(took))
        }
        Err(refusal) => {
            directory.iter().for_each(|directory| kept::forget(device.identity(), directory));
            Err(refusal)
        }
    }
}

/// Returns how long the kernels take on the device once everything is made and compared: a second time, since some drivers
/// translate a shader only when it first runs.
fn run(device: &Device) -> Result<Duration, Refusal> {
    // Pipelines are what takes long at the first time on a machine; drivers make several at once.
    let cases: Vec<Case> = CASES.par_iter().map(|make| make(device)).collect();
    let failed = |what: &'static str| move |error: EngineError| Refusal::failed(what, &error);
    device.check().map_err(failed("its pipelines"))?;
    let whole = Whole::open(device).map_err(failed("a wave"))?;

    cases.iter().for_each(|case| case.submit(device));
    if let Some((kernel, difference)) = stand::differing(device, &cases).map_err(failed("its kernels"))? {
        return Err(Refusal::new(kernel, difference));
    }
    whole.compare()?;
    let begin = Instant::now();
    cases.iter().for_each(|case| case.submit(device));
    device.wait().map_err(failed("its kernels"))?;
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::{AdapterChoice, Checks};
    use crate::kernels;

    #[test]
    fn every_kernel_is_tried_and_none_passes_where_nothing_is_computed() {
        let device = Device::open(&AdapterChoice::Any, Checks::Bounds, None, None, None).unwrap();
        let mut tried = vec![kernels::fused::KERNEL.name];
        for make in CASES {
            let case = make(&device);
            tried.push(case.kernel);
            // It was not submitted.
            let outcome = stand::differing(&device, std::slice::from_ref(&case)).unwrap();
            assert!(outcome.is_some_and(|(kernel, _)| kernel == case.kernel), "{}", case.kernel);
        }
        let untried = kernels::ALL.iter().find(|kernel| !tried.contains(&kernel.name));
        assert!(untried.is_none(), "{untried:?} has no case");
    }
}
