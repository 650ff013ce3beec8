//! Whole steps (forward, loss, backward, delayed update, observation) in config-steps/s, which criterion prints as
//! elem/s: on the CPU engine in f32, and on whatever adapter there is.
//!
//! Every case is checked against the f64 oracle before it is timed, and again afterwards.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{STEPS_F32, close};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use tauscope::bench::workload::{NetworkSpec, Workload};
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::{AdapterChoice, Gpu};
use tauscope::engine::{Engine, Wave};
use tauscope::kernels::activation::Activation;
use tauscope::kernels::loss::Loss;
use tauscope::problem::Problem;
use tauscope::rule::Rule;

/// Steps of one `advance`.
const BLOCK: usize = 16;

/// A network on the digits, its minibatch, and the slots of its runs.
struct Case {
    name: &'static str,
    hidden: &'static [usize],
    /// All where `None`.
    samples: Option<usize>,
    batch: Option<usize>,
    slots: u32,
}

const CASES: [Case; 7] = [
    // That of a default sweep.
    Case { name: "64-16-10, 512 rows", hidden: &[16], samples: Some(512), batch: None, slots: 5 },
    // That of `tauscope bench step`, its full batches, and its other widths.
    Case { name: "64-32-10, batch 128", hidden: &[32], samples: Some(1536), batch: Some(128), slots: 17 },
    Case { name: "64-32-10, 512 rows", hidden: &[32], samples: Some(512), batch: None, slots: 17 },
    Case { name: "64-32-10, 1797 rows", hidden: &[32], samples: None, batch: None, slots: 17 },
    Case { name: "64-16-10, batch 128", hidden: &[16], samples: Some(1536), batch: Some(128), slots: 17 },
    Case { name: "64-256-10, batch 128", hidden: &[256], samples: Some(1536), batch: Some(128), slots: 17 },
    Case { name: "64-64-32-10, batch 128", hidden: &[64, 32], samples: Some(512), batch: Some(128), slots: 17 },
];

impl Case {
    fn workload(&self, lanes: usize) -> Workload {
        let Self { samples, hidden, batch, slots, .. } = *self;
        let (activation, loss, weight_decay) = (Activation::Tanh, Loss::Ce, 1e-3);
        let network =
            NetworkSpec { samples, hidden, activation, loss, weight_decay }.build(0).expect("there are so many");
        let problem = Arc::new(Problem::Network(network));
        Workload { problem, batch, rule: Rule::SGD, slots, lanes, steps: BLOCK, seed: 0 }
    }

    /// A wave whose lanes all run, at learning rates far from any threshold.
    fn wave(&self, engine: &dyn Engine, lanes: usize) -> Box<dyn Wave> {
        let workload = self.workload(lanes);
        let mut wave = engine.open(workload.spec(lanes, BLOCK)).expect("the wave fits");
        for (lane, run) in workload.runs().enumerate() {
            wave.start(lane, run).expect("the run fits");
        }
        wave
    }

    /// Distances and losses of the last lane over a block.
    fn observe(&self, engine: &dyn Engine, lanes: usize) -> Vec<f64> {
        let seen = self.wave(engine, lanes).advance(BLOCK).expect("the engine works");
        seen.lane(lanes - 1).iter().flat_map(|seen| [seen.distance_squared.sqrt(), seen.loss]).collect()
    }

    fn check(&self, engine: &dyn Engine, lanes: usize) {
        let expected = self.observe(&Cpu::<f64>::default(), lanes);
        if let Err(difference) = close(self.name, &self.observe(engine, lanes), &expected, STEPS_F32) {
            panic!("{}: {difference}", engine.info().adapter);
        }
    }
}

fn steps(criterion: &mut Criterion) {
    let cpu = Cpu::<f32>::default();
    let gpu = match Gpu::open(&AdapterChoice::Any) {
        Ok(gpu) => {
            let info = gpu.info();
            println!("gpu: {}, device type {}, driver {}", info.adapter, info.device_type, info.driver);
            Some(gpu)
        }
        Err(error) => {
            println!("gpu: not measured: {error}");
            None
        }
    };
    for case in CASES {
        let mut group = criterion.benchmark_group(case.name);
        let mut measure = |engine: &dyn Engine, lanes: usize| {
            case.check(engine, lanes);
            group.throughput(Throughput::Elements((BLOCK * lanes) as u64));
            let id = BenchmarkId::new(&engine.info().engine, format!("{lanes} lanes"));
            group.bench_function(id, |bencher| {
                let mut wave = case.wave(engine, lanes);
                bencher.iter(|| wave.advance(BLOCK).expect("the engine works"));
            });
            case.check(engine, lanes);
        };
        measure(&cpu, 64);
        if let Some(gpu) = &gpu {
            // A software adapter is slow and has enough in a few lanes; a hardware GPU wants thousands.
            let counts: &[usize] = if gpu.info().device_type == "Cpu" { &[8] } else { &[64, 512, 4096] };
            for lanes in counts {
                measure(gpu, *lanes);
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = steps
}
criterion_main!(benches);
