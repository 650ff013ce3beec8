//! Whole steps (forward, loss, backward, delayed update, observation) in config-steps/s, which criterion prints as
//! elem/s: on the CPU engine in f32, and on whatever adapter there is.
//!
//! Every case is checked against the f64 oracle before it is timed, and again afterwards.

#[path = "../tests/suite/common/mod.rs"]
mod common;

use common::{STEPS_F32, close};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use tauscope::bench::workload::{NetworkSpec, Workload};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::{AdapterChoice, Gpu};
use tauscope::engine::{Engine, Wave};
use tauscope::math::{Activation, Loss};
use tauscope::problem::Problem;
use tauscope::rule::Rule;

/// A network, its minibatch, and the slots of its runs.
struct Case {
    name: &'static str,
    data: &'static str,
    model: &'static str,
    /// All where `None`.
    samples: Option<usize>,
    batch: Option<usize>,
    slots: u32,
    /// Steps of one `advance`.
    block: usize,
    /// Largest difference from the f64 oracle, relative.
    tolerance: f64,
}

/// Distances of millions of weights in f32, whose squares are added in sixteen sums.
const LARGE_F32: f64 = 5e-4;

/// A perceptron on the digits.
const fn digits(
    name: &'static str,
    model: &'static str,
    samples: Option<usize>,
    batch: Option<usize>,
    slots: u32,
) -> Case {
    Case { name, data: "digits", model, samples, batch, slots, block: 16, tolerance: STEPS_F32 }
}

const PERCEPTRONS: [Case; 7] = [
    // That of a default sweep.
    digits("64-16-10, 512 rows", "mlp:16", Some(512), None, 5),
    // That of `tauscope bench step`, its full batches, and its other widths.
    digits("64-32-10, batch 128", "mlp:32", Some(1536), Some(128), 17),
    digits("64-32-10, 512 rows", "mlp:32", Some(512), None, 17),
    digits("64-32-10, 1797 rows", "mlp:32", None, None, 17),
    digits("64-16-10, batch 128", "mlp:16", Some(1536), Some(128), 17),
    digits("64-256-10, batch 128", "mlp:256", Some(1536), Some(128), 17),
    digits("64-64-32-10, batch 128", "mlp:64-32", Some(512), Some(128), 17),
];

/// A convolutional network on random images of CIFAR's shape; in a batch that a program in an adapter's place can bear.
const fn images(name: &'static str, model: &'static str) -> Case {
    let data = "synthetic:clusters:shape=3x32x32:samples=64:test=1";
    Case { name, data, model, samples: None, batch: Some(8), slots: 2, block: 1, tolerance: LARGE_F32 }
}

const NETWORKS: [Case; 3] = [
    images("lenet at CIFAR shape, batch 8", "lenet"),
    images("vgg11 at CIFAR shape, batch 8", "vgg11"),
    images("resnet20 at CIFAR shape, batch 8", "resnet20"),
];

impl Case {
    fn workload(&self, lanes: usize) -> Workload {
        let Self { samples, batch, slots, block, .. } = *self;
        let (data, model) = (&self.data.parse().expect("a source"), &self.model.parse().expect("a model"));
        let (activation, loss, weight_decay) = (Activation::Tanh, Loss::Ce, 1e-3);
        let spec = NetworkSpec { data, samples, model, activation, loss, weight_decay };
        let problem = Arc::new(Problem::Network(spec.build(0).expect("there are so many samples")));
        Workload { problem, batch, rule: Rule::SGD, slots, lanes, steps: block, seed: 0 }
    }

    /// A wave whose lanes all run, at learning rates far from any threshold.
    fn wave(&self, engine: &dyn Engine, lanes: usize) -> Box<dyn Wave> {
        let workload = self.workload(lanes);
        let mut wave = engine.open(workload.spec(lanes, self.block)).expect("the wave fits");
        for (lane, run) in workload.runs().enumerate() {
            wave.start(lane, run).expect("the run fits");
        }
        wave
    }

    /// Distances and losses of the last lane over a block.
    fn observe(&self, engine: &dyn Engine, lanes: usize) -> Vec<f64> {
        let seen = self.wave(engine, lanes).advance(self.block).expect("the engine works");
        seen.lane(lanes - 1).iter().flat_map(|seen| [seen.distance_squared.sqrt(), seen.loss]).collect()
    }

    fn check(&self, engine: &dyn Engine, lanes: usize) {
        let expected = self.observe(&Cpu::<f64>::default(), lanes);
        if let Err(difference) = close(self.name, &self.observe(engine, lanes), &expected, self.tolerance) {
            panic!("{}: {difference}", engine.info().adapter);
        }
    }

    /// On the CPU with `lanes` lanes, and on the adapter with each of `on_gpu`.
    fn measure(&self, criterion: &mut Criterion, lanes: usize, gpu: Option<&Gpu>, on_gpu: &[usize]) {
        let mut group = criterion.benchmark_group(self.name);
        let mut measure = |engine: &dyn Engine, lanes: usize| {
            self.check(engine, lanes);
            group.throughput(Throughput::Elements((self.block * lanes) as u64));
            let id = BenchmarkId::new(&engine.info().engine, format!("{lanes} lanes"));
            group.bench_function(id, |bencher| {
                let mut wave = self.wave(engine, lanes);
                bencher.iter(|| wave.advance(self.block).expect("the engine works"));
            });
            self.check(engine, lanes);
        };
        measure(&Cpu::<f32>::default(), lanes);
        gpu.iter().for_each(|gpu| on_gpu.iter().for_each(|lanes| measure(*gpu, *lanes)));
    }
}

/// The adapter, where there is one, and whether it is hardware.
fn gpu() -> (Option<Gpu>, bool) {
    match Gpu::open(&AdapterChoice::Any) {
        Ok(gpu) => {
            let info = gpu.info();
            println!("gpu: {}, device type {}, driver {}", info.adapter, info.device_type, info.driver);
            let is_hardware = info.device_type != "Cpu";
            (Some(gpu), is_hardware)
        }
        Err(error) => {
            println!("gpu: not measured: {error}");
            (None, false)
        }
    }
}

fn perceptrons(criterion: &mut Criterion) {
    let (gpu, is_hardware) = gpu();
    // A software adapter is slow and has enough in a few lanes; a hardware GPU wants thousands.
    let lanes: &[usize] = if is_hardware { &[64, 512, 4096] } else { &[8] };
    PERCEPTRONS.iter().for_each(|case| case.measure(criterion, 64, gpu.as_ref(), lanes));
}

fn networks(criterion: &mut Criterion) {
    let (gpu, is_hardware) = gpu();
    // llvmpipe binds 128 MiB: two lanes of VGG-11 with their two versions are more.
    let lanes: &[usize] = if is_hardware { &[4, 16, 64] } else { &[1] };
    NETWORKS.iter().for_each(|case| case.measure(criterion, 2, gpu.as_ref(), lanes));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = perceptrons, networks
}
criterion_main!(benches);
