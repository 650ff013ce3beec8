//! Trainings that die: whatever ends one, `--resume` ends with the bytes of an undisturbed training. The real binary, killed,
//! interrupted, starved and corrupted; and shards that together are the unsharded training.
//!
//! That checkpoints hold all of a run's state on every engine is shown in `checkpoints`, without processes.

use crate::folders::{outcome, refuse, signal, succeed, tauscope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Perceptrons with a velocity on the server and one per slot.
const PERCEPTRONS: &[&str] = &[
    "--samples",
    "300",
    "--test",
    "100",
    "--model",
    "mlp:16",
    "--rules",
    "heavy-ball,shifted",
    "--delays",
    "0,7",
    "--batch",
    "32",
    "--epochs",
    "60",
    "--seeds",
    "2",
    "--lr-scaling",
    "none",
    "--sharpness",
    "100",
];

/// Batch norms with their statistics, images that are changed at random, second moments, weights that are kept.
const IMAGES: &[&str] = &[
    "--data",
    "synthetic:clusters:classes=3:shape=1x8x8:samples=200",
    "--samples",
    "60",
    "--test",
    "20",
    "--model",
    "layers:conv(4,3,pad=1),bn,relu,max(2),dense",
    "--flip",
    "--crop",
    "1",
    "--rules",
    "adamw",
    "--lr",
    "0.01",
    "--delays",
    "0,3",
    "--batch",
    "12",
    "--epochs",
    "60",
    "--seeds",
    "2",
    "--save-weights",
    "--lr-scaling",
    "none",
];

/// Workers that report at random, and learning rates that change.
const RANDOM_WORKERS: &[&str] = &[
    "--samples",
    "200",
    "--test",
    "80",
    "--model",
    "mlp:12",
    "--rules",
    "sgd,shifted",
    "--delays",
    "5",
    "--schedule",
    "random,workers:pareto:shape=2",
    "--batch",
    "20",
    "--epochs",
    "90",
    "--seeds",
    "2",
    "--regime",
    "cosine",
    "--warm-up",
    "3",
    "--lr-scaling",
    "none",
];

fn train(folder: &Path, out: &str, flags: &[&str], more: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(["train", "--engine", "cpu", "--out", out]).args(flags).args(more);
    command
}

/// Every file of a folder but run.json, which has times in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "run.json" {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The same files with the same bytes.
#[track_caller]
fn assert_same(folder: &Path, one: &str, other: &str) {
    let (a, b) = (files(&folder.join(one)), files(&folder.join(other)));
    assert!(a.contains_key("runs.csv") && a.contains_key("metrics.csv"), "{:?}", a.keys());
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{one} and {other}");
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{one}/{name} and {other}/{name} differ");
    }
}

/// How long a training takes that is left alone.
fn undisturbed(folder: &Path, flags: &[&str]) -> Duration {
    let clock = Instant::now();
    succeed(&mut train(folder, "whole", flags, &[]));
    clock.elapsed()
}

fn await_checkpoint(child: &mut Child, folder: &Path, out: &str) {
    let patience = Instant::now();
    while !folder.join(format!("{out}.partial/checkpoint")).exists() {
        assert!(child.try_wait().unwrap().is_none(), "the training ended before it had a checkpoint");
        assert!(patience.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A training that was stopped by SIGTERM once it had a checkpoint.
fn interrupted(folder: &Path, out: &str, flags: &[&str]) -> String {
    let mut child = train(folder, out, flags, &["--checkpoint-every", "10ms"]).spawn().unwrap();
    await_checkpoint(&mut child, folder, out);
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{error}");
    error
}

#[test]
fn killed_at_random_moments_a_training_ends_with_the_bytes_of_an_undisturbed_one() {
    for (kind, flags) in [PERCEPTRONS, IMAGES, RANDOM_WORKERS].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let longest = undisturbed(folder, flags);
        let mut random = ChaCha8Rng::seed_from_u64(kind as u64);
        let (mut kills, mut round) = (0, 0);
        while kills < 7 {
            // Seven kills may take more than one training: the machine decides.
            round += 1;
            let out = format!("round-{round}");
            loop {
                let resume: &[&str] = if folder.join(format!("{out}.partial")).exists() { &["--resume"] } else { &[] };
                let every = ["--checkpoint-every", "20ms"];
                let mut child = train(folder, &out, flags, &[&every, resume].concat()).spawn().unwrap();
                if kills < 7 {
                    std::thread::sleep(longest.mul_f64(random.random_range(0.1..0.7)));
                    child.kill().unwrap(); // SIGKILL
                }
                let (code, error) = outcome(&child.wait_with_output().unwrap());
                if code == Some(0) {
                    break;
                }
                assert_eq!(code, None, "{error}");
                kills += 1;
                if folder.join(&out).exists() {
                    break; // It had got its name already.
                }
            }
            assert_same(folder, "whole", &out);
        }
    }
}

#[test]
fn sigterm_makes_a_checkpoint_and_says_how_to_go_on_and_a_damaged_one_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    undisturbed(folder, PERCEPTRONS);
    let error = interrupted(folder, "out", PERCEPTRONS);
    assert!(error.contains("of 12 runs are safe") && error.contains("--resume and --out out goes on"), "{error}");
    // Another plan may not go on with it, and is told what differs.
    let other = [&PERCEPTRONS[..PERCEPTRONS.len() - 2], &["--sharpness", "50"]].concat();
    refuse(&mut train(folder, "out", &other, &["--resume"]), &["--resume", "sharpness.samples", "100", "50"]);
    // A flipped byte costs the newest checkpoint alone.
    let newest = folder.join("out.partial/checkpoint");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let error = succeed(&mut train(folder, "out", PERCEPTRONS, &["--resume"]));
    assert!(
        error.contains("warning: out.partial/checkpoint: damaged") && error.contains("checkpoint.damaged"),
        "{error}"
    );
    assert_same(folder, "whole", "out");
}

#[test]
fn a_full_disk_costs_a_checkpoint_and_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    undisturbed(folder, PERCEPTRONS);
    // Files of at most 16 KiB, as on a full disk: a checkpoint of twelve runs is larger.
    let whole = train(folder, "out", PERCEPTRONS, &["--checkpoint-every", "10ms"]);
    let script = "trap '' XFSZ; [ -z \"$BASH\" ] || set -o posix; ulimit -f 32; exec \"$@\"";
    let mut starved = Command::new("sh");
    starved.args(["-c", script, "sh"]).arg(whole.get_program()).args(whole.get_args()).current_dir(folder);
    let (code, error) = outcome(&starved.output().unwrap());
    assert!(error.contains("checkpoint"), "{error}");
    if code != Some(0) {
        // The journal did not find room either.
        assert_eq!(code, Some(2), "{error}");
        succeed(&mut train(folder, "out", PERCEPTRONS, &["--resume"]));
    }
    assert_same(folder, "whole", "out");
}

#[test]
fn shards_of_a_training_make_the_unsharded_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for flags in [PERCEPTRONS, IMAGES] {
        undisturbed(folder, flags);
        let parts = ["1", "2", "3"];
        for part in parts {
            succeed(&mut train(folder, part, flags, &["--shard", &format!("{part}/3"), "--quiet"]));
        }
        succeed(tauscope(folder).arg("merge").args(parts).args(["--out", "merged"]));
        assert_same(folder, "whole", "merged");
        refuse(tauscope(folder).args(["merge", "1", "2", "--out", "two"]), &["shard 3/3 is missing", "runs"]);
        for name in ["whole", "merged", "1", "2", "3"] {
            fs::remove_dir_all(folder.join(name)).unwrap();
        }
    }
    refuse(&mut train(folder, "out", PERCEPTRONS, &["--shard", "4/3"]), &["--shard", "4 of 3", "from 1 to N"]);
}

#[test]
fn a_shard_without_runs_is_a_folder_and_merges() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let flags =
        ["--samples", "60", "--test", "20", "--model", "mlp:3", "--delays", "0", "--epochs", "2", "--seeds", "1"];
    let flags = [&flags[..], &["--batch", "20", "--lr-scaling", "none", "--quiet"]].concat();
    undisturbed(folder, &flags);
    // One run in three shards: two of them are empty.
    let parts = ["1", "2", "3"];
    for part in parts {
        succeed(&mut train(folder, part, &flags, &["--shard", &format!("{part}/3")]));
    }
    succeed(tauscope(folder).arg("merge").args(parts).args(["--out", "merged"]));
    assert_same(folder, "whole", "merged");
}

#[test]
fn other_weights_in_the_file_of_init_are_no_resumption() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let flags =
        ["--samples", "300", "--test", "50", "--model", "mlp:16", "--delays", "3", "--epochs", "400", "--seeds", "1"];
    let flags = [&flags[..], &["--batch", "20", "--lr-scaling", "none"]].concat();
    // Weights of two seeds.
    for (seed, out) in [("0..=0", "a"), ("1..=1", "b")] {
        let short = ["--epochs", "1", "--seeds", seed, "--save-weights", "--quiet"];
        let kept: Vec<&str> =
            flags.iter().copied().filter(|flag| !["400", "--epochs", "1", "--seeds"].contains(flag)).collect();
        succeed(&mut train(folder, out, &kept, &short));
        let weights = fs::read_dir(folder.join(out).join("weights")).unwrap().next().unwrap().unwrap().path();
        fs::copy(weights, folder.join(format!("{out}.safetensors"))).unwrap();
    }
    fs::copy(folder.join("a.safetensors"), folder.join("start.safetensors")).unwrap();
    let flags = [&flags[..], &["--init", "start.safetensors"]].concat();
    interrupted(folder, "out", &flags);
    fs::copy(folder.join("b.safetensors"), folder.join("start.safetensors")).unwrap();
    refuse(&mut train(folder, "out", &flags, &["--resume"]), &["--resume", "content_of_data_and_weights is"]);
    fs::copy(folder.join("a.safetensors"), folder.join("start.safetensors")).unwrap();
    succeed(&mut train(folder, "out", &flags, &["--resume"]));
}
