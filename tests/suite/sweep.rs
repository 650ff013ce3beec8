//! `tauscope sweep` as a user runs it: the real binary, its folder, its exit codes.

use assert_cmd::Command;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tauscope::table::{RunRow, Status, ThresholdRow, read_csv};
use tauscope::threshold::Verdict;

/// A network small enough to sweep in a second: 100 digits, 4 hidden units.
const SMALL: [&str; 6] = ["--samples", "100", "--model", "mlp:4", "--engine", "cpu"];

fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = Command::cargo_bin("tauscope").unwrap();
    command.current_dir(folder).args(["sweep", "--out", out]).args(flags);
    command
}

/// Runs a sweep that must succeed, and returns its rows.
fn rows(folder: &Path, out: &str, flags: &[&str]) -> Vec<ThresholdRow> {
    sweep(folder, out, flags).assert().success();
    read_csv(&folder.join(out).join("thresholds.csv")).unwrap()
}

fn assert_ratios(rows: &[ThresholdRow], expected_rows: usize, tolerance: f64, limit: f64) {
    assert_eq!(rows.len(), expected_rows);
    for row in rows {
        let cell =
            format!("{} m {} d {} delay {:?} {}", row.rule, row.momentum, row.dampening, row.delay, row.schedule);
        assert_eq!(row.status, Status::Measured, "{cell}");
        let (stable, unstable) = (row.lr_stable.unwrap(), row.lr_unstable.unwrap());
        let threshold = row.lr_threshold.unwrap();
        assert!(stable <= threshold && threshold <= unstable, "{cell}: {stable} {threshold} {unstable}");
        assert!((unstable - stable) / threshold <= tolerance, "{cell}: {stable} to {unstable}");
        let off = (row.ratio.unwrap() - 1.0).abs();
        assert!(off <= limit, "{cell}: measured / theory is {}", row.ratio.unwrap());
    }
}

#[test]
fn a_sweep_measures_what_theory_predicts_and_writes_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [&SMALL[..], &["--delays", "0,1,5"]].concat();
    let rows = rows(folder.path(), "out", &flags);
    assert_ratios(&rows, 4 * 3, 0.01, 0.02);
    let mut files: Vec<String> = fs::read_dir(folder.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected = [
        "delays.csv",
        "minimum.safetensors",
        "run.json",
        "runs.csv",
        "thresholds.csv",
        "thresholds.png",
        "thresholds.svg",
    ];
    assert_eq!(files, expected);
    let runs: Vec<RunRow> = read_csv(&folder.path().join("out/runs.csv")).unwrap();
    assert_eq!(runs.len() as u32, rows.iter().map(|row| row.runs).sum::<u32>());
    for row in &rows {
        // The bracket's ends are runs that were made, with the verdicts that they claim.
        let verdict_at = |lr: Option<f64>| {
            runs.iter().find(|run| run.cell_id == row.cell_id && Some(run.lr) == lr).map(|run| run.verdict)
        };
        assert_eq!(verdict_at(row.lr_stable), Some(Verdict::Stable));
        assert!(matches!(verdict_at(row.lr_unstable), Some(Verdict::Escaped | Verdict::Diverged)));
    }
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/run.json")).unwrap()).unwrap();
    assert_eq!(run["engine"]["engine"], "cpu");
    assert!(run["minimum"]["lambda_max"]["converged"].as_bool().unwrap());

    // The minimum that was written is the minimum of another sweep of the same problem.
    let again = [&flags[..], &["--minimum", "out/minimum.safetensors"]].concat();
    let again = self::rows(folder.path(), "again", &again);
    assert_eq!(again[0].lambda_max, rows[0].lambda_max);
    assert_eq!(again[0].lr_threshold, rows[0].lr_threshold);
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_a_cell_alone_the_same_row() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [&SMALL[..], &["--rules", "sgd,heavy-ball", "--delays", "0,3"]].concat();
    rows(folder.path(), "one", &flags);
    rows(folder.path(), "two", &flags);
    for name in ["thresholds.csv", "runs.csv", "minimum.safetensors", "thresholds.svg", "thresholds.png"] {
        let read = |out: &str| fs::read(folder.path().join(out).join(name)).unwrap();
        assert_eq!(read("one"), read("two"), "{name}");
    }
    let alone = [&SMALL[..], &["--rules", "heavy-ball", "--dampening", "ema", "--delays", "3"]].concat();
    rows(folder.path(), "alone", &alone);
    for name in ["thresholds.csv", "runs.csv"] {
        let read = |out: &str| fs::read_to_string(folder.path().join(out).join(name)).unwrap();
        let (whole, part) = (read("one"), read("alone"));
        assert!(part.lines().count() > 1);
        for line in part.lines() {
            assert!(whole.lines().any(|other| other == line), "{name}: {line}");
        }
    }
}

#[test]
fn quadratics_meet_the_closed_form() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(
        folder.path(),
        "out",
        &[
            "--model",
            "quadratic:1.0,0.3",
            "--tolerance",
            "0.002",
            "--engine",
            "cpu",
            "--rules",
            "sgd,heavy-ball,nesterov,shifted",
            "--delays",
            "0,1,3,7,29,64",
            "--momentum",
            "0.3,0.9,0.99",
            "--dampening",
            "0,ema",
        ],
    );
    assert_ratios(&rows, 6 + 3 * 3 * 2 * 6, 0.002, 0.005);
}

#[test]
fn the_gpu_engine_finds_the_thresholds_of_the_cpu_engine() {
    let folder = tempfile::tempdir().unwrap();
    // Shifted without delay decays too fast to be measured in f32, which `auto` leaves to f64 on the processor alone.
    let grid = ["--delays", "1,4", "--rules", "sgd,shifted", "--samples", "64", "--model", "mlp:4"];
    let gpu = rows(folder.path(), "gpu", &[&grid[..], &["--engine", "gpu"]].concat());
    let cpu = rows(folder.path(), "cpu", &[&grid[..], &["--engine", "cpu"]].concat());
    assert_ratios(&gpu, 4, 0.01, 0.02);
    assert_eq!(cpu.len(), gpu.len());
    for (cpu, gpu) in cpu.iter().zip(&gpu) {
        let (a, b) = (cpu.lr_threshold.unwrap(), gpu.lr_threshold.unwrap());
        assert!((a / b - 1.0).abs() <= 0.01, "{} delay {:?}: cpu {a}, gpu {b}", cpu.rule, cpu.delay);
        assert_eq!((cpu.cell_id.as_str(), cpu.engine.as_str()), (gpu.cell_id.as_str(), "cpu f32"));
        assert_eq!(gpu.engine, "gpu f32");
    }
}

#[test]
fn minibatches_escape_below_the_threshold_of_the_mean() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        &SMALL[..],
        &["--rules", "sgd", "--delays", "0,2", "--batch", "25", "--tolerance", "0.05", "--criterion", "escape"],
    ]
    .concat();
    let rows = rows(folder.path(), "out", &flags);
    for (row, mean) in rows.iter().zip([2.0, 2.0 * (std::f64::consts::PI / 10.0).sin()]) {
        assert_eq!((row.criterion.as_str(), row.batch.as_str(), row.status), ("escape", "25", Status::Measured));
        assert!(row.lr_threshold.unwrap() * row.lambda_max < mean, "delay {:?}: {:?}", row.delay, row.lr_threshold);
        assert_eq!(row.lr_theory, None, "no theory knows when a run that minibatches push about escapes");
    }
}

#[test]
fn bad_input_is_one_clear_error_with_exit_code_2_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("precious"), "data").unwrap();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--rules", "sdg"], &["sdg", "--rules", "sgd, heavy-ball, nesterov, shifted"]),
        (&["--rules", ""], &["--rules"]),
        (&["--rules", "sgd,sgd"], &["--rules", "sgd", "twice"]),
        (&["--delays", "-1"], &["--delays", "-1", "whole numbers"]),
        (&["--delays", "1.5"], &["--delays", "1.5", "whole numbers"]),
        (&["--delays", ""], &["--delays", "whole numbers"]),
        (&["--delays", "4,4"], &["--delays", "4", "twice"]),
        (&["--momentum", "1"], &["--momentum", "'1'", "below 1"]),
        (&["--momentum", "-0.1"], &["--momentum", "'-0.1'", "from 0"]),
        (&["--momentum", "NaN"], &["--momentum", "NaN"]),
        (&["--dampening", "1"], &["--dampening 1", "less than 1"]),
        (&["--dampening", "soft"], &["--dampening", "soft", "accepted: ema"]),
        (&["--model", "mlp:0"], &["--model", "mlp:0", "widths from 1"]),
        (&["--model", "resnet"], &["--model", "resnet", "linear"]),
        (&["--model", "quadratic:1,-1"], &["--model", "all positive"]),
        (&["--samples", "1798"], &["--samples 1798", "1 to 1797"]),
        (&["--samples", "0"], &["--samples", "'all'"]),
        (&["--batch", "513"], &["--batch 513", "1 to 512"]),
        (&["--model", "quadratic:1", "--batch", "4"], &["--batch 4", "full"]),
        (&["--weight-decay", "-1"], &["--weight-decay -1", "positive"]),
        (&["--tolerance", "0"], &["--tolerance 0", "0.0001"]),
        (&["--tolerance", "nan"], &["--tolerance NaN"]),
        (&["--horizon", "1"], &["--horizon", "64"]),
        (&["--minimum", "missing.safetensors"], &["--minimum missing.safetensors", "No such file"]),
        (&["--precision", "f64", "--engine", "gpu"], &["--precision f64", "--engine cpu"]),
        (&["--adapter", "x", "--engine", "cpu"], &["--adapter", "--engine gpu"]),
        (&["--adapter", "no such adapter", "--engine", "gpu"], &["no such adapter"]),
        (&["--engine", "gpu", "--model", "mlp:600000", "--delays", "1000"], &["bytes"]),
        (&["--delays", "2000000"], &["--delays", "2000000", "1000000"]),
        (&["--engine", "cpu", "--model", "mlp:100000", "--delays", "1000000"], &["bytes", "free memory"]),
        (&["--data", "minst"], &["--data", "minst", "digits"]),
        (&["--resume"], &["--resume", "no unfinished job"]),
    ];
    for (flags, expected) in cases {
        let output = sweep(folder.path(), "new", flags).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        for part in *expected {
            assert!(error.contains(part), "{flags:?} should say '{part}': {error}");
        }
        assert!(!error.contains("panicked"), "{flags:?}: {error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{flags:?} wrote something");
    }
    // Folders: existing, existing and foreign, in a place that is none.
    let quick = ["--model", "quadratic:1", "--rules", "sgd", "--delays", "0", "--engine", "cpu", "--quiet"];
    for (out, extra, expected) in [
        ("there", &[][..], "--force"),
        ("there", &["--force"], "no results folder"),
        ("missing/deep", &[], "missing/deep"),
        ("there/precious/x", &[], "there/precious/x"),
    ] {
        let output = sweep(folder.path(), out, &[&quick[..], extra].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(expected), "{out}: {error}");
    }
    assert_eq!(fs::read_to_string(there.join("precious")).unwrap(), "data");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // A results folder, on the other hand, can be replaced.
    sweep(folder.path(), "out", &quick).assert().success();
    sweep(folder.path(), "out", &quick).assert().code(2);
    sweep(folder.path(), "out", &[&quick[..], &["--force"]].concat()).assert().success();
}

#[test]
fn a_killed_sweep_resumes_to_the_bytes_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [&SMALL[..], &["--delays", "0,1,2,3", "--quiet"]].concat();
    sweep(folder.path(), "whole", &flags).assert().success();

    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("tauscope"))
        .current_dir(folder.path())
        .args(["sweep", "--out", "killed"])
        .args(&flags)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = folder.path().join("killed.partial/journal.jsonl");
    while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the sweep ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The line that was being written when the power failed.
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, &text[..text.len() - 40]).unwrap();

    // Without --resume the half-done sweep is not touched; another plan may not continue it.
    let refused = sweep(folder.path(), "killed", &flags).assert().code(2);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("--resume"));
    let other = [&flags[..], &["--resume", "--tolerance", "0.02"]].concat();
    let refused = sweep(folder.path(), "killed", &other).assert().code(2);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("differs"));

    sweep(folder.path(), "killed", &[&flags[..], &["--resume"]].concat()).assert().success();
    for name in ["thresholds.csv", "runs.csv", "minimum.safetensors"] {
        let read = |out: &str| fs::read(folder.path().join(out).join(name)).unwrap();
        assert_eq!(read("whole"), read("killed"), "{name}");
    }
    assert!(!folder.path().join("killed.partial").exists());
}

#[test]
fn dry_run_prints_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let report = sweep(folder.path(), "out", &["--dry-run", "--json", "--engine", "cpu"]).assert().success();
    let report: serde_json::Value = serde_json::from_slice(&report.get_output().stdout).unwrap();
    let (plan, grid) = (&report["plan"], &report["plan"]["grids"][0]);
    let delays: Vec<u64> = grid["settings"].as_array().unwrap().iter().filter_map(|s| s["delay"].as_u64()).collect();
    assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32]);
    assert_eq!(grid["rules"].as_array().unwrap().len(), 4);
    assert_eq!(plan["limits"], serde_json::json!({"mean": {"tolerance": 0.01, "horizon": 16_384}}));
    assert_eq!(report["cells"], 28);
}

#[test]
fn json_prints_events() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "quadratic:2", "--rules", "sgd", "--delays", "1,3", "--engine", "cpu", "--json"];
    let output = sweep(folder.path(), "out", &flags).assert().success().get_output().clone();
    let events: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).cloned().collect::<Vec<_>>();
    assert_eq!(named("start").len() + named("cell").len() + named("progress").len() + named("end").len(), events.len());

    let (start, end) = (&events[0], &events[events.len() - 1]);
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("out/run.json")).unwrap()).unwrap();
    assert_eq!((&start["event"], &start["cells"], &start["engine"]), (&"start".into(), &2.into(), &"cpu".into()));
    assert_eq!(start["plan_hash"], run["plan_hash"]);
    assert_eq!((&end["event"], &end["measured"], &end["folder"]), (&"end".into(), &2.into(), &"out".into()));
    assert_eq!((&end["runs"], &end["config_steps"]), (&run["runs"], &run["config_steps"]));
    assert_eq!(named("progress").last().unwrap()["cells_done"], 2);

    // A cell's event is its row.
    let table: Vec<ThresholdRow> = read_csv(&folder.path().join("out/thresholds.csv")).unwrap();
    let mut rows = named("cell");
    rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("event")));
    let mut rows: Vec<ThresholdRow> = rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect();
    rows.sort_by_key(|row| row.delay);
    assert_eq!(rows, table);
    assert!((table[0].lr_theory.unwrap() - 0.5).abs() < 1e-12 && (table[0].lr_threshold.unwrap() - 0.5).abs() < 1e-3);

    // What a person sees where stderr is no terminal: a line at the start and one at the end.
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("progress ")).collect();
    assert!(lines.len() >= 2 && lines[lines.len() - 1].starts_with("progress 2/2 cells, 0 runs alive, "), "{lines:?}");
    assert_eq!(sweep(folder.path(), "quiet", &[&flags[..8], &["--quiet"]].concat()).output().unwrap().stderr, b"");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for arguments in [&["sweep", "--dry-run"][..], &["devices"], &["theory", "--rules", "sgd", "--delays", "0..20000"]]
    {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("tauscope"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !error.contains("panicked"), "{arguments:?}: {error}");
    }
}
