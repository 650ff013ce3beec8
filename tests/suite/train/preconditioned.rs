//! Preconditioned sharpness along a training, beside dense Hessians of finite differences under second moments made by hand.

use super::{metrics, rows, train, training};
use crate::common::{assert_close, gpu};
use nalgebra::{DMatrix, SymmetricEigen};
use std::ops::ControlFlow;
use tauscope::engine::Engine;
use tauscope::engine::cpu::Cpu;
use tauscope::problem::Network;
use tauscope::problem::network::FullBatch;
use tauscope::table::Metric;
use tauscope::train::Outcome;

/// A network of 8 numbers in a layer, full batches and a delay.
const SMALL: [&str; 16] = [
    "--data",
    "synthetic:clusters:classes=3:shape=1x1x4:samples=40",
    "--test",
    "10",
    "--model",
    "mlp:3",
    "--batch",
    "full",
    "--weight-decay",
    "0.02",
    "--lr",
    "0.01",
    "--lr-scaling",
    "none",
    "--delays",
    "2",
];

/// Lanczos to a residual of 1e-3 and central differences: the eigenvalue errs with their squares.
const DENSE: f64 = 1e-5;

/// The Hessian by central differences of the gradient.
pub(super) fn hessian(network: &Network, weights: &[f64]) -> DMatrix<f64> {
    let (size, h) = (weights.len(), 1e-5);
    let mut batch = FullBatch::new(network);
    let mut gradient_at = |place: usize, step: f64| {
        let mut moved = weights.to_vec();
        moved[place] += step;
        let mut gradient = vec![0.0; size];
        batch.loss_and_gradient(&moved, &mut gradient);
        gradient
    };
    let columns: Vec<Vec<f64>> = (0..size)
        .map(|j| {
            let (up, down) = (gradient_at(j, h), gradient_at(j, -h));
            up.iter().zip(down).map(|(up, down)| (up - down) / (2.0 * h)).collect()
        })
        .collect();
    DMatrix::from_fn(size, size, |i, j| 0.5 * (columns[j][i] + columns[i][j]))
}

/// The largest eigenvalue of P^-1/2 H P^-1/2.
fn dense(network: &Network, weights: &[f64], scale: &[f64]) -> f64 {
    let hessian = hessian(network, weights);
    let root = |i: usize| scale[i].sqrt();
    let size = weights.len();
    let scaled = DMatrix::from_fn(size, size, |i, j| hessian[(i, j)] / root(i) / root(j));
    SymmetricEigen::new(scaled).eigenvalues.max()
}

/// Adam as it is written down, with beta1 .9 and beta2 .99: the eigenvalue after every `period` steps.
fn by_hand(network: &Network, start: &[f64], decoupled: bool, steps: usize, period: usize) -> Vec<f64> {
    let plain = Network { weight_decay: 0.0, ..network.clone() };
    let (seen, decay) = if decoupled { (&plain, network.weight_decay) } else { (network, 0.0) };
    let mut batch = FullBatch::new(seen);
    let (lr, delay, size) = (0.01, 2, start.len());
    let (mut visited, mut gradient) = (vec![start.to_vec()], vec![0.0; size]);
    let (mut v, mut s, mut found) = (vec![0.0; size], vec![0.0; size], Vec::new());
    for t in 0..steps {
        batch.loss_and_gradient(&visited[t.saturating_sub(delay)], &mut gradient);
        let correction = |beta: f64| 1.0 - beta.powi(t as i32 + 1);
        let mut x = visited[t].clone();
        let mut scale = vec![0.0; size];
        for i in 0..size {
            v[i] = 0.9 * v[i] + 0.1 * gradient[i];
            s[i] = 0.99 * s[i] + 0.01 * gradient[i] * gradient[i];
            scale[i] = (s[i] / correction(0.99)).sqrt() + 1e-8;
            x[i] -= lr * decay * x[i] + lr * v[i] / correction(0.9) / scale[i];
        }
        if (t + 1) % period == 0 {
            found.push(dense(seen, &x, &scale));
        }
        visited.push(x);
    }
    found
}

#[test]
fn it_is_the_dense_eigenvalue_under_the_second_moment_of_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let course = ["--epochs", "30", "--evaluate-every", "30", "--engine", "cpu", "--precision", "f64", "--seeds", "1"];
    let track = ["--track", "preconditioned-sharpness", "--track-every", "10", "--sharpness", "all"];
    let flags = [&SMALL[..], &course, &track, &["--rules", "adam:0.99,adamw:0.99"]].concat();
    let rows = rows(folder.path(), "out", &flags);
    let (training, seen) = (training(&flags), metrics(folder.path(), "out"));
    for (row, decoupled) in rows.iter().zip([false, true]) {
        let of = |metric: Metric| {
            let own = seen.iter().filter(|one| one.run_id == row.run_id && one.metric == metric);
            own.map(|one| (one.step, one.value)).unzip::<u64, f64, Vec<_>, Vec<_>>()
        };
        let (steps, values) = of(Metric::PreconditionedLambdaMax);
        // Before the first update there is no second moment.
        assert_eq!(steps, [10, 20, 30]);
        let expected = by_hand(training.network(), training.start(0), decoupled, 30, 10);
        assert_close(&row.rule, &values, &expected, DENSE);
        let (_, residuals) = of(Metric::PreconditionedResidual);
        assert!(residuals.iter().zip(&values).all(|(residual, value)| *residual <= 1e-2 * value), "{residuals:?}");
        assert_eq!(of(Metric::PreconditionedConverged).1, [1.0; 3]);
        assert_eq!(row.preconditioned_lambda_max, values.last().copied());
        assert_eq!(row.preconditioned_plateau, values.last().copied(), "of three values the last is the last third");
        // K* of beta1 .9 at delay 2, from the roots of (z - 1 + s)(z - .9) z^2 + .1 K z, s 0 or the decoupled decay of an update, 2e-4.
        let predicted = if decoupled { 0.513442 } else { 0.512492 } / 0.01;
        assert!((row.preconditioned_predicted.unwrap() / predicted - 1.0).abs() < 1e-5);
        let ratio = row.preconditioned_plateau.unwrap() / row.preconditioned_predicted.unwrap();
        assert_eq!(row.preconditioned_ratio, Some(ratio));
        // That of --sharpness stands at the end alone.
        assert_eq!(of(Metric::LambdaMax).0, [30]);
    }
}

#[test]
fn it_is_the_same_on_both_engines() {
    let track =
        ["--track", "sharpness,preconditioned-sharpness", "--track-every", "4", "--epochs", "12", "--seeds", "2"];
    let flags = [&SMALL[..], &track, &["--rules", "nadam,adamw"]].concat();
    let training = training(&flags);
    let outcomes = |engine: &dyn Engine| -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::default(); training.runs.len()];
        let mut finished = |run: usize, outcome: Outcome| {
            outcomes[run] = outcome;
            Ok(())
        };
        let all: Vec<usize> = (0..training.runs.len()).collect();
        training.train(engine, &all, None, &mut finished, &mut |_| ControlFlow::Continue(())).unwrap();
        outcomes
    };
    let values = |outcomes: &[Outcome]| -> Vec<f64> {
        outcomes.iter().flat_map(|outcome| outcome.preconditioned.iter().map(|record| record.value)).collect()
    };
    let cpu = outcomes(&Cpu::<f32>::default());
    assert_eq!((values(&cpu).len(), cpu[0].sharpness.len()), (4 * 3, 4));
    assert_close("preconditioned sharpness", &values(&outcomes(gpu())), &values(&cpu), 1e-3);
}

#[test]
fn rules_without_a_second_moment_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |rule: &str, asked: &[&str], expected: &[&str]| {
        let flags = [&["--rules", rule, "--delays", "0"], asked].concat();
        let assert = train(folder.path(), "out", &flags).assert().code(2);
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(expected.iter().all(|part| stderr.contains(part)), "{rule}: {stderr}");
    };
    let track = ["--track", "preconditioned-sharpness"];
    refused("sgd", &track, &["divides its steps by no second moment; accepted: --rules adam, adamw, nadam, nadamw"]);
    for rule in ["lion", "signum", "muon"] {
        let other = "accepted: --track generalised-sharpness, or --rules adam, adamw, nadam, nadamw";
        refused(rule, &track, &["divides its steps by no second moment", other]);
    }
    let track = ["--track", "generalised-sharpness"];
    refused("adamw", &track, &["--track preconditioned-sharpness, or --rules lion, signum, muon"]);
    refused("sgd", &track, &["takes no signs", "accepted: --track sharpness, or --rules lion, signum, muon"]);
    for (rule, why) in [
        ("lion", "keeps no second moment"),
        ("heavy-ball", "keeps no second moment"),
        ("mixing-adam", "a second moment for every worker"),
        ("muon", "no second moment of hidden matrices"),
        ("gap-aware", "does not divide its steps by its second moment"),
    ] {
        refused(
            rule,
            &["--save-state"],
            &["--save-state with --rules", why, "accepted: --rules adam, adamw, nadam, nadamw"],
        );
    }
    let twice = ["--rules", "adam", "--track", "sharpness,sharpness"];
    let assert = train(folder.path(), "out", &twice).assert().code(2);
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("--track: sharpness is given twice"));
}
