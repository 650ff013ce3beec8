//! What the tests of results folders share: a sweep of 300 quick cells as a process of its own, and what it left behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tauscope::table::{ThresholdRow, read_csv_from};

/// Every file of a results folder but run.json, which has times in it.
pub const FILES: [&str; 6] =
    ["thresholds.csv", "runs.csv", "delays.csv", "minimum.safetensors", "thresholds.svg", "thresholds.png"];

/// 20 rules at 15 delays on a quadratic of 40 dimensions: half a second of work at short delays, two at long ones.
pub const CELLS: usize = 300;

/// A measured row of sgd without delay, with the columns that every table of thresholds has; all others are empty, so that
/// a new column needs no change here.
pub fn threshold_row() -> ThresholdRow {
    let text = "cell_id,data,model,loss,samples,weight_decay,rule,momentum,dampening,delay,schedule,workers,batch,seed_data,\
                seed_order,seed_init,criterion,lambda_max,lambda_residual,lr_stable,lr_unstable,lr_threshold,horizon_steps,\
                runs,status,engine,adapter\n\
                cell0,digits,mlp:16,ce,512,0.001,sgd,0,0,0,round-robin,1,full,0,0,0,mean,0.5,1e-12,0.75,1.5,1,10000,8,\
                measured,cpu f32,x86_64\n";
    read_csv_from("thresholds.csv", text.as_bytes()).unwrap().remove(0)
}

/// The flags of those.
pub fn grid(delays: &str) -> Vec<String> {
    let eigenvalues: Vec<String> = (1..=40).rev().map(|i| format!("{}", f64::from(i) / 40.0)).collect();
    let model = format!("quadratic:{}", eigenvalues.join(","));
    ["--model", &model, "--engine", "cpu", "--rules", "heavy-ball,shifted", "--momentum", "linspace:0.1:0.9:5"]
        .into_iter()
        .chain(["--dampening", "0,ema", "--delays", delays])
        .map(Into::into)
        .collect()
}

pub fn tauscope(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("tauscope"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `tauscope sweep` of the 300 cells.
pub fn sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.arg("sweep").args(grid("0..15")).args(["--out", out]).args(flags);
    command
}

/// The same at longer delays: time enough to be killed in.
pub fn slow_sweep(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.arg("sweep").args(grid("30..45")).args(["--out", out]).args(flags);
    command
}

/// Exit code and stderr.
#[track_caller]
pub fn outcome(output: &Output) -> (Option<i32>, String) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!error.contains("panicked"), "{error}");
    (output.status.code(), error)
}

/// Runs to the end, which must be a good one; returns stderr.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let (code, error) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(0), "{error}");
    error
}

/// Runs to an end with exit code 2, whose message must say all of `expected`; returns it.
#[track_caller]
pub fn refuse(command: &mut Command, expected: &[&str]) -> String {
    let (code, error) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    for part in expected {
        assert!(error.contains(part), "should say '{part}': {error}");
    }
    error
}

/// Two folders with the same bytes.
#[track_caller]
pub fn assert_same(folder: &Path, one: &str, other: &str) {
    for name in FILES {
        let read = |out: &str| fs::read(folder.join(out).join(name)).unwrap();
        assert!(read(one) == read(other), "{one}/{name} and {other}/{name} differ");
    }
}

/// Whole lines of the journal of an unfinished folder.
pub fn lines(folder: &Path, out: &str) -> Vec<String> {
    let text = fs::read(folder.join(format!("{out}.partial/journal.jsonl"))).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(Into::into).collect()
}

/// Waits until the journal of a running sweep has so many lines.
pub fn await_lines(child: &mut Child, folder: &Path, out: &str, count: usize) {
    let patience = Instant::now();
    while lines(folder, out).len() < count {
        assert!(child.try_wait().unwrap().is_none(), "the sweep ended before its journal had {count} lines");
        assert!(patience.elapsed() < Duration::from_secs(60), "no {count} lines in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to one process.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A sweep of the 300 cells that was asked to stop when it had `count` of them.
pub fn interrupted(folder: &Path, out: &str, count: usize) {
    let mut child = sweep(folder, out, &[]).spawn().unwrap();
    await_lines(&mut child, folder, out, count);
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{error}");
}

/// A copy of an unfinished folder under another name.
pub fn copy_partial(folder: &Path, from: &str, to: &str) {
    let (from, to) = (folder.join(format!("{from}.partial")), folder.join(format!("{to}.partial")));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
