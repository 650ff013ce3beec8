//! What an adapter runs: the same operands as the processor's, in every lane.

use super::{Case, Product, coefficients, labels, numbers, order, parameters};
use crate::batch::Augmentation;
use crate::engine::gpu::device::{Buffer, Device, Dispatch};
use crate::kernels::matmul::{self, Dense, Epilogue};
use crate::kernels::update::{Update, table};
use crate::kernels::{LaneStep, gather, loss, step};
use crate::math::{Activation, Loss, Shape};
use crate::update::StepSlots;

/// A kernel bound to operands.
pub struct OnDevice {
    pub dispatch: Dispatch,
    /// Puts the operands back that the kernel changes.
    pub reset: Box<dyn Fn(&Device)>,
    /// Where the result lies, lane by lane.
    pub result: Buffer,
}

/// Lanes of a dispatch at most: they fill any device.
const MOST_LANES: usize = 1024;

/// Lanes of a dispatch on a software adapter, which is slow and has enough in a few.
const SOFTWARE_LANES: usize = 8;

/// Bytes of all lanes' operands at most.
pub const MOST_BYTES: u64 = 1 << 30;

/// How many lanes of a case an adapter is given.
pub fn lanes(case: &Case, device: &Device) -> usize {
    let most = MOST_BYTES.min(device.limits().max_storage_buffer_binding_size);
    lanes_within(most, case.work(size_of::<f32>()).bytes, device)
}

/// How many lanes an adapter is given that take `lane` bytes each, of `most` bytes.
pub fn lanes_within(most: u64, lane: u64, device: &Device) -> usize {
    let enough = if device.is_software() { SOFTWARE_LANES } else { MOST_LANES };
    enough.min((most / lane) as usize).max(1)
}

impl Case {
    pub fn on_device(&self, device: &Device, lanes: usize) -> OnDevice {
        let bench = Bench { device, lanes, lane_steps: lane_steps(device, lanes) };
        match *self {
            Self::Product { product, rows, inputs, outputs } => bench.product(product, rows, inputs, outputs),
            Self::Loss { loss, rows, classes } => bench.loss(loss, rows, classes),
            Self::Gather { samples, rows, features } => bench.gather(samples, rows, features),
            Self::Step { parameters } => bench.step(parameters),
        }
    }
}

/// A table in which every lane runs, in slot 0.
fn lane_steps(device: &Device, lanes: usize) -> Buffer {
    device.buffer_of("lane_steps", &vec![LaneStep { busy: 1, ..LaneStep::default() }; lanes])
}

struct Bench<'a> {
    device: &'a Device,
    lanes: usize,
    lane_steps: Buffer,
}

impl Bench<'_> {
    /// One lane's values, in every lane.
    fn repeated<T: bytemuck::Pod>(&self, values: &[T]) -> Buffer {
        self.device.buffer_of("operand", &values.repeat(self.lanes))
    }

    /// Room for a result of `length` words in every lane.
    fn room(&self, length: usize) -> Buffer {
        self.device.buffer("result", (4 * self.lanes * length) as u64)
    }

    fn product(&self, product: Product, rows: usize, inputs: usize, outputs: usize) -> OnDevice {
        let weights = inputs * outputs;
        let layer = Dense {
            lanes: self.lanes as u32,
            rows: rows as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            weight: 0,
            bias: weights as u32,
            parameters: (weights + outputs) as u32,
            slots: 1,
            input_lane_stride: (rows * inputs) as u32,
        };
        let input = || self.repeated(&numbers::<f32>(rows * inputs));
        let delta = || self.repeated(&numbers::<f32>(rows * outputs));
        let weights = || self.repeated(&parameters::<f32>(inputs, outputs));
        let (epilogue, params, a, b, slope, result) = match product {
            Product::Forward => {
                let epilogue = Epilogue::Forward(Some(Activation::Tanh));
                let slope = self.room(rows * outputs);
                (epilogue, layer.forward(), input(), weights(), slope, self.room(rows * outputs))
            }
            // The slope of the layer below has the numbers of its input.
            Product::Backward => {
                (Epilogue::Backward, layer.backward(), delta(), weights(), input(), self.room(rows * inputs))
            }
            Product::Gradient => {
                let result = self.room(inputs * outputs + outputs);
                (Epilogue::Gradient, layer.gradient(), delta(), input(), self.room(0), result)
            }
        };
        let dispatch = self.device.bind(matmul::call(epilogue, &params, [&self.lane_steps, &a, &b, &result, &slope]));
        OnDevice { dispatch, reset: Box::new(|_| {}), result }
    }

    fn loss(&self, loss: Loss, rows: usize, classes: usize) -> OnDevice {
        let partials = loss::partials(rows);
        let params = loss::Params {
            step: 0,
            lanes: self.lanes as u32,
            rows: rows as u32,
            classes: classes as u32,
            label_stride: 0,
            partials: partials as u32,
            scale: 1.0 / rows as f32,
        };
        let labels = self.device.buffer_of("labels", &labels(rows, classes));
        let outputs = numbers::<f32>(rows * classes).repeat(self.lanes);
        let (result, sums) = (self.device.buffer_of("outputs", &outputs), self.room(partials));
        let dispatch = self.device.bind(loss::call(loss, &params, [&self.lane_steps, &labels, &result, &sums]));
        let changed = result.clone();
        OnDevice { dispatch, reset: Box::new(move |device| device.write(&changed, 0, &outputs)), result }
    }

    fn gather(&self, samples: usize, rows: usize, features: usize) -> OnDevice {
        let plain = Augmentation::default();
        let params = gather::params(self.lanes, rows, Shape::vector(features), plain);
        let order = self.device.buffer_of("order", &order(samples, rows));
        let data = self.device.buffer_of("data", &numbers::<f32>(samples * features));
        let data_labels = self.device.buffer_of("data_labels", &labels(samples, 10));
        let (result, labels) = (self.room(rows * features), self.room(rows));
        let buffers = [&self.lane_steps, &order, &data, &data_labels, &result, &labels];
        let dispatch = self.device.bind(gather::call(plain, &params, buffers));
        OnDevice { dispatch, reset: Box::new(|_| {}), result }
    }

    fn step(&self, parameters: usize) -> OnDevice {
        let partials = step::partials(parameters);
        let params = step::Params {
            step: 0,
            lanes: self.lanes as u32,
            stages: 1,
            parameters: parameters as u32,
            first: 0,
            length: parameters as u32,
            history_stride: parameters as u32,
            state_stride: parameters as u32,
            second_offset: parameters as u32,
            partials: partials as u32,
        };
        let start = numbers::<f32>(parameters);
        let slots = StepSlots { read: 0, write: 0, velocity: 0, velocity_read: 0, newest: 0, backward_write: None };
        let updates = vec![(slots, Update::new(&coefficients())); self.lanes];
        let updates = self.device.buffer_of("updates", &table(&updates, parameters));
        let landmarks = self.device.buffer_of("landmarks", &numbers::<f32>(3 * parameters));
        let [gradient, server, history, velocity] = [(); 4].map(|()| self.repeated(&start));
        let sums = self.room(4 * partials);
        let buffers = [&self.lane_steps, &updates, &gradient, &landmarks, &server, &history, &velocity, &sums];
        let dispatch = self.device.bind(step::call(&params, buffers));
        let changed = [server, history, velocity.clone()];
        let start = start.repeat(self.lanes);
        let reset = move |device: &Device| changed.iter().for_each(|buffer| device.write(buffer, 0, &start));
        OnDevice { dispatch, reset: Box::new(reset), result: velocity }
    }
}
