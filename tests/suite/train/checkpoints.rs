//! Trainings that are stopped and go on from their checkpoints: on every engine each outcome must be that of a training that
//! nobody disturbed.

use super::devices::Frail;
use super::training;
use crate::common::gpu;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;
use tauscope::engine::Engine;
use tauscope::engine::cpu::Cpu;
use tauscope::session::checkpoint::{BEFORE, Checkpoints, NEWEST};
use tauscope::train::{Outcome, Training};

/// Outcomes by the place of their run.
type Outcomes = BTreeMap<usize, Outcome>;

/// What a part of a training came to.
#[derive(Default)]
struct Part {
    outcomes: Outcomes,
    /// Steps that it made.
    steps: u64,
    warnings: Vec<String>,
    mended: Vec<String>,
}

/// Trains the runs that are not in `done`, for at most `blocks` blocks.
fn part(
    training: &Training,
    engine: &dyn Engine,
    done: &Outcomes,
    mut checkpoints: Option<Checkpoints>,
    blocks: usize,
) -> Part {
    let runs: Vec<usize> = (0..training.runs.len()).filter(|run| !done.contains_key(run)).collect();
    let (mut part, mut seen) = (Part::default(), 0);
    let trained = training.train(
        engine,
        &runs,
        checkpoints.as_mut(),
        &mut |run, outcome| {
            assert!(part.outcomes.insert(run, outcome).is_none(), "run {run} was reported twice");
            Ok(())
        },
        &mut |now| {
            seen += 1;
            part.steps = now.config_steps;
            (part.warnings, part.mended) = (now.warnings.to_vec(), now.mended.to_vec());
            if seen < blocks { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    );
    trained.unwrap();
    part
}

fn undisturbed(training: &Training, engine: &dyn Engine) -> Part {
    part(training, engine, &Outcomes::new(), None, usize::MAX)
}

fn every(dir: &Path, every: Duration) -> Option<Checkpoints> {
    Some(Checkpoints::new(dir, json!({"plan": 1}), every))
}

/// Only where it is stopped.
fn seldom(dir: &Path) -> Option<Checkpoints> {
    every(dir, Duration::from_secs(3600))
}

/// Trains in parts of so many blocks. Gives back the outcomes and the steps made in all.
fn in_parts(training: &Training, engine: &dyn Engine, blocks: usize) -> (Outcomes, u64) {
    let dir = tempfile::tempdir().unwrap();
    let (mut outcomes, mut steps) = (Outcomes::new(), 0);
    while outcomes.len() < training.runs.len() {
        let now = part(training, engine, &outcomes, seldom(dir.path()), blocks);
        assert!(now.warnings.is_empty(), "{:?}", now.warnings);
        outcomes.extend(now.outcomes);
        steps += now.steps;
    }
    (outcomes, steps)
}

/// Everything that goes on beside the weights: velocities of slots, second moments, random workers, sharpness with its
/// eigenvector, a learning rate that changes, evaluations, and a run that diverges.
const PERCEPTRONS: &[&str] = &[
    "--rules",
    "sgd,heavy-ball,shifted,adamw",
    "--schedule",
    "random",
    "--delays",
    "3",
    "--batch",
    "16",
    "--samples",
    "80",
    "--test",
    "40",
    "--model",
    "mlp:6",
    "--epochs",
    "7",
    "--regime",
    "cosine",
    "--warm-up",
    "1",
    "--evaluate-every",
    "2",
    "--lr",
    "0.05,1e30",
    "--lr-scaling",
    "none",
    "--sharpness",
    "40",
    "--track",
    "sharpness",
    "--track-every",
    "6",
];

/// Batch norms with their statistics, and images that are changed at random.
const IMAGES: &[&str] = &[
    "--rules",
    "sgd,adamw",
    "--schedule",
    "workers:exponential",
    "--delays",
    "2",
    "--batch",
    "8",
    "--samples",
    "24",
    "--test",
    "10",
    "--model",
    "layers:conv(3,3,pad=1),bn,relu,max(2),dense",
    "--flip",
    "--crop",
    "1",
    "--epochs",
    "3",
    "--lr",
    "0.01",
    "--lr-scaling",
    "none",
    "--save-weights",
];

/// Second moments, and the eigenvector of what they make of the Hessian.
const ADAPTIVE: &[&str] = &[
    "--rules",
    "adam,nadamw",
    "--delays",
    "2",
    "--batch",
    "16",
    "--samples",
    "64",
    "--test",
    "20",
    "--model",
    "mlp:5",
    "--epochs",
    "5",
    "--lr",
    "0.01",
    "--lr-scaling",
    "none",
    "--track",
    "preconditioned-sharpness",
    "--track-every",
    "3",
];

#[test]
fn parts_of_a_training_are_the_training() {
    let engines: [&dyn Engine; 3] = [&Cpu::<f32>::default(), &Cpu::<f64>::default(), gpu()];
    for (flags, lengths) in [(PERCEPTRONS, &[1, 2, 3, 5, 11][..]), (IMAGES, &[1, 2]), (ADAPTIVE, &[1, 2, 5])] {
        let training = training(flags);
        for engine in engines {
            let whole = undisturbed(&training, engine);
            let diverged = whole.outcomes.values().filter(|outcome| outcome.diverged).count();
            assert!(flags != PERCEPTRONS || (1..training.runs.len()).contains(&diverged), "{diverged} diverged");
            let looks = |outcome: &Outcome| outcome.sharpness.len() + outcome.preconditioned.len();
            assert!(flags == IMAGES || whole.outcomes.values().any(|outcome| looks(outcome) > 3));
            for blocks in lengths {
                let (outcomes, steps) = in_parts(&training, engine, *blocks);
                assert!(outcomes == whole.outcomes, "{} in parts of {blocks} blocks", engine.info().engine);
                assert!(steps <= whole.steps, "no step is made twice: {steps} of {}", whole.steps);
            }
        }
    }
}

#[test]
fn checkpoints_at_every_block_change_nothing_and_hold_what_they_promise() {
    let training = training(PERCEPTRONS);
    for engine in [&Cpu::<f32>::default() as &dyn Engine, gpu()] {
        let dir = tempfile::tempdir().unwrap();
        let kept = part(&training, engine, &Outcomes::new(), every(dir.path(), Duration::ZERO), usize::MAX);
        assert!(kept.outcomes == undisturbed(&training, engine).outcomes);
        // Runs that diverged leave no state, and what the host knows of a run is small beside it.
        let (length, promised) =
            (fs::metadata(dir.path().join(BEFORE)).unwrap().len(), training.checkpoint_bytes(engine));
        let promised = promised.unwrap();
        assert!((promised / 3..promised + 20_000).contains(&length), "{length} bytes where {promised} are promised");
    }
}

/// What the smaller waves have not come to yet goes from checkpoint to checkpoint.
#[test]
fn a_training_goes_on_in_waves_of_other_sizes() {
    let training = training(PERCEPTRONS);
    let whole = undisturbed(&training, &Frail::new(usize::MAX, 0, 0));
    for (memory, ahead) in [(3, 0), (1, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let mut outcomes = Outcomes::new();
        let mut steps = 0;
        for memory in [usize::MAX, memory, memory, 4].into_iter().chain(std::iter::repeat(memory)) {
            let now = part(&training, &Frail::new(memory, 0, ahead), &outcomes, seldom(dir.path()), 4);
            outcomes.extend(now.outcomes);
            steps += now.steps;
            if outcomes.len() == training.runs.len() {
                break;
            }
        }
        assert!(outcomes == whole.outcomes, "memory for {memory} lanes");
        assert!(steps <= whole.steps, "no step is made twice: {steps} of {}", whole.steps);
    }
}

#[test]
fn after_a_lost_device_runs_go_on_from_the_checkpoint() {
    let training = training(PERCEPTRONS);
    let whole = undisturbed(&training, &Frail::new(usize::MAX, 0, 0));
    for ahead in [0, 2] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Frail::new(usize::MAX, 2, ahead);
        let now = part(&training, &engine, &Outcomes::new(), every(dir.path(), Duration::ZERO), usize::MAX);
        assert!(now.outcomes == whole.outcomes && now.mended.len() == 2, "{:?}", now.mended);
        assert!(now.steps <= whole.steps, "a checkpoint stood behind every block");
        let again = part(&training, &Frail::new(usize::MAX, 2, ahead), &Outcomes::new(), None, usize::MAX);
        assert!(again.outcomes == whole.outcomes && again.steps > whole.steps);
    }
}

#[test]
fn damaged_checkpoints_cost_time_and_no_result() {
    let (training, engine) = (training(PERCEPTRONS), Cpu::<f32>::default());
    let whole = undisturbed(&training, &engine);
    let dir = tempfile::tempdir().unwrap();
    // Two checkpoints, of which the newest is cut short.
    part(&training, &engine, &Outcomes::new(), every(dir.path(), Duration::ZERO), 4);
    let newest = dir.path().join(NEWEST);
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let now = part(&training, &engine, &Outcomes::new(), seldom(dir.path()), usize::MAX);
    assert!(now.outcomes == whole.outcomes && now.steps < whole.steps);
    assert!(now.warnings.len() == 1 && now.warnings[0].contains("set aside"), "{:?}", now.warnings);
}

#[test]
fn a_disk_that_takes_no_checkpoint_is_told_once_and_stops_nothing() {
    let (training, engine) = (training(PERCEPTRONS), Cpu::<f32>::default());
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let now = part(&training, &engine, &Outcomes::new(), every(&gone, Duration::ZERO), usize::MAX);
    assert!(now.outcomes == undisturbed(&training, &engine).outcomes);
    assert!(
        now.warnings.len() == 1 && now.warnings[0].contains("no checkpoint could be written"),
        "{:?}",
        now.warnings
    );
    let stopped = part(&training, &engine, &Outcomes::new(), seldom(&gone), 3);
    assert_eq!(stopped.warnings.len(), 1, "also who stops hears of it");
}
