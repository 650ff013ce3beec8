//! The lanes that every shader test runs in, and how a single kernel is run on them.

use crate::common::gpu;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::kernels::{Call, LaneStep};
use tauscope::update::StepSlots;

pub const LANES: usize = 3;
/// The lane that no kernel may touch.
pub const IDLE: usize = 1;
pub const BUSY: [usize; 2] = [0, 2];
pub const SLOTS: usize = 3;
/// A slot of its own for everything, so that no mix-up passes.
pub const STEP_SLOTS: [StepSlots; LANES] = [
    StepSlots { read: 1, write: 2, velocity: 0, velocity_read: 2, newest: 0, backward_write: Some(0) },
    StepSlots { read: 0, write: 0, velocity: 0, velocity_read: 0, newest: 0, backward_write: None },
    StepSlots { read: 2, write: 0, velocity: 1, velocity_read: 0, newest: 1, backward_write: None },
];

/// 1, W-1, W, W+1, 3W+7.
pub fn around(width: usize) -> [usize; 5] {
    [1, width - 1, width, width + 1, 3 * width + 7]
}

pub fn uniform(seed: u64, length: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub fn labels(seed: u64, length: usize, classes: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(0..classes as u32)).collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The part of `values` that belongs to one of `lanes` equal lanes.
pub fn lane<T>(values: &[T], lane: usize) -> &[T] {
    let length = values.len() / LANES;
    &values[lane * length..][..length]
}

/// Two steps of a block: in the first all lanes rest, in the second all but one move. So a kernel that confuses the
/// steps, or moves an idle lane, is found out.
pub fn lane_steps(device: &Device) -> Buffer {
    let mut lane_steps = vec![LaneStep::default(); 2 * LANES];
    for lane in BUSY {
        lane_steps[LANES + lane] = LaneStep::at(STEP_SLOTS[lane].read);
    }
    device.buffer_of("lane_steps", &lane_steps)
}

pub fn nan(device: &Device, length: usize) -> Buffer {
    device.buffer_of("output", &vec![f32::NAN; length])
}

/// Runs both steps of [`lane_steps`].
pub fn run(call: Call<&Buffer>) {
    let device = gpu().device();
    device.run(&[device.bind(call)], 2);
    device.check().unwrap();
}

pub fn read(buffer: &Buffer, length: usize) -> Vec<f32> {
    gpu().device().read(buffer, 0, length).unwrap()
}

#[track_caller]
pub fn assert_untouched(what: &str, values: &[f32]) {
    assert!(!values.is_empty() && values.iter().all(|x| x.is_nan()), "{what}: the idle lane was written");
}
