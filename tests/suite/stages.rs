//! Pipelines as a user runs them: thresholds beside theory and beside dense eigenvalues, tables, comparisons, trainings, and what is
//! refused.

use crate::data_files::files::{npy, npz};
use crate::folders::{refuse, succeed, tauscope};
use crate::printed::{number, rows};
use nalgebra::DMatrix;
use std::path::Path;
use std::process::Command;
use tauscope::table::{Status, SummaryRow, TheorySource, ThresholdRow, read_csv};

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--out", out]).args(flags);
    command
}

fn thresholds(folder: &Path, out: &str, flags: &[&str]) -> Vec<ThresholdRow> {
    succeed(&mut sweep(folder, out, flags));
    let rows: Vec<ThresholdRow> = read_csv(&folder.join(out).join("thresholds.csv")).unwrap();
    for row in &rows {
        let cell = format!("{}: {:?}", row.rule_name(), row.outer_name());
        assert_eq!((row.status, row.delay), (Status::Measured, None), "{cell}: {:?}", row.reason);
        assert_eq!(row.theory, Some(TheorySource::Stages), "{cell}");
    }
    rows
}

/// A positive matrix without structure, and its file for `--model quadratic:npz:`.
fn hessian(folder: &Path) -> DMatrix<f64> {
    let size = 12;
    let entry = |i: usize, j: usize| (1.3 * i as f64 + 2.1 * j as f64 + 0.37 * (i * j) as f64).sin();
    let factor = DMatrix::from_fn(size, size, entry);
    let hessian = &factor * factor.transpose() / size as f64;
    let bytes: Vec<u8> = hessian.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    npz(&folder.join("h.npz"), &[("h", npy("<f8", "(12, 12)", &bytes))]);
    hessian
}

/// Spectral radius of heavy-ball with dampening 0 on stages: of the map of all weights of the last updates and the velocity.
fn radius(hessian: &DMatrix<f64>, delays: &[usize], factors: &[f64], momenta: &[f64], lr: f64) -> f64 {
    let size = hessian.nrows();
    let stage = |i: usize| i * delays.len() / size;
    let versions = delays.iter().max().unwrap() + 1;
    let whole = size * (versions + 1);
    let velocity = size * versions;
    let mut map = DMatrix::zeros(whole, whole);
    for i in 0..size {
        let momentum = momenta[stage(i)];
        map[(velocity + i, velocity + i)] = momentum;
        map[(i, i)] = 1.0;
        map[(i, velocity + i)] = -lr * factors[stage(i)] * momentum;
        for j in 0..size {
            let read = size * delays[stage(j)] + j;
            map[(velocity + i, read)] += hessian[(i, j)];
            map[(i, read)] -= lr * factors[stage(i)] * hessian[(i, j)];
        }
        (1..versions).for_each(|age| map[(age * size + i, (age - 1) * size + i)] = 1.0);
    }
    map.complex_eigenvalues().iter().map(|value| value.norm()).fold(0.0, f64::max)
}

fn first_crossing(hessian: &DMatrix<f64>, delays: &[usize], factors: &[f64], momenta: &[f64]) -> f64 {
    let (mut low, mut high) = (1e-4, 64.0);
    for _ in 0..60 {
        let middle: f64 = f64::sqrt(low * high);
        if radius(hessian, delays, factors, momenta, middle) > 1.0 + 1e-12 { high = middle } else { low = middle }
    }
    low
}

#[test]
fn a_full_quadratic_has_the_thresholds_of_its_dense_eigenvalues() {
    let folder = tempfile::tempdir().unwrap();
    let hessian = hessian(folder.path());
    let flags = ["--model", "quadratic:npz:h.npz", "--precision", "f64", "--rules", "heavy-ball", "--dampening", "0"];
    let grid = ["--momentum", "0,0.5", "--stages", "3,4", "--stage-delays", "pipedream,2bw,spread:5"];
    let grid = [&grid[..], &["--stage-lr", "none,inverse-delay", "--stage-momentum", "none,towards:0.9"]].concat();
    let rows = thresholds(folder.path(), "out", &[&flags[..], &grid, &["--tolerance", "0.001"]].concat());
    assert_eq!(rows.len(), 2 * 2 * 3 * 2 * 2);
    for row in &rows {
        let delays: Vec<usize> = row.stage_delays.as_ref().unwrap().split('/').map(|d| d.parse().unwrap()).collect();
        let inverse = row.stage_lr.is_some();
        let factors: Vec<f64> = delays.iter().map(|d| if inverse { 1.0 / (*d as f64 + 1.0) } else { 1.0 }).collect();
        let towards = if row.stage_momentum.is_some() { 0.9 - row.momentum } else { 0.0 };
        let momenta: Vec<f64> =
            delays.iter().map(|d| row.momentum + (*d as f64 / delays.len() as f64).min(1.0) * towards).collect();
        let expected = first_crossing(&hessian, &delays, &factors, &momenta);
        let what = format!("{} {:?}", row.rule_name(), row.stage_delays);
        assert!((row.lr_theory.unwrap() / expected - 1.0).abs() < 1e-6, "{what}: {:?}, {expected}", row.lr_theory);
        assert!(
            (row.lr_threshold.unwrap() / expected - 1.0).abs() < 2e-3,
            "{what}: {:?}, {expected}",
            row.lr_threshold
        );
        assert_eq!(row.stashing, None);
    }
    // Stages that are all late by 1 are a plain run, but for their own learning rates.
    let plain = rows.iter().find(|row| row.stage_delays.as_deref() == Some("1/1/1") && !row.has_remedies()).unwrap();
    assert!((plain.lr_uniform.unwrap() / plain.lr_theory.unwrap() - 1.0).abs() < 1e-6);
    assert!((plain.lr_rank_one.unwrap() / plain.lr_theory.unwrap() - 1.0).abs() < 1e-6);
}

/// The late stage has the smaller curvature: what grows first has no part along the top eigenvector.
#[test]
fn what_grows_first_is_looked_at_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:0.9,1", "--precision", "f64", "--rules", "sgd", "--stages", "2"];
    let rows = thresholds(folder.path(), "out", &[&flags[..], &["--stage-delays", "3/0,1/0"]].concat());
    for (row, delay) in rows.iter().zip([3.0, 1.0]) {
        let expected = 2.0 * (std::f64::consts::PI / (4.0 * delay + 2.0)).sin() / 0.9;
        assert!((row.lr_threshold.unwrap() / expected - 1.0).abs() < 5e-3, "{delay}: {:?}", row.lr_threshold);
        assert!((row.lr_theory.unwrap() / expected - 1.0).abs() < 1e-6);
        assert!(row.lr_rank_one.unwrap() > 1.9, "the top eigenvector alone is not late");
    }
}

#[test]
fn stages_of_a_network_are_cut_at_layers_with_and_without_stashing() {
    let folder = tempfile::tempdir().unwrap();
    let problem = ["--samples", "80", "--model", "mlp:6-6", "--rules", "sgd,weight-prediction"];
    let flags = ["--stages", "3", "--stage-delays", "4/2/0", "--stashing", "on,off"];
    let flags = [&problem[..], &flags, &["--backward-delays", "1/2/0"]].concat();
    let rows = thresholds(folder.path(), "out", &flags);
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert!((row.ratio.unwrap() - 1.0).abs() < 1e-2, "{}: {:?}", row.rule_name(), row.ratio);
        assert!(row.theory_error.unwrap() < 1e-5);
    }
    assert_eq!((rows[1].stashing.as_deref(), rows[1].backward_delays.as_deref()), (Some("off"), Some("1/2/0")));
    // Named layers: the same cuts are the same thresholds.
    let named = [&problem[..], &["--stages", "3", "--stage-delays", "4/2/0", "--stage-cuts", "2/4"]].concat();
    let named = thresholds(folder.path(), "named", &named);
    assert_eq!(named[0].lr_threshold, rows[0].lr_threshold);
    assert_eq!(named[0].stage_cuts.as_deref(), Some("2/4"));
}

#[test]
fn compare_ranks_what_is_done_against_the_delays_of_stages() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:1,0.9,0.8,0.7", "--precision", "f64", "--rules", "sgd,heavy-ball"];
    let flags = [&flags[..], &["--stages", "4", "--stage-lr", "none,inverse-delay"]].concat();
    succeed(&mut sweep(folder.path(), "out", &flags));
    let told = tauscope(folder.path()).args(["compare", "out", "--to", "sgd"]).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("sgd, stage lr inverse-delay"), "{text}");
}

#[test]
fn trainings_have_stages_and_stand_beside_the_synchronous_one() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--engine", "cpu", "--samples", "60", "--test", "20", "--model", "mlp:5-5", "--epochs", "3"];
    let grid = ["--batch", "10", "--seeds", "2", "--stages", "1,3", "--lr-scaling", "none", "--out", "out"];
    succeed(tauscope(folder.path()).args(flags).args(grid));
    let groups: Vec<SummaryRow> = read_csv(&folder.path().join("out/summary.csv")).unwrap();
    let delays: Vec<Option<&str>> = groups.iter().map(|group| group.stage_delays.as_deref()).collect();
    assert_eq!(delays, [Some("0"), Some("2/1/0")]);
    succeed(tauscope(folder.path()).args(["compare", "out", "--to", "synchronous"]));
}

#[test]
fn theory_prints_the_estimate_of_a_single_large_curvature() {
    for (stages, expected) in [(8, 0.609), (6, 0.804)] {
        let row = &rows(&format!("theory --rules sgd --stages {stages}"))[0];
        assert!((number(row, "threshold_gain") / expected - 1.0).abs() < 2e-3, "{row:?}");
    }
}

#[test]
fn stages_that_mean_nothing_are_refused_with_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |flags: &[&str], parts: &[&str]| {
        refuse(&mut sweep(folder.path(), "no", flags), parts);
        assert!(!folder.path().join("no").exists());
    };
    let quadratic = ["--model", "quadratic:1,0.5,0.2", "--rules", "sgd"];
    let on_quadratic = |flags: &[&str], parts: &[&str]| refused(&[&quadratic[..], flags].concat(), parts);
    on_quadratic(&["--stages", "4"], &["--stages 4", "3 coordinates"]);
    on_quadratic(&["--stages", "2", "--delays", "1"], &["--stages", "--delays"]);
    on_quadratic(&["--stage-delays", "1/0"], &["--stages"]);
    on_quadratic(&["--stage-delays", "1/0", "--delays", "3"], &["--stage-delays 1/0 without --stages"]);
    on_quadratic(
        &["--stage-momentum", "towards:.9", "--delays", "3"],
        &["--stage-momentum towards:0.9 without --stages"],
    );
    on_quadratic(&["--stages", "2", "--stage-delays", "1/0/0"], &["--stage-delays 1/0/0 with 2 stages"]);
    on_quadratic(&["--stages", "2", "--stage-delays", "late"], &["late", "pipedream"]);
    on_quadratic(&["--stages", "2", "--stage-lr", "-1/1"], &["-1/1", "inverse-delay"]);
    on_quadratic(&["--stages", "2", "--stage-lr", "1"], &["--stage-lr 1 with 2 stages"]);
    on_quadratic(&["--stages", "2", "--stage-momentum", ".5/.1"], &["--stage-momentum 0.5/0.1", "sgd"]);
    on_quadratic(&["--stages", "2", "--stashing", "off"], &["--stashing off", "no backward pass"]);
    on_quadratic(&["--stages", "2", "--stage-cuts", "2"], &["--stage-cuts 2", "no layers"]);
    on_quadratic(&["--stages", "2", "--local-steps", "3", "--local-lr", ".1"], &["--stages 2", "3 local steps"]);
    refused(&["--rules", "rennala:2", "--stages", "2"], &["rennala", "--stages 2"]);
    refused(&["--rules", "sgd", "--model", "mlp:4", "--stages", "3"], &["--stages 3", "2 layers"]);
    let cuts = ["--rules", "sgd", "--model", "mlp:4", "--stages", "2", "--stage-cuts", "fc"];
    refused(&cuts, &["--stage-cuts fc", "no layer 'fc'", "accepted: 2"]);
    let on = ["--rules", "sgd", "--stages", "2", "--stashing", "on", "--backward-delays", "2bw"];
    refused(&on, &["--backward-delays 2bw with --stashing on"]);
}
