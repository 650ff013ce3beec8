//! The stand that kernels are tried on: three lanes of which one rests, buffers of NaN for results, and what is expected in them.
//!
//! Not here: the kernels with their sizes (`layers`, `samples`, `updates`).

use crate::engine::EngineError;
use crate::engine::gpu::device::{Buffer, Device, Dispatch};
use crate::kernels::{Call, Kernel, LaneStep};
use crate::math::{KERNEL_F32, close};
use crate::update::StepSlots;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

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

/// Largest relative difference of a kernel in f32 that is accepted: ten times what the tests promise of their adapter, since Vulkan lets
/// drivers round divisions, roots and exponentials by several units each, and still a hundredth of what arithmetic of half the digits differs by.
pub const TOLERANCE: f64 = 10.0 * KERNEL_F32;

/// Says whether a result is what it should be.
type Check = Box<dyn Fn(&[f32]) -> Result<(), String> + Send + Sync>;

/// A kernel on buffers of its own, with what it should leave in some of them.
pub struct Case {
    pub kernel: &'static str,
    /// Rounds of the dispatches; round i is step i.
    pub steps: usize,
    dispatches: Vec<Dispatch>,
    results: Vec<(Buffer, usize, Check)>,
}

impl Case {
    /// Two steps, in the first of which all lanes rest (see [`lane_steps`]): a kernel that confuses the steps is found out.
    pub fn of(kernel: &'static Kernel) -> Self {
        Self { kernel: kernel.name, steps: 2, dispatches: Vec::new(), results: Vec::new() }
    }

    pub fn call(mut self, device: &Device, call: Call<&Buffer>) -> Self {
        self.dispatches.push(device.bind(call));
        self
    }

    /// The first `length` elements of a buffer as `check` wants them.
    pub fn expect(
        mut self,
        buffer: &Buffer,
        length: usize,
        check: impl Fn(&[f32]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.results.push((buffer.clone(), length, Box::new(check)));
        self
    }

    /// Numbers of the busy lanes, as many of each, close to these; the idle lane's are still NaN.
    pub fn expect_lanes(self, what: &'static str, buffer: &Buffer, expected: [Vec<f64>; 2], tolerance: f64) -> Self {
        self.expect(buffer, LANES * expected[0].len(), move |found| {
            for (index, expected) in BUSY.into_iter().zip(&expected) {
                close(&format!("{what} of lane {index}"), lane(found, index), expected, tolerance)?;
            }
            untouched(what, lane(found, IDLE))
        })
    }

    /// Submits its steps; the results are there once the device is done.
    pub fn submit(&self, device: &Device) {
        device.run(&self.dispatches, self.steps);
    }

    /// Bytes of its results.
    fn bytes(&self) -> u64 {
        self.results.iter().map(|(_, length, _)| 4 * *length as u64).sum()
    }
}

/// Brings the results of `cases` to the host, all in one copy, and looks at them in their order. Returns the kernel that differs
/// and how.
///
/// # Errors
/// Where the device fails.
pub fn differing(device: &Device, cases: &[Case]) -> Result<Option<(&'static str, String)>, EngineError> {
    let staging = device.staging(cases.iter().map(Case::bytes).sum());
    let mut encoder = device.handle.create_command_encoder(&Default::default());
    let mut place = 0;
    for (buffer, length, _) in cases.iter().flat_map(|case| &case.results) {
        let bytes = 4 * *length as u64;
        buffer.copy(0, &staging, place, bytes, &mut encoder);
        place += bytes;
    }
    device.push(encoder.finish());
    let all: Vec<f32> = device.read_staging(&staging, (place / 4) as usize)?;
    let mut rest = &all[..];
    for case in cases {
        for (_, length, check) in &case.results {
            let (found, behind) = rest.split_at(*length);
            rest = behind;
            if let Err(difference) = check(found) {
                return Ok(Some((case.kernel, difference)));
            }
        }
    }
    Ok(None)
}

/// # Errors
/// Where a number was written.
pub fn untouched(what: &str, values: &[f32]) -> Result<(), String> {
    match values.iter().position(|x| !x.is_nan()) {
        None => Ok(()),
        Some(index) => Err(format!("{what}: element {index} was written, where nothing may be: {:e}", values[index])),
    }
}

/// Numbers between -1 and 1, the same for the same seed.
pub fn uniform(seed: u64, length: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub fn labels(seed: u64, length: usize, classes: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(0..classes as u32)).collect()
}

/// The numbers of all lanes, those of the idle one replaced by NaN.
pub fn without_idle(mut values: Vec<f32>) -> Vec<f32> {
    let length = values.len() / LANES;
    values[IDLE * length..][..length].fill(f32::NAN);
    values
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// The part of `values` that belongs to one of [`LANES`] equal lanes.
pub fn lane<T>(values: &[T], lane: usize) -> &[T] {
    let length = values.len() / LANES;
    &values[lane * length..][..length]
}

/// The version that a lane reads, in f64.
pub fn version(history: &[f32], index: usize, parameters: usize) -> Vec<f64> {
    wide(&lane(history, index)[STEP_SLOTS[index].read * parameters..][..parameters])
}

/// Two steps: in the first all lanes rest, in the second all but one move.
pub fn lane_steps(device: &Device) -> Buffer {
    placed(device, |lane| LaneStep::at(STEP_SLOTS[lane].read))
}

/// The same with a busy lane's step as `place` says.
pub fn placed(device: &Device, place: impl Fn(usize) -> LaneStep) -> Buffer {
    let mut lane_steps = vec![LaneStep::default(); 2 * LANES];
    BUSY.iter().for_each(|lane| lane_steps[LANES + *lane] = place(*lane));
    device.buffer_of("lane_steps", &lane_steps)
}

pub fn nan(device: &Device, length: usize) -> Buffer {
    device.buffer_of("result", &vec![f32::NAN; length])
}
