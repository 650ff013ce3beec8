//! Single kernels on whatever adapter there is, and what the CPU engine runs in f32, on one thread: gradients of whole
//! networks, and the delayed update. What has floating-point operations is in FLOP/s (criterion prints elem/s), the rest and
//! the update in bytes/s.
//!
//! Every result is checked against f64 before it is timed, and again afterwards. The cases, and how their work is counted,
//! are those of `tauscope bench`. Whole steps on an adapter are in benches/step.rs.

#[path = "../tests/suite/common/mod.rs"]
mod common;

use common::{KERNEL_F32, assert_close, close, gpu};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use tauscope::bench::kernels::{CASES, Case, Gradient, NETWORKS, OnDevice, lanes};
use tauscope::engine::Engine;
use tauscope::engine::gpu::device::Device;
use tauscope::engine::gpu::device::Dispatch;

/// Dispatches in one submit.
const ROUNDS: u64 = 64;

/// What is timed on the processor.
const CPU: &str = "cpu, 1 lane, 1 thread";

/// The work of so many lanes.
fn throughput(case: &Case, lanes: usize) -> Throughput {
    let work = case.work(size_of::<f32>());
    match case {
        Case::Product { .. } | Case::Loss { .. } => Throughput::Elements(work.flops * lanes as u64),
        Case::Gather { .. } | Case::Step { .. } => Throughput::Bytes(work.bytes * lanes as u64),
    }
}

/// Runs once from fresh operands and compares the last lane.
fn verify(case: &Case, OnDevice { dispatch, reset, result }: &OnDevice, lanes: usize) {
    let device = gpu().device();
    reset(device);
    device.run(std::slice::from_ref(dispatch), 1);
    let mut twin = case.twin::<f64>();
    twin.run();
    let length = twin.result().len();
    let found: Vec<f32> = device.read(result, (lanes - 1) * length, length).expect("the device works");
    if let Err(difference) = close(&case.name(), &found, twin.result(), KERNEL_F32) {
        panic!("{difference}");
    }
}

/// The time of `iterations` dispatches, submitted [`ROUNDS`] at a time.
fn time(device: &Device, dispatch: &Dispatch, iterations: u64) -> Duration {
    let dispatches = vec![dispatch.clone(); iterations.min(ROUNDS) as usize];
    let begin = Instant::now();
    let mut left = iterations;
    while left > 0 {
        let round = left.min(ROUNDS);
        device.run(&dispatches[..round as usize], 1);
        left -= round;
    }
    device.wait().expect("the device works");
    begin.elapsed()
}

fn kernels(criterion: &mut Criterion) {
    let device = gpu().device();
    let info = gpu().info();
    println!("gpu: {}, device type {}, driver {}", info.adapter, info.device_type, info.driver);
    for case in &CASES {
        let lanes = lanes(case, device);
        let on_device = case.on_device(device, lanes);
        let mut group = criterion.benchmark_group(case.name());
        verify(case, &on_device, lanes);
        group.throughput(throughput(case, lanes));
        group.bench_function(format!("gpu, {lanes} lanes"), |bencher| {
            bencher.iter_custom(|iterations| time(device, &on_device.dispatch, iterations));
        });
        verify(case, &on_device, lanes);
        // The other kernels are parts of a fused gradient.
        if let Case::Step { .. } = case {
            let mut twin = case.twin::<f32>();
            group.throughput(throughput(case, 1));
            group.bench_function(CPU, |bencher| bencher.iter(|| twin.run()));
        }
    }
}

fn gradients(criterion: &mut Criterion) {
    for network in &NETWORKS {
        let workload = network.workload(1);
        let check = || {
            let (mut fused, mut oracle) = (Gradient::<f32>::new(&workload), Gradient::<f64>::new(&workload));
            for _ in 0..2 {
                fused.run();
                oracle.run();
                assert_close(&network.name(), &fused.result(), &oracle.result(), KERNEL_F32);
            }
        };
        check();
        let mut group = criterion.benchmark_group(format!("gradient {}", network.name()));
        group.throughput(Throughput::Elements(workload.flops_of_step()));
        let mut gradient = Gradient::<f32>::new(&workload);
        group.bench_function(CPU, |bencher| bencher.iter(|| gradient.run()));
        check();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = kernels, gradients
}
criterion_main!(benches);
