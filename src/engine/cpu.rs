//! The CPU engine: one lane is one task; rayon spreads lanes over threads. f64 is the oracle for everything else.

use super::{Engine, EngineError, EngineInfo, Observation, Observations, Run, Wave, WaveSpec};
use crate::kernels::real::Real;
use crate::kernels::step::{self, Coefficients, Place, State};
use crate::kernels::{gather, observe, quadratic};
use crate::problem::Problem;
use crate::problem::network::Backprop;
use crate::schedule::{BatchOrder, Sampling, Schedule};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Lanes for every thread: enough that none waits long for the others at the end of a block.
const LANES_PER_THREAD: usize = 16;

/// Free main memory, bytes; unlimited where the system does not tell.
fn free_memory() -> u64 {
    sysinfo::System::new().map_or(u64::MAX, |mut system| {
        system.refresh_memory();
        system.available_memory()
    })
}

/// Bytes that one lane takes: server weights, gradient, weight versions, velocities, and the buffers of a pass.
fn lane_bytes<T>(spec: &WaveSpec) -> u64 {
    let velocities = if spec.slot_velocity { spec.slots } else { 1 };
    let versions = (2 + spec.slots + velocities) as u64 * spec.problem.dimension() as u64;
    let pass = match &*spec.problem {
        Problem::Quadratic(_) => 0,
        Problem::Network(network) => {
            let rows = spec.batch.unwrap_or(network.data.samples());
            let widths: usize = network.model.layers.iter().map(|layer| 3 * layer.outputs).sum();
            (rows * (widths + network.data.features)) as u64
        }
    };
    (versions + pass) * size_of::<T>() as u64
}

/// The native engine in precision T.
#[derive(Clone, Debug)]
pub struct Cpu<T> {
    info: EngineInfo,
    precision: PhantomData<T>,
}

impl<T: Real> Default for Cpu<T> {
    fn default() -> Self {
        let info = EngineInfo {
            engine: "cpu".into(),
            adapter: std::env::consts::ARCH.into(),
            driver: String::new(),
            device_type: "Native".into(),
            backend: "native".into(),
            precision: T::NAME.into(),
        };
        Self { info, precision: PhantomData }
    }
}

impl<T: Real> Engine for Cpu<T> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// As many lanes as keep every thread busy, and as half of the free memory holds.
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        let needed = lane_bytes::<T>(spec);
        let free = free_memory() / 2;
        let fit = (free / needed).min(usize::MAX as u64) as usize;
        if fit == 0 {
            let Self { info: EngineInfo { precision, .. }, .. } = self;
            return Err(EngineError::TooLarge(format!(
                "a run with {} slots of {} parameters in {precision} takes {needed} bytes; half of the free memory is \
                 {free} bytes; accepted: shorter delays or a smaller model",
                spec.slots,
                spec.problem.dimension()
            )));
        }
        Ok(spec.lanes.min(LANES_PER_THREAD * rayon::current_num_threads()).min(fit))
    }

    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        let narrow = |values: &[f64]| values.iter().map(|x| T::of(*x)).collect::<Vec<T>>();
        let inputs = match &*spec.problem {
            Problem::Network(network) => network.data.inputs.iter().map(|x| T::of(f64::from(*x))).collect(),
            Problem::Quadratic(quadratic) => narrow(&quadratic.eigenvalues),
        };
        let shared = Shared { inputs, minimum: narrow(&spec.minimum), direction: narrow(&spec.direction), spec };
        let lanes = (0..shared.spec.lanes).map(|_| None).collect();
        Ok(Box::new(CpuWave { shared, lanes }))
    }
}

/// What all lanes read: the spec in precision T.
struct Shared<T> {
    spec: WaveSpec,
    /// Data, samples x features; for a quadratic its eigenvalues.
    inputs: Vec<T>,
    minimum: Vec<T>,
    direction: Vec<T>,
}

struct CpuWave<T> {
    shared: Shared<T>,
    lanes: Vec<Option<Lane<T>>>,
}

impl<T: Real> Wave for CpuWave<T> {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.shared.spec.admits(&run)?;
        self.lanes[lane] = Some(Lane::new(&self.shared, &run));
        Ok(())
    }

    fn retire(&mut self, lane: usize) {
        self.lanes[lane] = None;
    }

    fn advance(&mut self, steps: usize) -> Result<Observations, EngineError> {
        let shared = &self.shared;
        let per_lane: Vec<Vec<Observation>> = self
            .lanes
            .par_iter_mut()
            .map(|lane| lane.as_mut().map_or_else(Vec::new, |lane| (0..steps).map(|_| lane.step(shared)).collect()))
            .collect();
        let idle = Observation::default();
        let values = (0..steps)
            .flat_map(|step| per_lane.iter().map(move |lane| lane.get(step).copied().unwrap_or(idle)))
            .collect();
        Ok(Observations::new(self.lanes.len(), values))
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let lane = self.lanes[lane].as_ref().expect("weights of a busy lane");
        Ok(lane.state.server.iter().map(|x| x.widen()).collect())
    }
}

/// One run: its state and the buffers of its gradient.
struct Lane<T> {
    step: u64,
    schedule: Schedule,
    coefficients: Coefficients<T>,
    lr: T,
    slot_velocity: bool,
    state: State<T>,
    gradient: Vec<T>,
    source: Source<T>,
}

/// Where a lane's gradients come from.
enum Source<T> {
    Quadratic,
    FullBatch(Backprop<T>),
    Minibatch { pass: Backprop<T>, order: BatchOrder, inputs: Vec<T>, labels: Vec<u32> },
}

impl<T: Real> Lane<T> {
    fn new(shared: &Shared<T>, run: &Run) -> Self {
        let start: Vec<T> = run.start.iter().map(|x| T::of(*x)).collect();
        let slots = run.schedule.slots() as usize;
        let slot_velocity = run.rule.has_slot_velocity();
        let velocities = if slot_velocity { slots } else { 1 };
        let source = match (&*shared.spec.problem, shared.spec.batch) {
            (Problem::Quadratic(_), _) => Source::Quadratic,
            (Problem::Network(network), None) => Source::FullBatch(Backprop::new(network, network.data.samples())),
            (Problem::Network(network), Some(batch)) => Source::Minibatch {
                pass: Backprop::new(network, batch),
                order: BatchOrder::new(network.data.samples(), batch, run.seed_order, Sampling::Epochs),
                inputs: Vec::with_capacity(batch * network.data.features),
                labels: Vec::with_capacity(batch),
            },
        };
        Self {
            step: 0,
            schedule: run.schedule.clone(),
            coefficients: run.rule.coefficients().narrow(),
            lr: T::of(run.lr),
            slot_velocity,
            gradient: vec![T::zero(); start.len()],
            state: State {
                history: start.repeat(slots),
                velocity: vec![T::zero(); velocities * start.len()],
                server: start,
            },
            source,
        }
    }

    fn step(&mut self, shared: &Shared<T>) -> Observation {
        let slots = self.schedule.at(self.step);
        let (read, write) = (slots.read as usize, slots.write as usize);
        let place = Place { read, write, velocity: if self.slot_velocity { write } else { 0 } };
        let parameters = self.gradient.len();
        let weights = &self.state.history[read * parameters..][..parameters];
        let loss = self.source.gradient(shared, self.step, weights, &mut self.gradient);
        let weight_decay = T::of(shared.spec.problem.weight_decay());
        let moments = step::cpu(
            &self.coefficients,
            self.lr,
            weight_decay,
            place,
            &self.gradient,
            &shared.minimum,
            &shared.direction,
            &mut self.state,
        );
        self.step += 1;
        let (objective, finite) = observe::cpu(loss, weight_decay, &moments);
        Observation {
            distance_squared: moments.distance_squared.widen(),
            projection: moments.projection.widen(),
            loss: objective.widen(),
            finite,
        }
    }
}

impl<T: Real> Source<T> {
    /// Loss and gradient (no weight decay) of step `step`'s batch at `weights`.
    fn gradient(&mut self, shared: &Shared<T>, step: u64, weights: &[T], gradient: &mut [T]) -> T {
        match (self, &*shared.spec.problem) {
            (Self::FullBatch(pass), Problem::Network(network)) => {
                pass.loss_and_gradient(weights, &shared.inputs, &network.data.labels, gradient)
            }
            (Self::Minibatch { pass, order, inputs, labels }, Problem::Network(network)) => {
                gather::cpu(order.rows(step), &shared.inputs, &network.data.labels, inputs, labels);
                pass.loss_and_gradient(weights, inputs, labels, gradient)
            }
            (_, Problem::Quadratic(_)) => quadratic::cpu(&shared.inputs, weights, gradient),
            (Self::Quadratic, Problem::Network(_)) => unreachable!("a lane's source is made from its wave's problem"),
        }
    }
}
