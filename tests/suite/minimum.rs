//! The search for a minimum as a user meets it: where there is none, where it is interrupted, where it begins with the user's own
//! weights; and what is told of the minimum that was found.

use crate::common::assert_close;
use crate::data_files::files::{floats, npy, npz};
use crate::folders::{outcome, succeed, tauscope};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use tauscope::data::Dataset;
use tauscope::math::{Activation, Loss, Shape};
use tauscope::minimum::{self, Cause, DescentStart, Hints, Minimum, MinimumError, MinimumSearch};
use tauscope::model::Model;
use tauscope::problem::{Network, Problem};
use tauscope::table::{EigenvalueRow, EnergyRow, Status, ThresholdRow, read_csv};

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--rules", "sgd", "--delays", "0", "--out", out]).args(flags);
    command
}

fn rows(folder: &Path, out: &str) -> Vec<ThresholdRow> {
    read_csv(&folder.join(out).join("thresholds.csv")).unwrap()
}

/// Runs a sweep that must end with exit code 2 and leave no folder, and returns its error.
#[track_caller]
fn refusal(command: &mut Command, folder: &Path) -> String {
    let (code, error) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{error}");
    for out in ["out", "out.partial"] {
        assert!(!folder.join(out).exists(), "{out} is left: {error}");
    }
    error
}

fn fixture(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

/// Samples of numbers that need no generator, with labels.
fn data(samples: usize, features: usize, label: impl Fn(usize, &[f32]) -> u32) -> Dataset {
    let number = |i: usize| ((i * 2_654_435_761 + 12_345) % (1 << 32)) as f32 / (1u64 << 31) as f32 - 1.0;
    let inputs: Vec<f32> = (0..samples * features).map(number).collect();
    let labels: Vec<u32> = inputs.chunks(features).enumerate().map(|(i, x)| label(i, x)).collect();
    let classes = *labels.iter().max().unwrap() as usize + 1;
    Dataset { inputs, labels, shape: Shape::vector(features), classes }
}

fn write_npz(path: &Path, Dataset { inputs, labels, shape, .. }: &Dataset) {
    let (samples, labels) = (labels.len(), labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>());
    let x = npy("<f4", &format!("({samples}, {})", shape.elements()), &floats(inputs));
    npz(path, &[("x", x), ("y", npy("<u4", &format!("({samples},)"), &labels))]);
}

fn network(data: Dataset, hidden: &[usize], loss: Loss, weight_decay: f64) -> Problem {
    let model = Model::mlp(data.shape.elements(), hidden, data.classes, Activation::Tanh);
    Problem::Network(Network::new(model, loss, weight_decay, data))
}

#[test]
fn weights_that_adamw_trained_in_pytorch_lead_to_thresholds_within_a_hundredth_of_theory() {
    let folder = tempfile::tempdir().unwrap();
    let (data, weights) = (format!("npz:{}", fixture("adamw.npz")), fixture("adamw.safetensors"));
    let problem = ["--data", &data, "--samples", "all", "--model", "mlp:5"];
    let flags = [&problem[..], &["--rules", "sgd,heavy-ball,shifted", "--delays", "0,1,4"]].concat();
    // As they are, they are no minimum, and the hint is to descend from them.
    let given = [&flags[..], &["--minimum", &weights]].concat();
    let error =
        refusal(tauscope(folder.path()).args(["sweep", "--engine", "cpu", "--out", "out"]).args(given), folder.path());
    assert!(error.contains("not a minimum") && error.contains("--minimum-from FILE"), "{error}");
    assert!(!error.contains("--seed-init"), "{error}");
    let from = [&flags[..], &["--minimum-from", &weights]].concat();
    let said = succeed(tauscope(folder.path()).args(["sweep", "--engine", "cpu", "--out", "out"]).args(from));
    assert!(said.contains(&format!("of their norm) from the weights of {weights}")), "{said}");
    let rows = rows(folder.path(), "out");
    assert_eq!(rows.len(), 3 * 3 + 3);
    for row in &rows {
        assert_eq!(row.status, Status::Measured);
        assert!((row.ratio.unwrap() - 1.0).abs() < 0.01, "{} at delay {:?}: {:?}", row.rule, row.delay, row.ratio);
    }
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/run.json")).unwrap()).unwrap();
    let moved = &run["minimum"]["moved"];
    let (distance, relative) = (moved["distance"].as_f64().unwrap(), moved["relative"].as_f64().unwrap());
    assert!(distance > 0.0 && relative > 0.0 && relative < distance, "{moved}");
    // The minimum that was found is certified as it is, and the descent from it goes nowhere.
    let found = [&problem[..], &["--minimum-from", "out/minimum.safetensors"]].concat();
    let said = succeed(&mut sweep(folder.path(), "again", &found));
    assert!(said.contains("0.00e0 (0.00e0 of their norm)"), "{said}");
}

#[test]
fn without_weight_decay_separated_samples_have_no_minimum_and_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    // The perceptron's weights run to where the Hessian is not finite before every sample is right.
    for (model, reason) in [("linear", "every sample is classified right"), ("mlp:4", "the weights have grown to")] {
        let flags = ["--samples", "16", "--model", model, "--weight-decay", "0"];
        let error = refusal(&mut sweep(folder.path(), "out", &flags), folder.path());
        assert!(error.contains(reason) && error.contains("a positive --weight-decay"), "{error}");
    }
    // 40 samples of 2 features whose labels are drawn by lot: no line separates them.
    let problem = network(data(40, 2, |i, _| (i * i / 3 % 2) as u32), &[], Loss::Ce, 0.0);
    let minimum = minimum::find(&problem, 0, 1e-8).unwrap();
    assert!(minimum.loss > 0.1 && minimum.largest.value > 0.1, "{} {}", minimum.loss, minimum.largest.value);
    // Separated by the sign of the first feature. Weights far out are flat enough, and are no minimum either.
    let separated = network(data(40, 2, |_, x| u32::from(x[0] > 0.0)), &[], Loss::Ce, 0.0);
    assert!(matches!(minimum::find(&separated, 0, 1e-8), Err(MinimumError::Separated { .. })));
    let far = vec![-1e5, 0.0, 1e5, 0.0, 0.0, 0.0];
    assert!(matches!(minimum::certify(&separated, far, 1e-8), Err(MinimumError::Separated { .. })));
    // Weights that separate the samples but are small: the loss falls where they grow, however far. Samples that mirror each
    // other keep the bias at 0, and so stay separated.
    let inputs = vec![-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0];
    let labels = inputs.iter().map(|x| u32::from(*x > 0.0)).collect();
    let mirrored = network(Dataset { inputs, labels, shape: Shape::vector(1), classes: 2 }, &[], Loss::Ce, 0.0);
    let mut search = MinimumSearch {
        start: DescentStart::Given(&[-0.1, 0.1, 0.0, 0.0]),
        tolerance: 1e-8,
        evaluations: 1,
        kept: None,
        watch: &mut |_| ControlFlow::Continue(()),
        keep: &mut |_| (),
    };
    assert!(matches!(search.run(&mirrored), Err(MinimumError::Endless { far, loss, .. }) if far < loss));
    // Squares have a minimum wherever the samples lie.
    let squares = network(data(40, 2, |_, x| u32::from(x[0] > 0.0)), &[], Loss::Mse, 0.0);
    assert!(minimum::find(&squares, 0, 1e-8).is_ok());
}

#[test]
fn inputs_whose_hessian_is_not_finite_are_named() {
    let mut samples = data(12, 3, |i, _| i as u32 % 2);
    samples.inputs.iter_mut().step_by(3).for_each(|x| *x = 1e38);
    let error = minimum::find(&network(samples, &[2], Loss::Ce, 1e-3), 0, 1e-8).unwrap_err();
    assert!(matches!(error, MinimumError::NotFinite { .. }) && error.to_string().contains("1.0e38"), "{error}");
}

#[test]
fn a_search_always_ends_and_says_what_would_help() {
    // Rounding is larger than this tolerance.
    let small = data(12, 3, |i, _| i as u32 % 2);
    let error = minimum::find(&network(small, &[2], Loss::Ce, 1e-3), 0, 1e-15).unwrap_err();
    assert!(matches!(error, MinimumError::NotFlat { cause: Cause::Stalled, .. }), "{error}");
    let refused = |cause, given, undecayed| {
        let hints = Hints { given, undecayed };
        MinimumError::NotFlat { gradient_max: 1e-3, tolerance: 1e-8, evaluations: 9, cause, hints }.to_string()
    };
    assert!(refused(Cause::Stalled, false, false).contains("another --seed-init"));
    assert!(refused(Cause::Kinks, false, false).contains("a smooth --activation"));
    assert!(refused(Cause::Budget, false, true).contains("--minimum-evaluations, or a positive --weight-decay"));
    for cause in [Cause::Budget, Cause::Kinks, Cause::Stalled] {
        assert!(!refused(cause, true, true).contains("--seed-init"), "nobody can draw given weights again");
    }
    let saddle = |given| {
        let hints = Hints { given, undecayed: false };
        MinimumError::Saddle { smallest: -1.0, largest: 1.0, hints }.to_string()
    };
    assert!(saddle(false).contains("--seed-init") && !saddle(true).contains("--seed-init"));
}

#[test]
fn a_search_that_is_stopped_anywhere_goes_on_to_the_same_bits() {
    let problem = network(data(30, 4, |i, _| i as u32 % 3), &[4], Loss::Ce, 1e-3);
    let undisturbed = minimum::find(&problem, 0, 1e-8).unwrap();
    let mut kept: Option<Vec<u8>> = None;
    let mut stops = 0;
    let found: Minimum = loop {
        let (mut left, state) = (7, kept.take());
        let mut newest = None;
        let found = MinimumSearch {
            start: DescentStart::Seed(0),
            tolerance: 1e-8,
            evaluations: minimum::EVALUATIONS,
            kept: state.as_deref(),
            watch: &mut |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
            keep: &mut |kept| newest = Some(kept.state.to_vec()),
        }
        .run(&problem)
        .unwrap();
        match found {
            Some(found) => break found,
            None => kept = newest.or(state),
        }
        stops += 1;
        assert!(stops < 1000, "it never comes to its end");
        // Eigenvalues take more products than a few: then it is let go on.
        if stops > 30 {
            let state = kept.take();
            let mut search = MinimumSearch {
                start: DescentStart::Seed(0),
                tolerance: 1e-8,
                evaluations: minimum::EVALUATIONS,
                kept: state.as_deref(),
                watch: &mut |_| ControlFlow::Continue(()),
                keep: &mut |_| (),
            };
            break search.run(&problem).unwrap().unwrap();
        }
    };
    assert!(stops > 10, "{stops} stops");
    assert_eq!(found, undisturbed);
    assert_eq!(Minimum::from_bytes(&found.to_bytes()), Some(found));
}

#[test]
fn a_budget_that_is_used_up_leaves_a_folder_that_goes_on_with_a_larger_one() {
    let folder = tempfile::tempdir().unwrap();
    let problem = ["--samples", "40", "--model", "mlp:3"];
    succeed(&mut sweep(folder.path(), "whole", &problem));
    let small = [&problem[..], &["--minimum-evaluations", "9"]].concat();
    let (code, error) = outcome(&sweep(folder.path(), "out", &small).output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--resume and a larger --minimum-evaluations"), "{error}");
    assert!(folder.path().join("out.partial/minimum-search.safetensors").is_file());
    succeed(&mut sweep(folder.path(), "out", &[&problem[..], &["--resume"]].concat()));
    for name in ["minimum.safetensors", "thresholds.csv", "runs.csv"] {
        let read = |out: &str| fs::read(folder.path().join(out).join(name)).unwrap();
        assert_eq!(read("out"), read("whole"), "{name}");
    }
    let mut files: Vec<_> =
        fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.retain(|name| name.to_string_lossy().starts_with("minimum"));
    assert_eq!(files, ["minimum.safetensors"], "what only an unfinished folder needs is gone");
}

#[test]
fn a_signal_during_the_search_keeps_the_best_weights_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // A search of minutes.
    let flags = ["--samples", "all", "--model", "mlp:128-128", "--gradient-tolerance", "1e-12", "--json"];
    let mut child = sweep(folder.path(), "out", &flags).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let event =
        events.find(|line| line.as_ref().is_ok_and(|line| line.contains(r#""event":"minimum""#))).unwrap().unwrap();
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert!(event["evaluations"].as_u64() > Some(0) && event["gradient_max"].as_f64() > Some(0.0), "{event}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143), "{error}");
    assert!(
        error.contains("the search for the minimum is safe") && error.contains("--resume and --out out"),
        "{error}"
    );
    let weights = fs::read(folder.path().join("out.partial/minimum-search.safetensors")).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&weights).unwrap().tensor("4.weight").is_ok());
    // It goes on: one evaluation is fewer than it has had.
    let again = [&flags[..6], &["--resume", "--minimum-evaluations", "1"]].concat();
    let (code, error) = outcome(&sweep(folder.path(), "out", &again).output().unwrap());
    let evaluations = error.split(" evaluations of L-BFGS").next().and_then(|text| text.rsplit(' ').next()).unwrap();
    assert!(code == Some(2) && evaluations.parse::<u64>().unwrap() > 1, "{error}");
}

#[test]
fn a_minimum_at_zero_and_a_floor_of_rounding_give_the_thresholds_of_theory() {
    // Xor: no line is better than none, and the minimum is 0 but for rounding.
    let xor = Dataset {
        inputs: vec![-1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0],
        labels: vec![0, 1, 1, 0],
        shape: Shape::vector(2),
        classes: 2,
    };
    // Every sample twice, with both labels: mse is smallest where the outputs are a half, with gradients that cancel.
    let mut pairs = data(64, 4, |i, _| i as u32 % 2);
    for i in (0..64).step_by(2) {
        pairs.inputs.copy_within(4 * i..4 * i + 4, 4 * i + 4);
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, data, flags) in
        [("xor", xor, ["--model", "linear", "--loss", "ce"]), ("pairs", pairs, ["--model", "mlp:4", "--loss", "mse"])]
    {
        write_npz(&folder.path().join("data.npz"), &data);
        let flags = [&["--data", "npz:data.npz", "--samples", "all", "--delays", "0,1,4"][..], &flags].concat();
        succeed(
            tauscope(folder.path()).args(["sweep", "--engine", "cpu", "--rules", "sgd", "--out", name]).args(flags),
        );
        for row in rows(folder.path(), name) {
            assert_eq!(row.status, Status::Measured, "{name}");
            assert!((row.ratio.unwrap() - 1.0).abs() < 0.01, "{name} at delay {:?}: {:?}", row.delay, row.ratio);
        }
    }
}

#[test]
fn a_start_is_never_placed_where_the_loss_is_no_longer_quadratic() {
    // Nearly separated: far from the minimum the loss is a thousand times that of the minimum, and rounding is large in f32.
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--samples", "128", "--model", "mlp:16", "--weight-decay", "1e-6"];
    for precision in ["auto", "f64"] {
        succeed(&mut sweep(folder.path(), precision, &[&flags[..], &["--precision", precision]].concat()));
        let row = &rows(folder.path(), precision)[0];
        assert!(row.status == Status::Measured && (row.ratio.unwrap() - 1.0).abs() < 0.01, "{:?}", row.ratio);
        assert_eq!(row.precision.as_deref(), Some("f64"), "f32 has no start that is clear of rounding");
    }
}

#[test]
fn the_largest_eigenvalues_stand_in_their_tables_with_the_energy_of_each_layer() {
    let folder = tempfile::tempdir().unwrap();
    succeed(&mut sweep(folder.path(), "out", &["--samples", "40", "--model", "mlp:3", "--top", "5"]));
    let eigenvalues: Vec<EigenvalueRow> = read_csv(&folder.path().join("out/eigenvalues.csv")).unwrap();
    let energies: Vec<EnergyRow> = read_csv(&folder.path().join("out/energies.csv")).unwrap();
    assert_eq!(eigenvalues.iter().map(|row| row.index).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(eigenvalues.is_sorted_by(|a, b| a.eigenvalue >= b.eigenvalue));
    assert_eq!(eigenvalues[0].eigenvalue, rows(folder.path(), "out")[0].lambda_max);
    assert!(eigenvalues.iter().all(|row| row.residual <= 1e-8 * eigenvalues[0].eigenvalue));
    for index in 1..=5 {
        let of: Vec<&EnergyRow> = energies.iter().filter(|row| row.index == index).collect();
        assert_eq!(
            of.iter().map(|row| (row.layer.as_str(), row.parameters)).collect::<Vec<_>>(),
            [("0", 195), ("2", 40)]
        );
        assert_close("energies of all layers", &[of.iter().map(|row| row.energy).sum::<f64>()], &[1.0], 1e-12);
    }
    // Of a quadratic they are known, and shards of a sweep bring them into the whole.
    for shard in ["1/2", "2/2"] {
        let flags = ["--model", "quadratic:0.5,2,1,1", "--delays", "0,1", "--top", "3", "--shard", shard];
        let mut command = tauscope(folder.path());
        command.args(["sweep", "--engine", "cpu", "--rules", "sgd", "--out", &shard[..1]]).args(flags);
        succeed(&mut command);
    }
    succeed(tauscope(folder.path()).args(["merge", "1", "2", "--out", "merged"]));
    let eigenvalues: Vec<EigenvalueRow> = read_csv(&folder.path().join("merged/eigenvalues.csv")).unwrap();
    let values: Vec<f64> = eigenvalues.iter().map(|row| row.eigenvalue).collect();
    assert_close("eigenvalues", &values, &[2.0, 1.0, 1.0], 1e-9);
}
