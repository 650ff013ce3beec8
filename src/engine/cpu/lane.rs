//! One run on the CPU: its state, and what a step does with it.

use super::Shared;
use super::gradient::{Gradients, Precision};
use crate::engine::{Needs, Observation, Run};
use crate::kernels::step::{self, Landmarks, State};
use crate::kernels::{finish, observe, renew};
use crate::rule::course::{Course, Leg};
use crate::schedule::BatchOrder;
use aligned_vec::AVec;
use pulp::Simd;

/// What a step computes before it changes anything; one for every thread.
pub struct Workbench<T: Precision> {
    gradient: AVec<T>,
    /// The gradient at the minimum; empty where no run is centred.
    anchor: AVec<T>,
    scratch: <T::Gradients as Gradients<T>>::Scratch,
}

impl<T: Precision> Workbench<T> {
    pub fn new(shared: &Shared<T>) -> Self {
        let zeros = |vectors: usize| AVec::from_iter(0, std::iter::repeat_n(T::zero(), vectors * shared.minimum.len()));
        let rows = shared.rows.as_ref().map(|rows| rows.batch()).or(shared.spec.problem.samples());
        Self {
            gradient: zeros(1),
            anchor: zeros(usize::from(shared.spec.needs.centred)),
            scratch: shared.gradients.scratch(rows.unwrap_or(0)),
        }
    }
}

#[derive(Clone)]
pub struct Lane<T> {
    step: u64,
    course: Course,
    /// None where the batch is full.
    order: Option<BatchOrder>,
    centred: bool,
    state: State<T>,
    /// Running statistics of batch norms.
    statistics: Vec<T>,
}

impl<T: Precision> Lane<T> {
    pub fn new(shared: &Shared<T>, run: &Run) -> Self {
        let needs = Needs::of(&run.rule, &run.schedule, run.centred);
        let start = shared.gradients.pack(&run.start);
        Self {
            step: 0,
            course: run.course(&shared.spec),
            order: shared.rows.as_ref().map(|rows| BatchOrder::new(rows, run.seed)),
            centred: run.centred,
            state: State::at_rest(&start, needs.slots, needs.velocities(), usize::from(needs.second_moment)),
            statistics: run.statistics(&shared.spec).into_iter().map(T::of).collect(),
        }
    }

    /// The server's.
    pub fn weights(&self) -> &[T] {
        &self.state.server
    }

    pub fn statistics(&self) -> &[T] {
        &self.statistics
    }

    pub fn reseed(&mut self, seed: u64) {
        self.course.reseed(seed);
        self.order.iter_mut().for_each(|order| order.reseed(seed));
    }

    /// Draws the state towards the minimum, or away from it.
    pub fn scale(&mut self, factor: f64, minimum: &[T]) {
        renew::cpu(factor, minimum, &mut self.state);
    }

    #[inline(always)]
    pub fn step<S: Simd>(&mut self, simd: S, shared: &Shared<T>, workbench: &mut Workbench<T>) -> Observation {
        let Self { course, order, state, statistics, .. } = self;
        let Workbench { gradient, anchor, scratch } = workbench;
        let Shared { gradients, minimum, direction, curvature, .. } = shared;
        let Leg { place, motion, .. } = course.advance();
        let landmarks = Landmarks { minimum, direction, curvature };
        let rows = order.as_mut().map(|order| order.rows(self.step));
        let anchor = self.centred.then(|| {
            gradients.loss_and_gradient(simd, minimum, rows, scratch, anchor);
            &anchor[..]
        });
        let weights = &state.history[place.read * gradient.len()..][..gradient.len()];
        let loss = gradients.loss_and_gradient(simd, weights, rows, scratch, gradient);
        gradients.freshen(scratch, statistics);
        let weight_decay = T::of(shared.spec.problem.weight_decay());
        if motion.wants_finish() {
            finish::cpu(&motion, weight_decay, place, landmarks, state, anchor, gradient);
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
