//! The probe: a few sums whose numbers nobody can know beforehand, at every opening of a device, so that one that computes nothing,
//! or brings what it computed before, is never believed.

use super::Refusal;
use super::stand::{LANES, lane};
use crate::engine::gpu::device::Device;
use crate::kernels::LaneStep;
use crate::kernels::elementwise::{self, Operation};
use crate::math::{KERNEL_F32, close};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::{SystemTime, UNIX_EPOCH};

/// Times that a number is added: one that is left out shows.
const ROUNDS: usize = 3;

/// Numbers of a lane: a few workgroups, the last of which is not full.
const ELEMENTS: usize = 3 * elementwise::WORKGROUP + 7;

/// Adds numbers that depend on the time and on the process, in three dispatches on top of each other.
pub fn probe(device: &Device) -> Result<(), Refusal> {
    let mut rng = ChaCha8Rng::seed_from_u64(key());
    let mut numbers = || (0..LANES * ELEMENTS).map(|_| rng.random_range(0.5..1.0)).collect::<Vec<f32>>();
    let (terms, before) = (numbers(), numbers());
    let busy = device.buffer_of("lane_steps", &[LaneStep::at(0); ROUNDS * LANES]);
    let (one, sum) = (device.buffer_of("terms", &terms), device.buffer_of("sums", &before));
    let buffers = [&busy, &one, &device.buffer("stub", 0), &sum];
    device.run(&[device.bind(elementwise::call(Operation::Accumulate, LANES, ELEMENTS, buffers))], ROUNDS);
    let name = elementwise::KERNEL.name;
    let found: Vec<f32> = device.read(&sum, 0, LANES * ELEMENTS).map_err(|error| Refusal::failed(name, &error))?;
    for index in 0..LANES {
        let pairs = lane(&terms, index).iter().zip(lane(&before, index));
        let expected: Vec<f64> =
            pairs.map(|(term, before)| f64::from(*before) + ROUNDS as f64 * f64::from(*term)).collect();
        close("sums of fresh numbers", lane(&found, index), &expected, KERNEL_F32)
            .map_err(|difference| Refusal::new(name, difference))?;
    }
    Ok(())
}

/// Differs between processes and within one.
fn key() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    time ^ u64::from(std::process::id()).rotate_left(40)
}
