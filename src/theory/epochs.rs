//! Stability in mean square where an epoch visits every sample once, exact for few samples.
//!
//! Batches of one epoch have no sample in common, so that each depends on those before it. What it depends on is the set
//! of samples that the epoch has visited. The second moment of the full state, split by that set, is carried from batch to
//! batch by a linear map, and the map of a whole epoch repeats: the rule is stable in mean square iff its spectral radius is
//! below 1. A delay that reaches over the border of epochs is part of the state; samples beyond the last whole batch are left
//! out, others in every epoch.
//!
//! The number of sets grows like `2^n`, so there is an answer only where samples, parameters and delay are few. Not here:
//! batches that are drawn afresh ([`super::second_moment`]).

use nalgebra::DMatrix;
use std::collections::BTreeMap;

use super::TheoryError;
use super::equation::{Equation, Velocity};
use super::law::DelayLaw;

/// Most multiplications of a threshold.
const MOST_WORK: f64 = 1e10;

/// Epochs that a threshold takes, about.
const EPOCHS: f64 = 60.0;

/// What a small matrix costs besides its multiplications, in multiplications.
const OVERHEAD: f64 = 2e3;

/// Relative accuracy of a threshold.
const ACCURACY: f64 = 1e-6;

/// Epochs after which the growth must have settled.
const SETTLED: usize = 5_000;

/// Most samples: a set of them is the bits of a number.
const MOST_SAMPLES: usize = 30;

/// Largest stable learning rate in mean square for epochs of batches of `rows` samples, by the Hessians of all samples. The search
/// starts at the learning rate `near`.
///
/// # Errors
/// A delay that varies, or more samples, parameters or delay than can be followed.
pub fn epoch_threshold(
    equation: &Equation,
    hessians: &[DMatrix<f64>],
    rows: usize,
    near: f64,
) -> Result<f64, TheoryError> {
    equation.validate()?;
    equation.takes_noise()?;
    let DelayLaw::Fixed(delay) = equation.law else {
        return Err(TheoryError::unsupported("an epoch of minibatches", &equation.law));
    };
    let too_much = || TheoryError::Unsupported("an epoch of this many samples has no theory; accepted: fewer".into());
    if hessians.len() > MOST_SAMPLES || (equation.velocity == Velocity::None && equation.numerator[1] != 0.0) {
        return Err(too_much());
    }
    let blocks = versions(equation, delay) as f64 + f64::from(u8::from(has_memory(equation)));
    let size = blocks * hessians[0].nrows() as f64;
    if transitions(hessians.len(), rows) * (4.0 * size.powi(3) + OVERHEAD) * EPOCHS > MOST_WORK {
        return Err(too_much());
    }
    let epoch = Epoch::new(hessians, rows);
    let mut moment = None;
    let mut growth = |lr: f64| epoch.growth(equation, delay, lr, &mut moment);
    let (mut low, mut high) = (near, near);
    let (mut below, mut above) = (growth(near)?, 0.0);
    if below < 0.0 {
        while above <= 0.0 {
            if above < 0.0 {
                (low, below) = (high, above);
            }
            high *= 1.1;
            if high > 100.0 * near {
                return Err(TheoryError::Unbounded);
            }
            above = growth(high)?;
        }
    } else {
        above = below;
        while below >= 0.0 {
            if low < near {
                (high, above) = (low, below);
            }
            low /= 1.1;
            if low < 0.01 * near {
                return Err(TheoryError::OutOfRange);
            }
            below = growth(low)?;
        }
    }
    // The secant through both ends, or their middle where it stays at one of them.
    let mut share = below / (below - above);
    while high / low - 1.0 > ACCURACY {
        let middle = low + share.clamp(0.02, 0.98) * (high - low);
        let value = growth(middle)?;
        let before = high - low;
        if value < 0.0 {
            (low, below) = (middle, value);
        } else {
            (high, above) = (middle, value);
        }
        share = if high - low > 0.5 * before { 0.5 } else { below / (below - above) };
    }
    Ok(0.5 * (low + high))
}

/// Stored versions of the weights that an update looks at.
fn versions(equation: &Equation, delay: usize) -> usize {
    match equation.velocity {
        Velocity::None => delay + 1,
        Velocity::Server { .. } => delay.max(1) + 1,
        Velocity::Worker { .. } => delay + 2,
    }
}

/// Whether an update looks at the gradient before its own.
fn has_memory(equation: &Equation) -> bool {
    equation.velocity != Velocity::None && equation.numerator[0] != equation.numerator[1]
}

/// Pairs of a set of visited samples and a batch after it.
fn transitions(samples: usize, rows: usize) -> f64 {
    let choose = |n: usize, k: usize| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
    (0..samples / rows).map(|batch| choose(samples, batch * rows) * choose(samples - batch * rows, rows)).sum()
}

/// The sets and batches of an epoch.
struct Epoch {
    /// Mean Hessian of every batch, by the set of its samples.
    batches: BTreeMap<u32, DMatrix<f64>>,
    samples: usize,
    rows: usize,
}

impl Epoch {
    fn new(hessians: &[DMatrix<f64>], rows: usize) -> Self {
        let mean = |set: u32| {
            let members = (0..hessians.len()).filter(|i| set >> i & 1 == 1).map(|i| &hessians[i]);
            members.sum::<DMatrix<f64>>() / rows as f64
        };
        let batches = subsets(hessians.len(), rows).map(|set| (set, mean(set))).collect();
        Self { batches, samples: hessians.len(), rows }
    }

    /// Growth of second moments over an epoch, as a logarithm. `moment` is where the epochs before ended.
    fn growth(
        &self,
        equation: &Equation,
        delay: usize,
        lr: f64,
        moment: &mut Option<DMatrix<f64>>,
    ) -> Result<f64, TheoryError> {
        let update = |hessian: &DMatrix<f64>| update(equation, delay, lr, hessian);
        let updates: BTreeMap<u32, DMatrix<f64>> =
            self.batches.iter().map(|(set, hessian)| (*set, update(hessian))).collect();
        let size = updates.values().next().map_or(0, DMatrix::nrows);
        let anywhere = DMatrix::identity(size, size) / size as f64;
        let mut now = moment.take().map_or(anywhere.clone(), |moment| moment + anywhere * 1e-3);
        let (mut growth, mut change) = (0.0f64, f64::INFINITY);
        for _ in 0..SETTLED {
            now /= now.trace();
            now = self.carry(now, &updates);
            let found = now.trace().ln();
            if !found.is_finite() {
                return Err(TheoryError::OutOfRange);
            }
            let moved = (found - growth).abs();
            let shrinks = (moved / change).min(1.0 - 1e-3);
            (growth, change) = (found, moved);
            if moved * shrinks / (1.0 - shrinks) < 1e-8 && moved < 1e-4 {
                *moment = Some(&now / now.trace());
                return Ok(growth);
            }
        }
        Err(TheoryError::NotConverged(SETTLED))
    }

    /// Second moments after an epoch.
    fn carry(&self, moment: DMatrix<f64>, updates: &BTreeMap<u32, DMatrix<f64>>) -> DMatrix<f64> {
        let mut visited = BTreeMap::from([(0u32, moment)]);
        for _ in 0..self.samples / self.rows {
            let mut next: BTreeMap<u32, DMatrix<f64>> = BTreeMap::new();
            for (set, moment) in &visited {
                let fitting = || updates.iter().filter(|(batch, _)| *batch & set == 0);
                let share = 1.0 / fitting().count() as f64;
                for (batch, update) in fitting() {
                    let carried = (update * moment) * update.transpose() * share;
                    next.entry(set | batch).and_modify(|sum| *sum += &carried).or_insert(carried);
                }
            }
            visited = next;
        }
        visited.into_values().sum()
    }
}

/// Sets of `rows` of `samples` samples.
fn subsets(samples: usize, rows: usize) -> impl Iterator<Item = u32> {
    (0u32..1 << samples).filter(move |set| set.count_ones() as usize == rows)
}

/// One update as a matrix on the stored versions from the newest on, and on the gradient before where it counts.
fn update(equation: &Equation, delay: usize, lr: f64, hessian: &DMatrix<f64>) -> DMatrix<f64> {
    let (size, versions) = (hessian.nrows(), versions(equation, delay));
    let memory = has_memory(equation);
    let blocks = versions + usize::from(memory);
    let mut update = DMatrix::zeros(blocks * size, blocks * size);
    let mut add = |to: usize, from: usize, block: &DMatrix<f64>| {
        let mut place = update.view_mut((to * size, from * size), (size, size));
        place += block;
    };
    let identity = DMatrix::identity(size, size);
    let [n0, n1] = equation.numerator_at(delay);
    add(0, 0, &identity);
    let present = match equation.velocity {
        Velocity::None => n0,
        Velocity::Server { momentum } => {
            add(0, 0, &(&identity * momentum));
            add(0, 1, &(&identity * -momentum));
            n1
        }
        Velocity::Worker { momentum } => {
            add(0, delay, &(&identity * momentum));
            add(0, delay + 1, &(&identity * -momentum));
            n1
        }
    };
    add(0, delay, &(hessian * (-lr * present)));
    if memory {
        add(0, versions, &(&identity * (-lr * (n0 - n1))));
        add(versions, delay, hessian);
    }
    (1..versions).for_each(|version| add(version, version - 1, &identity));
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hessians(count: usize, size: usize) -> Vec<DMatrix<f64>> {
        let number = |i: usize| (1.7 * i as f64 * i as f64 + 0.3).sin();
        let one = |sample: usize| {
            let factor = DMatrix::from_fn(size, 2, |i, j| number(1 + sample * 2 * size + 2 * i + j));
            &factor * factor.transpose() + DMatrix::identity(size, size) * 0.05
        };
        (0..count).map(one).collect()
    }

    /// All orders of all samples, one after the other.
    fn permutations(samples: usize) -> Vec<Vec<usize>> {
        (0..samples).fold(vec![vec![]], |shorter, _| {
            let longer = |order: &Vec<usize>| {
                let rest = (0..samples).filter(|i| !order.contains(i)).collect::<Vec<_>>();
                rest.into_iter().map(|i| [order.clone(), vec![i]].concat()).collect::<Vec<_>>()
            };
            shorter.iter().flat_map(longer).collect()
        })
    }

    /// Spectral radius of the mean over all orders of `A x A`, with `A` the product of the updates of an epoch.
    fn radius_by_enumeration(
        equation: &Equation,
        delay: usize,
        lr: f64,
        hessians: &[DMatrix<f64>],
        rows: usize,
    ) -> f64 {
        let orders = permutations(hessians.len());
        let mut lifted = DMatrix::zeros(0, 0);
        for order in &orders {
            let epoch = order.chunks_exact(rows).fold(None, |before: Option<DMatrix<f64>>, batch| {
                let mean = batch.iter().map(|i| &hessians[*i]).sum::<DMatrix<f64>>() / rows as f64;
                let update = update(equation, delay, lr, &mean);
                Some(before.map_or(update.clone(), |before| update * before))
            });
            let both = epoch.as_ref().unwrap().kronecker(epoch.as_ref().unwrap());
            lifted = if lifted.is_empty() { both } else { lifted + both };
        }
        lifted /= orders.len() as f64;
        lifted.complex_eigenvalues().iter().map(|root| root.norm()).fold(0.0, f64::max)
    }

    #[test]
    fn an_epoch_is_the_mean_over_all_orders_of_its_samples() {
        let fixed = DelayLaw::Fixed;
        for (velocity, numerator, delay, samples, size, rows) in [
            (Velocity::None, [1.0, 0.0], 0, 5, 3, 1),
            (Velocity::None, [1.0, 0.0], 2, 5, 2, 2),
            (Velocity::Server { momentum: 0.6 }, [0.8, 0.8], 2, 4, 2, 1),
            (Velocity::Server { momentum: 0.5 }, [0.75, 1.25], 1, 4, 2, 2),
            (Velocity::Worker { momentum: 0.6 }, [0.8, 0.8], 1, 5, 2, 2),
        ] {
            let hessians = hessians(samples, size);
            let equation = Equation::new(&fixed(delay), velocity, numerator);
            let lr = epoch_threshold(&equation, &hessians, rows, 0.3).unwrap();
            let radius = radius_by_enumeration(&equation, delay, lr, &hessians, rows);
            assert!((radius - 1.0).abs() < 2e-5, "{velocity:?} at delay {delay}: radius {radius} at {lr}");
            let lower = radius_by_enumeration(&equation, delay, 0.9 * lr, &hessians, rows);
            assert!(lower < 1.0, "{velocity:?} at delay {delay}: radius {lower} below {lr}");
        }
    }

    /// The update as a matrix reaches the unit circle where the equation says.
    #[test]
    fn an_update_has_the_threshold_of_its_equation() {
        for (velocity, numerator) in [
            (Velocity::None, [1.0, 0.0]),
            (Velocity::Server { momentum: 0.7 }, [0.79, 1.49]),
            (Velocity::Worker { momentum: 0.7 }, [0.3, 0.3]),
        ] {
            for delay in [0, 1, 4] {
                let equation = Equation::new(&DelayLaw::Fixed(delay), velocity, numerator);
                let gain = crate::theory::threshold(&equation, crate::theory::Criterion::Mean).unwrap().gain;
                let roots = update(&equation, delay, gain, &DMatrix::identity(1, 1)).complex_eigenvalues();
                let radius = roots.iter().map(|root| root.norm()).fold(0.0, f64::max);
                assert!((radius - 1.0).abs() < 1e-9, "{velocity:?} at delay {delay}: {radius}");
            }
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let equation = Equation::new(&DelayLaw::Fixed(0), Velocity::None, [1.0, 0.0]);
        for (samples, size) in [(31, 1), (16, 8)] {
            let refused = epoch_threshold(&equation, &hessians(samples, size), 1, 0.1);
            assert!(matches!(refused, Err(TheoryError::Unsupported(_))), "{refused:?}");
        }
    }
}
