//! Single kernels, each at a few shapes, and whole networks: what one lane does, on either side, and how long that takes.
//!
//! - `twin` is what a thread of the processor runs, `dispatch` what an adapter runs: the same operands, so that the results
//!   can be compared (benches/kernels.rs does, before and after it times them)
//! - `network` runs whole gradients and steps as the engines do
//! - [`on_processor`] and [`on_adapter`] list what an engine really runs
//!
//! A case more is a line in [`CASES`], or in [`NETWORKS`]. Not here: whole rounds of steps ([`super::step`]), nor the roofs
//! ([`super::roof`]).

mod dispatch;
mod network;
mod twin;

pub use dispatch::{OnDevice, lanes};
pub use network::{Gradient, NETWORKS, Perceptron};
pub use twin::Twin;

use super::Spread;
use super::fewer::{Fitted, fit};
use crate::engine::cpu::{Cpu, CpuPrecision};
use crate::engine::gpu::Gpu;
use crate::engine::{Engine, EngineError};
use crate::math::{Loss, Real};
use crate::update::UpdateCoefficients;
use std::time::Instant;
use strum::Display;

/// Every kernel at the shapes that sweeps have, and at one that is wide.
pub const CASES: [Case; 22] = [
    // The default sweep's hidden layer, that of the usual workload, a square one, and wide ones.
    Case::Product { product: Product::Forward, rows: 512, inputs: 64, outputs: 16 },
    Case::Product { product: Product::Backward, rows: 512, inputs: 64, outputs: 16 },
    Case::Product { product: Product::Gradient, rows: 512, inputs: 64, outputs: 16 },
    Case::Product { product: Product::Forward, rows: 128, inputs: 64, outputs: 32 },
    Case::Product { product: Product::Backward, rows: 128, inputs: 64, outputs: 32 },
    Case::Product { product: Product::Gradient, rows: 128, inputs: 64, outputs: 32 },
    Case::Product { product: Product::Forward, rows: 128, inputs: 64, outputs: 64 },
    Case::Product { product: Product::Backward, rows: 128, inputs: 64, outputs: 64 },
    Case::Product { product: Product::Gradient, rows: 128, inputs: 64, outputs: 64 },
    Case::Product { product: Product::Forward, rows: 256, inputs: 256, outputs: 256 },
    Case::Product { product: Product::Backward, rows: 256, inputs: 256, outputs: 256 },
    Case::Product { product: Product::Gradient, rows: 256, inputs: 256, outputs: 256 },
    Case::Product { product: Product::Forward, rows: 128, inputs: 512, outputs: 512 },
    Case::Product { product: Product::Backward, rows: 128, inputs: 512, outputs: 512 },
    Case::Product { product: Product::Gradient, rows: 128, inputs: 512, outputs: 512 },
    Case::Loss { loss: Loss::Ce, rows: 512, classes: 10 },
    Case::Loss { loss: Loss::Mse, rows: 512, classes: 10 },
    Case::Gather { samples: 1536, rows: 128, features: 64 },
    Case::Step { parameters: 1_210 },
    Case::Step { parameters: 2_410 },
    Case::Step { parameters: 100_000 },
    Case::Step { parameters: 1_000_000 },
];

/// One kernel at one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// One of the products of a dense layer with tanh.
    Product {
        product: Product,
        rows: usize,
        inputs: usize,
        outputs: usize,
    },
    Loss {
        loss: Loss,
        rows: usize,
        classes: usize,
    },
    /// A minibatch of so many rows.
    Gather {
        samples: usize,
        rows: usize,
        features: usize,
    },
    /// The delayed update with momentum and weight decay, and its moments.
    Step {
        parameters: usize,
    },
}

/// The products of backpropagation ([`crate::kernels::matmul`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Product {
    Forward,
    Backward,
    Gradient,
}

/// What one lane of a kernel cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations: 2 rows inputs outputs for a product, 5 per output of a loss, 18 per parameter of a step.
    pub flops: u64,
    /// Bytes read and written, each operand once: whatever is read again is the kernel's own doing.
    pub bytes: u64,
}

impl Case {
    /// As `matmul forward 128 x 64 x 32`.
    pub fn name(&self) -> String {
        match self {
            Self::Product { product, rows, inputs, outputs } => {
                format!("matmul {product} {rows} x {inputs} x {outputs}")
            }
            Self::Loss { loss, rows, classes } => format!("loss {loss} {rows} x {classes}"),
            Self::Gather { rows, features, .. } => format!("gather {rows} x {features}"),
            Self::Step { parameters } => format!("step {parameters} parameters"),
        }
    }

    /// `word`: bytes of a number.
    pub fn work(&self, word: usize) -> Work {
        let (flops, words) = match *self {
            Self::Product { product, rows, inputs, outputs } => {
                let (weights, below, above) = (inputs * outputs + outputs, rows * inputs, rows * outputs);
                let words = match product {
                    // Writes value and slope.
                    Product::Forward => below + weights + 2 * above,
                    // Reads the slope of the layer below; needs no bias.
                    Product::Backward => above + weights - outputs + 2 * below,
                    Product::Gradient => above + below + weights,
                };
                (2 * rows * inputs * outputs, words)
            }
            Self::Loss { rows, classes, .. } => (5 * rows * classes, 2 * rows * classes + rows),
            // Row number, label read and label written.
            Self::Gather { rows, features, .. } => (0, 2 * rows * features + 3 * rows),
            // Reads gradient, history, velocity, server and two landmarks, and writes three of them back.
            Self::Step { parameters } => (18 * parameters, 9 * parameters),
        };
        Work { flops: flops as u64, bytes: (words * word) as u64 }
    }
}

/// Repetitions of a measurement, of which the median counts.
const ROUNDS: usize = 7;

/// A measurement takes at least this long, seconds.
const LONG: f64 = 5e-3;

/// How long a kernel takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Lanes at once: threads, or lanes of a dispatch.
    pub lanes: usize,
    /// Time of all lanes together.
    pub seconds: f64,
    /// Why these are fewer lanes than usual, in words.
    pub fewer: Vec<String>,
}

impl From<Fitted<f64>> for Timed {
    fn from(Fitted { outcome, lanes, fewer }: Fitted<f64>) -> Self {
        Self { lanes, seconds: outcome, fewer }
    }
}

/// A row of the roofline: a kernel, or a whole network, as one engine runs it.
pub struct Subject<'a> {
    pub name: String,
    /// How a whole network is run, as [`Engine::path`] names it; none of a single kernel.
    pub path: Option<String>,
    /// Operations and bytes of one lane.
    pub work: Work,
    time: Box<dyn Fn() -> Result<Timed, EngineError> + 'a>,
}

impl Subject<'_> {
    /// # Errors
    /// Where the adapter fails.
    pub fn time(&self) -> Result<Timed, EngineError> {
        (self.time)()
    }
}

/// What the processor runs: gradients of whole networks, and kernels. Where a gradient is one fused pass, the update is the
/// only kernel that runs by itself.
///
/// # Errors
/// As [`Engine::path`].
pub fn on_processor<T: CpuPrecision>() -> Result<Vec<Subject<'static>>, EngineError> {
    let (engine, word) = (Cpu::<T>::default(), size_of::<T>());
    let networks = NETWORKS.iter().map(|network| {
        let workload = network.workload(1);
        Ok(Subject {
            name: format!("gradient {}", network.name()),
            path: Some(engine.path(&workload.spec(1, 1))?),
            work: Gradient::<T>::work(&workload, word),
            time: Box::new(move || Ok(on_all_threads(|| Gradient::<T>::new(&workload), Gradient::run))),
        })
    });
    let mut subjects: Vec<Subject> = networks.collect::<Result<_, EngineError>>()?;
    let fused = subjects.iter().all(|network| network.path.as_deref() == Some("fused"));
    let kernels = CASES.iter().filter(|case| !fused || matches!(case, Case::Step { .. }));
    subjects.extend(kernels.map(|case| Subject {
        name: case.name(),
        path: None,
        work: case.work(word),
        time: Box::new(|| Ok(on_all_threads(|| case.twin::<T>(), |twin| twin.run()))),
    }));
    Ok(subjects)
}

/// What an adapter runs: steps of whole networks, and the kernels of the layered path.
///
/// # Errors
/// As [`Engine::path`].
pub fn on_adapter(gpu: &Gpu) -> Result<Vec<Subject<'_>>, EngineError> {
    let (device, word) = (gpu.device(), size_of::<f32>());
    let networks = NETWORKS.iter().map(|network| {
        let workload = network.workload(1);
        Ok(Subject {
            name: format!("whole step {}", network.name()),
            path: Some(gpu.path(&workload.spec(1, 1))?),
            work: network::step_work(&workload, word),
            time: Box::new(move || network::step_on_adapter(&workload, gpu)),
        })
    });
    let mut subjects: Vec<Subject> = networks.collect::<Result<_, EngineError>>()?;
    subjects.extend(CASES.iter().map(|case| Subject {
        name: case.name(),
        path: None,
        work: case.work(word),
        time: Box::new(move || {
            let seconds = |lanes| {
                let OnDevice { dispatch, .. } = case.on_device(device, lanes);
                device.check()?;
                median(|| Ok(device.time(std::slice::from_ref(&dispatch))?[0]))
            };
            Ok(fit(lanes(case, device), seconds)?.into())
        }),
    }));
    Ok(subjects)
}

/// The time that `run` takes on all threads of the processor, with something that each of them makes for itself.
fn on_all_threads<W>(make: impl Fn() -> W + Sync, run: impl Fn(&mut W) + Sync) -> Timed {
    let repeated = |repetitions: u32| {
        let each = rayon::broadcast(|_| {
            let mut work = make();
            run(&mut work);
            let begin = Instant::now();
            (0..repetitions).for_each(|_| run(&mut work));
            begin.elapsed().as_secs_f64()
        });
        each.into_iter().fold(0.0, f64::max)
    };
    let mut repetitions = 1;
    while repeated(repetitions) < LONG && repetitions < 1 << 24 {
        repetitions *= 2;
    }
    let rounds: Vec<f64> = (0..ROUNDS).map(|_| repeated(repetitions) / f64::from(repetitions)).collect();
    Timed { lanes: rayon::current_num_threads(), seconds: Spread::of(&rounds).median, fewer: Vec::new() }
}

/// The median of [`ROUNDS`] times, seconds, after one that warms up.
fn median(time: impl Fn() -> Result<f64, EngineError>) -> Result<f64, EngineError> {
    time()?;
    let rounds: Vec<f64> = (0..ROUNDS).map(|_| time()).collect::<Result<_, _>>()?;
    Ok(Spread::of(&rounds).median)
}

/// Numbers in (-1, 1) that no kernel can take a short cut through.
fn numbers<T: Real>(length: usize) -> Vec<T> {
    // Through f32, so that both sides start from the same.
    (0..length).map(|i| T::of(f64::from(((i as f64 * 0.754_877_666).fract() * 2.0 - 1.0) as f32))).collect()
}

/// A dense layer's weight and bias, of the size that a network starts with, so that the activation does not saturate.
fn parameters<T: Real>(inputs: usize, outputs: usize) -> Vec<T> {
    let size = 1.0 / (inputs as f32).sqrt();
    numbers::<f32>(inputs * outputs + outputs).into_iter().map(|x| T::of(f64::from(size * x))).collect()
}

fn labels(rows: usize, classes: usize) -> Vec<u32> {
    (0..rows).map(|row| (row * row % classes) as u32).collect()
}

/// Rows of a minibatch, far from each other.
fn order(samples: usize, rows: usize) -> Vec<u32> {
    (0..rows).map(|row| (row * 7919 % samples) as u32).collect()
}

/// What the delayed update is timed with: a learning rate that keeps thousands of repetitions finite.
fn coefficients() -> UpdateCoefficients {
    UpdateCoefficients {
        lr: 1e-6,
        momentum: 0.9,
        gradient_to_velocity: 1.0,
        velocity_to_weights: 1.0,
        decay: 1e-3,
        ..UpdateCoefficients::default()
    }
}
