//! Whole networks: a gradient on the processor, a step on an adapter, both on the path that the engine takes.

use super::dispatch::{MOST_BYTES, lanes_within};
use super::{Timed, Work, median};
use crate::bench::fewer::fit;
use crate::bench::workload::{NetworkSpec, Workload};
use crate::config::ModelSpec;
use crate::data::DataSource;
use crate::engine::cpu::{CpuPrecision, StandaloneGradient};
use crate::engine::gpu::{BenchmarkSteps, Gpu};
use crate::engine::{Engine, EngineError, Footprint};
use crate::math::vector::Instructions;
use crate::math::{Activation, Loss};
use crate::problem::Problem;
use crate::rule::Rule;
use std::hint::black_box;
use std::sync::Arc;

/// That of `tauscope bench step`, that of a default sweep, and a wide one.
pub const NETWORKS: [Perceptron; 3] = [
    Perceptron { hidden: 32, samples: 1536, batch: Some(128), slots: 17 },
    Perceptron { hidden: 16, samples: 512, batch: None, slots: 5 },
    Perceptron { hidden: 256, samples: 1536, batch: Some(128), slots: 17 },
];

/// Steps that are made by one dispatch at most, where a dispatch makes more than one.
const STEPS: usize = 32;

/// Minibatches that gradients take turns with: those of an epoch.
const BATCHES: usize = 12;

/// A network of one hidden layer on the digits, with tanh and cross-entropy, and how it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perceptron {
    pub hidden: usize,
    pub samples: usize,
    /// Rows per gradient; `None` is the full batch.
    pub batch: Option<usize>,
    pub slots: u32,
}

impl Perceptron {
    /// As `64-32-10, 128 rows`.
    pub fn name(&self) -> String {
        format!("64-{}-10, {} rows", self.hidden, self.batch.unwrap_or(self.samples))
    }

    pub fn workload(&self, lanes: usize) -> Workload {
        let Self { hidden, samples, batch, slots } = *self;
        let (activation, loss, weight_decay) = (Activation::Tanh, Loss::Ce, 1e-3);
        let (data, model) = (&DataSource::Digits, &ModelSpec::Mlp(vec![hidden]));
        let spec = NetworkSpec { data, samples: Some(samples), model, activation, loss, weight_decay };
        let problem = Arc::new(Problem::Network(spec.build(0).expect("there are so many digits")));
        Workload { problem, batch, rule: Rule::SGD, slots, lanes, steps: BATCHES, seed: 0 }
    }
}

/// Gradients of a workload at its start, on one thread.
pub struct Gradient<T: CpuPrecision> {
    pass: StandaloneGradient<T>,
    /// Minibatches, one after the other; none where the batch is full.
    order: Option<Vec<u32>>,
    rows: usize,
    /// The number of the next minibatch.
    next: usize,
}

impl<T: CpuPrecision> Gradient<T> {
    pub fn new(workload: &Workload) -> Self {
        let (order, rows) = (workload.order(), workload.rows());
        let pass = StandaloneGradient::new(&workload.problem, &workload.start(), rows, Instructions::best());
        Self { pass, order, rows, next: 0 }
    }

    /// That of the next minibatch.
    pub fn run(&mut self) {
        let Self { pass, order, rows, next } = self;
        let batch = order.as_deref().map(|order| &order[*next * *rows..][..*rows]);
        black_box(pass.run(batch));
        *next = (*next + 1) % BATCHES;
    }

    /// What it came to, P.
    pub fn result(&self) -> Vec<f64> {
        self.pass.gradient()
    }

    /// Weights are read and the gradient is written, beside the rows of a batch.
    pub fn work(workload: &Workload, word: usize) -> Work {
        work(workload, 2, word)
    }
}

/// What a whole step cannot do without: it reads a version of the weights, the server's and two landmarks, and writes the
/// server's and a version, beside the rows of a batch. Without momentum there is no velocity.
pub fn step_work(workload: &Workload, word: usize) -> Work {
    work(workload, 6, word)
}

/// `vectors` of all parameters are read or written, and inputs, labels and numbers of the rows are read.
fn work(workload: &Workload, vectors: usize, word: usize) -> Work {
    let (network, rows) = (workload.network(), workload.rows());
    let numbers = if workload.batch.is_some() { rows } else { 0 };
    let words = vectors * network.dimension() + rows * network.data.features() + rows + numbers;
    Work { flops: workload.flops_of_step(), bytes: (words * word) as u64 }
}

/// Times a whole step on an adapter: a share of the dispatch that makes many, or all dispatches of one.
///
/// # Errors
/// Where the adapter fails.
pub fn step_on_adapter(workload: &Workload, gpu: &Gpu) -> Result<Timed, EngineError> {
    let Footprint { lane, .. } = gpu.footprint(&workload.spec(workload.lanes, STEPS))?;
    let lanes = lanes_within(MOST_BYTES, lane, gpu.device());
    let lanes = gpu.capacity(&workload.spec(lanes, STEPS))?;
    let seconds = |lanes| {
        let workload = Workload { lanes, ..workload.clone() };
        let BenchmarkSteps { dispatches, steps } =
            gpu.benchmark_steps(workload.spec(lanes, STEPS), workload.runs(), STEPS)?;
        median(|| Ok(gpu.device().time(&dispatches)?.iter().sum::<f64>() / steps as f64))
    };
    Ok(fit(lanes, seconds)?.into())
}
