//! Thresholds of pipelines against recurrences that know no response: the matrix of all histories, plain runs, and problems of few
//! parameters that are turned into ones of many.

use crate::common::{EIGENVALUE, assert_close, spectral_radius};
use nalgebra::{DMatrix, DVector};
use std::ops::Range;
use tauscope::data::{DataSource, Dataset};
use tauscope::math::{Activation, Loss};
use tauscope::model::Model;
use tauscope::problem::Network;
use tauscope::rule::{Rule, RuleKind};
use tauscope::stages::rank_one;
use tauscope::theory::stages::{ACCURACY, Stage, StageResponse, StageThreshold, threshold, threshold_without_stashing};
use tauscope::theory::{self, Criterion, DelayLaw, Equation, TheoryError};

/// A stage with all that a recurrence asks for.
#[derive(Clone, Debug)]
struct Block {
    parameters: Range<usize>,
    rule: Rule,
    /// Age of the weights of the forward pass, and of the backward pass.
    delays: [usize; 2],
    lr_factor: f64,
}

impl Block {
    fn equation(&self) -> Equation {
        self.rule.equation(&DelayLaw::Fixed(self.delays[0])).unwrap()
    }

    fn stage(&self) -> Stage {
        let response = StageResponse::new(&self.equation(), self.lr_factor).unwrap();
        Stage { parameters: self.parameters.clone(), response }
    }

    /// The response to weights of another age: what a velocity keeps has the period that it has.
    fn backward(&self) -> StageResponse {
        StageResponse::new(&Equation { ages: vec![(self.delays[1], 1.0)], ..self.equation() }, self.lr_factor).unwrap()
    }

    /// What one parameter's weights and velocities, the newest first, become with the gradient `g`.
    fn updated(&self, lr: f64, weights: &[f64], velocities: &[f64], g: f64) -> [f64; 2] {
        let (m, fresh) = (self.rule.momentum, (1.0 - self.rule.dampening) * g);
        let velocity = match self.rule.kind {
            RuleKind::Shifted => m * velocities[self.delays[0]] + fresh,
            _ => m * velocities[0] + fresh,
        };
        let step = match self.rule.kind {
            RuleKind::Sgd => g,
            RuleKind::Nesterov => g + m * velocity,
            _ => velocity,
        };
        [weights[0] - lr * self.lr_factor * step, velocity]
    }

    /// What its workers read of weights of this age.
    fn read(&self, weights: &[f64], age: usize) -> f64 {
        let ahead = if self.rule.kind == RuleKind::WeightPrediction { self.delays[0] as f64 } else { 0.0 };
        weights[age] + ahead * (weights[age] - weights[age + 1])
    }
}

/// One update of all weights and velocities, each parameter's history by itself, the newest first: `memory` weights and as many
/// velocities. `derivatives` are those of the gradient with respect to the weights of the two passes.
fn update(
    blocks: &[Block],
    derivatives: [&DMatrix<f64>; 2],
    lr: f64,
    memory: usize,
    state: &DVector<f64>,
) -> DVector<f64> {
    let history = |i: usize| state.as_slice()[2 * memory * i..][..2 * memory].split_at(memory);
    let each = || blocks.iter().flat_map(|block| block.parameters.clone().map(move |i| (i, block)));
    let read = |pass: usize| {
        DVector::from_iterator(
            derivatives[0].nrows(),
            each().map(|(i, block)| block.read(history(i).0, block.delays[pass])),
        )
    };
    let gradient = derivatives[0] * read(0) + derivatives[1] * read(1);
    let mut next = Vec::with_capacity(state.len());
    for (i, block) in each() {
        let (weights, velocities) = history(i);
        let [weight, velocity] = block.updated(lr, weights, velocities, gradient[i]);
        next.push(weight);
        next.extend(&weights[..memory - 1]);
        next.push(velocity);
        next.extend(&velocities[..memory - 1]);
    }
    DVector::from_vec(next)
}

fn memory(blocks: &[Block]) -> usize {
    blocks.iter().flat_map(|block| block.delays).max().unwrap() + 2
}

/// Spectral radius of the matrix of all histories.
fn radius(blocks: &[Block], derivatives: [&DMatrix<f64>; 2], lr: f64) -> f64 {
    let memory = memory(blocks);
    let size = 2 * memory * derivatives[0].nrows();
    let unit = |i: usize| DVector::from_fn(size, |j, _| f64::from(u8::from(i == j)));
    let columns: Vec<_> = (0..size).map(|i| update(blocks, derivatives, lr, memory, &unit(i))).collect();
    spectral_radius(DMatrix::from_columns(&columns))
}

/// Numbers of no pattern.
fn number(i: usize, j: usize, seed: usize) -> f64 {
    ((i * i * 7 + 13 * j * j + 5 * i * j + 101 * seed + 3 * i + j) as f64 * 0.37).sin()
}

/// A positive definite matrix with eigenvalues over three decades.
fn positive(size: usize, seed: usize) -> DMatrix<f64> {
    let root = DMatrix::from_fn(size, size, |i, j| number(i, j, seed) * 0.75f64.powi(j as i32));
    &root * root.transpose() + DMatrix::from_diagonal_element(size, size, 1e-3)
}

fn products(matrix: &DMatrix<f64>) -> impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>> {
    move |vectors| {
        let product = |vector: &Vec<f64>| (matrix * DVector::from_column_slice(vector)).as_slice().to_vec();
        vectors.iter().map(product).collect()
    }
}

fn stages(blocks: &[Block]) -> Vec<Stage> {
    blocks.iter().map(Block::stage).collect()
}

/// Twelve parameters in stages of these rules, with unequal delays, sizes and learning rates.
fn blocks(rules: &[Rule], seed: usize) -> Vec<Block> {
    let ends: &[usize] = if rules.len() == 3 { &[0, 5, 8, 12] } else { &[0, 2, 6, 9, 12] };
    let late = |index: usize| rules.len() - 1 - index + (index * seed) % 2;
    let block = |(index, rule): (usize, &Rule)| Block {
        parameters: ends[index]..ends[index + 1],
        rule: *rule,
        delays: [late(index), ((index + seed) % 3).min(late(index))],
        lr_factor: 1.0 + 0.5 * number(index, 1, seed),
    };
    rules.iter().enumerate().map(block).collect()
}

fn all_rules() -> Vec<Vec<Rule>> {
    let [heavy, ema] = [0.0, 0.8].map(|dampening| Rule::new(RuleKind::HeavyBall, 0.8, dampening));
    let nesterov = Rule::new(RuleKind::Nesterov, 0.7, 0.0);
    let shifted = Rule::new(RuleKind::Shifted, 0.8, 0.8);
    let prediction = Rule::new(RuleKind::WeightPrediction, 0.6, 0.6);
    vec![
        vec![Rule::SGD; 4],
        vec![ema; 3],
        vec![shifted; 4],
        vec![prediction; 3],
        vec![heavy, Rule::SGD, nesterov],
        vec![shifted, prediction, Rule::SGD, heavy],
    ]
}

/// The first learning rate at which the radius passes 1, to the accuracy that is promised.
fn assert_is_threshold(found: StageThreshold, radius: impl Fn(f64) -> f64, what: &str) {
    assert!(found.converged && found.residual < 1e-10, "{what}: {found:?}");
    let [below, above] = [1.0 - ACCURACY, 1.0 + ACCURACY].map(|factor| radius(factor * found.lr));
    assert!(below < 1.0 && above > 1.0, "{what}: {below} and {above} around {found:?}");
    for part in [0.1, 0.4, 0.6, 0.8, 0.95] {
        assert!(radius(part * found.lr) < 1.0, "{what}: {part} of {found:?} is unstable");
    }
}

#[test]
fn thresholds_of_stages_are_those_of_the_matrix_of_all_histories() {
    for (seed, rules) in all_rules().iter().enumerate() {
        let (blocks, hessian) = (blocks(rules, seed), positive(12, seed));
        let found = threshold(&stages(&blocks), &[], products(&hessian)).unwrap();
        let none = DMatrix::zeros(12, 12);
        assert_is_threshold(found, |lr| radius(&blocks, [&hessian, &none], lr), &format!("{rules:?}"));
    }
}

#[test]
fn thresholds_without_stashing_are_those_of_the_matrix_of_all_histories() {
    for (seed, rules) in all_rules().iter().enumerate() {
        let (blocks, hessian) = (blocks(rules, seed), positive(12, seed));
        let derivative = DMatrix::from_fn(12, 12, |i, j| 0.2 * number(i, j, seed + 50));
        let backward: Vec<_> = blocks.iter().map(Block::backward).collect();
        let (hessians, derivatives) = (products(&hessian), products(&derivative));
        let found = threshold_without_stashing(&stages(&blocks), &backward, &[], hessians, derivatives).unwrap();
        let forward = &hessian - &derivative;
        assert_is_threshold(found, |lr| radius(&blocks, [&forward, &derivative], lr), &format!("{rules:?}"));
    }
}

/// Runs from a random start, a percent below the threshold and a percent above.
#[test]
fn runs_with_a_learning_rate_and_a_momentum_for_each_stage_turn_at_the_threshold() {
    let momenta = [[0.0; 3], [0.5, 0.9, 0.0]];
    for (seed, momenta) in momenta.into_iter().enumerate() {
        let rules = momenta.map(|momentum| Rule::new(RuleKind::HeavyBall, momentum, 0.0));
        let (blocks, hessian) = (blocks(&rules, seed), positive(12, seed + 20));
        let found = threshold(&stages(&blocks), &[], products(&hessian)).unwrap();
        let memory = memory(&blocks);
        let none = DMatrix::zeros(12, 12);
        let distances = |factor: f64| {
            let mut state = DVector::from_fn(2 * memory * 12, |i, _| number(i, 0, seed));
            [2000, 4000].map(|updates| {
                let norms = (0..updates).map(|_| {
                    state = update(&blocks, [&hessian, &none], factor * found.lr, memory, &state);
                    state.norm()
                });
                // The largest over a few periods of the oscillation.
                norms.skip(updates - 200).fold(0.0, f64::max)
            })
        };
        let [early, late] = distances(0.99);
        assert!(late < 0.5 * early, "{momenta:?}: {early} and {late} below {found:?}");
        let [early, late] = distances(1.01);
        assert!(late > 2.0 * early, "{momenta:?}: {early} and {late} above {found:?}");
    }
}

/// Blocks of orthonormal columns on the diagonal, so that `Q H Q^T` has the pipeline of `H` among stages of more parameters.
fn widened(blocks: &[Block], width: usize) -> (DMatrix<f64>, Vec<Block>) {
    let parameters = blocks.last().unwrap().parameters.end;
    let mut around = DMatrix::zeros(width * blocks.len(), parameters);
    let mut wide = blocks.to_vec();
    for (index, block) in wide.iter_mut().enumerate() {
        let narrow = block.parameters.clone();
        block.parameters = index * width..(index + 1) * width;
        let columns = DMatrix::from_fn(width, narrow.len(), |i, j| number(i, j, index)).qr().q();
        around.view_mut((index * width, narrow.start), (width, narrow.len())).copy_from(&columns);
    }
    (around, wide)
}

#[test]
fn a_subspace_finds_what_the_whole_space_of_the_same_pipeline_has() {
    for (seed, rules) in all_rules().iter().enumerate().skip(1).step_by(2) {
        let (narrow, small) = (blocks(rules, seed), positive(12, seed));
        let (around, wide) = widened(&narrow, 40);
        let hessian = &around * &small * around.transpose();
        let top = DVector::from_fn(hessian.nrows(), |i, _| number(i, 2, 2));
        let near = &hessian * (&hessian * top);
        let exact = threshold(&stages(&narrow), &[], products(&small)).unwrap();
        let found = threshold(&stages(&wide), &[near.as_slice()], products(&hessian)).unwrap();
        assert!(found.converged && found.residual <= ACCURACY && found.dimension <= 30, "{found:?}");
        assert_close("stashed", &[found.lr, found.angle], &[exact.lr, exact.angle], EIGENVALUE);

        let derivative = DMatrix::from_fn(12, 12, |i, j| 0.1 * number(i, j, seed + 50));
        let wide_derivative = &around * &derivative * around.transpose();
        let backward: Vec<_> = narrow.iter().map(Block::backward).collect();
        let of = |blocks, start: &[&[f64]], hessian, derivative| {
            let (hessian, derivative) = (products(hessian), products(derivative));
            threshold_without_stashing(&stages(blocks), &backward, start, hessian, derivative).unwrap()
        };
        let exact = of(&narrow, &[], &small, &derivative);
        let found = of(&wide, &[near.as_slice()], &hessian, &wide_derivative);
        assert!(found.converged && found.residual <= ACCURACY, "{found:?}");
        assert_close("unstashed", &[found.lr, found.angle], &[exact.lr, exact.angle], EIGENVALUE);
    }
}

#[test]
fn negative_curvature_of_the_size_of_rounding_changes_nothing() {
    let rules = vec![Rule::new(RuleKind::HeavyBall, 0.9, 0.9); 4];
    let (narrow, small) = (blocks(&rules, 3), positive(12, 3));
    let (around, wide) = widened(&narrow, 15);
    let hessian = &around * &small * around.transpose();
    // 60 parameters are all in the subspace; the same and 20 more are not.
    let size = hessian.nrows();
    let rounding = DMatrix::from_fn(size, size, |i, j| 1e-13 * (number(i, j, 8) + number(j, i, 8)));
    let exact = threshold(&stages(&narrow), &[], products(&small)).unwrap();
    let found = threshold(&stages(&wide), &[], products(&(&hessian + &rounding))).unwrap();
    assert!(found.converged && found.least_curvature < 0.0, "{found:?}");
    assert_close("lr", &[found.lr, found.angle], &[exact.lr, exact.angle], 1e-9);

    let (around, wide) = widened(&narrow, 20);
    let hessian = &around * &small * around.transpose();
    let size = hessian.nrows();
    let rounded = hessian - DMatrix::from_diagonal_element(size, size, 1e-13);
    let near = &rounded * DVector::from_element(size, 1.0);
    let found = threshold(&stages(&wide), &[near.as_slice()], products(&rounded)).unwrap();
    assert!(found.converged, "{found:?}");
    assert_close("lr", &[found.lr, found.angle], &[exact.lr, exact.angle], EIGENVALUE);
}

/// A Hessian of rank one has its estimate exactly, one of any rank and equal delays the threshold of its largest eigenvalue.
#[test]
fn the_closed_forms_are_met_where_they_hold() {
    let size = 90;
    let vector = DVector::from_fn(size, |i, _| number(i, 0, 1)).normalize();
    let delays = [4, 2, 0];
    let ranges = [0..20, 20..50, 50..90];
    let energies = ranges.clone().map(|range| vector.rows_range(range).norm_squared());
    for rule in [Rule::SGD, Rule::new(RuleKind::HeavyBall, 0.9, 0.9)] {
        let block =
            |(parameters, delay): (Range<usize>, usize)| Block { parameters, rule, delays: [delay; 2], lr_factor: 1.0 };
        let of = |delays: [usize; 3], hessian: &DMatrix<f64>| {
            let blocks: Vec<_> = ranges.clone().into_iter().zip(delays).map(block).collect();
            threshold(&stages(&blocks), &[vector.as_slice()], products(hessian)).unwrap()
        };
        let rank_one = theory::threshold(&rank_one(&rule, &delays, &energies).unwrap(), Criterion::Mean).unwrap();
        let found = of(delays, &(2.5 * &vector * vector.transpose()));
        assert!(found.converged && found.dimension <= 12, "{found:?}");
        assert_close("rank one", &[found.lr, found.angle], &[rank_one.gain / 2.5, rank_one.angle.unwrap()], EIGENVALUE);

        let hessian = DMatrix::from_diagonal(&DVector::from_fn(size, |i, _| 3.0 * 0.7f64.powi(i as i32)));
        let uniform = rule.threshold(&DelayLaw::Fixed(3), Criterion::Mean).unwrap();
        let found = of([3; 3], &hessian);
        assert!(found.converged, "{found:?}");
        assert_close("uniform", &[found.lr, found.angle], &[uniform.gain / 3.0, uniform.angle.unwrap()], EIGENVALUE);
    }
}

/// A late stage of small curvature beside a punctual one whose eigenvalues are all larger. Each stage is by itself here, so that the
/// first threshold is the least of theirs.
#[test]
fn a_late_stage_is_the_first_though_its_curvature_is_small() {
    let curvatures =
        DVector::from_fn(100, |i, _| if i < 50 { 1e-2 * 0.9f64.powi(i as i32) } else { 1.0 / (i - 49) as f64 });
    let hessian = DMatrix::from_diagonal(&curvatures);
    let top: Vec<Vec<f64>> = (50..58).map(|i| (0..100).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let leading: Vec<&[f64]> = top.iter().map(|vector| &vector[..]).collect();
    for kind in [RuleKind::HeavyBall, RuleKind::Shifted, RuleKind::WeightPrediction] {
        let rule = Rule::new(kind, 0.9, 0.9);
        let block = |(index, delay): (usize, usize)| Block {
            parameters: 50 * index..50 * (index + 1),
            rule,
            delays: [delay, 0],
            lr_factor: 1.0,
        };
        let blocks = [(0, 8), (1, 0)].map(block);
        let gain = |delay| rule.threshold(&DelayLaw::Fixed(delay), Criterion::Mean).unwrap().gain;
        let expected = gain(8) / 1e-2;
        assert!(expected < gain(0));
        let found = threshold(&stages(&blocks), &leading, products(&hessian)).unwrap();
        assert!(found.converged, "{found:?}");
        assert_close(&format!("{kind:?}"), &[found.lr], &[expected], EIGENVALUE);
        let (backward, none) = (blocks.clone().map(|block| block.backward()), DMatrix::zeros(100, 100));
        let found =
            threshold_without_stashing(&stages(&blocks), &backward, &leading, products(&hessian), products(&none))
                .unwrap();
        assert_close(&format!("{kind:?}, unstashed"), &[found.lr], &[expected], EIGENVALUE);
    }
}

/// The square of a network's Hessian stands for a positive one with its structure. Two sets of vectors to begin with agree.
#[test]
fn the_threshold_of_a_network_has_a_small_residual_and_forgets_where_it_began() {
    let data = Dataset::load(&DataSource::Digits, Some(60), 3).unwrap();
    let network =
        Network::new(Model::mlp(data.features(), &[6, 5], data.classes, Activation::Tanh), Loss::Ce, 0.0, data);
    let x = network.model.init(1);
    let square = |vectors: &[Vec<f64>]| network.hessian_products(&x, &network.hessian_products(&x, vectors));
    let tensors = &network.model.graph.tensors.parameters;
    let stages: Vec<Stage> = tensors
        .chunks(2)
        .enumerate()
        .map(|(index, tensors)| {
            let equation = Rule::SGD.equation(&DelayLaw::Fixed(2 - index)).unwrap();
            let parameters = tensors[0].offset..tensors[1].offset + tensors[1].elements();
            Stage { parameters, response: StageResponse::new(&equation, 1.0).unwrap() }
        })
        .collect();
    let start = |seed: usize| square(&[(0..x.len()).map(|i| number(i, 0, seed)).collect()]).swap_remove(0);
    let [one, other] = [1, 2].map(|seed| threshold(&stages, &[&start(seed)], square).unwrap());
    assert!(one.converged && one.residual <= ACCURACY && one.products < 80, "{one:?}");
    assert_close("starts", &[one.lr, one.angle], &[other.lr, other.angle], EIGENVALUE);

    // All that goes back is current.
    let sgd = StageResponse::new(&Rule::SGD.equation(&DelayLaw::Fixed(0)).unwrap(), 1.0).unwrap();
    let derivative = |vectors: &[Vec<f64>]| network.backward_products(&x, vectors);
    let found = threshold_without_stashing(&stages, &vec![sgd; 3], &[&start(1)], square, derivative).unwrap();
    assert!(found.converged && found.residual <= ACCURACY, "{found:?}");
    assert!((found.lr / one.lr - 1.0).abs() > 1e-3, "{found:?} and {one:?}");
}

#[test]
fn what_has_no_threshold_of_stages_is_refused() {
    let refused = |blocks: &[Block], start: &[&[f64]], hessian: DMatrix<f64>, why: &str| {
        let message = match threshold(&stages(blocks), start, products(&hessian)) {
            Err(TheoryError::Stages(message)) => message,
            other => panic!("{other:?} where {why} is expected"),
        };
        assert!(message.contains(why), "{message}");
    };
    let rules = [Rule::SGD; 3];
    let whole = blocks(&rules, 0);
    refused(&whole[1..], &[], positive(12, 0), "stage 0 has the parameters 5..8; accepted: ranges that follow");
    refused(&[], &[], positive(12, 0), "no parameters");
    refused(&whole, &[], -positive(12, 0), "must be positive");
    refused(&whole, &[], positive(12, 0) * f64::NAN, "not finite");
    let (_, wide) = widened(&whole, 30);
    refused(&wide, &[&[1.0; 3]], positive(90, 0), "a vector of 3 numbers; accepted: 90");
    let (hessian, none) = (positive(12, 0), DMatrix::zeros(12, 12));
    let one = [whole[0].backward()];
    let found = threshold_without_stashing(&stages(&whole), &one, &[], products(&hessian), products(&none));
    assert!(found.unwrap_err().to_string().contains("1 responses of backward passes"));
}
