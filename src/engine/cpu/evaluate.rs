//! Loss and accuracy of every lane over a whole part of the data, in pieces that threads share among themselves.
//!
//! Not here: batches that gradients are taken of ([`super::gradient`]).

use crate::engine::{Evaluation, Part};
use crate::math::Real;
use crate::model::Backprop;
use crate::problem::Problem;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Largest number of rows at a time.
const ROWS: usize = 256;

/// Numbers in all values of one piece, about.
const PIECE: usize = 1 << 23;

/// Weights and running statistics to evaluate.
pub struct Candidate<T> {
    /// P.
    pub weights: Vec<T>,
    pub statistics: Vec<T>,
}

/// Evaluates every candidate. Partial sums are added in a fixed order, so the result does not depend on the number of threads.
///
/// # Panics
/// Where the problem is no network, or has no such part.
pub fn evaluate<T: Real>(
    problem: &Problem,
    part: Part,
    candidates: &[Option<Candidate<T>>],
) -> Vec<Option<Evaluation>> {
    let Problem::Network(network) = problem else { panic!("a quadratic has nothing to be evaluated on") };
    let data = match part {
        Part::Train => &network.data,
        Part::Test => network.test.as_ref().expect("a wave that is evaluated on test data has some"),
    };
    let (features, samples) = (data.features(), data.samples());
    let graph = &network.model.graph;
    let numbers: usize = graph.nodes.iter().map(|node| node.shape.elements()).sum();
    let rows = (PIECE / numbers).clamp(1, ROWS);
    let pieces = samples.div_ceil(rows);
    // Buffers that no thread is using.
    let passes: Mutex<Vec<Backprop<T>>> = Mutex::default();
    let passes = || passes.lock().unwrap_or_else(PoisonError::into_inner);
    let of = |task: usize| {
        let (candidate, first) = (candidates[task / pieces].as_ref()?, task % pieces * rows);
        let labels = &data.labels[first..samples.min(first + rows)];
        let inputs = &data.inputs[first * features..][..labels.len() * features];
        let inputs: Vec<T> = inputs.iter().map(|x| T::of(f64::from(*x))).collect();
        let mut pass = passes().pop().unwrap_or_else(|| Backprop::new(graph, network.loss, rows));
        let (loss, correct) = pass.evaluate(&candidate.weights, &candidate.statistics, &inputs, labels);
        passes().push(pass);
        Some((loss.widen() * labels.len() as f64, correct))
    };
    let seen: Vec<Option<(f64, u64)>> = (0..candidates.len() * pieces).into_par_iter().map(of).collect();
    let whole = |seen: &[Option<(f64, u64)>]| {
        let seen = seen.iter().copied().collect::<Option<Vec<_>>>()?;
        let loss = seen.iter().map(|(loss, _)| loss).sum::<f64>() / samples as f64;
        Some(Evaluation { loss, correct: seen.iter().map(|(_, correct)| correct).sum(), samples: samples as u64 })
    };
    seen.chunks(pieces).map(whole).collect()
}
