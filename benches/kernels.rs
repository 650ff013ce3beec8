//! Single kernels on whatever adapter there is, each beside its CPU twin on one thread in f32: products and loss in
//! FLOP/s (criterion prints elem/s), the delayed update in bytes/s. A loss counts 5 FLOP per output.
//!
//! Every result is checked against the f64 twin before it is timed, and again afterwards.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{KERNEL_F32, close, gpu};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use tauscope::engine::Engine;
use tauscope::engine::gpu::device::{Buffer, Device};
use tauscope::engine::gpu::program::Dispatch;
use tauscope::kernels::activation::Activation;
use tauscope::kernels::loss::{self, Loss};
use tauscope::kernels::matmul::{self, Dense, Epilogue, Tile};
use tauscope::kernels::motion::Motion;
use tauscope::kernels::real::Real;
use tauscope::kernels::step::{self, Landmarks, State};
use tauscope::kernels::{Kernel, Place};

/// Dispatches in one submit.
const ROUNDS: u64 = 64;

/// One kernel at one shape, on both sides.
struct Case<'a> {
    name: String,
    /// Of one lane.
    work: Throughput,
    dispatch: Dispatch,
    /// Puts the device's operands back, where the kernel changes them.
    reset: Box<dyn Fn() + 'a>,
    /// Where the result lies: the buffer, and the elements of one lane in it.
    result: &'a Buffer,
    /// One lane's result in f64.
    exact: Vec<f64>,
    /// The twin in f32, on one lane.
    twin: Box<dyn FnMut() + 'a>,
}

impl Case<'_> {
    fn measure(mut self, criterion: &mut Criterion) {
        let device = gpu().device();
        let all_lanes = match self.work {
            Throughput::Elements(one) => Throughput::Elements(one * lanes() as u64),
            Throughput::Bytes(one) => Throughput::Bytes(one * lanes() as u64),
            _ => unreachable!("work is counted in FLOP or bytes"),
        };
        let mut group = criterion.benchmark_group(&self.name);
        self.verify();
        group.throughput(all_lanes);
        group.bench_function(format!("gpu, {} lanes", lanes()), |bencher| {
            bencher.iter_custom(|iterations| time(device, &self.dispatch, iterations));
        });
        self.verify();
        group.throughput(self.work.clone());
        group.bench_function("cpu, 1 lane, 1 thread", |bencher| bencher.iter(&mut self.twin));
    }

    /// Runs once from fresh operands and compares the last lane.
    fn verify(&self) {
        let device = gpu().device();
        (self.reset)();
        device.run(std::slice::from_ref(&self.dispatch), 1);
        let length = self.exact.len();
        let result: Vec<f32> = device.read(self.result, (lanes() - 1) * length, length).expect("the device works");
        if let Err(difference) = close(&self.name, &result, &self.exact, KERNEL_F32) {
            panic!("{difference}");
        }
    }
}

/// The time of `iterations` dispatches, submitted [`ROUNDS`] at a time.
fn time(device: &Device, dispatch: &Dispatch, iterations: u64) -> Duration {
    let begin = Instant::now();
    let mut left = iterations;
    while left > 0 {
        let rounds = left.min(ROUNDS);
        device.run(std::slice::from_ref(dispatch), rounds as usize);
        left -= rounds;
    }
    device.wait().expect("the device works");
    begin.elapsed()
}

/// Enough lanes to fill the device.
fn lanes() -> usize {
    if gpu().info().device_type == "Cpu" { 8 } else { 1024 }
}

/// A table in which every lane runs at every step, in slot 0.
fn places(device: &Device) -> Buffer {
    device.buffer_of("places", &vec![Place { busy: 1, ..Place::default() }; ROUNDS as usize * lanes()])
}

/// Numbers in (-1, 1) that no kernel can take a short cut through.
fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i as f64 * 0.754_877_666).fract() * 2.0 - 1.0) as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

/// One lane's values, in every lane.
fn repeated(values: &[f32]) -> Buffer {
    gpu().device().buffer_of("operand", &values.repeat(lanes()))
}

/// Room for a result of `length` elements in every lane.
fn room(length: usize) -> Buffer {
    gpu().device().buffer("result", (4 * lanes() * length) as u64)
}

fn dispatch<P: bytemuck::Pod>(
    kernel: &'static Kernel,
    variant: &[(&'static str, f64)],
    buffers: &[&Buffer],
    params: &P,
    workgroups: [u32; 3],
) -> Dispatch {
    let device = gpu().device();
    device.dispatch(&device.pipeline(kernel, variant), buffers, params, workgroups)
}

/// The three products of one layer.
fn products(criterion: &mut Criterion) {
    let places = places(gpu().device());
    for [rows, inputs, outputs] in [[512, 64, 16], [128, 64, 64], [256, 256, 256]] {
        let shape = format!("{rows} x {inputs} x {outputs}");
        let work = Throughput::Elements((2 * rows * inputs * outputs) as u64);
        let (weights, activation) = (inputs * outputs, Some(Activation::Tanh));
        let layer = Dense {
            lanes: lanes() as u32,
            rows: rows as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            weight: 0,
            bias: weights as u32,
            parameters: (weights + outputs) as u32,
            slots: 1,
            input_lane_stride: (rows * inputs) as u32,
        };
        // Of the size that a network starts with, so that the activation does not saturate.
        let size = 1.0 / (inputs as f32).sqrt();
        let parameters: Vec<f32> = numbers(weights + outputs).iter().map(|x| size * x).collect();
        let input = numbers(rows * inputs);
        let (delta, slope) = (numbers(rows * outputs), numbers(rows * inputs));
        let (h, w, d, s) = (repeated(&input), repeated(&parameters), repeated(&delta), repeated(&slope));
        let (value, value_slope, below) = (room(rows * outputs), room(rows * outputs), room(rows * inputs));
        let (gradient, unused) = (room(weights + outputs), room(0));
        let product = |epilogue, params: matmul::Params, [a, b, c, slope]: [&Buffer; 4]| {
            let tile = Tile::for_shape(params.rows, params.columns);
            let workgroups = tile.workgroups(params.rows, params.columns, params.lanes);
            dispatch(&matmul::KERNEL, &tile.variant(epilogue), &[&places, a, b, c, slope], &params, workgroups)
        };

        let (weight, bias) = parameters.split_at(weights);
        let [input64, weight64, bias64, delta64, slope64] = [&input[..], weight, bias, &delta, &slope].map(wide);
        let mut forward64 = vec![0.0; rows * outputs];
        matmul::forward(&input64, &weight64, &bias64, activation, &mut forward64, &mut vec![0.0; rows * outputs]);
        let mut backward64 = vec![0.0; rows * inputs];
        matmul::backward(&delta64, &weight64, outputs, &slope64, &mut backward64);
        let mut gradient64 = vec![0.0; weights + outputs];
        let (weight_gradient, bias_gradient) = gradient64.split_at_mut(weights);
        matmul::gradient(&delta64, &input64, weight_gradient, bias_gradient);

        let [mut c0, mut c1] = [(); 2].map(|()| vec![0f32; rows * outputs]);
        Case {
            name: format!("matmul forward {shape}"),
            work: work.clone(),
            dispatch: product(Epilogue::Forward(activation), layer.forward(), [&h, &w, &value, &value_slope]),
            reset: Box::new(|| {}),
            result: &value,
            exact: forward64,
            twin: Box::new(|| matmul::forward(&input, weight, bias, activation, &mut c0, &mut c1)),
        }
        .measure(criterion);
        let mut c = vec![0f32; rows * inputs];
        Case {
            name: format!("matmul backward {shape}"),
            work: work.clone(),
            dispatch: product(Epilogue::Backward, layer.backward(), [&d, &w, &below, &s]),
            reset: Box::new(|| {}),
            result: &below,
            exact: backward64,
            twin: Box::new(|| matmul::backward(&delta, weight, outputs, &slope, &mut c)),
        }
        .measure(criterion);
        let [mut c, mut sums] = [vec![0f32; weights], vec![0f32; outputs]];
        Case {
            name: format!("matmul gradient {shape}"),
            work,
            dispatch: product(Epilogue::Gradient, layer.gradient(), [&d, &h, &gradient, &unused]),
            reset: Box::new(|| {}),
            result: &gradient,
            exact: gradient64,
            twin: Box::new(|| matmul::gradient(&delta, &input, &mut c, &mut sums)),
        }
        .measure(criterion);
    }
}

fn losses(criterion: &mut Criterion) {
    let device = gpu().device();
    let places = places(device);
    let (rows, classes) = (512, 10);
    let labels: Vec<u32> = (0..rows as u32).map(|row| row * row % classes as u32).collect();
    let on_device = device.buffer_of("labels", &labels);
    let logits = numbers(rows * classes);
    let partials = loss::partials(rows);
    for loss in [Loss::Ce, Loss::Mse] {
        let params = loss::Params {
            step: 0,
            lanes: lanes() as u32,
            rows: rows as u32,
            classes: classes as u32,
            label_stride: 0,
            partials: partials as u32,
            scale: 1.0 / rows as f32,
        };
        let (outputs, sums) = (repeated(&logits), room(partials));
        let mut exact = wide(&logits);
        loss::cpu(loss, &labels, &mut exact);
        let mut values = logits.clone();
        Case {
            name: format!("loss {loss} {rows} x {classes}"),
            work: Throughput::Elements((5 * rows * classes) as u64),
            dispatch: dispatch(
                &loss::KERNEL,
                &loss.variant(),
                &[&places, &on_device, &outputs, &sums],
                &params,
                [partials as u32, lanes() as u32, 1],
            ),
            reset: Box::new(|| device.write(&outputs, 0, &logits.repeat(lanes()))),
            result: &outputs,
            exact,
            twin: Box::new(|| {
                loss::cpu(loss, &labels, &mut values);
            }),
        }
        .measure(criterion);
    }
}

/// Nine words per parameter: reads gradient, history, velocity, server and two landmarks, writes three of them back.
fn updates(criterion: &mut Criterion) {
    let device = gpu().device();
    let places = places(device);
    for parameters in [1_210, 100_000] {
        // A learning rate of 1e-6 keeps thousands of repetitions finite.
        let motion = Motion { lr: 1e-6, momentum: 0.9, intake: 1.0, carried: 1.0, decay: 1e-3, ..Motion::default() };
        let partials = step::partials(parameters);
        let params = step::Params {
            step: 0,
            lanes: lanes() as u32,
            parameters: parameters as u32,
            history_stride: parameters as u32,
            state_stride: parameters as u32,
            second_offset: parameters as u32,
            partials: partials as u32,
        };
        let start = numbers(parameters);
        let landmarks = numbers(3 * parameters);
        let updates = device.buffer_of("updates", &vec![motion.update(); lanes() * ROUNDS as usize]);
        let marks = device.buffer_of("landmarks", &landmarks);
        let (gradient, server, history) = (repeated(&start), repeated(&start), repeated(&start));
        let (velocity, sums) = (repeated(&start), room(4 * partials));
        let place = step::Place { read: 0, write: 0, velocity: 0 };
        let wide64 = wide(&landmarks);
        let mut exact = state(&wide(&start));
        step::cpu(&motion, place, &wide(&start), thirds(&wide64), &mut exact);
        let mut twin = state(&start);
        Case {
            name: format!("step {parameters} parameters"),
            work: Throughput::Bytes((9 * 4 * parameters) as u64),
            dispatch: dispatch(
                &step::KERNEL,
                &[],
                &[&places, &updates, &gradient, &marks, &server, &history, &velocity, &sums],
                &params,
                [partials as u32, lanes() as u32, 1],
            ),
            reset: Box::new(|| {
                for buffer in [&server, &history, &velocity] {
                    device.write(buffer, 0, &start.repeat(lanes()));
                }
            }),
            result: &velocity,
            exact: exact.velocity.to_vec(),
            twin: Box::new(|| {
                step::cpu(&motion, place, &start, thirds(&landmarks), &mut twin);
            }),
        }
        .measure(criterion);
    }
}

/// A lane with one version and one velocity, all alike.
fn state<T: Real>(start: &[T]) -> State<T> {
    let rest = State::at_rest(start, 1, 1, 0);
    State { velocity: rest.server.clone(), ..rest }
}

fn thirds<T>(landmarks: &[T]) -> Landmarks<'_, T> {
    let (minimum, rest) = landmarks.split_at(landmarks.len() / 3);
    let (direction, curvature) = rest.split_at(minimum.len());
    Landmarks { minimum, direction, curvature }
}

fn announce(_: &mut Criterion) {
    let info = gpu().info();
    println!("gpu: {}, device type {}, driver {}", info.adapter, info.device_type, info.driver);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = announce, products, losses, updates
}
criterion_main!(benches);
