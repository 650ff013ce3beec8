//! The descent: L-BFGS over the full batch, with a budget in each line search and in all, restarts where a line search fails, and
//! a state from which an interrupted descent goes on to the same bits.
//!
//! Not here: whether the point that it ends at is a minimum ([`super::certify`]).

use super::objective::{EvaluatedPoint, Memory, Objective};
use super::vector::Vector;
use super::{Cause, Hints, KeptSearch, MinimumError, MinimumSearch, has_kinks, infinity};
use crate::problem::network::{FullBatch, Network};
use argmin::core::{Error, IterState, KV, Problem, Solver, State, TerminationStatus};
use argmin::solver::linesearch::{LineSearch, MoreThuenteLineSearch};
use argmin::solver::quasinewton::LBFGS;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Pairs of steps and gradients that L-BFGS keeps at least, and at most.
const PAIRS: [usize; 2] = [20, 100];

/// Parameters from which on an evaluation costs so much more than a pair that more of them pay: a LeNet takes half the evaluations.
const LARGE: usize = 10_000;

/// Numbers in more pairs than the fewest, at most.
const PAIRED: usize = 1 << 24;

/// Points of one line search. Three are usual; where none of so many will do, none will.
const POINTS: u64 = 64;

/// Restarts after a line search that failed.
const RESTARTS: u32 = 20;

/// Fall of max|gradient| that makes a restart worth another.
const PROGRESS: f64 = 0.9;

/// Time between two states that are kept.
const KEEP: Duration = Duration::from_secs(30);

/// Pairs for so many parameters.
fn pairs(parameters: usize) -> usize {
    let [least, most] = PAIRS;
    if parameters < LARGE { least } else { (PAIRED / (2 * parameters)).clamp(least, most) }
}

type LineState = IterState<Vector, Vector, (), (), (), f64>;
type Lbfgs = LBFGS<Limited, Vector, Vector, f64>;

/// Where a descent stands between two iterations.
#[derive(Serialize, Deserialize)]
struct Standing {
    solver: Lbfgs,
    state: LineState,
    /// Evaluations until then.
    evaluations: u64,
    restarts: u32,
    /// Smallest max|gradient| when the present start was made; none for the first.
    before: Option<f64>,
}

/// End of a descent.
pub enum End {
    /// The flattest point, and the evaluations that led to it.
    Flat(EvaluatedPoint, u64),
    Stopped,
}

/// Descends until max|gradient| is at most the tolerance.
///
/// # Errors
/// Where it cannot, with the reason.
pub fn descend(network: &Network, search: &mut MinimumSearch) -> Result<End, MinimumError> {
    let MinimumSearch { start, tolerance, evaluations: budget, kept, watch, keep } = search;
    let (tolerance, budget) = (*tolerance, *budget);
    let hints = Hints { given: start.is_given(), undecayed: network.weight_decay == 0.0 };
    let kept: Option<(Standing, Memory)> = kept.and_then(|bytes| ciborium::from_reader(bytes).ok());
    let (mut standing, memory) = match kept {
        Some((standing, memory)) if memory.lowest.weights.len() == network.dimension() => {
            // The iteration that was interrupted is made again, with all its evaluations.
            let (evaluations, latest) = (standing.evaluations, Memory::default().latest);
            (standing, Memory { latest, evaluations, ..memory })
        }
        _ => (Standing::at(start.weights(network), tolerance), Memory::default()),
    };
    let objective = Objective::new(network, memory, &mut **watch);
    let mut latest = Instant::now();
    let mut save = |standing: &Standing| {
        objective.remember(|memory| {
            let mut state = Vec::new();
            ciborium::into_writer(&(standing, memory), &mut state).expect("memory can be written");
            let EvaluatedPoint { weights, gradient_max, .. } = &memory.lowest;
            keep(&KeptSearch { best: weights, gradient_max: *gradient_max, state: &state });
        });
    };
    loop {
        while !objective.is_over() && standing.evaluations < budget && standing.advance(&objective) {
            if latest.elapsed() >= KEEP {
                save(&standing);
                latest = Instant::now();
            }
        }
        if let Some(error) = objective.refused() {
            return Err(error);
        }
        let Memory { flattest, evaluations, .. } = objective.remember(Memory::clone);
        let gradient_max = flattest.gradient_max;
        if gradient_max <= tolerance {
            save(&standing);
            return Ok(End::Flat(flattest, evaluations));
        }
        if objective.is_stopped() {
            save(&standing);
            return Ok(End::Stopped);
        }
        let EvaluatedPoint { weights: lowest, loss, .. } = objective.remember(|memory| memory.lowest.clone());
        if let Some((far, grown)) = infinity::falls_for_ever(network, &mut FullBatch::new(network), &lowest, loss) {
            return Err(MinimumError::Endless { loss, far, grown });
        }
        let failed = |cause| Err(MinimumError::NotFlat { gradient_max, tolerance, evaluations, cause, hints });
        if standing.evaluations >= budget {
            save(&standing);
            return failed(Cause::Budget);
        }
        let hopeless = standing.before.is_some_and(|before| gradient_max > PROGRESS * before);
        if standing.restarts >= RESTARTS || !gradient_max.is_finite() || hopeless {
            return failed(if has_kinks(network) { Cause::Kinks } else { Cause::Stalled });
        }
        let restarts = standing.restarts + 1;
        standing = Standing { restarts, evaluations, before: Some(gradient_max), ..Standing::at(lowest, tolerance) };
    }
}

impl Standing {
    fn at(start: Vec<f64>, tolerance: f64) -> Self {
        let solver = LBFGS::new(Limited(MoreThuenteLineSearch::new()), pairs(start.len()))
            .with_tolerance_grad(0.5 * tolerance)
            .and_then(|search| search.with_tolerance_cost(0.0))
            .expect("the tolerances are not negative");
        Self { solver, state: IterState::new().param(start.into()), evaluations: 0, restarts: 0, before: None }
    }

    /// Makes one iteration, as argmin's `Executor` does, which itself cannot be stopped and gone on with. Returns whether there
    /// may be another; where there is none, this still stands where it did.
    fn advance(&mut self, objective: &Objective) -> bool {
        let Some(mut state) = self.iterate(objective) else { return false };
        state.update();
        state.increment_iter();
        self.state = state;
        self.evaluations = objective.remember(|memory| memory.evaluations);
        true
    }

    fn iterate(&mut self, objective: &Objective) -> Option<LineState> {
        let mut problem = Problem::new(objective);
        let mut state = self.state.clone();
        if state.get_iter() == 0 {
            (state, _) = self.solver.init(&mut problem, state).ok()?;
            state.update();
        }
        if Solver::<&Objective, LineState>::terminate_internal(&mut self.solver, &state).terminated() {
            return None;
        }
        let (next, _) = self.solver.next_iter(&mut problem, state).ok()?;
        (!next.terminated()).then_some(next)
    }
}

/// A line search that ends with an error where it would go on for ever, as that of More and Thuente does where rounding or a loss
/// without a bound hides what it looks for.
#[derive(Clone, Serialize, Deserialize)]
struct Limited(MoreThuenteLineSearch<Vector, Vector, f64>);

impl LineSearch<Vector, f64> for Limited {
    fn search_direction(&mut self, direction: Vector) {
        self.0.search_direction(direction);
    }

    fn initial_step_length(&mut self, step: f64) -> Result<(), Error> {
        self.0.initial_step_length(step)
    }
}

impl<O> Solver<O, LineState> for Limited
where
    MoreThuenteLineSearch<Vector, Vector, f64>: Solver<O, LineState>,
{
    fn name(&self) -> &'static str {
        "line search of More and Thuente"
    }

    fn init(&mut self, problem: &mut Problem<O>, state: LineState) -> Result<(LineState, Option<KV>), Error> {
        self.0.init(problem, state)
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: LineState) -> Result<(LineState, Option<KV>), Error> {
        if state.get_iter() >= POINTS {
            return Err(Error::msg("the line search finds no point"));
        }
        self.0.next_iter(problem, state)
    }

    fn terminate(&mut self, state: &LineState) -> TerminationStatus {
        self.0.terminate(state)
    }
}
