//! The CPU engine: one lane is one task; rayon spreads lanes over threads. f64 is the oracle for everything else.

use super::{
    Engine, EngineError, EngineInfo, Footprint, Needs, Observation, Observations, Renewal, Run, Wave, WaveSpec,
};
use crate::kernels::real::Real;
use crate::kernels::step::{self, Landmarks, State};
use crate::kernels::{finish, gather, observe, quadratic, renew};
use crate::problem::Problem;
use crate::problem::network::Backprop;
use crate::rule::course::{Course, Leg};
use crate::schedule::{BatchOrder, RowTables};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

/// Lanes for every thread: enough that none waits long for the others at the end of a block.
const LANES_PER_THREAD: usize = 16;

/// Free main memory, bytes, where the system tells.
fn free_memory() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory())
}

/// Bytes that one lane takes: server weights, gradient, weight versions, velocities, and the buffers of a pass.
fn lane_bytes<T>(spec: &WaveSpec) -> u64 {
    let vectors = 2 + spec.needs.slots + spec.needs.memories() + usize::from(spec.needs.centred);
    let versions = (vectors * spec.problem.dimension()) as u64;
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
            checks: String::new(),
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
        let free = free_memory().unwrap_or(u64::MAX) / 2;
        let fit = (free / needed).min(usize::MAX as u64) as usize;
        if fit == 0 {
            let Self { info: EngineInfo { precision, .. }, .. } = self;
            return Err(EngineError::TooLarge(format!(
                "a run with {} slots of {} parameters in {precision} takes {needed} bytes; half of the free memory is \
                 {free} bytes; accepted: shorter delays or a smaller model",
                spec.needs.slots,
                spec.problem.dimension()
            )));
        }
        let enough = (LANES_PER_THREAD * rayon::current_num_threads()).max(spec.together);
        Ok(spec.lanes.min(enough).min(fit))
    }

    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        Ok(Footprint { lane: lane_bytes::<T>(spec), free: free_memory() })
    }

    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        let narrow = |values: &[f64]| values.iter().map(|x| T::of(*x)).collect::<Vec<T>>();
        let inputs = match &*spec.problem {
            Problem::Network(network) => network.data.inputs.iter().map(|x| T::of(f64::from(*x))).collect(),
            Problem::Quadratic(_) => Vec::new(),
        };
        let curvature = narrow(spec.problem.curvature().unwrap_or(&[]));
        let (minimum, direction) = (narrow(&spec.minimum), narrow(&spec.direction));
        let shared = Shared { inputs, curvature, minimum, direction, rows: spec.row_tables(), spec };
        let lanes = (0..shared.spec.lanes).map(|_| None).collect();
        Ok(Box::new(CpuWave { shared, lanes, blocks: VecDeque::new() }))
    }
}

/// What all lanes read: the spec in precision T.
struct Shared<T> {
    spec: WaveSpec,
    /// Data, samples x features; empty for a quadratic.
    inputs: Vec<T>,
    /// Eigenvalues of a quadratic; else empty.
    curvature: Vec<T>,
    minimum: Vec<T>,
    direction: Vec<T>,
    /// None where the batch is full.
    rows: Option<Arc<RowTables>>,
}

struct CpuWave<T> {
    shared: Shared<T>,
    lanes: Vec<Option<Lane<T>>>,
    /// Blocks that were not collected yet, oldest first.
    blocks: VecDeque<Observations>,
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

    fn submit(&mut self, steps: usize) -> Result<(), EngineError> {
        let shared = &self.shared;
        let mut values = vec![Observation::default(); steps * self.lanes.len()];
        self.lanes.par_iter_mut().zip(values.par_chunks_mut(steps.max(1))).for_each(|(lane, seen)| {
            if let Some(lane) = lane {
                seen.iter_mut().for_each(|seen| *seen = lane.step(shared));
            }
        });
        self.blocks.push_back(Observations::new(steps, values));
        Ok(())
    }

    fn collect(&mut self) -> Result<Observations, EngineError> {
        Ok(self.blocks.pop_front().expect("a block was submitted"))
    }

    fn renew(&mut self, renewals: &[Renewal]) -> Result<(), EngineError> {
        for Renewal { lane, source, seed, .. } in renewals {
            if lane != source {
                self.lanes[*lane] = self.lanes[*source].clone();
            }
            let lane = self.lanes[*lane].as_mut().expect("a renewed lane is busy");
            seed.iter().for_each(|seed| lane.reseed(*seed));
        }
        for Renewal { lane, factor, .. } in renewals {
            let lane = self.lanes[*lane].as_mut().expect("a renewed lane is busy");
            renew::cpu(*factor, &self.shared.minimum, &mut lane.state);
        }
        Ok(())
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let lane = self.lanes[lane].as_ref().expect("weights of a busy lane");
        Ok(lane.state.server.iter().map(|x| x.widen()).collect())
    }
}

/// One run: its state and the buffers of its gradient.
#[derive(Clone)]
struct Lane<T> {
    step: u64,
    course: Course,
    state: State<T>,
    gradient: Vec<T>,
    /// The gradient at the minimum, where the run is centred.
    anchor: Option<Vec<T>>,
    source: Source<T>,
}

/// Where a lane's gradients come from.
#[derive(Clone)]
enum Source<T> {
    Quadratic,
    FullBatch(Backprop<T>),
    Minibatch { pass: Backprop<T>, order: BatchOrder, inputs: Vec<T>, labels: Vec<u32> },
}

impl<T: Real> Lane<T> {
    fn new(shared: &Shared<T>, run: &Run) -> Self {
        let start: Vec<T> = run.start.iter().map(|x| T::of(*x)).collect();
        let needs = Needs::of(&run.rule, &run.schedule, run.centred);
        let source = match (&*shared.spec.problem, &shared.rows) {
            (Problem::Quadratic(_), _) => Source::Quadratic,
            (Problem::Network(network), None) => Source::FullBatch(Backprop::new(network, network.data.samples())),
            (Problem::Network(network), Some(rows)) => Source::Minibatch {
                pass: Backprop::new(network, rows.batch()),
                order: BatchOrder::new(rows, run.seed),
                inputs: Vec::with_capacity(rows.batch() * network.data.features),
                labels: Vec::with_capacity(rows.batch()),
            },
        };
        let zeros = |vectors: usize| vec![T::zero(); vectors * start.len()];
        Self {
            step: 0,
            course: run.course(&shared.spec),
            gradient: zeros(1),
            anchor: run.centred.then(|| zeros(1)),
            state: State {
                history: start.repeat(needs.slots),
                velocity: zeros(needs.velocities()),
                second: zeros(usize::from(needs.second_moment)),
                server: start,
            },
            source,
        }
    }

    fn reseed(&mut self, seed: u64) {
        self.course.reseed(seed);
        if let Source::Minibatch { order, .. } = &mut self.source {
            order.reseed(seed);
        }
    }

    fn step(&mut self, shared: &Shared<T>) -> Observation {
        let Self { course, state, gradient, anchor, source, .. } = self;
        let Leg { place, motion, .. } = course.advance();
        let landmarks =
            Landmarks { minimum: &shared.minimum, direction: &shared.direction, curvature: &shared.curvature };
        source.draw(shared, self.step);
        if let Some(anchor) = anchor {
            source.gradient(shared, &shared.minimum, anchor);
        }
        let weights = &state.history[place.read * gradient.len()..][..gradient.len()];
        let loss = source.gradient(shared, weights, gradient);
        let weight_decay = T::of(shared.spec.problem.weight_decay());
        if motion.wants_finish() {
            finish::cpu(&motion, weight_decay, place, landmarks, state, anchor.as_deref(), gradient);
        }
        let moments = step::cpu(&motion, place, gradient, landmarks, state);
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
    /// Fetches the rows of step `step`.
    fn draw(&mut self, shared: &Shared<T>, step: u64) {
        if let (Self::Minibatch { order, inputs, labels, .. }, Problem::Network(network)) =
            (self, &*shared.spec.problem)
        {
            gather::cpu(order.rows(step), &shared.inputs, &network.data.labels, inputs, labels);
        }
    }

    /// Loss and gradient (no weight decay) of the fetched rows at `weights`.
    fn gradient(&mut self, shared: &Shared<T>, weights: &[T], gradient: &mut [T]) -> T {
        match (self, &*shared.spec.problem) {
            (Self::FullBatch(pass), Problem::Network(network)) => {
                pass.loss_and_gradient(weights, &shared.inputs, &network.data.labels, gradient)
            }
            (Self::Minibatch { pass, inputs, labels, .. }, Problem::Network(_)) => {
                pass.loss_and_gradient(weights, inputs, labels, gradient)
            }
            (_, Problem::Quadratic(_)) => quadratic::cpu(&shared.curvature, weights, gradient),
            (Self::Quadratic, Problem::Network(_)) => unreachable!("a lane's source is made from its wave's problem"),
        }
    }
}
