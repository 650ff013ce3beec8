//! Whole steps (forward, loss, backward, delayed update, observation) in config-steps/s, which criterion prints as
//! elem/s: on the CPU engine in f32, and on whatever adapter there is.
//!
//! Every workload is checked against the f64 oracle before it is timed, and again afterwards.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{STEPS_F32, close};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use tauscope::engine::cpu::Cpu;
use tauscope::engine::gpu::{AdapterChoice, Gpu};
use tauscope::engine::{Engine, Needs, Run, Wave, WaveSpec};
use tauscope::kernels::activation::Activation;
use tauscope::kernels::loss::Loss;
use tauscope::problem::data::{DataSource, Dataset};
use tauscope::problem::model::Model;
use tauscope::problem::{Network, Problem};
use tauscope::rule::Rule;
use tauscope::schedule::{Sampling, Schedule};

/// Steps of one `advance`.
const BLOCK: usize = 16;

/// A problem, its minibatch, and the delay of its runs.
struct Workload {
    name: &'static str,
    hidden: &'static [usize],
    batch: Option<usize>,
    delay: u32,
}

const WORKLOADS: [Workload; 2] = [
    // That of a default sweep.
    Workload { name: "64-16-10, 512 rows", hidden: &[16], batch: None, delay: 4 },
    Workload { name: "64-64-32-10, batch 128", hidden: &[64, 32], batch: Some(128), delay: 16 },
];

impl Workload {
    fn spec(&self, lanes: usize) -> WaveSpec {
        let data = Dataset::load(DataSource::Digits, Some(512), 0).expect("the digits have 512 samples");
        let model = Model::mlp(data.features, self.hidden, data.classes, Activation::Tanh);
        let start = Arc::new(model.init(0));
        let direction = vec![1.0 / (start.len() as f64).sqrt(); start.len()];
        WaveSpec {
            problem: Arc::new(Problem::Network(Network { model, loss: Loss::Ce, weight_decay: 1e-3, data })),
            batch: self.batch,
            minimum: Arc::new(vec![0.0; start.len()]),
            direction: Arc::new(direction),
            lanes,
            sampling: Sampling::Epochs,
            together: 1,
            needs: Needs { slots: self.delay as usize + 1, ..Needs::default() },
            block: BLOCK,
        }
    }

    /// A wave whose lanes all run, at learning rates far from any threshold.
    fn wave(&self, engine: &dyn Engine, lanes: usize) -> Box<dyn Wave> {
        let spec = self.spec(lanes);
        let Problem::Network(network) = &*spec.problem else { unreachable!("workloads are networks") };
        let start = Arc::new(network.model.init(0));
        let mut wave = engine.open(spec).expect("the wave fits");
        for lane in 0..lanes {
            let run = Run {
                rule: Rule::SGD,
                lr: 1e-3 * (1.0 + lane as f64 / lanes as f64),
                schedule: Schedule::RoundRobin { delay: self.delay },
                seed: 0,
                centred: false,
                start: Arc::clone(&start),
            };
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
    for workload in WORKLOADS {
        let mut group = criterion.benchmark_group(workload.name);
        let mut measure = |engine: &dyn Engine, lanes: usize| {
            workload.check(engine, lanes);
            group.throughput(Throughput::Elements((BLOCK * lanes) as u64));
            let id = BenchmarkId::new(&engine.info().engine, format!("{lanes} lanes"));
            group.bench_function(id, |bencher| {
                let mut wave = workload.wave(engine, lanes);
                bencher.iter(|| wave.advance(BLOCK).expect("the engine works"));
            });
            workload.check(engine, lanes);
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
