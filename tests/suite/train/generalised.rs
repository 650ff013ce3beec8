//! Generalised sharpness along a training, beside every corner of its ball under dense Hessians of finite differences.

use super::preconditioned::hessian;
use super::{metrics, rows, training};
use nalgebra::{DMatrix, DVector};
use std::f64::consts::TAU;
use std::ops::ControlFlow;
use tauscope::engine::cpu::Cpu;
use tauscope::problem::Network;
use tauscope::table::Metric;
use tauscope::train::{Outcome, Training};

const COURSE: [&str; 21] = [
    "--test",
    "10",
    "--batch",
    "full",
    "--lr",
    "0.01",
    "--delays",
    "1",
    "--epochs",
    "12",
    "--evaluate-every",
    "12",
    "--engine",
    "cpu",
    "--precision",
    "f64",
    "--seeds",
    "1",
    "--track",
    "generalised-sharpness",
    "--track-every=5",
];

/// Central differences of the gradient, and Lanczos to a residual of 1e-3.
const DENSE: f64 = 1e-4;

fn outcomes(training: &Training) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::default(); training.runs.len()];
    let mut finished = |run: usize, outcome: Outcome| {
        outcomes[run] = outcome;
        Ok(())
    };
    let all: Vec<usize> = (0..training.runs.len()).collect();
    let engine = Cpu::<f64>::default();
    training.train(&engine, &all, None, &mut finished, &mut |_| ControlFlow::Continue(())).unwrap();
    outcomes
}

fn largest(hessian: &DMatrix<f64>, directions: impl Iterator<Item = DVector<f64>>) -> f64 {
    directions.map(|d| d.dot(&(hessian * &d))).fold(0.0, f64::max)
}

fn without_decay(network: &Network) -> Network {
    Network { weight_decay: 0.0, ..network.clone() }
}

#[test]
fn that_of_signs_encloses_every_corner_of_the_cube_at_the_last_weights() {
    let folder = tempfile::tempdir().unwrap();
    let problem =
        ["--data", "synthetic:clusters:classes=2:shape=1x1x2:samples=40", "--model", "mlp:2", "--weight-decay", "0.05"];
    let flags = [&problem[..], &COURSE, &["--rules", "signum,lion"]].concat();
    let training = training(&flags);
    let (rows, seen) = (rows(folder.path(), "out", &flags), metrics(folder.path(), "out"));
    for (row, (outcome, decoupled)) in rows.iter().zip(outcomes(&training).iter().zip([false, true])) {
        let of = |metric: Metric| -> Vec<(u64, f64)> {
            let own = seen.iter().filter(|one| one.run_id == row.run_id && one.metric == metric);
            own.map(|one| (one.step, one.value)).collect()
        };
        let (lower, upper) = (of(Metric::GeneralisedSharpness), of(Metric::GeneralisedBound));
        assert_eq!(lower.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 5, 10, 12]);
        assert_eq!(upper.len(), 4);
        assert!(lower.iter().zip(&upper).all(|((_, lower), (_, upper))| lower <= upper), "{lower:?} {upper:?}");
        let record = outcome.generalised.last().unwrap();
        assert_eq!((row.generalised_sharpness, row.generalised_bound), (Some(record.lower), record.upper));
        let weights = &outcome.last.as_ref().unwrap().weights;
        let network = if decoupled { &without_decay(training.network()) } else { training.network() };
        let hessian = hessian(network, weights);
        let corner = |bits: u32| DVector::from_fn(12, |i, _| if bits >> i & 1 == 0 { 1.0 } else { -1.0 });
        let exact = largest(&hessian, (0..1 << 11).map(corner));
        let (lower, upper) = (record.lower, record.upper.unwrap());
        assert!(lower <= exact * (1.0 + DENSE) && exact <= upper * (1.0 + DENSE), "{lower} {exact} {upper}");
        assert!(lower > 0.97 * exact && upper < 1.6 * exact, "{}: {lower} {exact} {upper}", row.rule);
        assert_eq!((row.preconditioned_lambda_max, row.plateau), (None, None));
    }
}

#[test]
fn that_of_muon_encloses_every_rotation_of_its_hidden_matrix() {
    let problem = ["--data", "synthetic:clusters:classes=3:shape=1x1x3:samples=40", "--model", "mlp:2-2"];
    for (rule, scale) in [("muon", 1.0), ("muon:rms", 0.2 * 2f64.sqrt())] {
        let training = training(&[&problem[..], &COURSE, &["--rules", rule]].concat());
        let outcome = &outcomes(&training)[0];
        let weights = &outcome.last.as_ref().unwrap().weights;
        let hessian = hessian(&without_decay(training.network()), weights);
        let [matrix] = training.network().model.hidden_matrices()[..] else { panic!("mlp:2-2 has one hidden matrix") };
        let hidden = hessian.view((matrix.first, matrix.first), (4, 4)).into_owned();
        let angles = 20_000;
        let orthogonal = |i: usize| {
            let (sin, cos) = ((i / 2) as f64 * TAU / angles as f64).sin_cos();
            let entries = if i.is_multiple_of(2) { [cos, -sin, sin, cos] } else { [cos, sin, sin, -cos] };
            DVector::from_iterator(4, entries.map(|x| scale * x))
        };
        let exact = largest(&hidden, (0..2 * angles).map(orthogonal));
        let record = outcome.generalised.last().unwrap();
        let (lower, upper) = (record.lower, record.upper.unwrap());
        assert!(lower <= exact * (1.0 + DENSE) && exact <= upper * (1.0 + DENSE), "{rule}: {lower} {exact} {upper}");
        assert!(lower > 0.97 * exact && upper < 1.6 * exact, "{rule}: {lower} {exact} {upper}");
    }
}
