//! The CPU engine: one lane is one task; rayon spreads lanes over threads. f32 runs at the hardware's speed, f64 is the
//! reference for everything else.
//!
//! - `fused`: loss and gradient of a network in f32 by register tiles, for every instruction set
//! - `gradient`: where gradients come from in each precision
//! - `evaluate`: loss and accuracy over whole parts of the data
//! - `lane`: one run, step by step
//! - [`StandaloneGradient`]: gradients without a run, for benchmarks

mod evaluate;
mod fused;
mod gradient;
mod lane;
mod standalone;

pub use gradient::CpuPrecision;
pub use standalone::StandaloneGradient;

use super::{
    Engine, EngineError, EngineInfo, Evaluation, Footprint, Observation, Observations, Part, Renewal, Run, StateError,
    Wave, WaveSpec,
};
use crate::batch::RowTables;
use crate::math::vector::Instructions;
use crate::memory;
use crate::model::Backprop;
use crate::problem::Problem;
use aligned_vec::AVec;
use evaluate::Candidate;
use gradient::Gradients;
use lane::{Lane, Workbench};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// Lanes for every thread: enough that none waits long for the others at the end of a block.
const LANES_PER_THREAD: usize = 64;

/// Bytes that one lane takes: server weights, weight versions, and what its rule remembers.
fn lane_bytes<T: CpuPrecision>(spec: &WaveSpec) -> u64 {
    let vectors = 1 + spec.needs.versions() + spec.needs.memories();
    (vectors * T::Gradients::length(&spec.problem, spec.needs.work.keeps_order()) * size_of::<T>()) as u64
}

/// Bytes of what all threads need for their gradients, about: of a layered network the values and deltas of a batch, of a dense
/// quadratic its Hessians, which they share.
fn thread_bytes<T: CpuPrecision>(spec: &WaveSpec) -> u64 {
    let network = match &*spec.problem {
        Problem::Quadratic(_) => return 0,
        Problem::Dense(quadratic) => {
            let numbers = quadratic.hessians().len() + quadratic.mean().len();
            return (numbers * size_of::<T>()) as u64;
        }
        Problem::Network(network) => network,
    };
    let rows = spec.batch.unwrap_or(network.data.samples());
    let pass = match T::Gradients::path(&spec.problem, spec.needs.work.keeps_order()) {
        "fused" => 0,
        _ => Backprop::<T>::bytes(&network.model.graph, rows),
    };
    let gradient = network.dimension() * size_of::<T>();
    rayon::current_num_threads() as u64 * (pass + gradient as u64)
}

/// The native engine in precision T.
#[derive(Clone, Debug)]
pub struct Cpu<T> {
    info: EngineInfo,
    instructions: Instructions,
    precision: PhantomData<T>,
}

impl<T: CpuPrecision> Default for Cpu<T> {
    fn default() -> Self {
        Self::with(Instructions::best())
    }
}

impl<T: CpuPrecision> Cpu<T> {
    /// With these instructions, which must be there.
    pub fn with(instructions: Instructions) -> Self {
        let info = EngineInfo {
            engine: "cpu".into(),
            adapter: format!("{} {instructions}", std::env::consts::ARCH),
            driver: String::new(),
            device_type: "Native".into(),
            backend: "native".into(),
            precision: T::NAME.into(),
            checks: String::new(),
        };
        Self { info, instructions, precision: PhantomData }
    }
}

impl<T: CpuPrecision> Engine for Cpu<T> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// As many lanes as keep every thread busy, and as half of the free memory holds.
    fn capacity(&self, spec: &WaveSpec) -> Result<usize, EngineError> {
        if let Problem::Network(network) = &*spec.problem {
            network.check_rows(spec.batch.unwrap_or(network.data.samples())).map_err(EngineError::Unavailable)?;
        }
        let (needed, shared) = (lane_bytes::<T>(spec), thread_bytes::<T>(spec));
        let free = memory::free().unwrap_or(u64::MAX) / 2;
        let fit = (free.saturating_sub(shared) / needed).min(usize::MAX as u64) as usize;
        if fit == 0 {
            let Self { info: EngineInfo { precision, .. }, .. } = self;
            return Err(EngineError::TooLarge(format!(
                "a run with {} slots of {} parameters in {precision} takes {needed} bytes, and the gradients of all threads \
                 {shared}; half of the free memory is {free} bytes; accepted: shorter delays, smaller batches or a smaller \
                 model",
                spec.needs.slots,
                spec.problem.dimension()
            )));
        }
        let enough = (LANES_PER_THREAD * rayon::current_num_threads()).max(spec.together);
        Ok(spec.lanes.min(enough).min(fit))
    }

    fn footprint(&self, spec: &WaveSpec) -> Result<Footprint, EngineError> {
        Ok(Footprint { lane: lane_bytes::<T>(spec), shared: thread_bytes::<T>(spec), free: memory::free() })
    }

    fn path(&self, spec: &WaveSpec) -> Result<String, EngineError> {
        Ok(T::Gradients::path(&spec.problem, spec.needs.work.keeps_order()).into())
    }

    fn open(&self, spec: WaveSpec) -> Result<Box<dyn Wave>, EngineError> {
        let gradients = T::Gradients::new(&spec.problem, spec.needs.work.keeps_order());
        let packed = |flat: &[f64]| AVec::from_iter(0, gradients.pack(flat));
        let (minimum, direction) = (packed(&spec.minimum), packed(&spec.direction));
        let curvature = spec.problem.curvature().unwrap_or(&[]).iter().map(|x| T::of(*x)).collect();
        let shared = Shared { curvature, minimum, direction, rows: spec.row_tables(), gradients, spec };
        let lanes = (0..shared.spec.lanes).map(|_| None).collect();
        let (instructions, workbenches) = (self.instructions, Mutex::default());
        Ok(Box::new(CpuWave { shared, instructions, lanes, workbenches, blocks: VecDeque::new() }))
    }
}

/// What all lanes read.
struct Shared<T: CpuPrecision> {
    spec: WaveSpec,
    gradients: T::Gradients,
    /// Eigenvalues of a quadratic; else empty.
    curvature: Vec<T>,
    minimum: AVec<T>,
    direction: AVec<T>,
    /// None where the batch is full.
    rows: Option<Arc<RowTables>>,
}

struct CpuWave<T: CpuPrecision> {
    shared: Shared<T>,
    instructions: Instructions,
    lanes: Vec<Option<Lane<T>>>,
    /// Those that no thread is using.
    workbenches: Mutex<Vec<Workbench<T>>>,
    /// Blocks that were not collected yet, oldest first.
    blocks: VecDeque<Observations>,
}

impl<T: CpuPrecision> Wave for CpuWave<T> {
    fn start(&mut self, lane: usize, run: Run) -> Result<(), EngineError> {
        self.shared.spec.admits(&run)?;
        self.lanes[lane] = Some(Lane::new(&self.shared, &run));
        Ok(())
    }

    fn retire(&mut self, lane: usize) {
        self.lanes[lane] = None;
    }

    /// A thread takes a lane through the whole block, so that its weights stay in the nearest cache.
    fn submit(&mut self, steps: usize) -> Result<(), EngineError> {
        let Self { shared, instructions, lanes, workbenches, blocks } = self;
        let workbenches: &Mutex<_> = workbenches;
        let workbenches = || workbenches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = vec![Observation::default(); steps * lanes.len()];
        let lanes = lanes.par_iter_mut().zip(values.par_chunks_mut(steps.max(1)));
        lanes.for_each(|(lane, seen)| {
            if let Some(lane) = lane {
                let mut workbench = workbenches().pop().unwrap_or_else(|| Workbench::new(shared));
                instructions.run(Advance { lane, shared, workbench: &mut workbench, seen });
                workbenches().push(workbench);
            }
        });
        blocks.push_back(Observations::new(steps, values));
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
            lane.scale(*factor, &self.shared.minimum);
        }
        Ok(())
    }

    fn save(&mut self, lane: usize, out: &mut dyn Write) -> Result<(), StateError> {
        self.lanes[lane].as_ref().expect("the state of a busy lane").save(&self.shared, out)
    }

    fn restore(&mut self, lane: usize, run: Run, made: u64, state: &mut dyn Read) -> Result<(), StateError> {
        self.lanes[lane] = None;
        self.shared.spec.admits(&run)?;
        self.lanes[lane] = Some(Lane::restore(&self.shared, &run, made, state)?);
        Ok(())
    }

    fn weights(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let lane = self.lanes[lane].as_ref().expect("weights of a busy lane");
        Ok(self.shared.gradients.unpack(lane.weights()))
    }

    fn second_moment(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let second = self.lanes[lane].as_ref().expect("the second moment of a busy lane").second_moment();
        Ok(if second.is_empty() { Vec::new() } else { self.shared.gradients.unpack(second) })
    }

    fn statistics(&mut self, lane: usize) -> Result<Vec<f64>, EngineError> {
        let lane = self.lanes[lane].as_ref().expect("statistics of a busy lane");
        Ok(lane.statistics().iter().map(|x| x.widen()).collect())
    }

    fn evaluate(&mut self, part: Part) -> Result<Vec<Option<Evaluation>>, EngineError> {
        let of = |lane: &Option<Lane<T>>| {
            let lane = lane.as_ref()?;
            Some(Candidate { weights: self.weights_of(lane), statistics: lane.statistics().to_vec() })
        };
        let candidates: Vec<_> = self.lanes.iter().map(of).collect();
        Ok(evaluate::evaluate(&self.shared.spec.problem, part, &candidates))
    }
}

impl<T: CpuPrecision> CpuWave<T> {
    /// The server's, P.
    fn weights_of(&self, lane: &Lane<T>) -> Vec<T> {
        self.shared.gradients.unpack(lane.weights()).into_iter().map(T::of).collect()
    }
}

/// A block of steps of one lane, compiled for the instruction set that it is dispatched to.
struct Advance<'a, T: CpuPrecision> {
    lane: &'a mut Lane<T>,
    shared: &'a Shared<T>,
    workbench: &'a mut Workbench<T>,
    seen: &'a mut [Observation],
}

impl<T: CpuPrecision> WithSimd for Advance<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for seen in self.seen {
            *seen = self.lane.step(simd, self.shared, self.workbench);
        }
    }
}
