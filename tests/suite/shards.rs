//! Shards: together they are the unsharded sweep, byte for byte, and anything less is refused by name.

use crate::folders::*;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn merge(folder: &Path, shards: &[&str], out: &str) -> Command {
    let mut command = tauscope(folder);
    command.arg("merge").args(shards).args(["--out", out]);
    command
}

fn run_file(folder: &Path, out: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(out).join("run.json")).unwrap()).unwrap()
}

fn edit(path: &Path, change: impl Fn(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).unwrap())).unwrap();
}

/// Without its `line`th line, from 0.
fn without_line(text: &str, line: usize) -> String {
    text.split_inclusive('\n').enumerate().filter(|(number, _)| *number != line).map(|(_, line)| line).collect()
}

#[test]
fn seven_shards_merge_to_the_bytes_of_the_unsharded_sweep_and_six_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut sweep(folder, "whole", &[]));
    let names: Vec<String> = (1..=7).map(|index| format!("s{index}")).collect();
    let shards: Vec<&str> = names.iter().map(String::as_str).collect();
    for (index, out) in (1..).zip(&shards) {
        succeed(&mut sweep(folder, out, &["--shard", &format!("{index}/7")]));
    }
    // In any order.
    let mixed: Vec<&str> = shards.iter().rev().copied().collect();
    succeed(&mut merge(folder, &mixed, "merged"));
    assert_same(folder, "whole", "merged");

    let (whole, merged) = (run_file(folder, "whole"), run_file(folder, "merged"));
    let differing: Vec<&String> = whole.as_object().unwrap().keys().filter(|key| whole[*key] != merged[*key]).collect();
    assert_eq!(differing, ["command", "started", "finished", "seconds"]);
    let listed: Vec<(u64, &str)> = merged["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| (shard["shard"]["index"].as_u64().unwrap(), shard["folder"].as_str().unwrap()))
        .collect();
    assert_eq!(listed, (1..).zip(shards.iter().copied()).collect::<Vec<_>>());

    // Each of these leaves nothing behind.
    let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
    let before = names(folder);
    let cells_of_3 = fs::read_to_string(folder.join("s3/thresholds.csv")).unwrap().lines().count() - 1;
    let id_of_3 =
        fs::read_to_string(folder.join("s3/thresholds.csv")).unwrap().lines().nth(1).unwrap()[..13].to_owned();
    let missing = format!("shard 3/7 is missing, with {cells_of_3} cells");
    refuse(&mut merge(folder, &["s1", "s2", "s4", "s5", "s6", "s7"], "m"), &[&missing, &id_of_3]);
    let twice = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s5"];
    refuse(&mut merge(folder, &twice, "m"), &["shard 5/7 is given more than once: s5, s5"]);
    refuse(
        &mut merge(folder, &["s1", "s1", "s2", "s4", "s5", "s6", "s7"], "m"),
        &["1/7 is given more", "3/7 is missing"],
    );
    refuse(&mut merge(folder, &["whole", "s1"], "m"), &["whole is no shard"]);
    refuse(&mut merge(folder, &["s1", "nowhere"], "m"), &["nowhere/run.json"]);
    refuse(&mut merge(folder, &shards, "whole"), &["--out whole: exists already"]);
    refuse(&mut merge(folder, &[], "m"), &["DIR"]);

    // Tables that were tampered with.
    let table = folder.join("s3/thresholds.csv");
    let sound = fs::read_to_string(&table).unwrap();
    edit(&table, |text| without_line(&text, 1));
    refuse(&mut merge(folder, &shards, "m"), &["s3/thresholds.csv: 1 cells are missing", &id_of_3]);
    edit(&table, |text| sound.clone() + text.lines().last().unwrap() + "\n");
    refuse(&mut merge(folder, &shards, "m"), &["s3/thresholds.csv: 1 cells are there more than once"]);
    let foreign = fs::read_to_string(folder.join("s4/thresholds.csv")).unwrap().lines().nth(1).unwrap().to_owned();
    edit(&table, |_| sound.clone() + &foreign + "\n");
    refuse(&mut merge(folder, &shards, "m"), &["s3/thresholds.csv: cell", "none of shard 3/7", &foreign[..13]]);
    fs::write(&table, &sound).unwrap();
    edit(&folder.join("s3/runs.csv"), |text| without_line(&text, 2));
    refuse(&mut merge(folder, &shards, "m"), &["s3/runs.csv: 3 runs of cell", "thresholds.csv counts 4"]);
    fs::remove_dir_all(folder.join("s3")).unwrap();
    fs::remove_dir_all(folder.join("m.partial")).unwrap_or_default();
    assert_eq!(names(folder), before - 1);

    // A shard that was interrupted, and resumed.
    let mut child = sweep(folder, "s3", &["--shard", "3/7"]).spawn().unwrap();
    await_lines(&mut child, folder, "s3", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    refuse(&mut merge(folder, &shards, "m"), &["s3 is unfinished"]);
    refuse(&mut merge(folder, &["s1", "s3.partial"], "m"), &["s3.partial is unfinished"]);
    refuse(&mut sweep(folder, "s3", &["--shard", "4/7", "--resume"]), &["shard.index is 3 there and 4 here"]);
    succeed(&mut sweep(folder, "s3", &["--shard", "3/7", "--resume"]));
    succeed(&mut merge(folder, &shards, "again"));
    assert_same(folder, "whole", "again");
}

#[test]
fn shards_of_different_sweeps_are_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let quick = |out: &str, flags: &[&str]| {
        let mut command = tauscope(folder);
        let fixed = ["--model", "quadratic:1", "--rules", "sgd", "--engine", "cpu"];
        succeed(command.arg("sweep").args(fixed).args(flags).args(["--out", out]));
    };
    quick("one", &["--delays", "0,1", "--shard", "1/2"]);
    quick("two", &["--delays", "0,1", "--shard", "2/2"]);
    quick("delays", &["--delays", "0,2", "--shard", "2/2"]);
    quick("precise", &["--delays", "0,1", "--shard", "2/2", "--precision", "f64"]);
    quick("third", &["--delays", "0,1", "--shard", "2/3"]);
    refuse(
        &mut merge(folder, &["one", "delays"], "m"),
        &["delays is of another plan than one: grids[0].settings[1].delay is 1 there and 2"],
    );
    refuse(&mut merge(folder, &["one", "precise"], "m"), &["precise ran on cpu f64", "one on cpu f32"]);
    refuse(&mut merge(folder, &["one", "third"], "m"), &["third is shard 2/3, one is shard 1/2"]);
    edit(&folder.join("two/run.json"), |text| text.replace("\"tolerance\": 0.01", "\"tolerance\": 0.02"));
    refuse(
        &mut merge(folder, &["one", "two"], "m"),
        &["two is of another plan than one: limits.mean.tolerance is 0.01"],
    );
    edit(&folder.join("two/run.json"), |text| text.replace("\"tolerance\": 0.02", "\"tolerance\": 0.01"));
    fs::write(folder.join("two/minimum.safetensors"), "other").unwrap();
    refuse(&mut merge(folder, &["one", "two"], "m"), &["two/minimum.safetensors and one/minimum.safetensors differ"]);
}

#[test]
fn a_shard_may_be_empty_and_is_named_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let quick = |out: &str, flags: &[&str]| {
        let mut command = tauscope(folder);
        let fixed = ["--model", "quadratic:1", "--rules", "sgd", "--delays", "0,1", "--engine", "cpu"];
        command.arg("sweep").args(fixed).args(flags).args(["--out", out]);
        command
    };
    succeed(&mut quick("whole", &[]));
    // Five tasks of an array that does not start at 1; two cells, so three of them have nothing to do.
    for task in [10, 13, 16, 19, 22] {
        let error = succeed(
            quick(&format!("task-{task}"), &["--shard", "env"])
                .env("SLURM_ARRAY_TASK_ID", task.to_string())
                .env("SLURM_ARRAY_TASK_COUNT", "5")
                .env("SLURM_ARRAY_TASK_MIN", "10")
                .env("SLURM_ARRAY_TASK_STEP", "3"),
        );
        assert!(error.contains(&format!("{}/5", (task - 10) / 3 + 1)), "{error}");
    }
    succeed(&mut merge(folder, &["task-10", "task-13", "task-16", "task-19", "task-22"], "merged"));
    assert_same(folder, "whole", "merged");
    // Pods count from 0 and do not know how many they are.
    for pod in ["0", "1"] {
        succeed(quick(&format!("pod-{pod}"), &["--shard", "env/2"]).env("JOB_COMPLETION_INDEX", pod));
    }
    succeed(&mut merge(folder, &["pod-0", "pod-1"], "pods"));
    assert_same(folder, "whole", "pods");
    for (flag, expected) in [("env", "SLURM_ARRAY_TASK_ID"), ("0/3", "0 of 3"), ("4/3", "4 of 3"), ("x", "I/N")] {
        refuse(&mut quick("new", &["--shard", flag]), &["--shard", expected]);
        assert!(!folder.join("new").exists() && !folder.join("new.partial").exists());
    }
}

#[test]
fn a_cell_that_is_added_moves_no_other_cell() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cells = |out: &str, delays: &str| -> Vec<String> {
        let fixed = ["--model", "quadratic:1", "--rules", "sgd", "--engine", "cpu", "--shard", "2/3", "--out", out];
        succeed(tauscope(folder).arg("sweep").args(fixed).args(["--delays", delays]));
        let text = fs::read_to_string(folder.join(out).join("thresholds.csv")).unwrap();
        text.lines().skip(1).map(Into::into).collect()
    };
    let (few, many) = (cells("few", "0..10"), cells("many", "0..20"));
    assert!(!few.is_empty() && few.len() < 10 && many.len() > few.len());
    assert!(few.iter().all(|cell| many.contains(cell)));
}

#[test]
fn shards_with_ensembles_merge_to_the_bytes_of_the_unsharded_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let quick = |out: &str, flags: &[&str]| {
        let mut command = tauscope(folder);
        let fixed = ["--model", "quadratic:1", "--rules", "sgd", "--engine", "cpu", "--schedule", "random"];
        let ensembles = ["--delays", "1,2,3", "--ensemble", "32", "--tolerance", "0.3"];
        succeed(command.arg("sweep").args(fixed).args(ensembles).args(flags).args(["--out", out]));
    };
    quick("whole", &[]);
    quick("one", &["--shard", "1/2"]);
    quick("two", &["--shard", "2/2"]);
    succeed(&mut merge(folder, &["one", "two"], "merged"));
    assert_same(folder, "whole", "merged");
}
