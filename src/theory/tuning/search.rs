//! The search for the parameters of the largest rate: starts all over the region that matters, then Nelder and Mead's simplex from
//! the best of them, begun anew until it finds nothing better.
//!
//! The search is heuristic, what it finds is not: the rate of its answer holds over the whole interval ([`super::rate`]).

use std::cell::Cell;

use argmin::core::{CostFunction, Error, Executor, State};
use argmin::solver::neldermead::NelderMead;

use super::rate::{RateEffort, best_gain, rate};
use super::rule::LinearRule;

/// Relative precision of a rate while searching, and of the one that is told.
const SEARCHING: f64 = 1e-6;
const TOLD: f64 = 1e-9;

/// Starts from which the simplex goes, and how often it may begin anew.
const DESCENTS: usize = 2;
const RENEWALS: usize = 5;

/// Iterations of one simplex.
const ITERATIONS: u64 = 120;

type RuleOfNumbers = dyn Fn(&[f64]) -> Option<LinearRule>;

/// What is searched: parameters of unbounded numbers, all of about the size 1.
pub(super) struct Family {
    pub delay: usize,
    pub condition: f64,
    /// The gain, where it is given.
    pub gain: Option<f64>,
    /// The rule of some numbers; none outside what it accepts.
    pub rule: Box<RuleOfNumbers>,
    /// Mixing's gain is one of the numbers, the last.
    pub gain_is_last: bool,
    pub starts: Vec<Vec<f64>>,
    /// The rate found last: the next is close to it.
    pub latest: Cell<f64>,
}

impl Family {
    fn at(&self, numbers: &[f64], effort: RateEffort) -> Option<(LinearRule, f64, f64)> {
        let rule = (self.rule)(numbers)?;
        let given = self.gain.or_else(|| self.gain_is_last.then(|| numbers[numbers.len() - 1].exp()));
        let (gain, rate) = match given {
            Some(gain) => (gain, rate(&rule, self.delay, gain, self.condition, effort)?),
            None => best_gain(&rule, self.delay, self.condition, effort)?,
        };
        Some((rule, gain, rate))
    }

    /// The logarithm of updates per e-fold; far above any where there is no rate.
    fn cost_at(&self, numbers: &[f64]) -> f64 {
        let hint = Some(self.latest.get()).filter(|rate| *rate > 0.0);
        let found = self.at(numbers, RateEffort { precision: SEARCHING, hint });
        found.map_or(NOWHERE, |(_, _, rate)| {
            self.latest.set(rate);
            -rate.ln()
        })
    }

    /// Rule, gain and rate.
    pub fn best(&self) -> Option<(LinearRule, f64, f64)> {
        let mut starts: Vec<(f64, &Vec<f64>)> = self.starts.iter().map(|start| (self.cost_at(start), start)).collect();
        starts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best = (f64::INFINITY, vec![]);
        for (cost, start) in starts.into_iter().take(DESCENTS).filter(|(cost, _)| *cost < NOWHERE) {
            let found = descend(&|numbers| self.cost_at(numbers), (cost, start.clone()));
            if found.0 < best.0 {
                best = found;
            }
        }
        self.at(&best.1, RateEffort { precision: TOLD, hint: Some((-best.0).exp()) })
    }
}

/// The least cost that the simplex finds from a start, begun anew until it finds nothing better.
pub(super) fn descend(cost: &dyn Fn(&[f64]) -> f64, mut best: (f64, Vec<f64>)) -> (f64, Vec<f64>) {
    if best.1.is_empty() {
        return best;
    }
    let mut size = 0.1;
    for _ in 0..RENEWALS {
        let mut simplex = vec![best.1.clone()];
        simplex.extend((0..best.1.len()).map(|index| {
            let mut corner = best.1.clone();
            corner[index] += size;
            corner
        }));
        let before = best.0;
        if let Some(found) = minimise(cost, simplex).filter(|found| found.0 < best.0) {
            best = found;
        }
        if before - best.0 < 1e-4 && size.abs() < 0.05 {
            break;
        }
        // From the other side, and closer.
        size *= -0.4;
    }
    best
}

/// The cost where the rule has no rate.
pub(super) const NOWHERE: f64 = 1e3;

fn minimise(cost: &dyn Fn(&[f64]) -> f64, simplex: Vec<Vec<f64>>) -> Option<(f64, Vec<f64>)> {
    let solver = NelderMead::new(simplex).with_sd_tolerance(1e-5).ok()?;
    let outcome = Executor::new(Cost(cost), solver).configure(|state| state.max_iters(ITERATIONS)).run().ok()?;
    let state = outcome.state();
    Some((state.get_best_cost(), state.get_best_param()?.clone()))
}

/// A cost, as argmin asks for it.
struct Cost<'a>(&'a dyn Fn(&[f64]) -> f64);

impl CostFunction for Cost<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, numbers: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.0(numbers))
    }
}
