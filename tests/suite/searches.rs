//! Searches that are stopped and go on from their checkpoints: on every engine each threshold, with all its runs, must be that
//! of a sweep that nobody disturbed, and no step is made twice. In one process, and with the real binary, killed.

use crate::common::gpu;
use crate::folders::{outcome, signal, succeed, tauscope};
use clap::Parser;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tauscope::cli::{self, Cli};
use tauscope::engine::Engine;
use tauscope::engine::cpu::Cpu;
use tauscope::minimum;
use tauscope::plan::SweepPlan;
use tauscope::session::checkpoint::Checkpoints;
use tauscope::sweep::{PreparedSweep, StartedCell};
use tauscope::threshold::{SearchOutcome, Trial};

/// Fixed and random delays, minibatches with their gradient at the minimum, velocities of slots, second moments: searches by
/// growth rate, by ensembles of both criteria and by escape.
const SEARCHES: &[&str] = &["--samples", "24", "--model", "mlp:3", "--gradient-tolerance", "1e-6"];

/// Runs and ensembles that are short.
const SHORT: &[&str] =
    &["--schedule", "round-robin,random", "--ensemble", "6", "--horizon", "128", "--tolerance", "0.1"];

/// Ensembles that take a few seconds.
const LONG: &[&str] = &["--schedule", "random", "--ensemble", "6", "--horizon", "256", "--tolerance", "0.05"];

/// What each cell came to, by its index, where it was finished.
type Results = Vec<Option<(SearchOutcome, Vec<Trial>)>>;

fn prepared(flags: &[&str]) -> (PreparedSweep, Vec<StartedCell>) {
    let flags = ["tauscope", "sweep"].iter().chain(SEARCHES).chain(SHORT).chain(flags);
    let Ok(Cli { command: cli::Command::Sweep(args) }) = Cli::try_parse_from(flags) else {
        panic!("the flags say sweep")
    };
    let plan = SweepPlan::resolve(&[*args]).unwrap();
    let problem = Arc::new(plan.build().unwrap());
    let minimum = minimum::find(&problem, 0, plan.problem.gradient_tolerance).unwrap();
    let sweep = PreparedSweep::new(plan, problem, minimum);
    let cells = sweep.plan.cells().into_iter().map(|cell| StartedCell::new(cell.clone(), sweep.guess(&cell).unwrap()));
    let cells = cells.collect();
    (sweep, cells)
}

/// Measures the cells that have no result yet, for at most `blocks` blocks. Gives back the steps that were made.
fn part(
    (sweep, cells): &(PreparedSweep, Vec<StartedCell>),
    engine: &dyn Engine,
    results: &mut Results,
    checkpoints: Option<&mut Checkpoints>,
    blocks: usize,
) -> u64 {
    let open: Vec<usize> = (0..cells.len()).filter(|cell| results[*cell].is_none()).collect();
    let asked: Vec<StartedCell> = open.iter().map(|cell| cells[*cell].clone()).collect();
    let (mut steps, mut seen) = (0, 0);
    let measured = sweep.measure(
        engine,
        &asked,
        checkpoints,
        &mut |index, result| {
            let before = results[open[index]].replace((result.outcome, result.trials));
            assert!(before.is_none(), "cell {} was reported twice", open[index]);
            Ok(())
        },
        &mut |now| {
            assert!(now.warnings.is_empty(), "{:?}", now.warnings);
            seen += 1;
            steps = now.config_steps;
            if seen < blocks { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    );
    measured.unwrap();
    steps
}

/// Without a device that works ahead hardly a step is made in vain.
fn stopped_and_resumed(flags: &[&str], engine: &dyn Engine, blocks: &[usize]) {
    let sweep = prepared(flags);
    let none: Results = vec![None; sweep.1.len()];
    let mut whole = none.clone();
    let made = part(&sweep, engine, &mut whole, None, usize::MAX);
    assert!(whole.iter().all(Option::is_some) && whole.len() > 1);
    for blocks in blocks {
        let dir = tempfile::tempdir().unwrap();
        let (mut results, mut steps, mut parts) = (none.clone(), 0, 0);
        while results.iter().any(Option::is_none) {
            let mut seldom = Checkpoints::new(dir.path(), json!({"plan": 1}), Duration::from_secs(3600));
            steps += part(&sweep, engine, &mut results, Some(&mut seldom), *blocks);
            parts += 1;
        }
        assert!(parts > 1, "{parts} parts");
        // As text: what diverged has numbers that equal nothing.
        for (cell, (one, other)) in results.iter().zip(&whole).enumerate() {
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "cell {cell}, stopped after every {blocks} blocks");
        }
        // Where blocks end is another matter: a run is decided within one.
        assert!(steps as f64 <= 1.05 * made as f64, "{steps} steps in parts of {blocks} blocks, {made} in one go");
    }
}

#[test]
fn searches_that_were_stopped_end_as_if_they_had_not_been() {
    let by_growth = &["--rules", "sgd,shifted", "--delays", "0,3", "--batch", "full,8"];
    stopped_and_resumed(by_growth, &Cpu::<f64>::default(), &[30]);
    let others = &["--rules", "adam,shifted", "--delays", "2", "--batch", "8", "--criterion", "escape"];
    stopped_and_resumed(others, &Cpu::<f64>::default(), &[12]);
    let sure = &["--rules", "heavy-ball", "--delays", "0,3", "--batch", "8", "--criterion", "almost-sure"];
    stopped_and_resumed(sure, &Cpu::<f32>::default(), &[12]);
}

#[test]
fn searches_on_a_gpu_that_were_stopped_end_as_if_they_had_not_been() {
    let sweep = prepared(&["--rules", "sgd,shifted", "--delays", "3", "--batch", "8"]);
    let mut whole: Results = vec![None; sweep.1.len()];
    part(&sweep, gpu(), &mut whole, None, usize::MAX);
    let dir = tempfile::tempdir().unwrap();
    let mut results: Results = vec![None; sweep.1.len()];
    while results.iter().any(Option::is_none) {
        let mut seldom = Checkpoints::new(dir.path(), json!({"plan": 1}), Duration::from_secs(3600));
        part(&sweep, gpu(), &mut results, Some(&mut seldom), 30);
    }
    assert_eq!(format!("{results:?}"), format!("{whole:?}"));
}

fn sweep(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["sweep", "--engine", "cpu", "--precision", "f64", "--out", out]);
    command.args(SEARCHES).args(LONG).args(more);
    command
}

#[track_caller]
fn assert_same(folder: &Path, one: &str, other: &str) {
    for name in ["thresholds.csv", "runs.csv", "delays.csv", "minimum.safetensors"] {
        let read = |out: &str| fs::read(folder.join(out).join(name)).unwrap();
        assert!(read(one) == read(other), "{one}/{name} and {other}/{name} differ");
    }
}

#[test]
fn killed_at_random_moments_a_sweep_with_ensembles_ends_with_the_bytes_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clock = Instant::now();
    let grid = ["--rules", "sgd,heavy-ball", "--dampening", "0", "--delays", "0,3", "--batch", "full,8"];
    succeed(&mut sweep(folder, "whole", &grid));
    let longest = clock.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut kills, mut round) = (0, 0);
    while kills < 4 {
        round += 1;
        let out = format!("round-{round}");
        while !folder.join(&out).exists() {
            let resume: &[&str] = if folder.join(format!("{out}.partial")).exists() { &["--resume"] } else { &[] };
            let every = ["--checkpoint-every", "10ms"];
            let mut child = sweep(folder, &out, &[&grid[..], &every, resume].concat()).spawn().unwrap();
            if kills < 4 {
                std::thread::sleep(longest.mul_f64(random.random_range(0.1..0.7)));
                child.kill().unwrap(); // SIGKILL
                kills += 1;
            }
            let (code, error) = outcome(&child.wait_with_output().unwrap());
            assert!(code.is_none_or(|code| code == 0), "{error}");
        }
        assert_same(folder, "whole", &out);
    }
}

/// The last number of steps that the events of a process tell.
fn steps(stdout: &[u8]) -> u64 {
    let events = String::from_utf8_lossy(stdout);
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["event"] == "progress")
        .filter_map(|event| event["config_steps"].as_u64())
        .next_back()
        .unwrap()
}

#[test]
fn sigterm_keeps_the_searches_in_flight_and_a_resumed_sweep_makes_none_of_their_steps_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let one = ["--delays", "3", "--batch", "8", "--rules", "sgd", "--json"];
    let whole = sweep(folder, "whole", &one).output().unwrap();
    assert!(whole.status.success());
    let child = sweep(folder, "out", &[&one[..], &["--checkpoint-every", "20ms"]].concat()).spawn().unwrap();
    let patience = Instant::now();
    while !folder.join("out.partial/checkpoint").exists() {
        assert!(patience.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{error}");
    assert!(
        error.contains("0 of 1 cells are safe") && error.contains("the others go on from their checkpoint"),
        "{error}"
    );
    let resumed = sweep(folder, "out", &[&one[..], &["--resume"]].concat()).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert!(steps(&resumed.stdout) < steps(&whole.stdout), "it started again");
    assert_same(folder, "whole", "out");
}

#[test]
fn a_cell_with_a_number_that_is_not_finite_fails_alone_and_says_why_and_a_training_goes_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The threshold of heavy-ball is 7.6 / 2.3e-308, beyond the range of f64.
    let sweep = |more: &[&str]| {
        let mut command = tauscope(folder);
        command.args(["sweep", "--engine", "cpu", "--precision", "f64", "--model", "quadratic:2.3e-308"]);
        command.args(["--rules", "heavy-ball,sgd", "--dampening", "0.5", "--delays", "0", "--out", "out"]).args(more);
        outcome(&command.output().unwrap())
    };
    let (code, error) = sweep(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("1 of 2 cells failed, for the reasons that stand in out/thresholds.csv"), "{error}");
    let rows: Vec<tauscope::table::ThresholdRow> =
        tauscope::table::read_csv(&folder.join("out/thresholds.csv")).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.rule.as_str(), row.status, row.lr_threshold.is_some())).collect();
    use tauscope::table::Status::{Failed, Measured};
    assert_eq!(told, [("heavy-ball", Failed, false), ("sgd", Measured, true)]);
    assert!(rows[0].reason.as_ref().unwrap().contains("inf, is no number of f64"), "{:?}", rows[0].reason);
    assert!(rows[1].reason.is_none() && (rows[1].ratio.unwrap() - 1.0).abs() < 0.01);

    // The sharpness predicted of the first is 3.8e9 / 1e-300: unknown, and no reason to lose the row.
    let mut command = tauscope(folder);
    command.args(["train", "--engine", "cpu", "--samples", "16", "--test", "8", "--batch", "8", "--model", "mlp:2"]);
    command.args(["--epochs", "2", "--seeds", "1", "--delays", "0", "--lr", "1e-300,0.1", "--lr-scaling", "none"]);
    command.args(["--rules", "heavy-ball", "--dampening", "0.999999999"]);
    let (code, error) = outcome(&command.args(["--out", "train"]).output().unwrap());
    assert_eq!(code, Some(0), "{error}");
    let rows: Vec<tauscope::table::TrainRow> = tauscope::table::read_csv(&folder.join("train/runs.csv")).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.reason.is_none(), row.lambda_predicted.is_some())).collect();
    assert_eq!(told, [(true, false), (true, true)]);
}
