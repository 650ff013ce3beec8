//! One run on the CPU: its state, and what a step does with it.

use super::Shared;
use super::gradient::{CpuPrecision, Gradients};
use crate::engine::host_run::{GradientStep, HostRun};
use crate::engine::lane_state::{StateReader, StateShape, StateWriter};
use crate::engine::{Observation, Run, StateError};
use crate::kernels::step::{self, Landmarks, Moments, State};
use crate::kernels::{finish, local, observe, renew, spectral};
use crate::update::{Matrix, PartialUpdate, StepSlots, UpdateCoefficients};
use aligned_vec::AVec;
use pulp::Simd;
use std::io::{Read, Write};

/// What a step computes before it changes anything; one for every thread.
pub struct Workbench<T: CpuPrecision> {
    gradient: AVec<T>,
    /// The gradient at the minimum; empty where no run is centred.
    anchor: AVec<T>,
    /// What the direction of a whole matrix is computed in.
    products: Vec<T>,
    scratch: <T::Gradients as Gradients<T>>::Scratch,
}

impl<T: CpuPrecision> Workbench<T> {
    pub fn new(shared: &Shared<T>) -> Self {
        let zeros = |vectors: usize| AVec::from_iter(0, std::iter::repeat_n(T::zero(), vectors * shared.minimum.len()));
        // Lanes keep the threads busy by themselves, where there are as many.
        let parallel = shared.spec.lanes < rayon::current_num_threads();
        let rows = shared.rows.as_ref().map(|rows| rows.batch()).or(shared.spec.problem.samples());
        Self {
            gradient: zeros(1),
            anchor: zeros(usize::from(shared.spec.needs.centred)),
            products: Vec::new(),
            scratch: shared.gradients.scratch(rows.unwrap_or(0), parallel),
        }
    }
}

#[derive(Clone)]
pub struct Lane<T> {
    steps: HostRun,
    centred: bool,
    state: State<T>,
    /// Running statistics of batch norms.
    statistics: Vec<T>,
    /// Where the parameters of each update end.
    ends: Vec<usize>,
    /// The matrix that an update moves as a whole, update by update; empty where none does.
    matrices: Vec<Option<Matrix>>,
}

impl<T: CpuPrecision> Lane<T> {
    pub fn new(shared: &Shared<T>, run: &Run) -> Self {
        let steps = HostRun::new(run, &shared.spec, shared.rows.as_ref());
        let needs = steps.needs();
        let start = shared.gradients.pack(&run.start);
        let mut state = State::at_rest(&start, needs.versions(), needs.velocities(), needs.second_moments());
        if let Some(second) = &run.second_moment {
            state.second.copy_from_slice(&shared.gradients.pack(second));
        }
        Self {
            centred: run.centred,
            state,
            statistics: run.statistics(&shared.spec).into_iter().map(T::of).collect(),
            ends: run.ends(&shared.spec).into_iter().map(|end| shared.gradients.position(end)).collect(),
            matrices: run.blocks(&shared.spec).iter().map(|block| block.matrix).collect(),
            steps,
        }
    }

    /// Writes the whole state.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn save(&self, shared: &Shared<T>, out: &mut dyn Write) -> Result<(), StateError> {
        let mut writer = StateWriter::begin(out, self.shape(shared), &self.steps)?;
        let State { server, history, velocity, second } = &self.state;
        for vectors in [server, history, velocity, second] {
            for vector in vectors.chunks_exact(server.len()) {
                writer.numbers(&shared.gradients.unpack(vector))?;
            }
        }
        let statistics: Vec<f64> = self.statistics.iter().map(|x| x.widen()).collect();
        Ok(writer.numbers(&statistics)?)
    }

    /// `run` where its state was saved, after `made` steps.
    ///
    /// # Errors
    /// Where `state` cannot be read, or is not the state of such a run.
    pub fn restore(shared: &Shared<T>, run: &Run, made: u64, state: &mut dyn Read) -> Result<Self, StateError> {
        let mut lane = Self::new(shared, run);
        let shape = lane.shape(shared);
        let (mut reader, reseeds) = StateReader::begin(state, shape, made)?;
        let State { server, history, velocity, second } = &mut lane.state;
        let length = server.len();
        for vectors in [server, history, velocity, second] {
            for vector in vectors.chunks_exact_mut(length) {
                vector.copy_from_slice(&shared.gradients.pack(&reader.numbers(shape.parameters)?));
            }
        }
        lane.statistics = reader.numbers(shape.statistics)?.into_iter().map(T::of).collect();
        lane.steps.replay(made, &reseeds);
        Ok(lane)
    }

    fn shape(&self, shared: &Shared<T>) -> StateShape {
        StateShape::new(&shared.spec.problem, self.steps.needs(), size_of::<T>())
    }

    /// The server's.
    pub fn weights(&self) -> &[T] {
        &self.state.server
    }

    /// Empty where the rule keeps none.
    pub fn second_moment(&self) -> &[T] {
        &self.state.second
    }

    pub fn statistics(&self) -> &[T] {
        &self.statistics
    }

    pub fn reseed(&mut self, seed: u64) {
        self.steps.reseed(seed);
    }

    /// Draws the state towards the minimum, or away from it.
    pub fn scale(&mut self, factor: f64, minimum: &[T]) {
        renew::cpu(factor, minimum, &mut self.state);
    }

    /// One update, of one gradient or of several.
    #[inline(always)]
    pub fn step<S: Simd>(&mut self, simd: S, shared: &Shared<T>, workbench: &mut Workbench<T>) -> Observation {
        let Self { steps, state, statistics, ends, matrices, .. } = self;
        let Workbench { gradient, anchor, products, scratch } = workbench;
        let Shared { gradients, minimum, direction, curvature, .. } = shared;
        let landmarks = Landmarks { minimum, direction, curvature };
        let weight_decay = T::of(shared.spec.problem.weight_decay());
        loop {
            let (step, rows) = steps.next_with_rows();
            let GradientStep { slots, at, backward, placed, .. } = *step;
            let ends_update = step.ends_update();
            let anchor = self.centred.then(|| {
                gradients.loss_and_gradient(simd, [minimum; 2], rows, scratch, anchor);
                &anchor[..]
            });
            let version = |slot: usize| &state.history[slot * gradient.len()..][..gradient.len()];
            let versions = [version(at), version(backward.unwrap_or(at))];
            let loss = gradients.loss_and_gradient(simd, versions, rows, scratch, gradient);
            gradients.update_statistics(scratch, statistics);
            let coefficients = steps.coefficients();
            if coefficients.wants_finish() {
                let taken = StepSlots { read: at, ..slots };
                finish::cpu(coefficients, weight_decay, taken, landmarks, state, anchor, gradient);
            }
            let square = placed.map(|placed| local::cpu(&placed, coefficients.decay, state, gradient));
            if !ends_update {
                continue;
            }
            let mut first = 0;
            let mut moments = Moments::default();
            let parts = matrices.iter().copied().chain(std::iter::repeat(None));
            for ((PartialUpdate { slots, coefficients }, end), matrix) in steps.updates().iter().zip(&*ends).zip(parts)
            {
                let range = std::mem::replace(&mut first, *end)..*end;
                // Of an outer loop the decay is in what the workers sent.
                let decay = if placed.is_some() { 0.0 } else { coefficients.decay };
                let coefficients = UpdateCoefficients { decay, ..*coefficients };
                if let Some(matrix) = matrix {
                    let velocity = &mut state.velocity[slots.velocity * gradient.len()..];
                    spectral::cpu(&coefficients, &matrix, gradient, velocity, products);
                }
                moments += step::cpu(&coefficients, *slots, range, gradient, landmarks, state);
            }
            moments.read_squared = square.unwrap_or(moments.read_squared);
            let (objective, finite) = observe::cpu(loss, weight_decay, &moments);
            return Observation {
                distance_squared: moments.distance_squared.widen(),
                projection: moments.projection.widen(),
                loss: objective.widen(),
                finite,
            };
        }
    }
}
